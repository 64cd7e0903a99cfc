//! This node's word on itself: its readiness, its load, its departure.
//!
//! Invariant: the node's record is changed here alone, and each change makes it newer than what was spread before.

use alloc::vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::gossip::{Delta, Gossip, Load, MemberRecord, Ready, Status};
use jedlik_protocol::{LayoutId, Now};

use crate::Membership;
use crate::knowledge::{Knowledge, age};
use crate::machine::NodePhase;

/// Most members that a stopping node tells so itself; gossip tells the others.
const DEPARTURES: usize = 32;

impl Membership {
    /// Learns that this node holds, of these partitions, all that older owners do. Others hear of it within 50 ms,
    /// once the layout is on this node's disk. It counts only for the newest layout.
    pub fn handle_ready(&mut self, now: Now, layout: LayoutId, partitions: &[Partition]) {
        if layout == self.known.history().newest_id() && self.phase == NodePhase::In {
            let told = Some(&self.config.me.ready).filter(|ready| ready.layout == layout);
            self.own.note_ready(now.mono_us, partitions, told.unwrap_or(&Ready::default()));
        }
    }

    /// Learns that `node` or this one knows less than the other. The two compare what they know at once, at most
    /// every 20 ms, and less and less often while the node has nothing new to tell.
    pub fn handle_behind(&mut self, now: Now, node: NodeId) {
        let is_member = node != self.config.me.node && self.known.members().contains_key(&node);
        let may = is_member && self.phase == NodePhase::In;
        if may && self.own.take_behind(now.mono_us, node) {
            let offer = self.offer(now);
            self.send(node, offer);
        }
        self.settle();
    }

    /// Learns how much this node holds. Others hear of a change, at most every 10 s, but at once that a refill begins
    /// or ends, or that shards were set aside.
    pub fn handle_load(&mut self, now: Now, load: Load) {
        if self.phase == NodePhase::In {
            self.own.note_load(now.mono_us, load, &self.config.me);
        }
    }

    /// Learns that all that this life has stored is on disk, with this tick in the data directory. Others hear of it
    /// within ten seconds, or a third of the life of a message, or with a departure notice.
    pub fn handle_tick(&mut self, now: Now, tick: u32) {
        if self.phase == NodePhase::In && tick > self.config.me.life.tick {
            self.own.note_tick(now.mono_us, tick);
        }
    }

    /// Tells others that this node is away although it runs, so that they ask it for nothing, or that it is back. It
    /// goes on with gossip and answers probes.
    pub fn handle_drain(&mut self, now: Now, drained: bool) {
        let status = if drained { Status::Away } else { Status::Up };
        if self.phase == NodePhase::In && self.config.me.status != status {
            self.rewrite(|me| me.status = status);
            self.say_goodbye();
            self.spread(now);
        }
        self.settle();
    }

    /// Stops cleanly: peers are told, and nothing more is sent on this node's own account.
    pub fn handle_leaving(&mut self, now: Now) {
        if self.phase != NodePhase::Fenced {
            let life_us = self.message_life_us();
            if let Some(tick) = self.own.take_tick(now.mono_us, life_us) {
                self.rewrite(|me| me.life.tick = tick);
            }
            // A node that has left is not merely away.
            if self.config.me.status != Status::Left {
                self.rewrite(|me| me.status = Status::Away);
            }
            self.phase = NodePhase::Stopping;
            self.say_goodbye();
        }
        self.settle();
    }

    /// Sends this node's record to some members at once; gossip tells the others.
    pub(crate) fn say_goodbye(&mut self) {
        let departure = Delta { members: vec![self.config.me.clone()], ..Delta::default() };
        self.send_to_some(DEPARTURES, None, &Gossip::Close(departure));
    }

    /// Writes into this node's record what was noted for it and is due.
    pub(crate) fn tell_of_itself(&mut self, now: Now) {
        if self.has_stored_layout()
            && let Some(ready) = self.own.take_ready(now.mono_us)
        {
            self.rewrite(|me| {
                me.ready.partitions.union(&ready);
            });
            self.flip(ready.iter());
            self.spread(now);
        }
        let life_us = self.message_life_us();
        let (load, tick) = self.own.take_figures(now.mono_us, life_us);
        if load.is_some() || tick.is_some() {
            self.rewrite(|me| {
                me.load = load.unwrap_or(me.load);
                me.life.tick = tick.unwrap_or(me.life.tick);
            });
        }
    }

    fn message_life_us(&self) -> u64 {
        u64::from(self.config.me.message_life_ms) * 1000
    }

    /// Changes this node's own record and makes it newer; nobody else changes it.
    pub(crate) fn rewrite(&mut self, change: impl FnOnce(&mut MemberRecord)) {
        let me = &mut self.config.me;
        change(me);
        me.version += 1;
        self.known.merge_member(me.clone());
        self.touch();
    }
}

/// Makes the record of a node that starts newer than the one it is remembered by. It is still ready for what its
/// disk remembers.
pub(crate) fn own_record(me: &mut MemberRecord, known: &Knowledge) {
    me.status = Status::Up;
    me.layout = known.history().newest_id();
    me.ready = Ready { layout: me.layout, ..Ready::default() };
    let Some(former) = known.members().get(&me.node) else { return };
    if former.ready.layout == me.layout {
        me.ready.partitions = former.ready.partitions.clone();
    }
    me.load = former.load;
    // A start may not have been counted, so the record must be newer than what was spread before it.
    if age(former) >= age(me) {
        (me.generation, me.version) = (former.generation, former.version + 1);
    }
}
