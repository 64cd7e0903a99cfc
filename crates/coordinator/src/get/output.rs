//! What a get of one owner set says, and what it is told of the others.

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, EncodedRecord};

use crate::tally::Shortfall;

/// What a get of one owner set wants done; each is told in [`JointGetOutput`](crate::JointGetOutput).
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
        /// The merge of all answers to this get.
        record: EncodedRecord,
        cause: RepairCause,
    },
    Hedged,
}

/// How a replica was behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairCause {
    /// It had nothing of the key.
    Missing,
    /// It had another record than the merge.
    Stale,
}

/// What gets of the same key over other owner sets have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// They may still find a record.
    Open,
    /// One has found a record.
    Found,
    /// There are none, or they have not found any.
    Nothing,
}
