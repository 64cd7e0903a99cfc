//! Reports to admins about plans of layouts and about partitions that move.

use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use rkyv::{Archive, Deserialize, Serialize};

use crate::gossip::Load;
use crate::{Digest, LayoutId, LayoutVersion};

/// A plan: what a commit would change, and what it would cost and risk.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PlanReport {
    /// Digest that names the plan in a commit.
    pub plan: Digest,
    /// Layout that the plan would change.
    pub base: LayoutId,
    /// Version of the layout that the plan would make.
    pub version: LayoutVersion,
    /// Number of partitions of the planned layout.
    pub partitions: u32,
    /// Number of replicas that the report is for: the default N.
    pub n: u8,
    /// Parts of the nodes in the plan, those that leave included.
    pub nodes: Vec<PlannedNode>,
    /// Number of copies of partitions that get a new owner.
    pub moves: u32,
    /// Least number of copies that any plan for these nodes could move.
    pub least_moves: u32,
    /// Estimate of the bytes that move.
    pub bytes: u64,
    /// Estimate of the seconds that the moves take.
    pub estimate_s: u64,
    /// Number of partitions with two replicas in one zone, now and after the commit.
    pub zone_faults: (u32, u32),
    /// Number of partitions with fewer than N owners, now and after the commit.
    pub node_faults: (u32, u32),
    /// Copies at risk: before the commit, while data moves, and after.
    pub risk: [CopiesAtRisk; 3],
    /// Number of partitions whose only copies would be given up; a commit has to name it.
    pub lost: u32,
    /// Warnings that an admin should read before the commit, a sentence each.
    pub warnings: Vec<String>,
}

/// Numbers of partitions with few copies on nodes that are up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct CopiesAtRisk {
    /// Number of partitions without any copy.
    pub none: u32,
    /// Number of partitions with one copy.
    pub one: u32,
    /// Number of partitions with more than one copy and fewer than N.
    pub few: u32,
}

/// Part of a node in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Node that the part is for.
    pub node: NodeId,
    /// Name of the node for people.
    pub name: String,
    /// Failure domain of the node in the planned layout, or in the present one if it leaves.
    pub zone: String,
    /// Weight of the node in the planned layout, or in the present one if it leaves.
    pub weight: u32,
    /// Number of tokens that the node holds now.
    pub tokens_before: u32,
    /// Number of tokens that the node would hold.
    pub tokens: u32,
    /// Number of partitions that the node owns now.
    pub owned_before: u32,
    /// Number of partitions that the node would own.
    pub owned: u32,
    /// Number of copies that move to the node.
    pub gains: u32,
    /// Number of copies that the node gives up.
    pub loses: u32,
    /// Estimate of the bytes that the node will receive.
    pub gains_bytes: u64,
    /// Number of tokens that the node's weight would give it, in thousandths of a token.
    pub fair_share_milli: u64,
}

/// Progress of a node with the partitions that move. Its shards are summed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TransferReport {
    /// Newest layout that the node knows.
    pub layout: LayoutId,
    /// Whether an admin has paused the transfers.
    pub paused: bool,
    /// Number of partitions that the node owns under the newest layout that it knows.
    pub owned: u32,
    /// Number of owned partitions for which the node holds all that older owners do.
    pub ready: u32,
    /// Number of owned partitions that have flipped: older owners are not asked any more.
    pub flipped: u32,
    /// Number of partitions that the node owns under an older active layout, and not under the newest.
    pub leaving: u32,
    /// Number of partitions of which the node holds records and that it does not own: they are handed on, then
    /// dropped.
    pub unowned: u32,
    /// Number of partitions dropped since the node started.
    pub dropped: u32,
    /// Number of records received since the node started, for partitions that move to it.
    pub received_records: u64,
    /// Encoded size of the received records, in bytes.
    pub received_bytes: u64,
    /// Number of records sent to new owners since the node started.
    pub sent_records: u64,
    /// Encoded size of the sent records, in bytes.
    pub sent_bytes: u64,
    /// Amount of data that the node holds.
    pub load: Load,
    /// Number of hints that the node holds for others.
    pub hints: u64,
    /// Partitions that are being transferred now.
    pub current: Vec<Transfer>,
    /// Reasons for which transfers don't go on, a sentence each; empty if all do.
    pub blockers: Vec<String>,
}

/// A partition that is being transferred.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Transfer {
    /// Partition whose records move.
    pub partition: Partition,
    /// Node at the other end of the transfer.
    pub peer: NodeId,
    /// Whether this node hands the partition on; otherwise it takes it over.
    pub outgoing: bool,
    /// Number of records transferred so far.
    pub records: u64,
}

/// Readiness of a node to be stopped without anybody missing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DrainReport {
    /// Whether the node has stopped taking requests of clients.
    pub drained: bool,
    /// Number of requests that are still under way.
    pub requests: u64,
    /// Number of hints that the node still holds for members that are up.
    pub hints: u64,
}
