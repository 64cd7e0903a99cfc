//! Storage that ends while its process goes on: a sync has failed, or its files can't be used any more.
//!
//! Invariant: as under the server, whoever waits is refused, since nobody knows what became of the request; until there
//! is storage again every request is refused at once; and the next replica knows nothing of the one before.

use jedlik_protocol::error::Failure;
use jedlik_protocol::{Durability, Incarnation};
use jedlik_replica::{Input, Replica};

use crate::answers::no_storage;
use crate::chance::Chance;
use crate::node::Node;
use crate::world::World;

impl World {
    /// Ends a node's storage, since a sync has failed: of what was not synced only a part is on the disk.
    pub(crate) fn fail_sync(&mut self, node: u8) {
        if !self.end_storage(node) {
            return;
        }
        let disk = &mut self.nodes[usize::from(node)].disk;
        disk.keep_unkept();
        disk.end_machine(&mut self.chances.disk);
        if self.plan.setting.level() < Durability::Synced {
            self.damage.destroyed = true;
            self.damage.unnoticed = self.history.writes_begun();
        }
    }

    /// Sets a node's storage aside, and takes over what can be read of it.
    pub(crate) fn set_storage_aside(&mut self, node: u8) {
        let runs = self.nodes[usize::from(node)].running.is_some();
        if runs && !self.end_storage(node) {
            return;
        }
        let disk = &mut self.nodes[usize::from(node)].disk;
        disk.keep_unkept();
        disk.salvage(&mut self.chances.disk);
        // What was kept over a clean stop is not read out.
        self.nodes[usize::from(node)].papers.trees = None;
        self.damage.destroyed = true;
    }

    /// Refuses whoever waits for an answer of a running node; returns false if the node has no storage, or stands still.
    fn end_storage(&mut self, node: u8) -> bool {
        self.check_trees(node);
        let place = &mut self.nodes[usize::from(node)];
        let has_storage = |running: &&mut crate::node::Running| !running.reopening;
        let Some(running) =
            place.running.as_mut().filter(has_storage).filter(|_| place.pauses == 0)
        else {
            return false;
        };
        running.reopening = true;
        let waiting = std::mem::take(&mut running.replies);
        self.say(node, || "has no storage any more".into());
        for origin in waiting.into_values() {
            let failure = Failure { maybe_applied: true, ..no_storage() };
            self.refuse(node, origin, failure);
        }
        true
    }

    /// Opens a node's storage anew, if it has none.
    pub(crate) fn reopen(&mut self, node: u8) {
        let place = &mut self.nodes[usize::from(node)];
        let Some(unkept) = place.reopen(&mut self.chances.lives) else { return };
        self.say(node, || "has storage again".into());
        if unkept {
            self.feed(node, Input::VotesKept { kept: false });
        }
        let place = &mut self.nodes[usize::from(node)];
        let Some(running) = &mut place.running else { return };
        if place.disk.aside.is_some() && (place.disk.lost_past || running.replica.refilling() > 0) {
            self.feed(node, Input::CopyAtHand);
        }
        let Some(running) = self.running(node) else { return };
        let view = running.membership.view();
        self.feed(node, Input::View(view));
        self.end_turn(node);
    }
}

impl Node {
    /// Opens the storage of a running process anew, with a replica in the place of the one before. Returns whether a
    /// row without votes has yet to reach the disk; `None` if there is storage, or no process.
    pub(crate) fn reopen(&mut self, lives: &mut Chance) -> Option<bool> {
        self.running.as_ref().filter(|running| running.reopening)?;
        self.disk.open();
        let unkept = self.disk.take_unkept();
        let votes = unkept.clone().or_else(|| self.disk.votes.clone());
        let incarnation = Incarnation(lives.number());
        // The clock by which messages are aged goes on.
        let config = self.replica_config(incarnation, lives.bytes(), 1, votes);
        let running = self.running.as_mut()?;
        let before = std::mem::replace(&mut running.replica, Replica::new(config.clone()));
        running.replica = before.successor(config);
        running.reopening = false;
        running.told_unkept = unkept.is_some();
        if let Some(votes) = unkept {
            self.disk.keep_votes(votes, true);
        }
        Some(running.told_unkept)
    }
}
