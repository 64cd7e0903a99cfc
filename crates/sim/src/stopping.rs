//! Nodes that stop of their own accord: for a time, or for good once they have left.
//!
//! Invariant: a node leaves by the same rule as under the server.

use jedlik_protocol::admin::TransferReport;
use jedlik_protocol::gossip::MemberRecord;
use jedlik_replica::has_left;

use crate::faults::UPKEEP_US;
use crate::world::{Event, World};

/// Time that a stopping node waits for its requests.
const DRAIN_LIMIT_US: u64 = 5_000_000;
const DRAIN_CHECK_US: u64 = 20_000;

impl World {
    /// Makes a node report how much it holds, or leave.
    pub(crate) fn keep_up(&mut self, node: u8) {
        let place = &mut self.nodes[usize::from(node)];
        let (now, life) = (place.clock.now(self.now_us), place.life);
        let Some(running) = &mut place.running else { return };
        let still = place.pauses > 0 || running.stopping;
        let placeless = running.membership.view().layout_version() == 0;
        if !still && placeless && self.has_lost_its_seeds(node) {
            self.say(node, || "finds nobody, and is given other seeds".into());
            self.stop(node);
        } else if !still {
            let Some(running) = self.running(node) else { return };
            let held = if running.reopening {
                TransferReport::default()
            } else {
                running.replica.transfer_report()
            };
            if has_left(&running.membership.view(), &held) {
                running.membership.handle_left(now);
                self.carry_out(node);
            } else {
                running.membership.handle_load(now, held.load);
            }
        }
        self.after(UPKEEP_US, Event::Upkeep { node, life });
    }

    /// Whether all of the node's seeds are gone. Its log says so, and then somebody must tell it of others.
    fn has_lost_its_seeds(&self, node: u8) -> bool {
        let gone = |seed: &u8| {
            let place = &self.nodes[usize::from(*seed)];
            *seed == node || place.over || place.removed
        };
        self.nodes[usize::from(node)].seeds.iter().all(gone)
    }

    /// Ends a node for good once it holds nothing any more, as another one knows, and has answered its waiting callers.
    pub(crate) fn leave(&mut self, node: u8) {
        self.say(node, || "leaves".into());
        let place = &mut self.nodes[usize::from(node)];
        let life = place.life;
        let Some(running) = &mut place.running else { return };
        (running.stopping, running.leaves) = (true, true);
        let until_us = self.now_us + DRAIN_LIMIT_US;
        self.after(DRAIN_CHECK_US, Event::Drain { node, life, until_us });
    }

    /// Restarts a node whose disk lacks a life that the cluster remembers, without its data.
    pub(crate) fn forget(&mut self, node: u8, forgotten: &MemberRecord) {
        self.nodes[usize::from(node)].forget(forgotten);
        self.hang_up(node, 10_000);
        self.after(1_000, Event::Start { node });
    }

    pub(crate) fn stop(&mut self, node: u8) {
        let place = &mut self.nodes[usize::from(node)];
        let (now, life) = (place.clock.now(self.now_us), place.life);
        let Some(running) = place.running.as_mut().filter(|running| !running.stopping) else {
            return;
        };
        running.stopping = true;
        running.membership.handle_leaving(now);
        self.carry_out(node);
        let until_us = self.now_us + DRAIN_LIMIT_US;
        self.after(DRAIN_CHECK_US, Event::Drain { node, life, until_us });
    }

    pub(crate) fn drain(&mut self, node: u8, life: u32, until_us: u64) {
        let place = &mut self.nodes[usize::from(node)];
        let Some(running) = place.running.as_ref().filter(|_| place.life == life) else { return };
        let open = !running.replies.is_empty() && self.now_us < until_us;
        if open || place.pauses > 0 {
            return self.after(DRAIN_CHECK_US, Event::Drain { node, life, until_us });
        }
        let leaves = running.leaves;
        self.check_trees(node);
        self.nodes[usize::from(node)].over |= leaves;
        self.nodes[usize::from(node)].stopped();
        self.say(node, || "has stopped".into());
        self.hang_up(node, 10_000);
        if self.nodes[usize::from(node)].stops == 0 {
            // The fault that stopped it is over.
            self.after(1_000_000, Event::Start { node });
        }
    }
}
