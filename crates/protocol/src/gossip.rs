//! What nodes tell one another about the cluster (paper 4.8).

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::bucket::BucketEntry;
use crate::codec;
use crate::{Blob, Digest, Incarnation, LayoutId, PartitionSet, WireLayout};

/// Where a member stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Status {
    /// In the cluster; owns what the layout gives it.
    Up,
    /// Stopped cleanly, or drained; comes back.
    Away,
    /// Handed on all that it held and stopped for good.
    Left,
}

/// How much a member holds, hints not included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Load {
    /// Records, tombstones included.
    pub records: u64,
    /// Their encoded size.
    pub bytes: u64,
    /// Partitions of which it can't say what is absent: it is refilled with them.
    pub refilling: u32,
    /// Shards whose former files lie aside, a bit for each; the last bit stands for the 64th and all later ones.
    pub set_aside: u64,
}

/// What a member's build speaks and writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Speaks {
    /// The oldest version of the wire protocol.
    pub protocol_min: u16,
    /// The newest.
    pub protocol_max: u16,
    /// The format of the records' files.
    pub storage: u16,
}

/// Of the partitions that a member owns under a layout, those for which it holds all that older owners do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Ready {
    /// Which layout; what is said of another counts for nothing.
    pub layout: LayoutId,
    /// Only grows under one layout.
    pub partitions: PartitionSet,
}

/// A change that an admin has asked for and not yet committed.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum StagedChange {
    /// Give it partitions.
    Join {
        /// The failure domain it stands in.
        zone: String,
        /// Its share relative to others.
        weight: u32,
    },
    /// Take its partitions away; it stops once others hold all that it does.
    Leave,
    /// Do without it at once: it is dead, and what it holds is given up.
    Remove,
    /// Give all that it has to another node, which has none.
    Replace {
        /// Whom.
        by: NodeId,
        /// Where the other stands.
        zone: String,
        /// The node that goes is dead: do without it at once.
        forced: bool,
    },
    /// Change its share or its place; what is `None` stays.
    Set {
        /// The failure domain it stands in.
        zone: Option<String>,
        /// Its share relative to others.
        weight: Option<u32>,
    },
}

/// The changes that the next plan is made of. Of two the newer (`base`, `revision`, then digest) wins;
/// with a base that is not in force it is void.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Staging {
    /// The layout that is to be changed.
    pub base: LayoutId,
    /// Counts the changes to the staging itself.
    pub revision: u64,
    /// At most one for each node, in the order of their identities.
    pub changes: Vec<(NodeId, StagedChange)>,
}

impl Staging {
    /// Of all of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(xxh3_64(&codec::encode_staging(self)))
    }

    /// The rule by which every node chooses between two.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |staging: &Self| (staging.base, staging.revision, staging.digest());
        rank(self) > rank(other)
    }
}

/// Another life of the same node that runs at the same time, or that the node can't account for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Rival {
    /// Which life.
    pub incarnation: Incarnation,
    /// Where it says that it listens.
    pub address: SocketAddr,
}

/// Which life of a node a member is in, and what it knows of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Life {
    /// Drawn at random at the start of the process.
    pub incarnation: Incarnation,
    /// While there is one the member coordinates nothing: an admin has to say which of the two stays.
    pub rival: Option<Rival>,
    /// The life that has to end, since an admin has decided for this one.
    pub ousts: Option<Incarnation>,
    /// How far it has come: what it had stored by this tick is on its disk, with the tick. A directory that says less of
    /// this life is an earlier copy.
    pub tick: u32,
}

impl Life {
    /// A life without a rival, at its begin.
    #[must_use]
    pub const fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, rival: None, ousts: None, tick: 0 }
    }
}

/// One member, as it describes itself. Only that member writes it; the higher
/// (`generation`, `version`, incarnation) wins.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Who.
    pub node: NodeId,
    /// Its name for people, from its certificate.
    pub name: String,
    /// Where peers and clients reach it.
    pub address: SocketAddr,
    /// The failure domain it stands in.
    pub zone: String,
    /// Its share relative to others.
    pub weight: u32,
    /// Which life of the node this is.
    pub life: Life,
    /// Counts starts of the node, so that a later life's record wins over an earlier one's.
    pub generation: u64,
    /// Counts the changes within a generation.
    pub version: u64,
    /// Its own word on itself.
    pub status: Status,
    /// The newest layout it has stored.
    pub layout: LayoutId,
    /// What it is ready to own.
    pub ready: Ready,
    /// How much it holds, as of some seconds ago.
    pub load: Load,
    /// What its build speaks.
    pub speaks: Speaks,
    /// How old a message may be there that changes something, in milliseconds. It has to be the same everywhere:
    /// while members differ nothing is collected, since a message that one still takes may be older than what
    /// another has forgotten.
    pub message_life_ms: u32,
}

