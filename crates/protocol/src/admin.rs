//! What the admin tool asks of a node, and the answers.

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

mod transfers;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use core::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, Position};
use rkyv::{Archive, Deserialize, Serialize};

pub use self::transfers::{
    CopiesAtRisk, DrainReport, PlanReport, PlannedNode, Transfer, TransferReport,
};
use crate::bucket::BucketEntry;
use crate::gossip::{MemberRecord, Rival, StagedChange, Staging};
use crate::peer::{Inspection, RecordSummary};
use crate::{Blob, ClusterId, Digest, Key, LayoutId, WireLayout};

/// An admin's request to one node.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum AdminRequest {
    /// Who is in the cluster, as this node sees it.
    Status,
    /// The active layouts, and what has flipped under each.
    Layouts,
    /// Add changes to those that the next plan is made of; one for a node takes the place of the one
    /// before.
    Stage {
        /// By node.
        changes: Vec<(NodeId, StagedChange)>,
        /// Only say what would be staged.
        dry_run: bool,
    },
    /// Forget staged changes: of these nodes, or all.
    Unstage {
        /// Whose; none for all.
        nodes: Vec<NodeId>,
    },
    /// What a commit would do now.
    Plan,
    /// Make the plan with this digest the next layout.
    Commit {
        /// As the plan said.
        plan: Digest,
        /// How many partitions the admin knows to be lost by it: as many as the plan says.
        lost: u32,
        /// Only say whether it would be done.
        dry_run: bool,
    },
    /// How far the node has come with what moves to it and from it.
    Transfers,
    /// Have the node make itself ready to be stopped, or take it back: it tells the others that it is
    /// away and delivers its hints.
    Drain {
        /// Or take it back.
        drained: bool,
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
    /// Take what the node holds for all there is: from now on it may say what is absent, though it was not compared
    /// with enough of those who know. What it lacks is lost.
    Believe {
        /// The partitions that it is refilling now, so that nobody says it of more than they have seen.
        partitions: u32,
    },
    /// Two processes run or have run under the answering node's identity: the answering one stays, and the
    /// other one ends.
    Keep {
        /// Where the one listens that stays, so that nobody decides for the wrong one.
        address: SocketAddr,
    },
}

/// The answer to one admin request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum AdminResponse {
    /// To `Status`.
    ///
    /// Boxed on the wire, since every frame takes the room of the largest kind.
    Status(#[rkyv(with = rkyv::with::AsBox)] ClusterStatus),
    /// To `Layouts`, the newest first.
    Layouts(Vec<WireLayout>),
    /// To `Stage` and `Unstage`: all that is staged now, or would be.
    Staged(Staging),
    /// To `Plan`.
    Plan(Box<PlanReport>),
    /// To `Commit`: stored by the answering node and spreading.
    Committed {
        /// The new layout.
        layout: LayoutId,
    },
    /// To `Transfers`.
    Transfers(Box<TransferReport>),
    /// To `Drain`.
    Drained(DrainReport),
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
    /// To `Believe`: the partitions that it was refilling.
    Believed(u32),
    /// To `Keep`: the process that ends.
    Kept(Rival),
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
    /// Comparisons that wait for another attempt now.
    pub to_retry: u32,
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
    /// All of it is held up by an admin.
    pub paused: bool,
    /// Kinds of work that are held up by an admin.
    pub paused_kinds: Vec<WorkKind>,
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

/// A kind of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum WorkKind {
    /// Delivering hints.
    Handoff,
    /// Comparing replicas.
    Repair,
    /// Forgetting tombstones.
    Collection,
    /// Moving partitions.
    Transfer,
}

/// A change to background work; what is `None` stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BackgroundChange {
    /// Which `paused` is about; `None` for all.
    pub work: Option<WorkKind>,
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
    /// The layout in force; the default before the first commit.
    pub layout: LayoutId,
    /// How many partitions the layout has; 0 before the first commit.
    pub partitions: u32,
    /// Of these, those that have flipped: nothing moves any more.
    pub flipped: u32,
    /// Changes that are staged.
    pub staging: Staging,
    /// What the answering node's calendar clock shows, in milliseconds since the Unix epoch.
    pub clock_ms: u64,
    /// What the members' clocks agree on, as the answering node has heard: in the same unit.
    pub agreed_ms: u64,
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
    /// Where it stands in its life.
    pub state: MemberState,
    /// How many partitions' tokens it holds.
    pub tokens: u32,
    /// The partitions that it owns for the default N.
    pub owned: u32,
    /// Of these, those for which it is ready or that have flipped.
    pub ready: u32,
    /// Its share as the layout has it: weight and zone may differ from those it was started with.
    pub placed: Option<(String, u32)>,
}

/// Where a member stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum MemberState {
    /// Started, and not in the layout yet.
    Joining,
    /// In the layout.
    Up,
    /// In the layout, and stopped or drained by its admin.
    Away,
    /// Out of the layout; hands on what it holds.
    Leaving,
    /// It has handed on all and stopped for good.
    Left,
    /// Taken out by force.
    Removed,
}

/// One node's counters, by name, in a fixed order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NodeStats {
    /// Names carry their units.
    pub counters: Vec<(String, u64)>,
    /// What is wrong with its shards' storage, in no order.
    pub troubles: Vec<ShardTrouble>,
}

/// Something that is wrong with the storage of one shard, or was until an admin has looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ShardTrouble {
    /// The shard's index in its node.
    pub shard: u16,
    /// What.
    pub kind: TroubleKind,
    /// Since when, in milliseconds since the Unix epoch, by the node's clock.
    pub since_ms: u64,
    /// For people: the error, or where something lies.
    pub what: String,
}

/// What can be wrong with the storage of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum TroubleKind {
    /// It is being opened anew, and takes no request meanwhile.
    Reopening,
    /// Its damaged files were set aside, and lie there.
    SetAside,
    /// Its disk does not finish what it is asked for.
    Stalled,
    /// Its disk has no room left.
    Full,
    /// Its disk is read-only.
    ReadOnly,
    /// Its files were an earlier copy, were set aside, and lie there.
    EarlierCopy,
    /// A file of it was removed, or replaced, while it is open.
    FilesGone,
}
