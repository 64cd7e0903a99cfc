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

/// The most nodes on one ring.
pub const NODES_MAX: usize = 1000;

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

/// A ring that is none: it came from a peer or a disk and would break whoever used it. Drop it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RingError {
    /// No power of two in its range.
    #[error("the ring's number of partitions is not a power of two up to 65536")]
    Partitions,
    /// None, or too many.
    #[error("the ring has {count} nodes; it takes 1 to {NODES_MAX}")]
    Nodes {
        /// How many.
        count: usize,
    },
    /// One node stands on it twice.
    #[error("node {node} stands on the ring twice")]
    Duplicate {
        /// Which.
        node: NodeId,
    },
    /// A weight of zero.
    #[error("node {node} has weight 0; the least is 1")]
    ZeroWeight {
        /// Whose.
        node: NodeId,
    },
    /// Not one token for each partition.
    #[error("the ring has {tokens} tokens for {partitions} partitions")]
    TokenCount {
        /// How many tokens.
        tokens: usize,
        /// How many partitions.
        partitions: u32,
    },
    /// A token of nobody.
    #[error("partition {partition} is held by node number {index} of {nodes}")]
    TokenOfNobody {
        /// Which.
        partition: Partition,
        /// Past the last node.
        index: u16,
        /// How many nodes there are.
        nodes: usize,
    },
}

impl Ring {
    /// How many partitions it places.
    #[must_use]
    pub fn partitions(&self) -> PartitionCount {
        self.partitions
    }

    /// Its nodes; [`crate::plan_first`] leaves them in the order of their identities.
    #[must_use]
    pub fn nodes(&self) -> &[RingNode] {
        &self.nodes
    }

    /// One of its nodes; `None` if it has no such node.
    #[must_use]
    pub fn node(&self, node: NodeId) -> Option<&RingNode> {
        self.nodes.iter().find(|candidate| candidate.node == node)
    }

    /// The node that holds the partition's token: the first of its preference list.
    ///
    /// # Panics
    /// The partition is not one of this ring's.
    #[must_use]
    pub fn token_holder(&self, partition: Partition) -> NodeId {
        self.nodes[usize::from(self.tokens[partition.0 as usize])].node
    }

    /// How many tokens the node holds; 0 for one that is not on the ring.
    #[must_use]
    pub fn tokens_of(&self, node: NodeId) -> u32 {
        self.nodes.iter().position(|candidate| candidate.node == node).map_or(0, |index| {
            self.tokens.iter().filter(|token| usize::from(**token) == index).count() as u32
        })
    }

    /// Every node once, in the order in which it is asked to hold the partition: the first N are
    /// its primaries, the rest its fallbacks. [`Preferences`] gives the lists of all partitions.
    ///
    /// # Panics
    /// The partition is not one of this ring's.
    #[must_use]
    pub fn preference_list(&self, partition: Partition) -> Vec<NodeId> {
        Preferences::walk(self, self.nodes.len()).list(partition)
    }

    /// Whether the ring is one: to be asked of every ring that was not planned here.
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
