//! Requests of the admin tool to a node, and the answers.

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

mod background;
mod transfers;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use core::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, Position};
use rkyv::{Archive, Deserialize, Serialize};

pub use self::background::{BackgroundChange, BackgroundReport, MergeReport, WorkKind};
pub use self::transfers::{
    CopiesAtRisk, DrainReport, PlanReport, PlannedNode, Transfer, TransferReport,
};
use crate::access::{AccessEntry, Subject};
use crate::bucket::BucketEntry;
use crate::gossip::{MemberRecord, Rival, StagedChange, Staging};
use crate::inspection::{Inspection, RecordSummary};
use crate::{Blob, ClusterId, Digest, Key, LayoutId, WireLayout};

/// A request of an admin to one node.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum AdminRequest {
    /// Asks for the members of the cluster and their states, as the node sees them.
    Status,
    /// Asks for the active layouts with the partitions that have flipped under each.
    Layouts,
    /// Adds changes to those that the next plan is made of. A change replaces one that was staged for the same node.
    Stage {
        /// Staged changes with the node that each is for.
        changes: Vec<(NodeId, StagedChange)>,
        /// Whether to say only what would be staged.
        dry_run: bool,
    },
    /// Drops staged changes: those of some nodes, or all.
    Unstage {
        /// Nodes whose changes are dropped; empty for all.
        nodes: Vec<NodeId>,
    },
    /// Asks for the plan that a commit would carry out now.
    Plan,
    /// Makes the plan with this digest the next layout.
    Commit {
        /// Digest of the plan, from [`PlanReport::plan`]; another plan is refused.
        plan: Digest,
        /// Number of partitions that the admin expects to lose, from [`PlanReport::lost`]; another number is refused.
        lost: u32,
        /// Whether to say only if the commit would succeed.
        dry_run: bool,
    },
    /// Asks how far the node has come with the partitions that move to it and from it.
    Transfers,
    /// Makes the node ready to be stopped, or takes it back into service. A drained node tells the others that it is
    /// away, and delivers its hints.
    Drain {
        /// Whether to drain the node; `false` takes it back.
        drained: bool,
    },
    /// Asks for all buckets whose properties were set.
    BucketList,
    /// Asks for the properties of one bucket, set or default.
    BucketShow {
        /// Name of the bucket.
        name: Blob,
    },
    /// Changes some properties of a bucket.
    BucketSet {
        /// Name of the bucket.
        name: Blob,
        /// Names and values of properties, as text.
        changes: Vec<(String, String)>,
    },
    /// Asks for the rights of all tokens and certificates that were set.
    AccessList,
    /// Gives a token or a certificate these rights, in place of those that it has. The version is the node's to count.
    AccessSet(AccessEntry),
    /// Takes the rights of a token or a certificate back.
    AccessRevoke(Subject),
    /// Asks for the node's counters.
    Stats,
    /// Asks where a key belongs and what each node holds of it.
    Explain {
        /// Key that is to be explained.
        key: Key,
    },
    /// Asks for the hints that the node holds for others.
    Hints,
    /// Starts a repair now: the node compares one partition that it owns, or all of them, with the other owners.
    Repair {
        /// Partition to compare; `None` for all.
        partition: Option<Partition>,
    },
    /// Asks how far the node's repairs have come.
    RepairProgress,
    /// Asks for the state and the bounds of the node's background work.
    Background,
    /// Pauses background work, resumes it, or sets its bounds.
    SetBackground(BackgroundChange),
    /// Declares the node's data complete: from now on it may say what is absent although it was not compared with
    /// enough owners that vote. Data that it lacks is lost.
    Believe {
        /// Number of partitions that the node is refilling now, so that nobody declares more than they have seen.
        partitions: u32,
    },
    /// Decides between two processes that run or have run under the answering node's identity: the answering one
    /// stays, and the other ends.
    Keep {
        /// Address of the process that stays, so that nobody decides for the wrong one.
        address: SocketAddr,
    },
}

