//! Whose a data directory is, and the settings that are fixed when it is made.

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::ClusterId;

/// What a node expects of its data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// From the node's certificate.
    pub cluster: ClusterId,
    /// From the node's certificate.
    pub node: NodeId,
    /// How many shards it is cut into.
    pub shards: u16,
    /// The engine's name in the configuration: `redb` or `memory`.
    pub engine: String,
    /// Q: how many partitions the cluster has.
    pub partitions: PartitionCount,
}
