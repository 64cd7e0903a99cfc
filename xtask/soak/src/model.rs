//! Model of what an engine holds: the version of each record and hint.
//!
//! Invariant: it knows nothing of how an engine stores anything.

use std::collections::{BTreeMap, BTreeSet};

use jedlik_hashing::{NodeId, Partition};

/// Versions of all that an engine holds, by number of the key.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) records: BTreeMap<u32, u64>,
    pub(crate) hints: BTreeMap<(NodeId, u32), u64>,
    pub(crate) metadata: BTreeMap<String, Vec<u8>>,
    /// Partitions that were dropped and may have records left to sweep.
    pub(crate) dropped: BTreeSet<Partition>,
}
