//! The merge of the replicas' answers so far.
//!
//! Invariant: bytes are decoded and encoded again only when two answers differ, which is rare (paper 6.3).

use jedlik_protocol::error::DecodeError;
use jedlik_protocol::{Digest, EncodedRecord};

/// Record that grows by merging; empty until the first is added.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    encoded: Option<EncodedRecord>,
}

impl Merged {
    /// Merges one replica's record.
    ///
    /// # Errors
    /// The bytes of either record can't be decoded; what was merged before stays.
    pub fn add(&mut self, record: EncodedRecord) -> Result<(), DecodeError> {
        match &self.encoded {
            None => self.encoded = Some(record),
            Some(held) if held.digest() == record.digest() => {}
            Some(held) => {
                let mut merged = held.decode()?;
                merged.merge(&record.decode()?);
                self.encoded = Some(EncodedRecord::encode(&merged));
            }
        }
        Ok(())
    }

    /// Merges the merge of other replicas' records.
    ///
    /// # Errors
    /// The bytes of either record can't be decoded; what was merged before stays.
    pub fn merge(&mut self, other: &Self) -> Result<(), DecodeError> {
        other.encoded.clone().map_or(Ok(()), |record| self.add(record))
    }

    /// Returns the merge, or `None` while no replica had a record.
    #[must_use]
    pub fn record(&self) -> Option<&EncodedRecord> {
        self.encoded.as_ref()
    }

    /// Returns the digest of the merge, or `None` while no replica had a record.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.encoded.as_ref().map(EncodedRecord::digest)
    }
}