/// The answer to one admin request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum AdminResponse {
    /// Answers [`AdminRequest::Status`] with the cluster as the node sees it.
    ///
    /// Boxed on the wire, since every frame takes the room of the largest kind.
    Status(#[rkyv(with = rkyv::with::AsBox)] ClusterStatus),
    /// Answers [`AdminRequest::Layouts`] with the active layouts, the newest first.
    Layouts(Vec<WireLayout>),
    /// Answers `Stage` and `Unstage` with all that is staged now, or would be.
    Staged(Staging),
    /// Answers [`AdminRequest::Plan`] with what a commit would do.
    Plan(Box<PlanReport>),
    /// Answers [`AdminRequest::Commit`]: the answering node has stored the layout, and it spreads.
    Committed {
        /// Identity of the new layout.
        layout: LayoutId,
    },
    /// Answers [`AdminRequest::Transfers`] with the node's progress.
    Transfers(Box<TransferReport>),
    /// Answers [`AdminRequest::Drain`] with whether the node can be stopped, and what it still has to do.
    Drained(DrainReport),
    /// Answers [`AdminRequest::BucketList`] with all buckets whose properties were set.
    Buckets(Vec<BucketEntry>),
    /// Answers `BucketShow` and `BucketSet`; the version is 0 for a bucket that was never set.
    Bucket(BucketEntry),
    /// Answers [`AdminRequest::AccessList`] with all entries, without the hashes of secrets.
    Access(Vec<AccessEntry>),
    /// Answers `AccessSet` and `AccessRevoke` with the entry as it is now, without the hash of its secret.
    AccessEntry(AccessEntry),
    /// Answers [`AdminRequest::Stats`] with the node's counters.
    Stats(NodeStats),
    /// Answers [`AdminRequest::Explain`] with what was found of the key.
    Explained(Box<Explanation>),
    /// Answers [`AdminRequest::Hints`] with a report for each node that the answering one holds hints for, or has
    /// delivered some to since it started.
    Hints(Vec<HintReport>),
    /// Answers `Repair` and `RepairProgress` with the progress.
    Repair(Box<RepairReport>),
    /// Answers `Background` and `SetBackground` with state and bounds.
    Background(Box<BackgroundReport>),
    /// Answers [`AdminRequest::Believe`] with the number of partitions that the node was refilling.
    Believed(u32),
    /// Answers [`AdminRequest::Keep`] with the process that ends.
    Kept(Rival),
}

/// A key's place in the cluster and what each node holds of it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Explanation {
    /// Position of the key on the ring.
    pub position: Position,
    /// Partition that contains the position.
    pub partition: Partition,
    /// Number of primaries, which are the first of the preference list.
    pub n: u8,
    /// Merge of all records and hints that were found; `None` if there were none. A holder with another digest is
    /// behind.
    pub merged: Option<RecordSummary>,
    /// Nodes of the preference list, and any other node that holds something of the key.
    pub holders: Vec<Holder>,
}

/// A node's place in an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Holder {
    /// Node that was asked for what it holds.
    pub node: NodeId,
    /// Place in the preference list, from 0: a primary below N, otherwise a fallback.
    pub rank: u16,
    /// Whether the answering node takes the holder to be up.
    pub alive: bool,
    /// Records and hints that the node holds; `None` if it did not answer.
    pub holds: Option<Inspection>,
}

/// Hints that one node holds for another.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct HintReport {
    /// Node that the hints are for.
    pub target: NodeId,
    /// Number of keys with a hint for the target.
    pub count: u64,
    /// Encoded size of the records in the hints, in bytes.
    pub bytes: u64,
    /// When the oldest hint was made, in milliseconds since the Unix epoch, by the holder's clock; `None` if there is
    /// none.
    pub oldest_ms: Option<u64>,
    /// Whether hints are being delivered to the target now.
    pub delivering: bool,
    /// Number of hints delivered since the node started.
    pub delivered: u64,
    /// Estimate of the seconds that the remaining hints take at the present pace; `None` while none is being
    /// delivered.
    pub left_s: Option<u64>,
    /// Cause of the last delivery's failure; `None` if it succeeded.
    pub failure: Option<String>,
}

