//! What is to be in the place of a record, and why.
//!
//! Invariant: whoever removes a record says whether it is forgotten for good or is another's now. To storage both are
//! the same; whoever watches a node holds it to another rule for each.

use jedlik_protocol::StoredRecord;

/// What a node puts in the place of a record that it has compared with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// The same with fewer clock entries.
    Record(StoredRecord),
    /// Nothing: it is dead, and no node has anything left that it would have to cover.
    Forgotten,
    /// Nothing: others alone own it, and have it or have seen it.
    GivenUp,
}

impl Revision {
    /// What is left.
    #[must_use]
    pub fn record(self) -> Option<StoredRecord> {
        match self {
            Self::Record(record) => Some(record),
            Self::Forgotten | Self::GivenUp => None,
        }
    }
}
