//! What admins are told of changes to the layout, and of partitions on their way.

use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use rkyv::{Archive, Deserialize, Serialize};

use crate::gossip::Load;
use crate::{Digest, LayoutId, LayoutVersion};

/// What a commit would do.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PlanReport {
    /// Names the plan in `Commit`.
    pub plan: Digest,
    /// The layout that it would change.
    pub base: LayoutId,
    /// The version that it would make.
    pub version: LayoutVersion,
    /// How many partitions.
    pub partitions: u32,
    /// For buckets with so many replicas, the default.
    pub n: u8,
    /// Each node's part, those that go included.
    pub nodes: Vec<PlannedNode>,
    /// Copies of partitions that get a new owner.
    pub moves: u32,
    /// The least that any plan for these nodes could move.
    pub least_moves: u32,
    /// About what will travel.
    pub bytes: u64,
    /// About how long it will take.
    pub estimate_s: u64,
    /// Partitions with two of their replicas in one zone: now, and then.
    pub zone_faults: (u32, u32),
    /// Partitions with fewer than N owners: now, and then.
    pub node_faults: (u32, u32),
    /// What could be lost, before the commit, while data moves, and after.
    pub risk: [CopiesAtRisk; 3],
    /// Partitions whose only copies would be given up: a commit has to name this number.
    pub lost: u32,
    /// What an admin should know before committing, a sentence each.
    pub warnings: Vec<String>,
}

/// How many partitions have how few copies on nodes that are up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct CopiesAtRisk {
    /// Partitions without any.
    pub none: u32,
    /// Partitions with one.
    pub one: u32,
    /// Partitions with more than one and fewer than N.
    pub few: u32,
}

/// One node's part in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PlannedNode {
    /// Who.
    pub node: NodeId,
    /// Its name for people.
    pub name: String,
    /// Its failure domain.
    pub zone: String,
    /// Its weight.
    pub weight: u32,
    /// The tokens it holds now.
    pub tokens_before: u32,
    /// The tokens it would hold.
    pub tokens: u32,
    /// The partitions that it owns now.
    pub owned_before: u32,
    /// The partitions that it would own.
    pub owned: u32,
    /// Copies that move to it.
    pub gains: u32,
    /// Copies that it gives up.
    pub loses: u32,
    /// About what it will receive.
    pub gains_bytes: u64,
    /// The tokens that its weight would give it, in thousandths.
    pub fair_share_milli: u64,
}

/// How far a node has come with what moves. A node's shards are summed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct TransferReport {
    /// The newest layout that it knows.
    pub layout: LayoutId,
    /// Held up by an admin.
    pub paused: bool,
    /// Partitions that it owns under that layout.
    pub owned: u32,
    /// Of these, those for which it holds all that older owners do.
    pub ready: u32,
    /// Of these, those that have flipped: older owners are not asked any more.
    pub flipped: u32,
    /// Partitions that it owns under an older active layout, and not under the newest.
    pub leaving: u32,
    /// Partitions of which it holds records and that it owns no more: they are handed on, then dropped.
    pub unowned: u32,
    /// Partitions dropped since it started.
    pub dropped: u32,
    /// Records received for partitions that move to it, since it started.
    pub received_records: u64,
    /// Their encoded size.
    pub received_bytes: u64,
    /// Records sent to new owners, since it started.
    pub sent_records: u64,
    /// Their encoded size.
    pub sent_bytes: u64,
    /// What it holds.
    pub load: Load,
    /// Hints that it holds for others.
    pub hints: u64,
    /// What is under way now.
    pub current: Vec<Transfer>,
    /// Why something does not go on, if anything does not: a sentence each.
    pub blockers: Vec<String>,
}

/// One partition on its way.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Transfer {
    /// Which.
    pub partition: Partition,
    /// The other side.
    pub peer: NodeId,
    /// Whether this node hands the partition on; otherwise it takes it over.
    pub outgoing: bool,
    /// Records so far.
    pub records: u64,
    /// Their encoded size.
    pub bytes: u64,
}

/// Whether a node can be stopped without anybody missing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DrainReport {
    /// It takes no requests of clients any more.
    pub drained: bool,
    /// Requests still under way.
    pub requests: u64,
    /// Hints that it still holds for members that are up.
    pub hints: u64,
}
