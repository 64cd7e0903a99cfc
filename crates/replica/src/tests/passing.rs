//! The passing of time: from one wake to the next, and for some nodes not at all.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::peer::PeerRequest;

use super::cluster::Cluster;
use crate::{Counter, Input};

/// Number of wakes at one moment past which a node spins: more than it has work for.
const WAKES_MAX: u32 = 2_000;

impl Cluster {
    /// Lets time pass, and wakes every node when it wants to be woken.
    pub(super) fn run_for(&mut self, ms: u64) {
        let end_us = self.now.mono_us + ms * 1_000;
        let mut wakes = 0;
        loop {
            self.deliver();
            let due_us = self.nodes.iter().enumerate().filter_map(|(index, node)| {
                let frozen = self.frozen.contains_key(&NodeId(index as u64 + 1));
                node.replica.poll_timeout().filter(|_| !frozen)
            });
            let due_us = due_us.min().unwrap_or(u64::MAX).max(self.now.mono_us);
            wakes = if due_us > self.now.mono_us { 0 } else { wakes + 1 };
            assert!(wakes < WAKES_MAX, "a node spins");
            if due_us > end_us {
                return self.pass_to(end_us);
            }
            self.pass_to(due_us);
            for index in 0..self.nodes.len() {
                let due = self.nodes[index].replica.poll_timeout();
                if due.is_some_and(|due_us| due_us <= self.now.mono_us) {
                    self.queue.push_back((NodeId(index as u64 + 1), Input::Timeout));
                }
            }
        }
    }

    fn pass_to(&mut self, mono_us: u64) {
        let before_ms = self.now.mono_us / 1_000;
        self.now.mono_us = mono_us;
        self.now.wall_ms += mono_us / 1_000 - before_ms;
    }

    /// Has a node stand still from now on, while messages to it pile up.
    pub(super) fn freeze(&mut self, node: NodeId) {
        self.frozen.insert(node, Vec::new());
    }

    /// Has a node go on, first with the messages that have piled up.
    pub(super) fn thaw(&mut self, node: NodeId) {
        for input in self.frozen.remove(&node).unwrap_or_default() {
            self.step(node, input);
        }
    }

    pub(super) fn count(&self, counter: Counter) -> u32 {
        self.counts.get(&counter).copied().unwrap_or(0)
    }

    /// Returns how many of the requests that were sent are such.
    pub(super) fn sent_such(&self, such: impl Fn(&PeerRequest) -> bool) -> usize {
        self.sent.iter().filter(|(_, _, request)| such(request)).count()
    }

    pub(super) fn set_background(&mut self, node: NodeId, change: BackgroundChange) {
        self.step(node, Input::SetBackground(change));
        self.deliver();
    }

    /// Stops a node at once, empties its disk and starts it in another life.
    pub(super) fn lose_disk(&mut self, node: NodeId, life: u64) {
        self.node(node).disk.clear();
        self.node(node).hints.clear();
        self.restart(node, life);
        self.deliver();
    }

    /// Has a node read and compare all it owns, as an admin would.
    pub(super) fn repair(&mut self, node: NodeId) {
        self.step(node, Input::Repair { partition: None });
        self.deliver();
    }
}
