//! What this node does with a message of a peer.
//!
//! Invariant: of a node that has no place in the cluster any more nothing is taken in; it is told so.

use alloc::sync::Arc;
use alloc::vec;
use core::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord, Ready, Status};
use jedlik_protocol::{Digest, LayoutId, Now};
use jedlik_vclock::planted::{self, Bug};

use crate::Membership;
use crate::knowledge::{Change, Knowledge, age};
use crate::line::KnownLayout;
use crate::machine::Standing;
use crate::output::{Event, Output};

impl Membership {
    /// Takes a message from the node whose certificate the connection showed.
    pub fn handle_gossip(&mut self, now: Now, from: NodeId, gossip: Gossip) {
        if self.standing == Standing::Fenced {
            return;
        }
        let is_gone = |known: &Knowledge| known.is_removed(from) || known.has_left(from);
        let (offered, is_fence) = match &gossip {
            Gossip::Offer(record, _) if record.node == from => (Some(record.address), false),
            gossip => (None, matches!(gossip, Gossip::Fenced { .. })),
        };
        let was_gone = is_gone(&self.known);
        if !was_gone {
            self.take(now, from, gossip);
            self.detector.stirred(now.mono_us, from);
        }
        // It may have said just now that it has left, and waits to hear that somebody knows.
        if is_gone(&self.known) && !(was_gone && is_fence) {
            self.tell_that_it_is_fenced(from, offered);
        }
        self.settle();
    }

    fn take(&mut self, now: Now, from: NodeId, gossip: Gossip) {
        match gossip {
            Gossip::Offer(record, digest) => self.take_offer(now, from, *record, digest),
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
            Gossip::Probe { nonce } => self.send(from, Gossip::Alive { nonce }),
            Gossip::Alive { nonce } => {
                if let Some((asker, nonce)) = self.relays.answered(from, nonce) {
                    self.send(asker, Gossip::Alive { nonce });
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
            Gossip::Fenced { layout, forced } => self.take_fence(from, layout, forced),
        }
    }

    fn take_offer(&mut self, now: Now, from: NodeId, record: MemberRecord, digest: Digest) {
        let is_strange = !self.detector.is_up(from);
        if record.node == from {
            self.merge(now, from, Delta { members: vec![record], ..Delta::default() });
        }
        if self.digest() == digest {
            self.send(from, Gossip::Same);
            return;
        }
        // It may have turned to a seed and not know whom it is talking to.
        if is_strange {
            let members = vec![self.config.me.clone()];
            self.send(from, Gossip::Close(Delta { members, ..Delta::default() }));
        }
        self.send(from, Gossip::Differ(self.known.summary()));
    }

    /// Answers a node that is gone, if it can be reached.
    fn tell_that_it_is_fenced(&mut self, from: NodeId, offered: Option<SocketAddr>) {
        let held = || self.known.members().get(&from).map(|record| record.address);
        let address = offered.or_else(held);
        let forced = self.known.is_removed(from);
        let layout = self.known.line().newest_id();
        if let Some(address) = address {
            self.send_to_address(address, Gossip::Fenced { layout, forced });
        }
    }

    /// A peer says that this node is gone. One that has an older layout may not know better, and for a node
    /// that has just left it means that its farewell was heard.
    fn take_fence(&mut self, from: NodeId, layout: LayoutId, forced: bool) {
        if self.config.me.status == Status::Left {
            return self.end_farewell(from);
        }
        let newest = self.known.newest();
        let is_in =
            newest.is_some_and(|newest| newest.layout().gone(self.config.me.node).is_none());
        let is_older = newest.is_some_and(|newest| layout <= newest.id());
        if !(is_in && is_older) {
            self.fence(layout, forced);
        }
    }

    /// Takes over what a peer sent.
    fn merge(&mut self, now: Now, from: NodeId, mut delta: Delta) {
        let me = self.config.me.node;
        let mine = delta.members.iter().filter(|record| record.node == me);
        if let Some(newest) = mine.max_by_key(|record| age(record)).cloned() {
            self.outdo(now, &newest);
            delta.members.retain(|record| record.node != me);
        }
        for change in self.known.merge(delta) {
            self.changed(now, from, change);
        }
    }

    /// Writes this node's record anew if the cluster holds one that it did not write.
    fn outdo(&mut self, now: Now, found: &MemberRecord) {
        let me = &mut self.config.me;
        if age(found) < age(me) || found == me {
            return;
        }
        let is_foreign = found.incarnation != me.incarnation;
        (me.generation, me.version) = (found.generation, found.version);
        self.rewrite(|_| {});
        if let Some(again) = self.own.take_contest(now.mono_us, is_foreign) {
            let event = Event::Contested { address: found.address, again };
            self.outputs.push_back(Output::Event(event));
        }
    }

    /// Follows up on one thing that became known.
    pub(crate) fn changed(&mut self, now: Now, from: NodeId, change: Change) {
        match change {
            Change::Refused(fault) => {
                self.outputs.push_back(Output::Event(Event::Refused { from, fault }));
                return;
            }
            Change::Updated { matters: false, .. } => return self.touch_lightly(),
            _ => self.touch(),
        }
        match change {
            Change::Joined(node) => {
                let members = Arc::clone(self.known.members());
                self.meet(now, &members[&node]);
                self.spread(now);
                if members[&node].status != Status::Left {
                    self.outputs.push_back(Output::Event(Event::Joined(node)));
                }
                self.flip_what_is_ready(&members[&node]);
            }
            Change::Updated { node, .. } => {
                let members = Arc::clone(self.known.members());
                if members[&node].status == Status::Up {
                    self.detector.returned(now.mono_us, node);
                } else {
                    self.detector.left(node);
                }
                self.flip_what_is_ready(&members[&node]);
            }
            Change::Dropped(node) => self.detector.forget(node),
            Change::Bucket { name, version } => {
                self.spread(now);
                self.outputs.push_back(Output::Event(Event::Bucket { name, version }));
                self.flip_all();
            }
            Change::Layout { rival } => self.place(now, rival),
            Change::Staged => self.spread(now),
            Change::Line | Change::Refused(_) => {}
        }
    }

    /// Another layout is in force.
    fn place(&mut self, now: Now, rival: Option<LayoutId>) {
        let id = self.known.line().newest_id();
        self.outputs.push_back(Output::Event(Event::Layout { id, rival }));
        self.spread(now);
        self.own.forget_ready();
        if self.known.is_removed(self.config.me.node) {
            self.fence(id, true);
            return;
        }
        self.rewrite(|me| {
            me.layout = id;
            me.ready = Ready { layout: id, ..Ready::default() };
        });
        self.flip_all();
    }

    fn flip_what_is_ready(&mut self, record: &MemberRecord) {
        if record.ready.layout == self.known.line().newest_id() {
            self.flip(record.ready.partitions.iter());
        }
    }

    /// Flips whatever may be flipped.
    pub(crate) fn flip_all(&mut self) {
        let newest = self.known.newest().map(KnownLayout::layout);
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
