//! The merge of what the replicas have answered so far.
//!
//! Invariant: bytes are decoded and encoded again only when two answers differ, which is rare
//! (paper 6.3).

use jedlik_protocol::error::DecodeError;
use jedlik_protocol::{Digest, EncodedRecord};

/// A record that grows by merging.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    encoded: Option<EncodedRecord>,
    digest: Option<Digest>,
}

impl Merged {
    /// Merges one replica's record.
    ///
    /// # Errors
    /// Either record is not one; what was merged before stays.
    pub fn add(&mut self, record: EncodedRecord) -> Result<(), DecodeError> {
        let digest = record.digest();
        self.take_in(record, digest)
    }

    /// Merges one replica's record, and says what its digest is.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub(crate) fn add_digested(&mut self, record: EncodedRecord) -> Result<Digest, DecodeError> {
        let digest = record.digest();
        self.take_in(record, digest).map(|()| digest)
    }

    /// Merges what was merged elsewhere.
    ///
    /// # Errors
    /// Either record is not one; what was merged before stays.
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

    /// The merge, or `None` while no replica had a record.
    #[must_use]
    pub fn record(&self) -> Option<&EncodedRecord> {
        self.encoded.as_ref()
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }
}
