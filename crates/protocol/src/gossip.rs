//! Messages of gossip and of the failure detector, and the knowledge of the cluster that they spread (paper 4.8).

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::access::{AccessEntry, Subject};
use crate::bucket::BucketEntry;
use crate::{Blob, Digest, Incarnation, LayoutId, PartitionSet, WireLayout, archive};

/// Membership status that a member declares for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Status {
    /// The member is in the cluster and owns what the layout gives it.
    Up,
    /// The member has stopped cleanly or is drained, and will be back.
    Away,
    /// The member has handed on all of its data and stopped for good.
    Left,
}

/// Amount of data that a member holds, hints not included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Load {
    /// Number of records, tombstones included.
    pub records: u64,
    /// Encoded size of the records, in bytes.
    pub bytes: u64,
    /// Number of partitions that are being refilled: the member can't say what is absent in them.
    pub refilling: u32,
    /// Shards whose former files were set aside, a bit for each; the last bit stands for the 64th and all later ones.
    pub set_aside: u64,
}

/// Versions of protocol and storage that a member's build knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Speaks {
    /// The oldest version of the wire protocol that the build speaks.
    pub protocol_min: u16,
    /// The newest version of the wire protocol that the build speaks.
    pub protocol_max: u16,
    /// Format in which the build writes the files of records.
    pub storage: u16,
}

/// Partitions that a member owns under a layout and is ready for: it holds all that their older owners do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Ready {
    /// Layout under which the member is ready; it counts for no other.
    pub layout: LayoutId,
    /// Partitions that the member is ready for; the set only grows under one layout.
    pub partitions: PartitionSet,
}

/// A change to the layout that an admin has staged and not yet committed.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum StagedChange {
    /// Gives partitions to a node that has none.
    Join {
        /// Failure domain of the node; empty in a request to stage for the one that the node was started with.
        zone: String,
        /// Weight of the node, which sets its share of the partitions; 0 in a request to stage for its own.
        weight: u32,
    },
    /// Takes the node's partitions away; the node stops once others hold all of its data.
    Leave,
    /// Gives a dead node up at once, with the data that it holds.
    Remove,
    /// Gives all partitions of the node to another one, which has none.
    Replace {
        /// Node that takes the place.
        by: NodeId,
        /// Failure domain of the node that takes the place; empty in a request to stage for its own.
        zone: String,
        /// Whether the replaced node is dead and given up at once.
        forced: bool,
    },
    /// Changes a node's zone or weight; a field that is `None` stays as it is.
    Set {
        /// New failure domain of the node.
        zone: Option<String>,
        /// New weight of the node; at least 1.
        weight: Option<u32>,
    },
}

/// Changes that the next plan is made of. Of two stagings the one with the greater (`base`, `revision`, digest) wins;
/// one whose base is not in force is void.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Staging {
    /// Layout that the changes apply to.
    pub base: LayoutId,
    /// Number of times that the staging was changed.
    pub revision: u64,
    /// Staged changes, at most one for each node, in the order of the nodes' identities.
    pub changes: Vec<(NodeId, StagedChange)>,
}

impl Staging {
    /// Computes the digest of the whole staging, which breaks ties between rivals.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(xxh3_64(&archive::encode(self)))
    }

    /// Whether this staging wins over another one; every node applies this rule.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |staging: &Self| (staging.base, staging.revision, staging.digest());
        rank(self) > rank(other)
    }
}

/// Another life of the same node that runs at the same time, or that the node can't account for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Rival {
    /// Random name of the other life.
    pub incarnation: Incarnation,
    /// Address on which the other life says that it listens.
    pub address: SocketAddr,
}

/// Life that a member is in, with what it knows of its other lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Life {
    /// Random name of the life, drawn when the process starts.
    pub incarnation: Incarnation,
    /// Rival of this life. While there is one the member coordinates nothing: an admin has to decide which of the two
    /// stays.
    pub rival: Option<Rival>,
    /// Life that has to end, since an admin has decided for this one.
    pub ousts: Option<Incarnation>,
    /// Progress of the life: all that it had stored by this tick is on its disk, as is the tick. A data directory
    /// with a lower tick of this life is an earlier copy.
    pub tick: u32,
}

impl Life {
    /// Makes a life that has no rival and has just begun.
    #[must_use]
    pub const fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, rival: None, ousts: None, tick: 0 }
    }
}

/// Record in which a member describes itself. Only that member writes it; of two records the one with the higher
/// (`generation`, `version`, incarnation) wins.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MemberRecord {
    /// Node that the record describes.
    pub node: NodeId,
    /// Name of the node for people, from its certificate.
    pub name: String,
    /// Address on which peers and clients reach the node.
    pub address: SocketAddr,
    /// Failure domain that the node was started with.
    pub zone: String,
    /// Weight that the node was started with, relative to others; never 0.
    pub weight: u32,
    /// Life of the node that wrote the record.
    pub life: Life,
    /// Number of starts of the node, so that a later life's record wins over an earlier one's.
    pub generation: u64,
    /// Number of changes to the record within its generation.
    pub version: u64,
    /// Status that the node declares for itself.
    pub status: Status,
    /// Newest layout that the node has stored.
    pub layout: LayoutId,
    /// Partitions that the node is ready to own.
    pub ready: Ready,
    /// Amount of data that the node holds, as of some seconds ago.
    pub load: Load,
    /// Versions that the node's build knows.
    pub speaks: Speaks,
    /// Greatest age, in milliseconds, of a message that the node lets change something. While members differ in it
    /// nothing is collected: a message that one member still takes may be older than what another has forgotten.
    pub message_life_ms: u32,
}

