//! The ring: which node holds which partition's token, and the preference lists that follow from it.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use thiserror::Error;

use crate::{Partition, PartitionCount, Preferences};

#[cfg(test)]
pub(crate) mod tests;

/// Most nodes on one ring.
pub const NODES_MAX: usize = 1000;

/// Identity of a node for its whole life, drawn at random when its certificate is issued.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Node as placement sees it: its identity, zone and weight.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RingNode {
    /// Identity of the node.
    pub node: NodeId,
    /// Failure domain of the node, such as a rack or a data centre.
    pub zone: String,
    /// Share of the partitions relative to the other nodes; at least 1.
    pub weight: u32,
}

/// Ring of equal partitions, each with the node that holds its token (strategy 3).
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Ring {
    pub(crate) partitions: PartitionCount,
    pub(crate) nodes: Vec<RingNode>,
    /// Holder of each partition's token, as an index into `nodes`.
    pub(crate) tokens: Vec<u16>,
}

/// Fault of a ring that came from a peer or a disk. Drop such a ring: code that used it would break.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RingError {
    /// The number of partitions is not a power of two up to 65,536.
    #[error("the ring's number of partitions is not a power of two up to 65536")]
    Partitions,
    /// The ring has no nodes, or too many.
    #[error("the ring has {count} nodes; it takes 1 to {NODES_MAX}")]
    Nodes {
        /// Number of nodes of the ring.
        count: usize,
    },
    /// One node stands on the ring twice.
    #[error("node {node} stands on the ring twice")]
    Duplicate {
        /// Node that stands on the ring twice.
        node: NodeId,
    },
    /// A node has weight 0; the least is 1.
    #[error("node {node} has weight 0; the least is 1")]
    ZeroWeight {
        /// Node that has weight 0.
        node: NodeId,
    },
    /// The ring does not have one token for each partition.
    #[error("the ring has {tokens} tokens for {partitions} partitions")]
    TokenCount {
        /// Number of tokens of the ring.
        tokens: usize,
        /// Number of partitions of the ring.
        partitions: u32,
    },
    /// A token is held by no node of the ring.
    #[error("partition {partition} is held by node number {index} of {nodes}")]
    TokenOfNobody {
        /// Partition whose token has no holder.
        partition: Partition,
        /// Index of the holder, past the last node.
        index: u16,
        /// Number of nodes of the ring.
        nodes: usize,
    },
}

impl Ring {
    /// Returns the number of partitions that the ring places.
    #[must_use]
    pub fn partitions(&self) -> PartitionCount {
        self.partitions
    }

    /// Returns the ring's nodes; [`crate::plan_first`] leaves them in the order of their identities.
    #[must_use]
    pub fn nodes(&self) -> &[RingNode] {
        &self.nodes
    }

    /// Returns one of the ring's nodes; `None` if it has no such node.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<&RingNode> {
        self.nodes.iter().find(|candidate| candidate.node == node)
    }

    /// Returns the node that holds the partition's token: the first of its preference list.
    ///
    /// # Panics
    /// The partition is not one of this ring's.
    #[must_use]
    pub fn token_holder(&self, partition: Partition) -> NodeId {
        self.nodes[usize::from(self.tokens[partition.0 as usize])].node
    }

    /// Returns the number of tokens that the node holds; 0 for one that is not on the ring.
    #[must_use]
    pub fn tokens_of(&self, node: NodeId) -> u32 {
        self.nodes.iter().position(|candidate| candidate.node == node).map_or(0, |index| {
            self.tokens.iter().filter(|token| usize::from(**token) == index).count() as u32
        })
    }

    /// Returns every node once, in the order in which it is asked to hold the partition: the first N are its
    /// primaries, the rest its fallbacks. [`Preferences`] gives the lists of all partitions.
    ///
    /// # Panics
    /// The partition is not one of this ring's.
    #[must_use]
    pub fn preference_list(&self, partition: Partition) -> Vec<NodeId> {
        Preferences::walk(self, self.nodes.len()).list(partition)
    }

    /// Checks that the ring is well formed; to be called on every ring that was not planned here.
    ///
    /// # Errors
    /// Names the first fault.
    pub fn check(&self) -> Result<(), RingError> {
        if !self.partitions.is_well_formed() {
            return Err(RingError::Partitions);
        }
        let nodes = self.nodes.len();
        if nodes == 0 || nodes > NODES_MAX {
            return Err(RingError::Nodes { count: nodes });
        }
        let mut seen = BTreeSet::new();
        for RingNode { node, weight, .. } in &self.nodes {
            if !seen.insert(*node) {
                return Err(RingError::Duplicate { node: *node });
            }
            if *weight == 0 {
                return Err(RingError::ZeroWeight { node: *node });
            }
        }
        let partitions = self.partitions.get();
        if self.tokens.len() != partitions as usize {
            return Err(RingError::TokenCount { tokens: self.tokens.len(), partitions });
        }
        for (partition, index) in self.partitions.partitions().zip(&self.tokens) {
            if usize::from(*index) >= nodes {
                return Err(RingError::TokenOfNobody { partition, index: *index, nodes });
            }
        }
        Ok(())
    }
}
