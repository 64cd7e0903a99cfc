//! The merge of the replicas' answers so far.
//!
//! Invariant: bytes are decoded and encoded again only when two answers differ, which is rare (paper 6.3).

use jedlik_protocol::error::DecodeError;
use jedlik_protocol::{Digest, EncodedRecord};

/// Record that grows by merging; empty until the first is added.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    encoded: Option<EncodedRecord>,
    digest: Option<Digest>,
}

impl Merged {
    /// Merges one replica's record.
    ///
    /// # Errors
    /// The bytes of either record can't be decoded; what was merged before stays.
    pub fn add(&mut self, record: EncodedRecord) -> Result<(), DecodeError> {
        let digest = record.digest();
        self.take_in(record, digest)
    }

    /// Merges one replica's record, and returns that record's digest.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub(crate) fn add_digested(&mut self, record: EncodedRecord) -> Result<Digest, DecodeError> {
        let digest = record.digest();
        self.take_in(record, digest).map(|()| digest)
    }

    /// Merges the merge of other replicas' records.
    ///
    /// # Errors
    /// The bytes of either record can't be decoded; what was merged before stays.
    pub fn merge(&mut self, other: &Self) -> Result<(), DecodeError> {
        match (&other.encoded, other.digest) {
            (Some(record), Some(digest)) => self.take_in(record.clone(), digest),
            _ => Ok(()),
        }
    }

    fn take_in(&mut self, record: EncodedRecord, digest: Digest) -> Result<(), DecodeError> {
        match &self.encoded {
            None => self.set(record, digest),
            Some(_) if self.digest == Some(digest) => {}
            Some(held) => {
                let mut merged = held.decode()?;
                merged.merge(&record.decode()?);
                let encoded = EncodedRecord::encode(&merged);
                let digest = encoded.digest();
                self.set(encoded, digest);
            }
        }
        Ok(())
    }

    fn set(&mut self, encoded: EncodedRecord, digest: Digest) {
        self.encoded = Some(encoded);
        self.digest = Some(digest);
    }

    /// Returns the merge, or `None` while no replica had a record.
    #[must_use]
    pub fn record(&self) -> Option<&EncodedRecord> {
        self.encoded.as_ref()
    }

    /// Returns the digest of the merge, or `None` while no replica had a record.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }
}
