//! Questions to others about what they remember of this node, before it tells anybody that it is there.
//!
//! Invariant: what an answer says of an earlier life is judged before the node serves.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::gossip::{Gossip, MemberRecord, Status};
use jedlik_protocol::{Incarnation, LayoutId, Now};

use super::rivals::is_of_another;
use super::{
    ASKED_MEMBERS, ASKED_SEEDS, DISPUTED_INTERVAL_US, GRACE_US, LAST_INTERVAL_US, LifeStage,
    NO_LAYOUT_LIMIT_US, PROBE_INTERVAL_US, PROBE_LIMIT_US,
};
use crate::Membership;
use crate::output::{Destination, Event, Output};

impl Membership {
    /// Begins to ask others, if there are any. Call it once, at the start.
    pub(crate) fn begin_life(&mut self, now: Now, stored: Option<&MemberRecord>) {
        if let Some(stored) = stored {
            self.lives.note(stored, self.config.me.life.incarnation);
        }
        match self.lives.stage {
            LifeStage::Disputed => {
                // Others may remember that an admin has decided since: they are heard before they are told anything.
                self.lives.speaks = self.others_to_ask().is_empty();
                self.tell_to_serve();
            }
            _ if self.others_to_ask().is_empty() => self.conclude(now),
            _ => {
                if self.known.newest().is_none() {
                    let limit_us = now.mono_us + NO_LAYOUT_LIMIT_US;
                    self.lives.deadline_us = self.lives.deadline_us.min(limit_us);
                }
                self.look_back(now);
            }
        }
    }

    /// Does what is due at this stage.
    pub(crate) fn look_back(&mut self, now: Now) {
        match self.lives.stage {
            LifeStage::Asking => {
                if self.lives.next_ask_us <= now.mono_us {
                    self.ask_what_is_remembered(now);
                }
                self.weigh_answers(now);
            }
            LifeStage::Probing { until_us, .. } if until_us <= now.mono_us => self.conclude(now),
            LifeStage::Probing { address, .. } => {
                if self.lives.next_ask_us <= now.mono_us {
                    self.lives.next_ask_us = now.mono_us + PROBE_INTERVAL_US;
                    let question = self.recall();
                    self.send_to(Destination::Seed(address), question);
                }
            }
            LifeStage::Disputed => {
                if self.lives.next_ask_us <= now.mono_us {
                    self.ask_what_is_remembered(now);
                    self.lives.next_ask_us = now.mono_us + DISPUTED_INTERVAL_US;
                    self.lives.asked.clear();
                }
                return;
            }
            LifeStage::Known | LifeStage::Over => return,
        }
        if !self.lives.told && self.lives.deadline_us <= now.mono_us {
            self.tell_to_serve();
        }
    }

    /// Answers a node that has just started and asks what is remembered of it.
    pub(crate) fn take_recall(&mut self, now: Now, from: NodeId, record: &MemberRecord) {
        // A question of its own comes back where one of its seeds is itself.
        let is_own = from == self.config.me.node && !is_of_another(record, &self.config.me);
        if record.node != from || is_own {
            return;
        }
        let layout = self.known.history().newest_id();
        let asked = record.life.incarnation;
        let held = if from == self.config.me.node {
            // Another process of this node runs, since it has just asked.
            self.meet_rival(now, record);
            Some(Box::new(self.config.me.clone()))
        } else {
            self.known.members().get(&from).cloned().map(Box::new)
        };
        let superseded_ms = self.lives.superseded.since_ms(now.mono_us, from, asked);
        let wall_ms = now.wall_ms;
        self.send_to(
            Destination::Caller(from),
            Gossip::Recalled { asked, record: held, layout, wall_ms, superseded_ms },
        );
        let asks_back = self.lives.stage == LifeStage::Asking
            && from != self.config.me.node
            && !self.lives.answered.contains(&from)
            && self.lives.asked_back.insert(asked);
        if asks_back {
            // The asker has started as well, and may not have run when it was asked. Once is enough: two nodes that
            // start together would ask one another back for ever.
            let question = self.recall();
            self.send_to(Destination::Seed(record.address), question);
        }
    }

    /// Takes an answer to this node's question.
    pub(crate) fn take_recalled(
        &mut self,
        now: Now,
        from: NodeId,
        (asked, record): (Incarnation, Option<&MemberRecord>),
        (layout, superseded_ms): (LayoutId, Option<u64>),
    ) {
        let me = self.config.me.life.incarnation;
        if asked != me {
            return;
        }
        if from == self.config.me.node {
            if let Some(record) = record.filter(|record| is_of_another(record, &self.config.me)) {
                self.meet_rival(now, record);
            }
            return;
        }
        let record = record.filter(|record| record.node == self.config.me.node);
        if let Some(record) = record {
            self.recollect(now, record);
        }
        if self.lives.stage == LifeStage::Disputed {
            self.lives.speaks = true;
            self.hear_of_absence(superseded_ms);
        }
        if self.lives.stage == LifeStage::Asking {
            self.lives.answered.insert(from);
            self.lives.first_answer_us.get_or_insert(now.mono_us);
            self.lives.vouched |= layout >= self.known.history().newest_id();
            self.weigh_answers(now);
        }
    }

