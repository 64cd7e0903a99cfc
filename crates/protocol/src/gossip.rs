//! What nodes tell one another about the cluster (paper 4.8).

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use rkyv::{Archive, Deserialize, Serialize};

use crate::bucket::BucketEntry;
use crate::{Blob, Digest, Incarnation, Layout, LayoutVersion};

/// Where a member stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Status {
    /// In the cluster; owns what the layout gives it.
    Up,
    /// Stopped cleanly; comes back.
    Away,
}

/// One member, as it describes itself. Only that member writes it; the higher
/// (`incarnation start`, `version`) wins.
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
    pub incarnation: Incarnation,
    /// Counts starts of the node, so that a later life's record wins over an earlier one's.
    pub generation: u64,
    /// Counts the changes within a generation.
    pub version: u64,
    /// Its own word on itself.
    pub status: Status,
    /// The newest layout it has stored.
    pub layout: LayoutVersion,
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
}

/// What a node knows, in short.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Summary {
    /// How new its member records are.
    pub members: Vec<MemberDigest>,
    /// The buckets it knows, with versions and a digest of their properties.
    pub buckets: Vec<(Blob, u64, Digest)>,
    /// Its layout.
    pub layout: Option<(LayoutVersion, Digest)>,
}

/// What the other side lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Delta {
    /// Newer member records.
    pub members: Vec<MemberRecord>,
    /// Newer bucket properties.
    pub buckets: Vec<BucketEntry>,
    /// A newer layout.
    pub layout: Option<Layout>,
}

/// One message of the gossip or of the failure detector.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Gossip {
    /// Opens an exchange: this is who I am, so that you can answer, and what I know.
    ///
    /// Boxed, since every frame takes the room of the largest kind.
    Offer(Box<MemberRecord>, Summary),
    /// Here is what you lack, and what I know, so that you can tell me what I lack.
    Exchange(Delta, Summary),
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
    },
    /// Is `target` there? Ask it for me.
    ProbeFor {
        /// Whom.
        target: NodeId,
        /// To match the answer.
        nonce: u64,
    },
}
