//! Treatment of a peer's messages.
//!
//! Invariant: from a node that has no place in the cluster any more nothing is taken but its own word that it has
//! left; it is told that it is gone. From an unknown node nothing is taken but who it is.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::gossip::{Delta, Gossip, Life, MemberRecord, Status};
use jedlik_protocol::{Digest, LayoutId, Now};

use crate::Membership;
use crate::acceptable::check_relayed;
use crate::knowledge::{Knowledge, KnowledgeChange, age};
use crate::layout_history::ActiveLayout;
use crate::lives::rivals::is_of_another;
use crate::machine::NodePhase;
use crate::output::{Destination, Event, Output};

impl Membership {
    /// Takes a message from the node whose certificate the connection showed.
    pub fn handle_gossip(&mut self, now: Now, from: NodeId, gossip: Gossip) {
        if self.phase == NodePhase::Fenced {
            return;
        }
        let is_gone = |known: &Knowledge| known.is_removed(from) || known.has_left(from);
        let is_fence = matches!(gossip, Gossip::Fenced(..));
        // An answer that asked for another would have two nodes ask one another for ever.
        let is_answer = is_fence || matches!(gossip, Gossip::Close(_) | Gossip::Recalled { .. });
        let was_gone = is_gone(&self.known);
        if !was_gone && (self.is_known(from) || self.introduces(from, &gossip)) {
            self.note_heard(from, &gossip);
            self.take(now, from, gossip);
            if !is_answer {
                self.detector.stirred(now.mono_us, from);
            }
        } else if was_gone {
            self.take_departure(now, from, &gossip);
        }
        // The node may have said just now that it has left, and wait to hear that another one knows. Each of two
        // nodes may take the other for the removed one, until one that stays tells them which layout counts.
        if is_gone(&self.known) && !(was_gone && is_answer) {
            self.tell_that_it_is_fenced(from);
        }
        self.settle();
    }

    /// Whether the node has told who it is, or has a place in an active layout.
    fn is_known(&self, node: NodeId) -> bool {
        let placed = |known: &ActiveLayout| known.layout().ring.node(node).is_some();
        self.known.members().contains_key(&node)
            || self.known.history().layouts().iter().any(placed)
    }

    /// Whether an unknown node says who it is, asks what is remembered of it, or tells a node that knows no layout
    /// yet what it remembers of it, and nothing else: all that joining needs.
    fn introduces(&self, from: NodeId, gossip: &Gossip) -> bool {
        match gossip {
            Gossip::Offer(record, _, _) | Gossip::Recall(record) => record.node == from,
            Gossip::Recalled { .. } => self.known.newest().is_none(),
            Gossip::Close(Delta { members, buckets, access, layouts, flips, staging }) => {
                matches!(&members[..], [record] if record.node == from)
                    && buckets.is_empty()
                    && access.is_empty()
                    && layouts.is_empty()
                    && flips.is_empty()
                    && staging.is_none()
            }
            _ => false,
        }
    }

