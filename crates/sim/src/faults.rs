//! Faults begin and end; nodes start and stop.
//!
//! Invariant: whatever destroys an acknowledged copy is noted, since the very next get promises less then.

use jedlik_protocol::Durability;

use crate::network::IDLE_LIMIT_US;
use crate::plan::{Fault, What};
use crate::world::{Event, World};

/// How long a stopping node waits for its requests.
const DRAIN_LIMIT_US: u64 = 5_000_000;
const DRAIN_CHECK_US: u64 = 20_000;

impl World {
    pub(crate) fn start(&mut self, node: u8) {
        let place = &mut self.nodes[usize::from(node)];
        if place.running.is_some() {
            return;
        }
        let kept = place.start(self.now_us, &mut self.chances.lives);
        self.say(node, || format!("starts, in {} life", if kept { "the same" } else { "a new" }));
        self.carry_out(node);
        self.end_turn(node);
    }

    pub(crate) fn begin_fault(&mut self, index: usize) {
        if self.rest.is_quiet() {
            return;
        }
        let Fault { for_us, what, .. } = self.plan.faults[index];
        self.log
            .say(self.now_us, None, None, || format!("FAULT for {} ms: {what}", for_us / 1_000));
        self.after(for_us, Event::FaultEnd(index));
        let level = self.plan.setting.level();
        match what {
            What::Stop(node) => {
                self.nodes[usize::from(node)].stops += 1;
                self.stop(node);
            }
            What::Kill(node) => self.end(node, level < Durability::Written, false),
            What::PowerCut(node) => self.end(node, level < Durability::Synced, true),
            What::Blackout => {
                (0..self.plan.setting.nodes).for_each(|node| self.end(node, false, true));
            }
            What::Pause(node) => self.nodes[usize::from(node)].pauses += 1,
            What::LoseDisk(node) => {
                self.end(node, true, true);
                self.nodes[usize::from(node)].wipe();
            }
            What::Rot(node, key) => {
                let key = self.placed(key);
                let rotted = self.nodes[usize::from(node)].disk.rot(&key);
                self.damage.destroyed |= rotted;
                self.damage.rotted |= rotted;
            }
            What::FullDisk(node) => self.nodes[usize::from(node)].disk.condition.full += 1,
            What::Overload(node) => self.nodes[usize::from(node)].disk.condition.overloaded += 1,
            What::SlowDisk(node) => self.nodes[usize::from(node)].disk.condition.slow += 1,
            What::Cut(..) | What::Isolate(_) | What::Split(_) => {
                self.cuts(what).iter().for_each(|(from, to)| self.cut(*from, *to));
            }
            What::SlowLink(a, b) => {
                self.network.slow(a, b, 1);
                self.network.slow(b, a, 1);
            }
            What::Disconnect(a, b) => self.disconnect(a, b, 10_000),
            What::ClockJump(node, ms) => self.nodes[usize::from(node)].clock.set_by_ms += ms,
        }
    }

    pub(crate) fn end_fault(&mut self, index: usize) {
        if self.rest.is_quiet() {
            return;
        }
        let what = self.plan.faults[index].what;
        match what {
            What::Stop(node) => {
                let place = &mut self.nodes[usize::from(node)];
                place.stops = place.stops.saturating_sub(1);
                self.start(node);
            }
            What::Kill(node) | What::PowerCut(node) | What::LoseDisk(node) => self.start(node),
            What::Blackout => (0..self.plan.setting.nodes).for_each(|node| self.start(node)),
            What::Pause(node) => {
                let place = &mut self.nodes[usize::from(node)];
                place.pauses = place.pauses.saturating_sub(1);
                if place.pauses == 0 {
                    self.say(node, || "goes on".into());
                    self.resume(node);
                }
            }
            What::FullDisk(node) => self.nodes[usize::from(node)].disk.condition.full -= 1,
            What::Overload(node) => self.nodes[usize::from(node)].disk.condition.overloaded -= 1,
            What::SlowDisk(node) => self.nodes[usize::from(node)].disk.condition.slow -= 1,
            What::Cut(..) | What::Isolate(_) | What::Split(_) => {
                for (from, to) in self.cuts(what) {
                    self.network.unblock(from, to);
                }
            }
            What::SlowLink(a, b) => {
                self.network.slow(a, b, -1);
                self.network.slow(b, a, -1);
            }
            What::Rot(..) | What::Disconnect(..) | What::ClockJump(..) => {}
        }
    }

    fn cuts(&self, what: What) -> Vec<(u8, u8)> {
        let nodes = 0..self.plan.setting.nodes;
        let pairs = nodes.clone().flat_map(|a| nodes.clone().map(move |b| (a, b)));
        let apart = |(a, b): &(u8, u8)| match what {
            What::Cut(from, to) => (*a, *b) == (from, to),
            What::Isolate(node) => *a != *b && (*a == node || *b == node),
            What::Split(set) => (set >> a & 1) != (set >> b & 1),
            _ => false,
        };
        pairs.filter(apart).collect()
    }

    fn cut(&mut self, from: u8, to: u8) {
        self.network.block(self.now_us, from, to);
        self.after(IDLE_LIMIT_US + 1_000, Event::Silence { from, to });
    }

    fn stop(&mut self, node: u8) {
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
        self.check_trees(node);
        let clean = self.nodes[usize::from(node)].stopped();
        self.say(node, || format!("has stopped, {}", if clean { "clean" } else { "unclean" }));
        self.hang_up(node, 10_000);
        if self.nodes[usize::from(node)].stops == 0 {
            // The fault that stopped it is over.
            self.after(1_000_000, Event::Start { node });
        }
    }

    /// Ends a node's process, or its machine.
    pub(crate) fn end(&mut self, node: u8, destroys: bool, machine: bool) {
        self.check_trees(node);
        self.damage.destroyed |= destroys;
        let place = &mut self.nodes[usize::from(node)];
        if machine {
            place.disk.end_machine(&mut self.chances.disk);
        }
        if place.running.is_none() {
            return;
        }
        if !machine {
            place.disk.end_process(&mut self.chances.disk);
        }
        place.ended();
        place.pauses = 0;
        let within_us = if machine { IDLE_LIMIT_US } else { 200_000 };
        self.hang_up(node, within_us);
    }

    /// A node that is down: its connections end, and its peers learn of it within a time.
    fn hang_up(&mut self, node: u8, within_us: u64) {
        let missed_us = self.chances.faults.below(within_us);
        self.nodes[usize::from(node)].missed_us = self.now_us + missed_us;
        for peer in (0..self.plan.setting.nodes).filter(|peer| *peer != node) {
            let epoch = self.network.disconnect(node, peer);
            self.after(missed_us, Event::Lost { node: peer, peer: node, epoch });
        }
    }

    /// Faults cease: every way is free, every disk in order, every node up.
    pub(crate) fn cease(&mut self) {
        self.network.heal();
        for node in 0..self.plan.setting.nodes {
            let place = &mut self.nodes[usize::from(node)];
            place.disk.condition = crate::disk::Condition::default();
            place.stops = 0;
            if std::mem::take(&mut place.pauses) > 0 {
                self.resume(node);
            }
            self.start(node);
        }
    }
}
