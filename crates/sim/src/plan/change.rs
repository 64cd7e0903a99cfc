//! Changes of the layout that admins make while clients go on.
//!
//! Invariant: an admin goes on until its change is in force, whichever nodes it has to ask.

use std::fmt;

/// Change of the layout that an admin makes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedChange {
    /// Time from which the change is tried.
    pub at_us: u64,
    /// Nodes that the admin reaches at first; `None` for all.
    pub side: Option<Side>,
    /// Change that the admin wants to be in force.
    pub what: Alteration,
}

/// Nodes that an admin reaches while a network is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Set of nodes, with a bit for each.
    pub nodes: u8,
    /// Time from which the admin reaches all nodes.
    pub until_us: u64,
}

/// Alteration of the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alteration {
    /// A node that was just started gets partitions, by this weight.
    Join(u8, u32),
    /// A node hands over everything that it holds, and stops.
    Leave(u8),
    /// A dead node is removed without its data.
    Remove(u8),
    /// A new node takes the place of another one.
    Replace {
        /// Node that leaves the cluster.
        node: u8,
        /// Node that joins, which was just started.
        by: u8,
        /// Whether the node that leaves is dead.
        forced: bool,
    },
    /// A node gets another weight.
    Weigh(u8, u32),
}

impl Alteration {
    /// Returns the node that is new, if any.
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