    fn take(&mut self, now: Now, from: NodeId, gossip: Gossip) {
        match gossip {
            Gossip::Offer(record, digest, wall_ms) => {
                let differs = self.clocks.hear(now, from, wall_ms);
                self.take_offer(now, from, &record, digest);
                self.read_clock(now, from, differs);
            }
            Gossip::Same => self.detector.answered(now.mono_us, from),
            Gossip::Differ(summary) => {
                self.detector.answered(now.mono_us, from);
                let delta = self.known.lacking(&summary);
                self.send(from, Gossip::Exchange(delta, self.known.summary()));
            }
            Gossip::Exchange(delta, summary) => {
                self.merge(now, from, delta);
                self.detector.answered(now.mono_us, from);
                self.send(from, Gossip::Close(self.known.lacking(&summary)));
            }
            Gossip::Close(delta) => self.merge(now, from, delta),
            Gossip::Probe { nonce } => {
                self.send(from, Gossip::Alive { nonce, wall_ms: now.wall_ms });
            }
            Gossip::Alive { nonce, wall_ms } => {
                let differs = self.clocks.answered(now, from, nonce, wall_ms);
                self.read_clock(now, from, differs);
                if let Some((asker, nonce)) = self.relays.answered(from, nonce) {
                    self.send(asker, Gossip::Alive { nonce, wall_ms: now.wall_ms });
                }
                self.detector.answered(now.mono_us, from);
                self.detector.vouched(now.mono_us, nonce);
            }
            Gossip::ProbeFor { target, nonce } => {
                let own = self.chance.nonce();
                self.relays.remember(target, own, from, nonce);
                self.send(target, Gossip::Probe { nonce: own });
                self.detector.doubted(now.mono_us, target);
            }
            Gossip::Fenced(layout, left) => self.take_fence(now, from, *layout, left.as_deref()),
            Gossip::Recall(record) => self.take_recall(now, from, &record),
            Gossip::Recalled { asked, record, layout, wall_ms, superseded_ms } => {
                if from != self.config.me.node && self.is_known(from) {
                    let differs = self.clocks.hear(now, from, wall_ms);
                    self.read_clock(now, from, differs);
                }
                let (record, layout) = ((asked, record.as_deref()), (layout, superseded_ms));
                self.take_recalled(now, from, record, layout);
            }
        }
    }

    /// Asks a member for its calendar clock, if what it has told `differs` from what is known.
    fn read_clock(&mut self, now: Now, node: NodeId, differs: bool) {
        if differs && self.known.members().contains_key(&node) {
            let nonce = self.clocks.ask(now, node, self.chance.nonce());
            self.send(node, Gossip::Probe { nonce });
        }
    }

    fn take_offer(&mut self, now: Now, from: NodeId, record: &MemberRecord, digest: Digest) {
        let is_strange = !self.detector.is_up(from);
        if record.node == from {
            self.merge(now, from, Delta { members: vec![record.clone()], ..Delta::default() });
            self.tell_of_its_rival(record);
        }
        if self.digest() == digest {
            self.send(from, Gossip::Same);
            return;
        }
        // The sender may have turned to a seed and not know which node that is.
        if is_strange {
            let members = vec![self.config.me.clone()];
            self.send(from, Gossip::Close(Delta { members, ..Delta::default() }));
        }
        self.send(from, Gossip::Differ(self.known.summary()));
    }

    /// Tells a process, which says `own` of itself, that the record remembered of its node is that of another process.
    /// All messages to the node go to that one's address, so that this process would never hear of it, and would take
    /// all others to be dead.
    fn tell_of_its_rival(&mut self, own: &MemberRecord) {
        let from = own.node;
        let held = self.known.members().get(&from);
        let other = held.filter(|held| from != self.config.me.node && is_of_another(held, own));
        if let Some(other) = other {
            // The process may have lost its disk and know nobody: of an unknown node it takes only who that is.
            for record in [self.config.me.clone(), other.clone()] {
                let delta = Delta { members: vec![record], ..Delta::default() };
                self.send_to(Destination::Caller(from), Gossip::Close(delta));
            }
        }
    }

    /// Takes over what a peer sent, as far as it is newer and acceptable.
    pub(crate) fn merge(&mut self, now: Now, from: NodeId, mut delta: Delta) {
        let me = self.config.me.node;
        delta.members.retain(|record| {
            let relayed = if record.node == from { Ok(()) } else { check_relayed(record) };
            let Err(fault) = relayed else { return true };
            self.outputs.push_back(Output::Event(Event::Refused { from, fault }));
            false
        });
        let mine = delta.members.iter().filter(|record| record.node == me);
        if let Some(newest) = mine.max_by_key(|record| age(record)).cloned() {
            self.recollect(now, &newest);
            delta.members.retain(|record| record.node != me);
        }
        let life = |known: &Knowledge, node| known.members().get(&node).map(|held| held.life);
        let told = delta.members.iter().map(|record| record.node);
        let before: Vec<_> =
            told.filter_map(|node| Some((node, life(&self.known, node)?))).collect();
        let changes = self.known.merge(delta);
        for (node, Life { incarnation, rival, .. }) in before {
            // Once two are known of, each is newer in turn: that says nothing of when the first was replaced.
            let is_another = |life: Life| life.incarnation != incarnation;
            if rival.is_none() && life(&self.known, node).is_some_and(is_another) {
                self.lives.superseded.note(now.mono_us, node, incarnation);
            }
        }
        if !changes.is_empty() {
            self.own.forget_behind(from);
        }
        for change in changes {
            self.changed(now, from, change);
        }
    }

