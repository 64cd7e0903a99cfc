//! Records in the one encoding that the wire, the journal and the engines share.
//!
//! Invariant: equal records have equal bytes, so a digest of the bytes stands for the record.

use jedlik_vclock::LocalActor;
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::Blob;
use crate::codec;
use crate::error::{DecodeError, RecordOverLimit};
use crate::limits::{CLOCK_ENTRIES_MAX, RECORD_MAX_BYTES, SIBLINGS_MAX};

/// What a replica knows of one key.
pub type Record = jedlik_vclock::Record<Blob>;
/// One of its versions.
pub type Sibling = jedlik_vclock::Sibling<Blob>;

/// A 64-bit hash of a record's bytes: equal digests are taken to mean equal records.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Digest(pub u64);

/// A record as bytes: encoded once by its coordinator, then sent, journalled and stored as it is.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct EncodedRecord(Blob);

impl EncodedRecord {
    /// Encodes `record`.
    #[must_use]
    pub fn encode(record: &Record) -> Self {
        Self(Blob::from(codec::encode_record(record)))
    }

    /// Encodes what a merge or a put has made, unless it is larger than any record may be.
    ///
    /// # Errors
    /// It has too many siblings, clock entries or bytes. Nothing is to be forgotten because of that: whoever
    /// holds a part of it goes on holding it.
    pub fn encode_within_limits(record: &Record) -> Result<Self, RecordOverLimit> {
        let encoded = Self::encode(record);
        for (what, count, limit) in [
            ("clock entries", record.clock().len(), CLOCK_ENTRIES_MAX),
            ("siblings", record.siblings().len(), SIBLINGS_MAX),
            ("bytes", encoded.0.len(), RECORD_MAX_BYTES),
        ] {
            if count > limit {
                return Err(RecordOverLimit { what, count, limit });
            }
        }
        Ok(encoded)
    }

    /// Takes bytes from disk.
    ///
    /// # Errors
    /// They are not a record.
    pub fn from_bytes(bytes: impl Into<Blob>) -> Result<Self, DecodeError> {
        let encoded = Self(bytes.into());
        encoded.decode()?;
        Ok(encoded)
    }

    /// The record. Its values are slices of these bytes, not copies.
    ///
    /// # Errors
    /// The bytes are not a record, which cannot be for one that came through the codec or
    /// [`Self::from_bytes`].
    pub fn decode(&self) -> Result<Record, DecodeError> {
        codec::decode_record(&self.0)
    }

    /// The record with its length in place of each value, in 8 bytes, little endian: its clock, its versions and
    /// its tombstones stay. Records with lengths merge among themselves as the whole ones do.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn with_lengths(&self) -> Result<Self, DecodeError> {
        let length = |value: Blob| Blob::from(&(value.len() as u64).to_le_bytes()[..]);
        Ok(Self::encode(&self.decode()?.map_values(length)))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Blob {
        &self.0
    }

    /// A copy that shares no allocation, for keeping: a slice of a receive buffer keeps all of it.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Blob::from(&self.0[..]))
    }

    /// What stands for this record in comparisons.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(xxh3_64(&self.0))
    }
}

/// A record as its node keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Set when this node has coordinated a put of the key.
    pub local: Option<LocalActor>,
    /// What all replicas share.
    pub record: EncodedRecord,
}

/// What has happened to a write on a replica before it is acknowledged.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub enum Durability {
    /// In memory: lost with the process.
    Buffered,
    /// Handed to the operating system: survives the process, not the machine.
    Written,
    /// On disk.
    Synced,
}

#[cfg(test)]
mod tests;