/// Progress of a node's repairs. Counts are since the node started; its shards are summed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RepairReport {
    /// Number of partitions in the repair that was asked for, or in the node's own round.
    pub partitions: u32,
    /// Number of the repair's partitions that are done.
    pub done: u32,
    /// Number of partitions whose hash tree is being built from their records.
    pub building: u32,
    /// Number of finished comparisons, each of one partition with one owner.
    pub exchanges: u64,
    /// Number of finished comparisons that found no difference at the root.
    pub agreed: u64,
    /// Number of comparisons that could not be finished; they are tried again.
    pub failed: u64,
    /// Number of comparisons that wait for another attempt now.
    pub to_retry: u32,
    /// Number of requests sent for hashes.
    pub hash_requests: u64,
    /// Number of requests sent for digests.
    pub digest_requests: u64,
    /// Number of keys whose digests were compared.
    pub keys_compared: u64,
    /// Number of records fetched from other owners.
    pub pulled: u64,
    /// Number of records sent to other owners.
    pub pushed: u64,
    /// Bytes of hashes, digests and records, both ways.
    pub bytes: u64,
    /// Number of records found that fail their checksum.
    pub damaged: u64,
    /// Number of hash trees that did not agree with their records.
    pub trees_corrected: u64,
}

/// The cluster as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Identity of the cluster.
    pub cluster: ClusterId,
    /// Node whose view this is.
    pub node: NodeId,
    /// Layout in force; the default before the first commit.
    pub layout: LayoutId,
    /// Number of partitions of the layout; 0 before the first commit.
    pub partitions: u32,
    /// Number of partitions that have flipped under the layout.
    pub flipped: u32,
    /// Changes that are staged for the next plan.
    pub staging: Staging,
    /// Calendar clock of the answering node, in milliseconds since the Unix epoch.
    pub clock_ms: u64,
    /// Time that the members' clocks agree on, as far as the answering node knows, in milliseconds since the Unix
    /// epoch.
    pub agreed_ms: u64,
    /// All members that the answering node knows.
    pub members: Vec<MemberStatus>,
}

/// One member as the answering node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Record in which the member describes itself.
    pub record: MemberRecord,
    /// Whether the answering node takes the member to be up.
    pub alive: bool,
    /// Phase of the member's membership.
    pub state: MemberState,
    /// Number of tokens that the layout gives the member.
    pub tokens: u32,
    /// Number of partitions that the member owns for the default N.
    pub owned: u32,
    /// Number of owned partitions that the member is ready for or that have flipped.
    pub ready: u32,
    /// Zone and weight in the layout, which may differ from those that the member was started with; `None` if it is
    /// not in the layout.
    pub placed: Option<(String, u32)>,
}

/// Phase of a member's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum MemberState {
    /// The member has started and is not in the layout yet.
    Joining,
    /// The member is in the layout.
    Up,
    /// The member is in the layout and was stopped or drained by its admin.
    Away,
    /// The member is out of the layout and hands on its data.
    Leaving,
    /// The member has handed on all of its data and stopped for good.
    Left,
    /// The member was removed by force.
    Removed,
}

/// Counters of one node, and the troubles of its storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct NodeStats {
    /// Names and values in a fixed order; a name ends with its unit.
    pub counters: Vec<(String, u64)>,
    /// Troubles of the storage of the node's shards, in no order.
    pub troubles: Vec<ShardTrouble>,
}

/// A trouble of one shard's storage, present or not yet acknowledged by an admin.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ShardTrouble {
    /// Index of the shard in its node.
    pub shard: u16,
    /// Kind of the trouble.
    pub kind: TroubleKind,
    /// When the trouble began, in milliseconds since the Unix epoch, by the node's clock.
    pub since_ms: u64,
    /// Description for people: the error, or the path of what was set aside.
    pub what: String,
}

/// Kind of trouble with a shard's storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum TroubleKind {
    /// The shard's storage is being opened again and takes no request meanwhile.
    Reopening,
    /// The shard's damaged files were set aside and still exist.
    SetAside,
    /// The shard's disk does not finish what it is asked for.
    Stalled,
    /// The shard's disk has no room left.
    Full,
    /// The shard's disk is read-only.
    ReadOnly,
    /// The shard's files were an earlier copy; they were set aside and still exist.
    EarlierCopy,
    /// A file of the shard was removed or replaced while it was open.
    FilesGone,
}
