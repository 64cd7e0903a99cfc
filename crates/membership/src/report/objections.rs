//! What stands against the commit of a plan as long as it is so.
//!
//! Invariant: liveness has no part in what a plan makes, so it is looked at again for each commit: of a node
//! that went down after it was staged to leave, nobody would ever hear that it has handed everything on.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, RingNode};
use jedlik_protocol::gossip::StagedChange;

use super::Facts;

impl Facts<'_> {
    /// A sentence about each node that is to hand on what it holds, and is down, about each that is to be given
    /// up, and is up, about each that is down and would keep others from leaving, and about a cluster that may
    /// exist already: what is the case, and what to do.
    pub(crate) fn objections(&self) -> Vec<String> {
        let own = self.changes.iter().filter_map(|(node, change)| self.objection(*node, change));
        own.chain(self.endless()).chain(self.founding.clone()).collect()
    }

    /// A node that leaves serves until each owner of each partition has said that it is ready. One that is dead,
    /// though nothing moves to it, says nothing: the other would wait for ever.
    fn endless(&self) -> Vec<String> {
        let waits = |change: &StagedChange| {
            matches!(change, StagedChange::Leave | StagedChange::Replace { forced: false, .. })
        };
        let leaving =
            self.changes.iter().filter(|(node, change)| waits(change) && (self.up)(*node));
        let leaving: Vec<String> = leaving.map(|(node, _)| self.name(*node)).collect();
        if leaving.is_empty() {
            return Vec::new();
        }
        let dead = self.after.ring.nodes().iter().filter(|placed| !(self.up)(placed.node));
        let sentence = |placed: &RingNode| {
            let name = self.name(placed.node);
            format!(
                "{name} does not answer, and {} could not finish leaving before it does: start {name}, or do \
                 without it first (`jedlik-admin cluster remove {name}`, or `replace`)",
                leaving.join(", ")
            )
        };
        dead.map(sentence).collect()
    }

    fn objection(&self, node: NodeId, change: &StagedChange) -> Option<String> {
        if (self.up)(node) { self.is_alive(node, change) } else { self.is_dead(node, change) }
    }

    /// A node that lives would be ended with copies that others may lack. Were it the one that takes the
    /// commit, nobody would ever hear of the layout.
    fn is_alive(&self, node: NodeId, change: &StagedChange) -> Option<String> {
        let name = self.name(node);
        let unforced = match change {
            StagedChange::Remove => format!("leave {name}"),
            StagedChange::Replace { by, forced: true, .. } => {
                format!("replace {name} {}", self.name(*by))
            }
            _ => return None,
        };
        Some(format!(
            "{name} is up, so its copies need not be given up: stage `jedlik-admin cluster {unforced}` \
             instead, or stop it first"
        ))
    }

    fn is_dead(&self, node: NodeId, change: &StagedChange) -> Option<String> {
        let name = self.name(node);
        let by_force = match change {
            StagedChange::Leave => format!("remove {name}` instead"),
            StagedChange::Replace { by, forced: false, .. } => {
                format!("replace {name} {}` again", self.name(*by))
            }
            _ => return None,
        };
        Some(format!(
            "{name} does not answer, so it can't hand on what it holds: start it again, or stage \
             `jedlik-admin cluster {by_force}, which gives up its copies"
        ))
    }
}
