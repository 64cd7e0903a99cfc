//! Objections to the commit of a plan, which stand as long as their cause does.
//!
//! Invariant: liveness has no part in what a plan makes, so it is checked again for each commit: nobody would ever
//! hear that a node which went down after it was staged to leave has handed everything on.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, RingNode};
use jedlik_protocol::gossip::StagedChange;

use super::Facts;

impl Facts<'_> {
    /// Returns a sentence, with its remedy, about each node that is down and has to hand on its data, each that is up
    /// and is given up, each that is down and would keep others from leaving, and about a cluster that may exist
    /// already.
    pub(crate) fn objections(&self) -> Vec<String> {
        let own = self.changes.iter().filter_map(|(node, change)| self.objection(*node, change));
        own.chain(self.endless()).chain(self.founding.clone()).collect()
    }

    /// Objects to a leave that could not end. A node that leaves serves until each owner of each partition has said
    /// that it is ready, which an owner that is dead never does, though nothing moves to it.
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

    /// Objects to giving up a node that is up: its copies may be ones that others lack. Were it the node that takes
    /// the commit, nobody would ever hear of the layout.
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
