//! What the machine asks of its driver.

use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_protocol::gossip::{Delta, Gossip};
use jedlik_protocol::{Blob, Digest, LayoutVersion};

use crate::{Unacceptable, View};

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A member, where its record says it listens.
    Node(NodeId, SocketAddr),
    /// Whoever listens there.
    Seed(SocketAddr),
}

/// One effect. They are to be carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send it once; if that fails, it is lost, and gossip makes up for it.
    Send {
        /// To whom.
        to: Destination,
        /// What.
        gossip: Gossip,
    },
    /// Store this in place of what was stored before, durably, before anything that follows.
    Persist(Delta),
    /// Work with this view from now on.
    View(Arc<View>),
    /// Worth a line in the log.
    Event(Event),
}

/// Something that an operator may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member was seen for the first time.
    Joined(NodeId),
    /// A member answers again and is trusted.
    Up(NodeId),
    /// A member does not answer, or says that it stopped.
    Down {
        /// Who.
        node: NodeId,
        /// It said so itself.
        clean: bool,
    },
    /// A layout came into force here.
    Layout {
        /// Which.
        version: LayoutVersion,
        /// Names it among rivals with the same version.
        digest: Digest,
        /// The rival that was in force here and lost.
        replaced: Option<Digest>,
    },
    /// A bucket's properties changed here.
    Bucket {
        /// Which.
        name: Blob,
        /// Counts the settings.
        version: u64,
    },
    /// Something from a peer was not taken over.
    Refused {
        /// From whom.
        from: NodeId,
        /// What and why.
        fault: Unacceptable,
    },
    /// The cluster holds a newer record of this node than this node wrote: it lost its disk, or two
    /// processes run with one certificate. This node's record was made newer still.
    Contested {
        /// What the other record says.
        address: SocketAddr,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(node) => write!(f, "node {node} is a member"),
            Self::Up(node) => write!(f, "node {node} is up"),
            Self::Down { node, clean: true } => write!(f, "node {node} stopped"),
            Self::Down { node, clean: false } => write!(f, "node {node} does not answer"),
            Self::Layout { version, digest, replaced: None } => {
                write!(f, "layout {version} ({:016x}) is in force", digest.0)
            }
            Self::Layout { version, digest, replaced: Some(rival) } => write!(
                f,
                "layout {version} ({:016x}) is in force instead of its rival {:016x}",
                digest.0, rival.0
            ),
            Self::Bucket { name, version } => {
                write!(f, "properties {version} of bucket {name:?} are in force")
            }
            Self::Refused { from, fault } => write!(f, "node {from} sent what can't be: {fault}"),
            Self::Contested { address } => write!(
                f,
                "this node's record was written by another process, at {address}: was its disk \
                 lost, or is its certificate in use twice?"
            ),
        }
    }
}
