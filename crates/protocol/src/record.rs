//! Records in the one encoding that the wire, the journal and the engines share.
//!
//! Invariant: equal records have equal bytes, so a digest of the bytes stands for the record.

mod encoding;

use jedlik_vclock::LocalActor;
use rkyv::rancor::Fallible;
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::blob::Source;
use crate::error::{DecodeError, RecordOverLimit};
use crate::limits::{CLOCK_ENTRIES_MAX, RECORD_MAX_BYTES, SIBLINGS_MAX};
use crate::{Blob, Value};

/// All that a replica knows of one key: its concurrent versions and the clock of what they have seen.
pub type Record = jedlik_vclock::Record<Value>;
/// One of a record's concurrent versions.
pub type Sibling = jedlik_vclock::Sibling<Value>;

/// A 64-bit hash of a record's bytes: equal digests are taken to mean equal records.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Digest(pub u64);

/// A record as bytes: encoded once by its coordinator, then sent, journalled and stored as it is.
///
/// On the wire it is its bytes alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedRecord {
    bytes: Blob,
    /// Hash of the bytes. A record that is cached is compared without being read.
    digest: Digest,
}

impl EncodedRecord {
    /// Encodes `record`, whatever its size.
    #[must_use]
    pub fn encode(record: &Record) -> Self {
        Self::over(encoding::encode(record).into())
    }

    /// Encodes the result of a merge or a put, unless it exceeds the limits of any record.
    ///
    /// # Errors
    /// The record has too many siblings, clock entries or bytes. Nothing may be dropped because of that: each holder
    /// of a part keeps it.
    pub fn encode_within_limits(record: &Record) -> Result<Self, RecordOverLimit> {
        let encoded = Self::encode(record);
        for (what, count, limit) in [
            ("clock entries", record.clock().len(), CLOCK_ENTRIES_MAX),
            ("siblings", record.siblings().len(), SIBLINGS_MAX),
            ("bytes", encoded.bytes.len(), RECORD_MAX_BYTES),
        ] {
            if count > limit {
                return Err(RecordOverLimit { what, count, limit });
            }
        }
        Ok(encoded)
    }

    /// Wraps bytes read from disk after validating them.
    ///
    /// # Errors
    /// The bytes are not a record.
    pub fn from_bytes(bytes: impl Into<Blob>) -> Result<Self, DecodeError> {
        let encoded = Self::over(bytes.into());
        encoded.decode()?;
        Ok(encoded)
    }

    /// Decodes the record. Its values are slices of these bytes, not copies.
    ///
    /// # Errors
    /// The bytes are not a record. This can't happen to a record that came through the codec or
    /// [`Self::from_bytes`].
    pub fn decode(&self) -> Result<Record, DecodeError> {
        encoding::decode(&self.bytes)
    }

    /// Returns the record with each value replaced by its length, in 8 bytes, little endian; its clock, versions and
    /// tombstones stay. Such records merge with one another as the whole ones do.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    pub fn with_lengths(&self) -> Result<Self, DecodeError> {
        let length = |value: Value| Value::from(&(value.bytes().len() as u64).to_le_bytes()[..]);
        Ok(Self::encode(&self.decode()?.map_values(length)))
    }

    /// Returns the encoded form, to be sent or stored as it is.
    #[must_use]
    pub fn bytes(&self) -> &Blob {
        &self.bytes
    }

    /// Returns a copy with an allocation of its own, for keeping: a slice of a receive buffer keeps the whole buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { bytes: Blob::from(&self.bytes[..]), digest: self.digest }
    }

    /// Returns the hash of the record's bytes, which stands for the record in comparisons.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    fn over(bytes: Blob) -> Self {
        let digest = Digest(xxh3_64(&bytes));
        Self { bytes, digest }
    }
}

impl Archive for EncodedRecord {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
        self.bytes.resolve(resolver, out);
    }
}

impl<S: Fallible + Allocator + Writer + ?Sized> Serialize<S> for EncodedRecord {
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<D: Fallible + Source + ?Sized> Deserialize<EncodedRecord, D> for ArchivedVec<u8> {
    fn deserialize(&self, deserializer: &mut D) -> Result<EncodedRecord, D::Error> {
        let bytes: Blob = self.deserialize(deserializer)?;
        Ok(EncodedRecord::over(bytes))
    }
}

/// A record as its node stores it, with what that node alone needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Actor under which this node has coordinated puts of the key; `None` if it has coordinated none.
    pub local: Option<LocalActor>,
    /// Part that all replicas share.
    pub record: EncodedRecord,
}

/// How far a write has come on a replica before it is acknowledged.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub enum Durability {
    /// The write is in memory: it is lost with the process.
    Buffered,
    /// The write was handed to the operating system: it survives the process, not the machine.
    Written,
    /// The write is synced to disk: it survives the machine's crash.
    Synced,
}

#[cfg(test)]
mod tests;
