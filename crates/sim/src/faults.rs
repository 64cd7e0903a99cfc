//! The beginning and end of faults, and the start and stop of nodes.
//!
//! Invariant: every destruction of an acknowledged copy is noted, since the very next get promises less then.

use jedlik_protocol::Durability;
use jedlik_protocol::admin::{BackgroundChange, WorkKind};
use jedlik_replica::Input;

use crate::network::IDLE_LIMIT_US;
use crate::plan::{Fault, What};
use crate::world::{Event, World};

/// Time between two checks of a node on the data that it holds.
pub(crate) const UPKEEP_US: u64 = 1_000_000;

impl World {
    pub(crate) fn start(&mut self, node: u8) {
        let seeds = self.seeds();
        let place = &mut self.nodes[usize::from(node)];
        if place.running.is_some() || place.over {
            return;
        }
        place.start(self.now_us, &seeds, &mut self.chances.lives);
        let life = place.life;
        self.say(node, || "starts".into());
        self.after(UPKEEP_US, Event::Upkeep { node, life });
        self.carry_out(node);
        self.end_turn(node);
    }

    /// Starts a node's process again, if it ever ran.
    fn restart(&mut self, node: u8) {
        if self.nodes[usize::from(node)].begun {
            self.start(node);
        }
    }

    pub(crate) fn begin_fault(&mut self, index: usize) {
        if self.convergence.is_quiet() {
            return;
        }
        let Fault { for_us, what, .. } = self.plan.faults[index];
        self.log
            .say(self.now_us, None, None, || format!("FAULT for {} ms: {what}", for_us / 1_000));
        self.after(for_us, Event::FaultEnd(index));
        let level = self.plan.setting.level();
        match what {
            What::Stop(node) => self.begin_stop(node),
            What::Kill(node) => self.end_at(node, level < Durability::Written, false),
            What::PowerCut(node) => self.end_at(node, level < Durability::Synced, true),
            What::Blackout => {
                (0..self.plan.setting.slots()).for_each(|node| self.end(node, false, true));
            }
            What::ZoneCut(zone) => {
                for node in self.nodes_of(zone) {
                    self.end(node, false, true);
                }
            }
            What::Pause(node) => self.nodes[usize::from(node)].pauses += 1,
            What::LoseDisk(node) => {
                self.end(node, true, true);
                self.nodes[usize::from(node)].wipe();
            }
            What::Copy(node, stopped) => self.begin_copy(node, stopped),
            What::PutBack(node) if !self.has_old_copy(node) => {}
            What::PutBack(node) => {
                self.end(node, true, true);
                self.nodes[usize::from(node)].put_back();
                self.call_admin(node);
            }
            What::Clone(node) => self.begin_clone(node),
            What::FailSync(node) => self.fail_sync(node),
            What::SetAside(node) => self.set_storage_aside(node),
            What::Believe(node) => self.believe(node),
            What::Rot(node, key) => self.rot(node, key),
            What::RotHints(node) => {
                self.damage.destroyed |= self.nodes[usize::from(node)].disk.rot_hints();
            }
            What::FullDisk(node) => self.nodes[usize::from(node)].disk.condition.full += 1,
            What::NoRoom(node) => self.nodes[usize::from(node)].disk.condition.no_room += 1,
            What::Overload(node) => self.nodes[usize::from(node)].disk.condition.overloaded += 1,
            What::SlowDisk(node) => self.nodes[usize::from(node)].disk.condition.slow += 1,
            What::Cut(..) | What::Isolate(_) | What::Split(_) | What::ZoneApart(_) => {
                self.cuts(what).iter().for_each(|(from, to)| self.cut(*from, *to));
            }
            What::SlowLink(a, b) => {
                self.network.slow(a, b, 1);
                self.network.slow(b, a, 1);
            }
            What::Disconnect(a, b) => self.disconnect(a, b, 10_000),
            What::Drain(node) => self.drain_node(node, true),
            What::HoldUp(node, work) => self.hold_up(node, Some(work), true),
            What::ClockJump(node, ms) => self.nodes[usize::from(node)].clock.set_by_ms += ms,
        }
    }