    /// Follows up on one change of what is known.
    pub(crate) fn changed(&mut self, now: Now, from: NodeId, change: KnowledgeChange) {
        match change {
            KnowledgeChange::Refused(fault) => {
                self.outputs.push_back(Output::Event(Event::Refused { from, fault }));
                return;
            }
            KnowledgeChange::Updated { matters: false, .. } => return self.touch_lightly(),
            _ => self.touch(),
        }
        match change {
            KnowledgeChange::Joined(node) => {
                let members = Arc::clone(self.known.members());
                self.meet(now, &members[&node]);
                self.spread(now);
                if members[&node].status == Status::Left {
                    self.saving.note_departure();
                } else {
                    self.outputs.push_back(Output::Event(Event::Joined(node)));
                }
                self.flip_what_is_ready(&members[&node]);
            }
            KnowledgeChange::Updated { node, .. } => {
                let members = Arc::clone(self.known.members());
                if members[&node].status == Status::Up {
                    self.detector.returned(now.mono_us, node);
                } else {
                    self.detector.left(node);
                    if self.known.has_left(node) {
                        self.clocks.forget(node);
                    }
                }
                if members[&node].status == Status::Left {
                    self.saving.note_departure();
                }
                self.flip_what_is_ready(&members[&node]);
            }
            KnowledgeChange::Dropped(node) => {
                self.detector.forget(node);
                self.clocks.forget(node);
            }
            KnowledgeChange::Bucket { name, version } => {
                self.spread(now);
                self.outputs.push_back(Output::Event(Event::Bucket { name, version }));
                self.flip_all();
            }
            KnowledgeChange::Access { subject, version } => {
                self.spread(now);
                self.outputs.push_back(Output::Event(Event::Access { subject, version }));
            }
            KnowledgeChange::Layout { rival } => self.place(now, rival),
            KnowledgeChange::Staged => self.spread(now),
            KnowledgeChange::Layouts | KnowledgeChange::Refused(_) => {}
        }
    }

    /// Follows up on another layout that is in force now.
    fn place(&mut self, now: Now, rival: Option<LayoutId>) {
        let id = self.known.history().newest_id();
        self.note_layout();
        self.outputs.push_back(Output::Event(Event::Layout { id, rival }));
        self.spread(now);
        self.own.forget_ready();
        if self.known.is_removed(self.config.me.node) {
            self.fence(id, true);
            return;
        }
        let newest = self.known.newest().map(ActiveLayout::layout);
        let stays = newest.is_some_and(|newest| newest.departed(self.config.me.node).is_none());
        // The node was about to leave, and an admin has taken that back.
        if stays && self.phase == NodePhase::Departing {
            self.stay();
        }
        // This node's record names the layout once that is on disk.
        self.flip_all();
    }

    fn flip_what_is_ready(&mut self, record: &MemberRecord) {
        if record.ready.layout == self.known.history().newest_id() {
            self.flip(record.ready.partitions.iter());
        }
    }

    /// Flips all partitions that may be flipped.
    pub(crate) fn flip_all(&mut self) {
        let newest = self.known.newest().map(ActiveLayout::layout);
        let Some(partitions) = newest.map(|layout| layout.ring.partitions()) else { return };
        self.flip(partitions.partitions());
    }

    /// Flips those partitions whose next owners are all ready.
    pub(crate) fn flip(&mut self, candidates: impl Iterator<Item = Partition>) {
        let (detector, me) = (&self.detector, self.config.me.node);
        let counts =
            |node: NodeId| !planted::on(Bug::FlipByOwnView) || node == me || detector.is_up(node);
        if self.known.flip(candidates, counts) {
            self.touch();
        }
    }
}
