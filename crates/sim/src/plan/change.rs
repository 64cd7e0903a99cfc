//! Changes of the layout that admins make while clients go on.
//!
//! Invariant: an admin goes on until its change is in force, whichever node it has to turn to.

use std::fmt;

/// One admin's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedChange {
    /// From when on it is tried.
    pub at_us: u64,
    /// Which nodes the admin reaches at first; none for all.
    pub side: Option<Side>,
    /// What it is to come to.
    pub what: Alteration,
}

/// The nodes that an admin reaches while a network is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// A bit for each.
    pub nodes: u8,
    /// From then on it reaches all.
    pub until_us: u64,
}

/// One change of the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alteration {
    /// A node that was just started is given partitions, by this weight.
    Join(u8, u32),
    /// A node hands on all that it holds, and stops.
    Leave(u8),
    /// A dead node is done without.
    Remove(u8),
    /// A new node takes the place of another one.
    Replace {
        /// Which goes.
        node: u8,
        /// Which comes; it was just started.
        by: u8,
        /// The one that goes is dead.
        forced: bool,
    },
    /// A node is given another weight.
    Weigh(u8, u32),
}

impl Alteration {
    /// The node that is new.
    #[must_use]
    pub fn newcomer(&self) -> Option<u8> {
        match self {
            Self::Join(node, _) | Self::Replace { by: node, .. } => Some(*node),
            Self::Leave(_) | Self::Remove(_) | Self::Weigh(..) => None,
        }
    }
}

impl fmt::Display for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |node: &u8| node + 1;
        match self {
            Self::Join(node, weight) => write!(f, "n{} joins with weight {weight}", n(node)),
            Self::Leave(node) => write!(f, "n{} leaves", n(node)),
            Self::Remove(node) => write!(f, "n{} is removed by force", n(node)),
            Self::Replace { node, by, forced } => {
                let how = if *forced { ", which is dead" } else { "" };
                write!(f, "n{} takes the place of n{}{how}", n(by), n(node))
            }
            Self::Weigh(node, weight) => write!(f, "n{} gets weight {weight}", n(node)),
        }
    }
}