    pub(crate) fn end_fault(&mut self, index: usize) {
        if self.convergence.is_quiet() {
            return;
        }
        let what = self.plan.faults[index].what;
        match what {
            What::Stop(node) => self.end_stop(node),
            What::Copy(node, true) => {
                self.nodes[usize::from(node)].copy();
                self.end_stop(node);
            }
            What::Kill(node)
            | What::PowerCut(node)
            | What::LoseDisk(node)
            | What::PutBack(node) => {
                self.restart(node);
            }
            What::Blackout => (0..self.plan.setting.slots()).for_each(|node| self.restart(node)),
            What::ZoneCut(zone) => {
                for node in self.nodes_of(zone) {
                    self.restart(node);
                }
            }
            What::Pause(node) => {
                let place = &mut self.nodes[usize::from(node)];
                place.pauses = place.pauses.saturating_sub(1);
                if place.pauses == 0 {
                    self.say(node, || "goes on".into());
                    self.resume(node);
                }
            }
            What::FailSync(node) | What::SetAside(node) => self.reopen(node),
            What::RotHints(node) => self.nodes[usize::from(node)].disk.read_hints_again(),
            What::FullDisk(node) => self.nodes[usize::from(node)].disk.condition.full -= 1,
            What::NoRoom(node) => self.nodes[usize::from(node)].disk.condition.no_room -= 1,
            What::Overload(node) => self.nodes[usize::from(node)].disk.condition.overloaded -= 1,
            What::SlowDisk(node) => self.nodes[usize::from(node)].disk.condition.slow -= 1,
            What::Cut(..) | What::Isolate(_) | What::Split(_) | What::ZoneApart(_) => {
                for (from, to) in self.cuts(what) {
                    self.network.unblock(from, to);
                }
            }
            What::SlowLink(a, b) => {
                self.network.slow(a, b, -1);
                self.network.slow(b, a, -1);
            }
            What::Drain(node) => self.drain_node(node, false),
            What::HoldUp(node, work) => self.hold_up(node, Some(work), false),
            What::Copy(_, false)
            | What::Clone(_)
            | What::Rot(..)
            | What::Believe(_)
            | What::Disconnect(..)
            | What::ClockJump(..) => {}
        }
    }

    fn rot(&mut self, node: u8, key: u8) {
        let key = self.placed(key);
        let rotted = self.nodes[usize::from(node)].disk.rot(&key);
        self.damage.destroyed |= rotted;
        self.damage.rotted |= rotted;
    }

    fn begin_stop(&mut self, node: u8) {
        self.nodes[usize::from(node)].stops += 1;
        self.stop(node);
    }

    fn end_stop(&mut self, node: u8) {
        let place = &mut self.nodes[usize::from(node)];
        place.stops = place.stops.saturating_sub(1);
        self.restart(node);
    }

    /// Takes a copy at once, or once the node has stopped, for which it has the length of the fault.
    fn begin_copy(&mut self, node: u8, stopped: bool) {
        if stopped {
            self.begin_stop(node);
        } else {
            self.nodes[usize::from(node)].copy();
        }
    }

    fn cuts(&self, what: What) -> Vec<(u8, u8)> {
        let setting = &self.plan.setting;
        let nodes = 0..setting.slots();
        let pairs = nodes.clone().flat_map(|a| nodes.clone().map(move |b| (a, b)));
        let apart = |(a, b): &(u8, u8)| match what {
            What::Cut(from, to) => (*a, *b) == (from, to),
            What::Isolate(node) => *a != *b && (*a == node || *b == node),
            What::Split(set) => (set >> a & 1) != (set >> b & 1),
            What::ZoneApart(zone) => (setting.zone(*a) == zone) != (setting.zone(*b) == zone),
            _ => false,
        };
        pairs.filter(apart).collect()
    }

