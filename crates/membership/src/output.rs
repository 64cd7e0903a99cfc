//! Effects that the machine asks of its driver.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_protocol::access::Subject;
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord, Rival};
use jedlik_protocol::{Blob, LayoutId};

use crate::{Past, Unacceptable, View};

/// Receiver of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A member, at the address in its record.
    Node(NodeId, SocketAddr),
    /// The node that listens at this address, whichever it is.
    Seed(SocketAddr),
    /// The node whose gossip was handled just now, on the connection that it came by: nobody dials a node that is no
    /// member.
    Caller(NodeId),
}

/// An effect to carry out. Effects are carried out in order; only a store may complete later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Sends a message once. If that fails the message is lost, and gossip makes up for it.
    Send {
        /// Receiver of the message.
        to: Destination,
        /// Message that is sent.
        gossip: Gossip,
    },
    /// Stores this durably in place of what was stored before, and calls [`crate::Membership::handle_saved`] with its
    /// number then; a later state may take its place. Later effects don't wait for it.
    Persist {
        /// Number of the state, to be named once it is on disk.
        state: u64,
        /// All that is known to this node.
        whole: Delta,
    },
    /// Replaces the view that the node works with.
    View(Arc<View>),
    /// Reports something that is worth a line in the log.
    Event(Event),
}

/// An event that an operator may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member was seen for the first time.
    Joined(NodeId),
    /// A member answers again and is trusted.
    Up(NodeId),
    /// A member does not answer, or says that it stops.
    Down {
        /// Member that is down.
        node: NodeId,
        /// Whether the member said so itself.
        clean: bool,
    },
    /// A layout came into force on this node.
    Layout {
        /// Identity of the layout.
        id: LayoutId,
        /// Rival with the same version that was in force here; its owners are still asked until the data has moved.
        rival: Option<LayoutId>,
    },
    /// All data has moved to the owners under the layout in force.
    Settled(LayoutId),
    /// A bucket's properties changed on this node.
    Bucket {
        /// Name of the bucket.
        name: Blob,
        /// Number of times that the properties were set.
        version: u64,
    },
    /// Rights of a token or a certificate changed on this node.
    Access {
        /// Token or certificate whose rights changed.
        subject: Subject,
        /// Number of times that the rights were set.
        version: u64,
    },
    /// A value from a peer was not taken over.
    Refused {
        /// Peer that sent the value.
        from: NodeId,
        /// Fault of the value.
        fault: Unacceptable,
    },
    /// The node may serve now: it has heard what others remember of its earlier lives, or has waited long enough. The
    /// event comes again once more is known.
    Serves {
        /// Past of the node, as far as it is known by now.
        past: Past,
    },
    /// The cluster remembers a life of this node that its data directory does not: that is empty, or an earlier copy.
    /// The machine does nothing from now on.
    Forgotten(Box<MemberRecord>),
    /// Another process runs under this node's identity, or did while this one ran. Neither carries out clients'
    /// requests until an admin has decided.
    Rival(Rival),
    /// Others have said for how long they have done without this process, which has a rival.
    Absent {
        /// Whether it was so long that they may have forgotten deletes of which this process never heard.
        outlived: bool,
    },
    /// An admin has decided for the other process. The machine does nothing from now on.
    Ousted {
        /// Address of the other process.
        by: SocketAddr,
    },
    /// An admin has decided for this process. The machine does nothing from now on: the process starts again, as a
    /// life that ousts the rival's.
    Prevails {
        /// Whether others have done without it for so long that they may have forgotten deletes of which it never
        /// heard: its data is then set aside.
        outlived: bool,
    },
    /// The cluster remembered one more life of this node than it was known to have lost.
    Contested {
        /// Address of that life.
        address: SocketAddr,
    },
    /// The cluster remembered a life of this node that its data directory does not, and that an admin has given up by
    /// saying that the directory is to be believed.
    GivenUp(Box<MemberRecord>),
    /// All members have been up together for long enough: the directory that an admin said to believe counts as any
    /// other from now on.
    BeliefEnds,
    /// This node has left, and enough others have that on their disks: the process need not go on.
    Left,
    /// This node has no place in the cluster any more, as the layout in force on it says. The machine does nothing
    /// from now on, and the process has to end.
    Fenced {
        /// Layout that says so.
        layout: LayoutId,
        /// Whether the node was removed; otherwise it left.
        forced: bool,
    },
}

