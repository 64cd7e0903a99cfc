//! The ring: which node holds which partition's token, and the preference lists that follow from it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use rkyv::{Archive, Deserialize, Serialize};

use crate::PartitionCount;

/// A node's identity for its whole life, drawn at random when its certificate is issued.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A node as placement sees it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RingNode {
    /// Who.
    pub node: NodeId,
    /// The failure domain it stands in, such as a rack or a data centre.
    pub zone: String,
    /// Its share of the partitions relative to the other nodes; at least 1.
    pub weight: u32,
}

/// Equal partitions, each with the node that holds its token (strategy 3).
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Ring {
    pub(crate) partitions: PartitionCount,
    pub(crate) nodes: Vec<RingNode>,
    /// For each partition the index into `nodes` of its token's holder.
    pub(crate) tokens: Vec<u16>,
}