    fn nodes_of(&self, zone: u8) -> Vec<u8> {
        let setting = &self.plan.setting;
        (0..setting.slots()).filter(|node| setting.zone(*node) == zone).collect()
    }

    fn cut(&mut self, from: u8, to: u8) {
        self.network.block(self.now_us, from, to);
        self.after(IDLE_LIMIT_US + 1_000, Event::Silence { from, to });
    }

    /// Whether a start will recognise the copy of the node's directory as old, whichever node answers it: each of the
    /// others has another life on its disk. A copy of a running node's directory can't be told from the one that the
    /// same life leaves, or from a later one of which no node has heard (decision 29).
    fn has_old_copy(&self, node: u8) -> bool {
        let place = &self.nodes[usize::from(node)];
        let mut others = self
            .nodes
            .iter()
            .filter(|other| other.identity != place.identity && other.begun && other.can_return());
        others.all(|other| place.has_copy_that_is_old_to(other))
    }

    /// Ends a node's process or its machine, and notes if that may destroy copies without the node's knowledge.
    fn end_at(&mut self, node: u8, destroys: bool, machine: bool) {
        self.end(node, destroys, machine);
        if destroys {
            self.damage.unnoticed = self.history.writes_begun();
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

    /// Ends the connections of a node that is down; its peers learn of it within a time.
    pub(crate) fn hang_up(&mut self, node: u8, within_us: u64) {
        let missed_us = self.chances.faults.below(within_us);
        self.nodes[usize::from(node)].missed_us = self.now_us + missed_us;
        for peer in (0..self.plan.setting.slots()).filter(|peer| *peer != node) {
            let epoch = self.network.disconnect(node, peer);
            self.after(missed_us, Event::Lost { node: peer, peer: node, epoch });
        }
    }

    /// Ends all faults: every way is free, every disk in order, every node up.
    pub(crate) fn cease(&mut self) {
        self.network.heal();
        for node in 0..self.plan.setting.slots() {
            let place = &mut self.nodes[usize::from(node)];
            place.disk.condition = crate::disk::Condition::default();
            place.stops = 0;
            if std::mem::take(&mut place.pauses) > 0 {
                self.resume(node);
            }
            self.reopen(node);
            self.restart(node);
            self.drain_node(node, false);
            self.hold_up(node, None, false);
        }
    }

    /// Drains a running node, or takes it back, as an admin would. A node that stands still is not reached; a start
    /// undoes the drain.
    fn drain_node(&mut self, node: u8, drained: bool) {
        let place = &mut self.nodes[usize::from(node)];
        let now = place.clock.now(self.now_us);
        let reached =
            place.running.as_mut().filter(|running| place.pauses == 0 && !running.stopping);
        if let Some(running) = reached {
            running.membership.handle_drain(now, drained);
            self.carry_out(node);
            self.end_turn(node);
        }
    }

    /// Has a node vote, as an admin may, although it must still be compared with others. Requests to it may miss the
    /// data that it has lost, which the others bring back.
    fn believe(&mut self, node: u8) {
        let place = &self.nodes[usize::from(node)];
        let reached = place.running.as_ref().filter(|running| place.pauses == 0 && running.serves);
        if reached.is_some_and(|running| running.replica.refilling() > 0) {
            self.damage.unnoticed = self.history.writes_begun();
            self.feed(node, Input::Believe);
            self.end_turn(node);
        }
    }

    /// Pauses background work on a node, or resumes it, as an admin would; a start undoes it.
    fn hold_up(&mut self, node: u8, work: Option<WorkKind>, paused: bool) {
        if self.nodes[usize::from(node)].pauses == 0 {
            let change =
                BackgroundChange { work, paused: Some(paused), ..BackgroundChange::default() };
            self.feed(node, Input::SetBackground(change));
            self.end_turn(node);
        }
    }
}