    /// Takes a record by which a peer remembers that this node has left. Returns whether it answers a question of
    /// this life.
    pub(crate) fn weigh_departure(&mut self, now: Now, from: NodeId, left: &MemberRecord) -> bool {
        if !self.lives.is_asking() {
            return false;
        }
        self.lives.note(left, self.config.me.life.incarnation);
        if self.lives.stage == LifeStage::Asking {
            self.lives.answered.insert(from);
            self.lives.first_answer_us.get_or_insert(now.mono_us);
            self.lives.vouched = true;
            self.weigh_answers(now);
        }
        true
    }

    fn ask_what_is_remembered(&mut self, now: Now) {
        let lives = &mut self.lives;
        lives.next_ask_us = now.mono_us + lives.interval_us;
        lives.interval_us = (2 * lives.interval_us).min(LAST_INTERVAL_US);
        let question = self.recall();
        let mine = self.config.me.address;
        let mut members = self.others_known();
        let mut seeds: Vec<SocketAddr> =
            self.config.seeds.iter().copied().filter(|seed| *seed != mine).collect();
        seeds.retain(|seed| !members.iter().any(|(_, address)| address == seed));
        for _ in 0..ASKED_MEMBERS {
            let Some((node, address)) = self.chance.draw(&mut members) else { break };
            self.lives.asked.insert(address);
            self.send(node, question.clone());
        }
        for _ in 0..ASKED_SEEDS {
            let Some(seed) = self.chance.draw(&mut seeds) else { break };
            self.lives.asked.insert(seed);
            self.send_to(Destination::Seed(seed), question.clone());
        }
    }

    /// Decides once every node asked has answered, or one did some time ago.
    fn weigh_answers(&mut self, now: Now) {
        let lives = &mut self.lives;
        let Some(first_us) = lives.first_answer_us else { return };
        let all = lives.answered.len() >= lives.asked.len();
        if !all && now.mono_us < first_us + GRACE_US {
            return;
        }
        if !lives.vouched && !lives.lineage.lost {
            // A node that knows less than this one may have forgotten, too; but from now on it is spoken to.
            lives.speaks = true;
            return;
        }
        let mine = self.config.me.address;
        // A life that said that it stops, and that this directory remembers, need not be looked for.
        let has_stopped = |recalled: &MemberRecord| {
            recalled.status == Status::Away && lives.lineage.knows(recalled)
        };
        let elsewhere = lives.recalled.as_ref().filter(|recalled| !has_stopped(recalled));
        let elsewhere = elsewhere.map(|recalled| recalled.address);
        match elsewhere.filter(|address| *address != mine) {
            Some(address) => {
                let until_us = now.mono_us + PROBE_LIMIT_US;
                lives.stage = LifeStage::Probing { address, until_us };
                lives.next_ask_us = now.mono_us;
                self.look_back(now);
            }
            None => self.conclude(now),
        }
    }

    /// Ends the questions: no other process runs under this identity, as far as can be known.
    fn conclude(&mut self, now: Now) {
        let recalled = self.lives.recalled.take();
        match recalled {
            Some(recalled)
                if !self.lives.lineage.knows(&recalled)
                    && !self.gives_up(&recalled)
                    && !planted::on(Bug::OldDirectoryTrusted) =>
            {
                if self.lives.serves_data {
                    self.meet_rival(now, &recalled);
                } else {
                    self.end_for(Event::Forgotten(Box::new(recalled)));
                }
            }
            recalled => {
                self.lives.stage = LifeStage::Known;
                self.lives.speaks = true;
                match recalled {
                    Some(recalled) if self.gives_up(&recalled) => self.give_up(&recalled),
                    Some(recalled) => self.succeed(&recalled),
                    None => {}
                }
                self.touch();
                if self.part_again() {
                    return;
                }
                // A node that serves already is told now what is known of its past.
                let serves = core::mem::take(&mut self.lives.told);
                if serves || !self.waits_for_layout(now) {
                    self.tell_to_serve();
                }
                self.offer_to_the_seeds_asked(now);
                self.spread(now);
            }
        }
    }

    /// Tells each seed that was asked that this node is there, at once. With one drawn by chance, as later, nodes
    /// that start together would find one another in groups.
    fn offer_to_the_seeds_asked(&mut self, now: Now) {
        let members = self.others_known();
        let asked = core::mem::take(&mut self.lives.asked);
        for seed in asked.iter().filter(|seed| !members.iter().any(|(_, at)| at == *seed)) {
            let offer = self.offer(now);
            self.send_to(Destination::Seed(*seed), offer);
        }
    }

    pub(crate) fn tell_to_serve(&mut self) {
        if !self.lives.told {
            self.lives.told = true;
            let past = self.lives.past();
            self.outputs.push_back(Output::Event(Event::Serves { past }));
        }
        self.lives.serves_data |= self.known.newest().is_some();
    }

    /// Notes that a layout is known: what arrives from here on may be data.
    pub(crate) fn note_layout(&mut self) {
        self.end_wait_for_layout();
        self.lives.serves_data |= self.lives.told;
    }

    pub(super) fn recall(&self) -> Gossip {
        Gossip::Recall(Box::new(self.config.me.clone()))
    }

    pub(super) fn others_known(&self) -> Vec<(NodeId, SocketAddr)> {
        let me = self.config.me.node;
        let members = self.known.members().values();
        let others = members.filter(|record| record.node != me && record.status != Status::Left);
        others.map(|record| (record.node, record.address)).collect()
    }

    fn others_to_ask(&self) -> Vec<SocketAddr> {
        let mine = self.config.me.address;
        let members = self.others_known().into_iter().map(|(_, address)| address);
        members.chain(self.config.seeds.iter().copied()).filter(|at| *at != mine).collect()
    }
}
