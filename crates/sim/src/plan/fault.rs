//! The faults that may happen.
//!
//! Invariant: the effects of a fault end with it, except for what it destroyed.

use std::fmt;

use jedlik_protocol::admin::WorkKind;

/// Fault that begins at a time, and ends after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Time at which the fault begins.
    pub at_us: u64,
    /// Time for which the fault lasts.
    pub for_us: u64,
    /// Kind and place of the fault.
    pub what: What,
}

/// Kind of a fault, with the nodes that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The node stops cleanly, and starts again.
    Stop(u8),
    /// The process ends; what it handed to the operating system stays.
    Kill(u8),
    /// The machine ends; changes that were not synced are gone, in whole or in part.
    PowerCut(u8),
    /// All machines end at once.
    Blackout,
    /// The process stands still while time passes.
    Pause(u8),
    /// The process ends and comes back with an empty directory.
    LoseDisk(u8),
    /// The node's directory is copied: while the node runs, or, if true, stopped cleanly for that.
    Copy(u8, bool),
    /// The machine ends and comes back with the copy of its directory, if there is one.
    PutBack(u8),
    /// A copy of the node's directory is started beside it.
    Clone(u8),
    /// A sync of the node's journal fails, and its storage is opened anew.
    FailSync(u8),
    /// The node's storage is set aside as damaged, and what can be read of it is opened.
    SetAside(u8),
    /// An admin makes the node's copies count as complete, whatever it has lost.
    Believe(u8),
    /// The stored record of a key fails its checksum.
    Rot(u8, u8),
    /// Hints that the node keeps fail their checksums; those that it has not given up by then are readable afterwards.
    RotHints(u8),
    /// Writes to the journal fail.
    FullDisk(u8),
    /// The disk has too little room for records and hints, and enough for changes that make room.
    NoRoom(u8),
    /// The store refuses writes before it takes them.
    Overload(u8),
    /// Writes and syncs take a thousand times as long.
    SlowDisk(u8),
    /// No message gets from the first node to the second.
    Cut(u8, u8),
    /// No message gets to or from the node.
    Isolate(u8),
    /// The nodes in this set of bits, and the others, get no message from one another.
    Split(u8),
    /// Messages between the two take long.
    SlowLink(u8, u8),
    /// All machines of a zone end.
    ZoneCut(u8),
    /// No message gets to or from the nodes of a zone.
    ZoneApart(u8),
    /// The connection between the two ends, with all that is under way on it.
    Disconnect(u8, u8),
    /// The node runs on, and tells the others that it is away.
    Drain(u8),
    /// An admin pauses a kind of background work on the node.
    HoldUp(u8, WorkKind),
    /// The node's calendar clock is moved by this many milliseconds.
    ClockJump(u8, i64),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |node: &u8| node + 1;
        match self {
            Self::Stop(node) => write!(f, "n{} stops cleanly", n(node)),
            Self::Kill(node) => write!(f, "the process of n{} ends", n(node)),
            Self::PowerCut(node) => write!(f, "the machine of n{} ends", n(node)),
            Self::Blackout => f.write_str("all machines end"),
            Self::Pause(node) => write!(f, "n{} stands still", n(node)),
            Self::LoseDisk(node) => write!(f, "n{} loses its disk", n(node)),
            Self::Copy(node, false) => write!(f, "the directory of n{} is copied", n(node)),
            Self::Copy(node, true) => {
                write!(f, "n{} stops cleanly, and its directory is copied", n(node))
            }
            Self::PutBack(node) => write!(f, "an earlier directory of n{} is put back", n(node)),
            Self::Clone(node) => write!(f, "a copy of n{} is started beside it", n(node)),
            Self::FailSync(node) => write!(f, "a sync of n{} fails", n(node)),
            Self::SetAside(node) => write!(f, "the storage of n{} is set aside", n(node)),
            Self::Believe(node) => write!(f, "an admin believes the copies of n{}", n(node)),
            Self::Rot(node, key) => write!(f, "the record of k{key} rots on n{}", n(node)),
            Self::RotHints(node) => write!(f, "the hints of n{} can't be read", n(node)),
            Self::FullDisk(node) => write!(f, "the disk of n{} is full", n(node)),
            Self::NoRoom(node) => write!(f, "the disk of n{} is nearly full", n(node)),
            Self::Overload(node) => write!(f, "the store of n{} refuses writes", n(node)),
            Self::SlowDisk(node) => write!(f, "the disk of n{} is slow", n(node)),
            Self::Cut(from, to) => write!(f, "nothing gets from n{} to n{}", n(from), n(to)),
            Self::Isolate(node) => write!(f, "n{} is cut off", n(node)),
            Self::Split(set) => {
                let side = (0..8).filter(|node| set >> node & 1 == 1);
                let side: Vec<String> = side.map(|node| format!("n{}", n(&node))).collect();
                write!(f, "{} and the others are apart", side.join(" "))
            }
            Self::SlowLink(a, b) => write!(f, "n{} and n{} are far apart", n(a), n(b)),
            Self::ZoneCut(zone) => write!(f, "all machines of zone z{zone} end"),
            Self::ZoneApart(zone) => write!(f, "zone z{zone} is cut off"),
            Self::Disconnect(a, b) => write!(f, "n{} and n{} lose their connection", n(a), n(b)),
            Self::Drain(node) => write!(f, "n{} is drained", n(node)),
            Self::HoldUp(node, work) => write!(f, "n{} does no {work:?}", n(node)),
            Self::ClockJump(node, ms) => write!(f, "the clock of n{} is set by {ms} ms", n(node)),
        }
    }
}
