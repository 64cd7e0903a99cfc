//! What the admin tool asks of a node, and the answers.

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use rkyv::{Archive, Deserialize, Serialize};

use crate::bucket::BucketEntry;
use crate::gossip::MemberRecord;
use crate::{Blob, ClusterId, Digest, LayoutVersion};

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
