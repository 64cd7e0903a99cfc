//! What a record is found by.

use core::fmt;

use jedlik_hashing::{Partition, PartitionCount, Position};
use rkyv::{Archive, Deserialize, Serialize};

use crate::Blob;
use crate::error::InvalidKey;
use crate::limits::{BUCKET_LIMIT_BYTES, KEY_LIMIT_BYTES};

/// A cluster's identity, drawn at random with its authority; also the seed of its positions.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct ClusterId(pub u64);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A bucket's name and a key in it, both within their limits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct Key {
    bucket: Blob,
    key: Blob,
}

impl Key {
    /// Joins a bucket and a key.
    ///
    /// # Errors
    /// Either is empty or over its limit; the error names which, its length and the limit.
    pub fn new(bucket: impl Into<Blob>, key: impl Into<Blob>) -> Result<Self, InvalidKey> {
        let key = Self { bucket: bucket.into(), key: key.into() };
        key.check()?;
        Ok(key)
    }

    pub(crate) fn check(&self) -> Result<(), InvalidKey> {
        check_bucket(&self.bucket)?;
        match self.key.len() {
            0 => Err(InvalidKey::EmptyKey),
            length if length > KEY_LIMIT_BYTES => Err(InvalidKey::KeyTooLong { length }),
            _ => Ok(()),
        }
    }

    /// The bucket's name.
    #[must_use]
    pub fn bucket(&self) -> &Blob {
        &self.bucket
    }

    /// The key within the bucket.
    #[must_use]
    pub fn key(&self) -> &Blob {
        &self.key
    }

    /// A copy that shares no allocation, for keeping: a slice of a receive buffer keeps all of it.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { bucket: Blob::from(&self.bucket[..]), key: Blob::from(&self.key[..]) }
    }

    /// Where it lies on the cluster's ring.
    #[must_use]
    pub fn position(&self, cluster: ClusterId) -> Position {
        Position::of(cluster.0, &self.bucket, &self.key)
    }
}

/// A key with its place: the order of these is the order in which records are stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlacedKey {
    /// The range that holds the position.
    pub partition: Partition,
    /// The key's hash.
    pub position: Position,
    /// The key itself, since two keys may share a position.
    pub key: Key,
}

impl PlacedKey {
    /// Places `key` in a cluster of so many partitions.
    #[must_use]
    pub fn new(cluster: ClusterId, partitions: PartitionCount, key: Key) -> Self {
        let position = key.position(cluster);
        Self { partition: partitions.partition(position), position, key }
    }
}

/// Checks a bucket's name alone.
pub(crate) fn check_bucket(bucket: &[u8]) -> Result<(), InvalidKey> {
    match bucket.len() {
        0 => Err(InvalidKey::EmptyBucket),
        length if length > BUCKET_LIMIT_BYTES => Err(InvalidKey::BucketTooLong { length }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