/// Version of a member's record, without the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MemberDigest {
    /// Node that the record describes.
    pub node: NodeId,
    /// Number of starts of the node, see [`MemberRecord::generation`].
    pub generation: u64,
    /// Number of changes within the generation, see [`MemberRecord::version`].
    pub version: u64,
    /// Life that wrote the record, see [`Life::incarnation`]; two lives may have reached the same numbers.
    pub incarnation: Incarnation,
}

/// Digest of all that a node knows of the cluster, from which another one finds what it lacks.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Summary {
    /// Versions of the member records that the node has.
    pub members: Vec<MemberDigest>,
    /// Buckets that the node knows, with the version and the digest of their properties.
    pub buckets: Vec<(Blob, u64, Digest)>,
    /// Tokens and certificates whose rights the node knows, with the version and the digest of their entries.
    pub access: Vec<(Subject, u64, Digest)>,
    /// Active layouts, each with a digest of the partitions that are known to have flipped.
    pub layouts: Vec<(LayoutId, Digest)>,
    /// Identity of the staged changes: their base, revision and digest; `None` if nothing is staged.
    pub staging: Option<(LayoutId, u64, Digest)>,
}

/// Knowledge of the cluster that the receiver lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Delta {
    /// Member records that are newer than the receiver's.
    pub members: Vec<MemberRecord>,
    /// Bucket properties that are newer than the receiver's.
    pub buckets: Vec<BucketEntry>,
    /// Rights of tokens and certificates that are newer than the receiver's.
    pub access: Vec<AccessEntry>,
    /// Layouts that the receiver lacks, with the partitions that have flipped.
    pub layouts: Vec<WireLayout>,
    /// Partitions that have flipped under layouts that the receiver has.
    pub flips: Vec<(LayoutId, PartitionSet)>,
    /// Staged changes that are newer than the receiver's.
    pub staging: Option<Staging>,
}

/// A message of gossip or of the failure detector.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Gossip {
    /// Opens an exchange: the sender's own record, to which the answer goes; the digest of all that the sender knows,
    /// so that little is sent while nothing changes; and the sender's calendar clock, in milliseconds since the Unix
    /// epoch.
    ///
    /// Boxed, since every frame takes the room of the largest kind.
    Offer(Box<MemberRecord>, Digest, u64),
    /// Ends an exchange: the sender knows the same as the receiver.
    Same,
    /// Answers an offer: the sender knows something else, summarised here.
    Differ(Summary),
    /// Answers [`Gossip::Differ`] with what the receiver lacks, and a summary from which it finds what the sender
    /// lacks.
    ///
    /// Boxed on the wire, since every frame takes the room of the largest kind.
    Exchange(#[rkyv(with = rkyv::with::AsBox)] Delta, #[rkyv(with = rkyv::with::AsBox)] Summary),
    /// Ends an exchange with what the receiver lacks.
    Close(Delta),
    /// Asks whether the receiver is alive.
    Probe {
        /// Number that the answer repeats.
        nonce: u64,
    },
    /// Answers a probe: the sender is alive.
    Alive {
        /// Number from the probe.
        nonce: u64,
        /// Sender's calendar clock, in milliseconds since the Unix epoch.
        wall_ms: u64,
    },
    /// Asks the receiver to probe another member for the sender.
    ProbeFor {
        /// Member to be probed.
        target: NodeId,
        /// Number that the answer repeats.
        nonce: u64,
    },
    /// Tells the receiver that it has no place in the cluster, as this layout says: it has left or was removed. The
    /// receiver merges the layout as any other and judges by the one that is then in force.
    ///
    /// For a node that has left the message also carries the newest record that the sender has of it on its disk: a
    /// later life that does not know that the node has left says so in a newer record.
    ///
    /// Boxed, since every frame takes the room of the largest kind.
    Fenced(Box<WireLayout>, Option<Box<MemberRecord>>),
    /// Asks what the receiver remembers of the sender's earlier lives. A node that has just started sends it before
    /// it tells anybody that it is up.
    Recall(Box<MemberRecord>),
    /// Answers a [`Gossip::Recall`] with what the sender remembers.
    Recalled {
        /// Life that has asked.
        asked: Incarnation,
        /// Newest record of the asking node that the sender knows; the sender's own, if it is another process of the
        /// same node.
        record: Option<Box<MemberRecord>>,
        /// Newest layout that the sender knows.
        layout: LayoutId,
        /// Sender's calendar clock, in milliseconds since the Unix epoch.
        wall_ms: u64,
        /// Milliseconds for which the sender has known of another life in place of the one that asks; `None` if it
        /// has not, or may have before its own start.
        superseded_ms: Option<u64>,
    },
}
