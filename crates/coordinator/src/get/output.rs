//! Outputs of a get in one owner set, and its input from the others.

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, EncodedRecord};

use crate::tally::Shortfall;

/// Effect that a get in one owner set asks for, as in [`JointGetOutput`](crate::JointGetOutput).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GetOutput {
    ReadLocal,
    Read {
        node: NodeId,
        known: Option<Digest>,
    },
    Answer(Result<Option<EncodedRecord>, Shortfall>),
    Repair {
        node: NodeId,
        stands_in_for: Option<NodeId>,
        /// Merge of all answers to this get.
        record: EncodedRecord,
        cause: RepairCause,
    },
    Hedged,
}

/// Way in which a replica was behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairCause {
    /// The replica had no record of the key.
    Missing,
    /// The replica had another record than the merge.
    Stale,
}

/// Result of the gets of the same key in other owner sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// The others may still find a record.
    Open,
    /// One of the others has found a record.
    Found,
    /// There are no other owner sets, or no record was found in them.
    Nothing,
}
