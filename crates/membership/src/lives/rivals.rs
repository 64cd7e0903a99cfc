//! Records of this node that it did not write: earlier lives, and processes that run beside it.
//!
//! Invariant: two processes of one node that know of one another both coordinate nothing. Two processes of one life (a
//! machine that was copied while it ran) are told apart by their records: only one process writes the record of a life.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;

use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{Life, MemberRecord, Rival};
use jedlik_protocol::{Incarnation, Now};

use super::LifeStage;
use super::superseded::Absence;
use crate::Membership;
use crate::knowledge::age;
use crate::output::{Destination, Event, Output};

/// Whether a record was written by another process of the node than the one that says `own` of itself: in another life,
/// at another address, later, or at the same time with another progress.
pub(crate) fn is_of_another(found: &MemberRecord, own: &MemberRecord) -> bool {
    let says_otherwise = (found.life, found.load) != (own.life, own.load);
    found.life.incarnation != own.life.incarnation
        || found.address != own.address
        || age(found) > age(own)
        || age(found) == age(own) && says_otherwise
}

impl Membership {
    /// Takes a record of this node that others hold.
    pub(crate) fn recollect(&mut self, now: Now, found: &MemberRecord) {
        let me = &self.config.me;
        let mine = me.life.incarnation;
        if !is_of_another(found, me) {
            return;
        }
        let is_of_this_life = found.life.incarnation == mine;
        let is_aware = found.life.rival.is_some_and(|rival| rival.incarnation == mine);
        let is_newer = age(found) > age(me);
        if self.is_ousted_by(found) {
            return self.end_for(Event::Ousted { by: found.address });
        }
        match self.lives.stage {
            LifeStage::Over => {}
            _ if is_aware || is_of_this_life => self.meet_rival(now, found),
            LifeStage::Asking | LifeStage::Probing { .. } => self.lives.note(found, mine),
            LifeStage::Disputed if self.is_from_before_a_decision(found) => {
                self.end_for(Event::Forgotten(Box::new(found.clone())));
            }
            LifeStage::Disputed => self.outdo(found),
            LifeStage::Known if is_newer && self.gives_up(found) => self.give_up(found),
            // It has taken in no data, and those who confirmed its start knew nothing: it counts as starting now.
            LifeStage::Known if is_newer && !self.lives.serves_data && !self.lives.lineage.lost => {
                self.end_for(Event::Forgotten(Box::new(found.clone())));
            }
            // Of all that this directory knows of, only a running process could have outdone this life.
            LifeStage::Known if is_newer && self.lives.lineage.knows(found) => {
                self.meet_rival(now, found);
            }
            LifeStage::Known if is_newer && self.lives.lineage.lost => {
                self.outdo(found);
                let address = found.address;
                self.outputs.push_back(Output::Event(Event::Contested { address }));
                self.ask_whether_it_runs(address);
            }
            LifeStage::Known if is_newer => self.meet_rival(now, found),
            LifeStage::Known => {}
        }
    }

    /// Whether this process was started from a directory that names a rival, and an admin had decided since then: others
    /// remember a later life that has none. A rival that was started again names this directory's life in its record.
    fn is_from_before_a_decision(&self, found: &MemberRecord) -> bool {
        let Life { incarnation, rival, .. } = found.life;
        let named = self.config.me.life.rival.map(|rival| rival.incarnation);
        self.lives.lineage.rival.is_some()
            && rival.is_none()
            && named != Some(incarnation)
            && !self.lives.lineage.knows(found)
    }

    /// Notes that another life of this node runs, or did and can't be accounted for.
    pub(super) fn meet_rival(&mut self, now: Now, found: &MemberRecord) {
        if self.is_ousted_by(found) {
            return self.end_for(Event::Ousted { by: found.address });
        }
        let rival = Rival { incarnation: found.life.incarnation, address: found.address };
        if self.config.me.life.ousts == Some(rival.incarnation) {
            // An admin has decided already; the rival may not have heard.
            return self.outdo(found);
        }
        let is_aware = found
            .life
            .rival
            .is_some_and(|rival| rival.incarnation == self.config.me.life.incarnation);
        if self.lives.stage == LifeStage::Disputed && self.config.me.life.rival == Some(rival) {
            // Once both know, neither needs to outdo the other any more.
            if !is_aware {
                self.outdo(found);
            }
            return;
        }
        if self.lives.is_asking() {
            self.lives.absence = Absence::of_unknown_length();
        }
        if rival.incarnation == self.config.me.life.incarnation {
            let is_behind = found.life.tick > self.config.me.life.tick;
            self.lives.absence.note_one_life(is_behind);
        }
        self.lives.stage = LifeStage::Disputed;
        self.lives.speaks = true;
        if age(found) > age(&self.config.me) {
            let me = &mut self.config.me;
            (me.generation, me.version) = (found.generation, found.version);
        }
        self.rewrite(|me| me.life.rival = Some(rival));
        self.outputs.push_back(Output::Event(Event::Rival(rival)));
        if let Some(outlived) = self.lives.absence.is_long(self.config.me.message_life_ms.into()) {
            self.outputs.push_back(Output::Event(Event::Absent { outlived }));
        }
        self.tell_to_serve();
        self.spread(now);
        self.ask_whether_it_runs(rival.address);
    }

