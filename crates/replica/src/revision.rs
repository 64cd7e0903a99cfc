//! The replacement of a record, and the reason for it.
//!
//! Invariant: a removal says whether the record is forgotten for good or is another node's now. To storage
//! both are the same; a test that watches a node holds it to another rule for each.

use jedlik_protocol::StoredRecord;

/// Replacement of a record that a node has compared with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// The same record with fewer clock entries.
    Record(StoredRecord),
    /// Nothing: the record is dead, and no node has anything left that it would have to cover.
    Forgotten,
    /// Nothing: others alone own the record, and have it or have seen it.
    GivenUp,
}

impl Revision {
    /// Returns the record that is left; `None` for a removal.
    #[must_use]
    pub fn record(self) -> Option<StoredRecord> {
        match self {
            Self::Record(record) => Some(record),
            Self::Forgotten | Self::GivenUp => None,
        }
    }
}