/// How new a member's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MemberDigest {
    /// Whose.
    pub node: NodeId,
    /// See [`MemberRecord::generation`].
    pub generation: u64,
    /// See [`MemberRecord::version`].
    pub version: u64,
    /// See [`Life::incarnation`]: two lives may have counted alike.
    pub incarnation: Incarnation,
}

/// What a node knows, in short.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Summary {
    /// How new its member records are.
    pub members: Vec<MemberDigest>,
    /// The buckets it knows, with versions and a digest of their properties.
    pub buckets: Vec<(Blob, u64, Digest)>,
    /// The active layouts, with a digest of the partitions known to have flipped.
    pub layouts: Vec<(LayoutId, Digest)>,
    /// The staged changes.
    pub staging: Option<(LayoutId, u64, Digest)>,
}

/// What the other side lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Delta {
    /// Newer member records.
    pub members: Vec<MemberRecord>,
    /// Newer bucket properties.
    pub buckets: Vec<BucketEntry>,
    /// Layouts, with what flipped.
    pub layouts: Vec<WireLayout>,
    /// What flipped under layouts that the other side has.
    pub flips: Vec<(LayoutId, PartitionSet)>,
    /// Newer staged changes.
    pub staging: Option<Staging>,
}

/// One message of the gossip or of the failure detector.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Gossip {
    /// Opens an exchange: this is who I am, so that you can answer, the digest of what I know, so that
    /// little is said while nothing changes, and what my calendar clock shows, in milliseconds since the
    /// Unix epoch.
    ///
    /// Boxed, since every frame takes the room of the largest kind.
    Offer(Box<MemberRecord>, Digest, u64),
    /// Ends an exchange: I know the same.
    Same,
    /// I know something else; this is it, in short.
    Differ(Summary),
    /// Here is what you lack, and what I know in short, so that you can tell me what I lack.
    ///
    /// Boxed on the wire, for the same reason.
    Exchange(#[rkyv(with = rkyv::with::AsBox)] Delta, #[rkyv(with = rkyv::with::AsBox)] Summary),
    /// Ends an exchange: here is what you lack.
    Close(Delta),
    /// Are you there?
    Probe {
        /// To match the answer.
        nonce: u64,
    },
    /// I am.
    Alive {
        /// From the probe.
        nonce: u64,
        /// What my calendar clock shows, in milliseconds since the Unix epoch.
        wall_ms: u64,
    },
    /// Is `target` there? Ask it for me.
    ProbeFor {
        /// Whom.
        target: NodeId,
        /// To match the answer.
        nonce: u64,
    },
    /// You have no place here any more, as this layout says: you left, or were removed. The receiver
    /// merges the layout as any other and judges by what is in force then.
    ///
    /// Of a node that has left besides the newest record that the sender has of it, on its disk: a later life that
    /// does not know that it has left says so in a newer one.
    ///
    /// Boxed, since every frame takes the room of the largest kind.
    Fenced(Box<WireLayout>, Option<Box<MemberRecord>>),
    /// The sender has just started and asks what the receiver remembers of its earlier lives, before it tells
    /// anybody that it is there.
    Recall(Box<MemberRecord>),
    /// Answers [`Gossip::Recall`].
    Recalled {
        /// The life that asked.
        asked: Incarnation,
        /// The newest record of the asking node that the sender of this knows; its own, if it is another
        /// process of the same node.
        record: Option<Box<MemberRecord>>,
        /// The newest layout that the sender knows.
        layout: LayoutId,
        /// What the sender's calendar clock shows.
        wall_ms: u64,
        /// For how long the sender has known of another life in place of the one that asks; `None` if it has not, or
        /// may have before its own start.
        superseded_ms: Option<u64>,
    },
}
