//! What the admin tool asks of a node, and the answers.

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition, Position};
use rkyv::{Archive, Deserialize, Serialize};

use crate::bucket::BucketEntry;
use crate::gossip::MemberRecord;
use crate::peer::{Inspection, RecordSummary};
use crate::{Blob, ClusterId, Digest, Key, LayoutVersion};

/// An admin's request to one node.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum AdminRequest {
    /// Who is in the cluster, as this node sees it.
    Status,
    /// What a commit would do now.
    Plan,
    /// Make the plan with this digest the next layout.
    Commit {
        /// As the plan said.
        plan: Digest,
    },
    /// The buckets whose properties were set.
    BucketList,
    /// One bucket's properties, set or default.
    BucketShow {
        /// Which.
        name: Blob,
    },
    /// Change some of a bucket's properties.
    BucketSet {
        /// Which.
        name: Blob,
        /// Names and values as text.
        changes: Vec<(String, String)>,
    },
    /// The node's own counters.
    Stats,
    /// Where a key belongs and what each node holds of it.
    Explain {
        /// Which.
        key: Key,
    },
    /// The hints that the node holds for others.
    Hints,
    /// Compare with the other owners, now: one partition that the node owns, or all of them.
    Repair {
        /// Which; `None` for all.
        partition: Option<Partition>,
    },
    /// How far the node's repairs have come.
    RepairProgress,
    /// What the node does in the background, and how fast it may.
    Background,
    /// Hold background work up, let it go on, or set its bounds.
    SetBackground(BackgroundChange),
}

/// The answer to one admin request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum AdminResponse {
    /// To `Status`.
    Status(ClusterStatus),
    /// To `Plan`.
    Plan(PlanReport),
    /// To `Commit`: stored by the answering node and spreading.
    Committed {
        /// The new layout.
        layout: LayoutVersion,
    },
    /// To `BucketList`.
    Buckets(Vec<BucketEntry>),
    /// To `BucketShow` and `BucketSet`; version 0 for one that was never set.
    Bucket(BucketEntry),
    /// To `Stats`.
    Stats(NodeStats),
    /// To `Explain`.
    Explained(Box<Explanation>),
    /// To `Hints`: one for each node that the answering one holds hints for, or has delivered some to
    /// since it started.
    Hints(Vec<HintReport>),
    /// To `Repair` and `RepairProgress`.
    Repair(Box<RepairReport>),
    /// To `Background` and `SetBackground`.
    Background(Box<BackgroundReport>),
}

/// Where a key belongs and what each node holds of it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Explanation {
    /// The key's hash.
    pub position: Position,
    /// The range that holds it.
    pub partition: Partition,
    /// How many of the preference list are primaries.
    pub n: u8,
    /// The merge of all that was found; `None` if nothing was. Whose digest differs is behind.
    pub merged: Option<RecordSummary>,
    /// The preference list, and whoever else was found to hold something.
    pub holders: Vec<Holder>,
}

/// One node's part in an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    pub node: NodeId,
    /// Its place in the preference list, from 0: below n a primary, else a fallback.
    pub rank: u16,
    /// Whether the answering node takes it to be up.
    pub alive: bool,
    /// What it holds; `None` if it did not answer.
    pub holds: Option<Inspection>,
}

/// The hints that one node holds for another.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct HintReport {
    /// For whom.
    pub target: NodeId,
    /// Keys.
    pub count: u64,
    /// Their records' size.
    pub bytes: u64,
    /// Since when the oldest waits, in milliseconds since the Unix epoch, by the holder's clock.
    pub oldest_ms: Option<u64>,
    /// Whether they are being delivered now.
    pub delivering: bool,
    /// Delivered since the node started.
    pub delivered: u64,
    /// About how long the rest will take at the present pace.
    pub left_s: Option<u64>,
    /// What kept the last delivery from succeeding, if it failed.
    pub failure: Option<String>,
}

/// How far a node's repairs have come. Counts are since the node started; a node's shards are summed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RepairReport {
    /// Partitions of the repair that was asked for, or of the node's own round.
    pub partitions: u32,
    /// Of these, how many are done.
    pub done: u32,
    /// Partitions whose tree is being built from their records.
    pub building: u32,
    /// Comparisons with one owner of one partition, finished.
    pub exchanges: u64,
    /// Of these, how many found no difference at the root.
    pub agreed: u64,
    /// Comparisons that could not be finished; they are tried again.
    pub failed: u64,
    /// Requests sent for hashes.
    pub hash_requests: u64,
    /// Requests sent for digests.
    pub digest_requests: u64,
    /// Keys whose digests were compared.
    pub keys_compared: u64,
    /// Records fetched from other owners.
    pub pulled: u64,
    /// Records sent to other owners.
    pub pushed: u64,
    /// Bytes of hashes, digests and records, both ways.
    pub bytes: u64,
    /// Records found that fail their checksum.
    pub damaged: u64,
    /// Trees that did not say what the records did.
    pub trees_corrected: u64,
}

/// What a node does in the background.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BackgroundReport {
    /// Held up by an admin.
    pub paused: bool,
    /// The bound that an admin set, in steps a second; a step is a message or a page of records.
    pub limit_per_s: u32,
    /// How slow the foreground may become, in hundredths of its quiet 99th percentile.
    pub slowdown_percent: u32,
    /// The pace now, in steps a second.
    pub pace_per_s: u32,
    /// The foreground's 99th percentile lately, in microseconds.
    pub foreground_p99_us: u64,
    /// The same while nothing runs in the background.
    pub quiet_p99_us: u64,
    /// Steps taken since the node started, by what they were for.
    pub steps: Vec<(String, u64)>,
}

/// A change to background work; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BackgroundChange {
    /// Hold it up, or let it go on.
    pub paused: Option<bool>,
    /// See [`BackgroundReport::limit_per_s`]; at least 1.
    pub limit_per_s: Option<u32>,
    /// See [`BackgroundReport::slowdown_percent`]; at least 101.
    pub slowdown_percent: Option<u32>,
}

/// The cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Who answers.
    pub node: NodeId,
    /// Its layout; 0 before the first commit.
    pub layout: LayoutVersion,
    /// How many partitions the layout has; 0 before the first commit.
    pub partitions: u32,
    /// Every member.
    pub members: Vec<MemberStatus>,
}

/// One member as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MemberStatus {
    /// As it describes itself.
    pub record: MemberRecord,
    /// Whether the answering node takes it to be up.
    pub alive: bool,
    /// How many partitions' tokens it holds.
    pub tokens: u32,
}

/// What a commit would do.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct PlanReport {
    /// Names the plan in `Commit`.
    pub plan: Digest,
    /// The layout that it would make.
    pub layout: LayoutVersion,
    /// How many partitions.
    pub partitions: u32,
    /// Each node's part.
    pub nodes: Vec<PlannedNode>,
    /// What an admin should know before committing, a sentence each.
    pub warnings: Vec<String>,
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
    /// The tokens it would hold.
    pub tokens: u32,
    /// The tokens that its weight would give it, in thousandths.
    pub fair_share_milli: u64,
}

/// One node's counters, by name, in a fixed order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NodeStats {
    /// Names carry their units.
    pub counters: Vec<(String, u64)>,
}
