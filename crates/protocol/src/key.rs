//! Keys of records: a bucket and a key in it, and their place on the ring.

use core::fmt;

use jedlik_hashing::{Partition, PartitionCount, Position};
use rkyv::{Archive, Deserialize, Serialize};

use crate::Blob;
use crate::error::InvalidKey;
use crate::limits::{BUCKET_LIMIT_BYTES, KEY_LIMIT_BYTES};

/// Identity of a cluster, drawn at random with its authority; also the seed of its keys' positions.
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
    /// Joins a bucket's name and a key.
    ///
    /// # Errors
    /// Either is empty or over its limit; the error says which, with its length and the limit.
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

    /// Returns the name of the bucket that the key is in.
    #[must_use]
    pub fn bucket(&self) -> &Blob {
        &self.bucket
    }

    /// The key within the bucket.
    #[must_use]
    pub fn key(&self) -> &Blob {
        &self.key
    }

    /// Returns a copy with an allocation of its own, for keeping: a slice of a receive buffer keeps the whole buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { bucket: Blob::from(&self.bucket[..]), key: Blob::from(&self.key[..]) }
    }

    /// Returns the key's position on the cluster's ring, a hash seeded with the cluster's identity.
    #[must_use]
    pub fn position(&self, cluster: ClusterId) -> Position {
        Position::of(cluster.0, &self.bucket, &self.key)
    }
}

/// A key with its partition and position. Their order is the order in which records are stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlacedKey {
    /// Partition that contains the position.
    pub partition: Partition,
    /// Position of the key on the ring: its hash, seeded with the cluster's identity.
    pub position: Position,
    /// The key itself, since two keys may share a position.
    pub key: Key,
}

impl PlacedKey {
    /// Computes the place of `key` in a cluster with that number of partitions.
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