impl Event {
    /// Formats an event about this node's lives.
    fn fmt_of_lives(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serves { past: Past::Continuous } => {
                write!(f, "the data directory remembers every life of this node that the others do")
            }
            Self::Serves { past: Past::Unconfirmed } => write!(
                f,
                "nobody has said yet what the cluster remembers of this node: it takes writes, and does not \
                 say that anything is absent until another member has answered"
            ),
            Self::Serves { past: Past::Lost } => {
                write!(f, "this node has lost its past and is refilled by the others")
            }
            Self::Forgotten(record) => write!(
                f,
                "the cluster remembers life {:016x} of this node, start {}, at {}; the data directory does \
                 not: it is empty, or an earlier copy",
                record.life.incarnation.0, record.generation, record.address
            ),
            Self::GivenUp(record) => write!(
                f,
                "the cluster remembers life {:016x} of this node, start {}, which the data directory does not: it is \
                 given up, as an admin has said",
                record.life.incarnation.0, record.generation
            ),
            Self::BeliefEnds => write!(
                f,
                "all members have been up together: the data directory that an admin said to believe counts as any \
                 other from now on"
            ),
            _ => self.fmt_of_rivals(f),
        }
    }

    /// Formats an event about processes that run beside this one.
    fn fmt_of_rivals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rival(rival) => write!(
                f,
                "another process, at {}, runs or has run under this node's identity: neither carries \
                 out what clients ask until an admin says which one stays; see `jedlik-admin node keep --help`",
                rival.address
            ),
            Self::Absent { outlived: true } => write!(
                f,
                "the others have done without this process for so long that they may have forgotten deletes: if an \
                 admin stays with it, what it holds is set aside"
            ),
            Self::Absent { outlived: false } => write!(
                f,
                "the others have not done without this process for so long that they may have forgotten deletes: if an \
                 admin stays with it, what it holds stays"
            ),
            Self::Ousted { by } => {
                write!(
                    f,
                    "an admin has decided that the process at {by} stays in place of this one"
                )
            }
            Self::Prevails { outlived } => {
                write!(f, "an admin has decided that this process stays")?;
                if *outlived {
                    write!(
                        f,
                        "; the others have done without it for so long that they may have forgotten deletes: what it \
                         holds is set aside, and they refill it"
                    )?;
                }
                Ok(())
            }
            Self::Contested { address } => write!(
                f,
                "the cluster remembered one more life of this node, at {address}; what it held is refilled"
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(node) => write!(f, "node {node} is a member"),
            Self::Up(node) => write!(f, "node {node} is up"),
            Self::Down { node, clean: true } => write!(f, "node {node} stopped"),
            Self::Down { node, clean: false } => write!(f, "node {node} does not answer"),
            Self::Layout { id, rival: None } => write!(f, "layout {id} is in force"),
            Self::Layout { id, rival: Some(rival) } => {
                write!(f, "layout {id} is in force instead of its rival {rival}")
            }
            Self::Settled(id) => write!(f, "all data has moved to the owners of layout {id}"),
            Self::Bucket { name, version } => {
                write!(f, "properties {version} of bucket {name:?} are in force")
            }
            Self::Access { subject, version } => {
                write!(f, "rights {version} of {subject:?} are in force")
            }
            Self::Refused { from, fault } => write!(f, "node {from} sent what can't be: {fault}"),
            Self::Serves { .. }
            | Self::Forgotten(_)
            | Self::Rival(_)
            | Self::Absent { .. }
            | Self::Ousted { .. }
            | Self::Prevails { .. }
            | Self::Contested { .. }
            | Self::GivenUp(_)
            | Self::BeliefEnds => self.fmt_of_lives(f),
            Self::Left => write!(f, "the others know that this node has left"),
            Self::Fenced { layout, forced: true } => write!(
                f,
                "this node was removed from the cluster by force, as layout {layout} says, and stops; look \
                 at `jedlik-admin cluster status` before anything else: its data directory is left as it is"
            ),
            Self::Fenced { layout, forced: false } => write!(
                f,
                "this node has left the cluster, as layout {layout} says, and stops; look at \
                 `jedlik-admin cluster status` before anything else: its data directory is left as it is"
            ),
        }
    }
}
