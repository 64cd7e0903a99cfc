//! What the machine asks of its driver.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord, Rival};
use jedlik_protocol::{Blob, LayoutId};

use crate::{Past, Unacceptable, View};

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// A member, where its record says it listens.
    Node(NodeId, SocketAddr),
    /// Whoever listens there.
    Seed(SocketAddr),
    /// The node whose gossip was handled just now, on the connection that it came by; a node that is no
    /// member is dialled by nobody.
    Caller(NodeId),
}

/// One effect. They are to be carried out in order; what is stored may be so later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send it once; if that fails, it is lost, and gossip makes up for it.
    Send {
        /// To whom.
        to: Destination,
        /// What.
        gossip: Gossip,
    },
    /// Store this in place of what was stored before, durably, and call [`crate::Membership::handle_saved`]
    /// with its number then; a later state may take its place. Nothing waits for it: what follows is to be
    /// carried out at once.
    Persist {
        /// Which state.
        state: u64,
        /// All that is known.
        whole: Delta,
    },
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
        id: LayoutId,
        /// The rival with the same version that was in force here; its owners are still asked until
        /// the data has moved.
        rival: Option<LayoutId>,
    },
    /// All data has moved to the owners that the layout in force has.
    Settled(LayoutId),
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
    /// The node may serve now: it has heard what others remember of its earlier lives, or has waited long
    /// enough. Told again once it is known what was not at first.
    Serves {
        /// What it knows by now.
        past: Past,
    },
    /// The cluster remembers a life of this node that its data directory does not: it is empty, or an earlier
    /// copy. The machine does nothing from now on.
    Forgotten(Box<MemberRecord>),
    /// Another process runs under this node's identity, or has, while this one did. What clients ask is carried out by
    /// neither until an admin has decided.
    Rival(Rival),
    /// Others have said for how long they have done without this process, which has a rival.
    Absent {
        /// For so long that they may have forgotten deletes of which it never heard.
        outlived: bool,
    },
    /// An admin has decided for the other process. The machine does nothing from now on.
    Ousted {
        /// Where the other one listens.
        by: SocketAddr,
    },
    /// An admin has decided for this process. The machine does nothing from now on: the process starts again,
    /// as a life that ousts the rival's.
    Prevails {
        /// The others have done without it for so long that they may have forgotten deletes of which it never heard: what it
        /// holds is set aside.
        outlived: bool,
    },
    /// The cluster remembered one more life of this node than it was known to have lost.
    Contested {
        /// Where that one listened.
        address: SocketAddr,
    },
    /// The cluster remembered a life of this node that its data directory does not, and which an admin has given up by
    /// saying that the directory is to be believed.
    GivenUp(Box<MemberRecord>),
    /// All members have been up together for long enough: the directory that an admin said to believe is one as any
    /// other from now on.
    BeliefEnds,
    /// This node has said that it has left, and another one knows it: the process need not go on.
    Left,
    /// This node has no place in the cluster any more, as the layout in force says that it holds itself. It
    /// does nothing from now on, and the process is to end.
    Fenced {
        /// The layout that says so.
        layout: LayoutId,
        /// It was removed; otherwise it left.
        forced: bool,
    },
}

impl Event {
    /// What is told of this node's lives.
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

    /// Tells of processes that run beside this one.
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