    /// Asks a process of this node that may run at `address`: its answer tells each of the two at once of the other.
    fn ask_whether_it_runs(&mut self, address: SocketAddr) {
        if address != self.config.me.address {
            let question = self.recall();
            self.send_to(Destination::Seed(address), question);
        }
    }

    /// Sends an offer to a member that is down. A process that reaches nobody may have a rival to which all answers
    /// to its probes go, while the answer to an offer goes back to where that came from.
    pub(crate) fn offer_to_one_that_is_down(&mut self, now: Now) {
        let mut others = self.others_known();
        if let Some((node, _)) = self.chance.draw(&mut others) {
            let gossip = self.offer(now);
            self.send(node, gossip);
        }
    }

    /// Decides for this process, as an admin has: it goes on as a new life, which ousts the rival's.
    pub(crate) fn keep(&mut self, address: SocketAddr) -> Result<Rival, Failure> {
        let mine = self.config.me.address;
        let refused = |what: String| Failure::new(ErrorCode::InvalidRequest, what);
        let Some(rival) = self.config.me.life.rival else {
            let what = "nothing is to be decided: no other process is known to run under this node's identity";
            return Err(refused(what.into()));
        };
        if address != mine {
            let what = format!(
                "the process that answers listens at {mine}, not at {address}; ask the one that is to stay"
            );
            return Err(refused(what));
        }
        let absence = &self.lives.absence;
        let alone = self.others_known().is_empty();
        if !absence.is_known() && !alone {
            let what = "no other node has told this process yet for how long it has done without it, and whether deletes \
                        may have been forgotten meanwhile; try again in some seconds, once one can be reached";
            return Err(Failure::new(ErrorCode::NotReady, what));
        }
        let long = absence.is_long(self.config.me.message_life_ms.into());
        // Where there is no other node, none has forgotten anything, and none could refill this one.
        let outlived = !alone && long == Some(true) && !planted::on(Bug::OutlivedKeepsItsData);
        self.end_for(Event::Prevails { outlived });
        Ok(rival)
    }

    /// Takes a node's word on how long it has known of another process in this one's place. The directory has to
    /// remember the decision: of a process that is started again nobody can tell it.
    pub(super) fn hear_of_absence(&mut self, superseded_ms: Option<u64>) {
        let life_ms = self.config.me.message_life_ms.into();
        let before = self.lives.absence.is_long(life_ms);
        self.lives.absence.hear(superseded_ms);
        let outlived = self.lives.absence.is_long(life_ms);
        if let Some(outlived) = outlived.filter(|_| outlived != before) {
            self.outputs.push_back(Output::Event(Event::Absent { outlived }));
        }
    }

    /// Rewrites this node's record with a generation after that of an earlier life. Should a process of that life
    /// still run, nothing that it says without having heard of this one is newer.
    pub(super) fn succeed(&mut self, found: &MemberRecord) {
        let me = &mut self.config.me;
        if found.generation >= me.generation {
            (me.generation, me.version) = (found.generation + 1, 0);
            self.rewrite(|_| {});
        }
    }

    /// Rewrites this node's record to be newer than one that it did not write. One that is as old is of the same life.
    pub(super) fn outdo(&mut self, found: &MemberRecord) {
        let me = &mut self.config.me;
        if age(found) >= age(me) {
            (me.generation, me.version) = (found.generation, found.version);
            self.rewrite(|_| {});
        }
    }

    /// Whether an admin has decided for the life that wrote this record, against this directory's. A decision that
    /// was for this directory as well does not count: the directory is a copy of the one that stayed. Nor does one
    /// for a process at this node's own address where the past is lost: that was an earlier life of it, on the disk
    /// that is gone.
    pub(super) fn is_ousted_by(&self, found: &MemberRecord) -> bool {
        let lineage = &self.lives.lineage;
        let is_against = |ousted: Incarnation| {
            lineage.lives.contains(&ousted) && !lineage.ousts.contains(&ousted)
        };
        let was_here = lineage.lost && found.address == self.config.me.address;
        !was_here
            && !lineage.lives.contains(&found.life.incarnation)
            && found.life.ousts.is_some_and(is_against)
    }

    pub(super) fn end_for(&mut self, event: Event) {
        if self.lives.stage != LifeStage::Over {
            self.lives.stage = LifeStage::Over;
            self.silence();
            self.outputs.push_back(Output::Event(event));
        }
    }
}
