//! The membership machine: gossip, failure detector and view in one.
//!
//! Invariant: what an output relies on is in a [`Output::Persist`] before it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord, Status};
use jedlik_protocol::{ClusterId, Now};

use crate::chance::Chance;
use crate::detector::{Detector, Signal};
use crate::knowledge::{Change, Knowledge, age};
use crate::output::{Destination, Event, Output};
use crate::relay::Relays;
use crate::rounds::{NEWS_FANOUT, Rounds};
use crate::view::View;

/// How many others are asked to probe a member that does not answer.
const HELPERS: usize = 3;
/// How many members a node that stops tells so itself; gossip tells the others.
const FAREWELLS: usize = 32;

/// What a node starts with.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node as it describes itself; its generation counts the starts, its weight is at least 1,
    /// its name and zone have at most 256 bytes.
    pub me: MemberRecord,
    /// Which cluster.
    pub cluster: ClusterId,
    /// Where members listen that a node without acquaintances turns to.
    pub seeds: Vec<SocketAddr>,
    /// Q of the first layout.
    pub partitions: PartitionCount,
    /// How many replicas the first layout is planned for.
    pub n: u8,
    /// Makes nonces and choices; to be drawn anew at each start.
    pub random_seed: [u8; 32],
}

/// One node's membership. After each `handle_*` the driver takes outputs until there are none, and
/// carries them out in order, before it uses what the call returned.
#[derive(Debug)]
pub struct Membership {
    pub(crate) config: Config,
    pub(crate) known: Knowledge,
    pub(crate) detector: Detector,
    relays: Relays,
    rounds: Rounds,
    chance: Chance,
    view: Arc<View>,
    /// Knowledge changed since it was last persisted.
    unstored: bool,
    /// Who is up, or something else of the view, changed.
    unseen: bool,
    /// The next round has something to tell that few know.
    news: bool,
    left: bool,
    /// Held back until what they rely on is persisted.
    sends: Vec<Output>,
    outputs: VecDeque<Output>,
}

impl Membership {
    /// Starts with what was persisted last, if anything was.
    #[must_use]
    pub fn new(now: Now, mut config: Config, stored: Option<Delta>) -> Self {
        let mut known = Knowledge::restored(stored.unwrap_or_default());
        let me = &mut config.me;
        me.status = Status::Up;
        me.layout = known.layout().map_or(0, |layout| layout.version);
        // A start may not have been counted; what was spread before it must be outdone.
        if let Some(former) = known.members().get(&me.node).filter(|held| age(held) >= age(me)) {
            (me.generation, me.version) = (former.generation, former.version + 1);
        }
        known.merge_member(me.clone());
        let node = me.node;
        let mut detector = Detector::default();
        for record in known.members().values().filter(|record| record.node != node) {
            detector.joined(now.mono_us, record.node, record.status == Status::Away);
        }
        let view = View::of(node, config.cluster, config.partitions, &known, detector.up());
        let mut membership = Self {
            chance: Chance::new(config.random_seed),
            config,
            known,
            detector,
            relays: Relays::default(),
            rounds: Rounds::new(now.mono_us),
            view: Arc::new(view),
            unstored: true,
            unseen: true,
            news: false,
            left: false,
            sends: Vec::new(),
            outputs: VecDeque::new(),
        };
        membership.settle();
        membership
    }

    /// Takes a message from the node whose certificate the connection showed.
    pub fn handle_gossip(&mut self, now: Now, from: NodeId, gossip: Gossip) {
        match gossip {
            Gossip::Offer(record, summary) => {
                if record.node == from {
                    self.merge(now, from, Delta { members: vec![*record], ..Delta::default() });
                }
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
            }
        }
        self.detector.stirred(now.mono_us, from);
        self.settle();
    }

    /// Learns that a request to `node` was answered, or timed out, or that its connection broke.
    pub fn handle_outcome(&mut self, now: Now, node: NodeId, answered: bool) {
        if answered {
            self.detector.answered(now.mono_us, node);
        } else {
            self.detector.failed(now.mono_us, node);
        }
        self.settle();
    }

    /// Stops cleanly: peers are told, and nothing more is sent on this node's own account.
    pub fn handle_leaving(&mut self, _now: Now) {
        self.left = true;
        self.rewrite(|me| me.status = Status::Away);
        let farewell = Delta { members: vec![self.config.me.clone()], ..Delta::default() };
        self.send_to_some(FAREWELLS, None, &Gossip::Close(farewell));
        self.settle();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.left {
            return;
        }
        self.detector.handle_timeout(now.mono_us, &mut self.chance);
        if let Some(ask_a_seed) = self.rounds.take(now.mono_us, &mut self.chance) {
            let count = if core::mem::take(&mut self.news) { NEWS_FANOUT } else { 1 };
            let alone = self.offer_to_some(now, count) == 0;
            if ask_a_seed || alone {
                self.offer_to_a_seed();
            }
        }
        self.settle();
    }

    /// When [`Self::handle_timeout`] is to be called next, on the monotonic clock in microseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.left {
            return None;
        }
        self.detector.due_us().into_iter().chain([self.rounds.due_us()]).min()
    }

    /// The next effect to carry out.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The cluster as it is seen now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// Takes over what a peer sent.
    fn merge(&mut self, now: Now, from: NodeId, mut delta: Delta) {
        let me = self.config.me.node;
        let mine = delta.members.iter().filter(|record| record.node == me);
        if let Some(newest) = mine.max_by_key(|record| age(record)).cloned() {
            self.outdo(&newest);
            delta.members.retain(|record| record.node != me);
        }
        for change in self.known.merge(delta) {
            self.changed(now, from, change);
        }
    }

    /// Writes this node's record anew if the cluster holds one that it did not write.
    fn outdo(&mut self, found: &MemberRecord) {
        let contested = age(found) > age(&self.config.me)
            || age(found) == age(&self.config.me) && *found != self.config.me;
        if contested {
            self.config.me.generation = found.generation;
            self.config.me.version = found.version;
            self.rewrite(|_| {});
            self.outputs.push_back(Output::Event(Event::Contested { address: found.address }));
        }
    }

    /// Follows up on one thing that became known.
    pub(crate) fn changed(&mut self, now: Now, from: NodeId, change: Change) {
        if let Change::Refused(fault) = change {
            self.outputs.push_back(Output::Event(Event::Refused { from, fault }));
            return;
        }
        self.unstored = true;
        self.unseen = true;
        match change {
            Change::Joined(node) => {
                let away = self.known.members()[&node].status == Status::Away;
                self.detector.joined(now.mono_us, node, away);
                self.spread(now);
                self.outputs.push_back(Output::Event(Event::Joined(node)));
            }
            Change::Updated(node) => {
                let away = self.known.members()[&node].status == Status::Away;
                if away {
                    self.detector.left(node);
                } else {
                    self.detector.returned(now.mono_us, node);
                }
            }
            Change::Bucket { name, version } => {
                self.spread(now);
                self.outputs.push_back(Output::Event(Event::Bucket { name, version }));
            }
            Change::Layout { replaced } => {
                self.spread(now);
                if let Some(layout) = self.known.layout() {
                    let (version, digest) = (layout.version, layout.digest());
                    let event = Event::Layout { version, digest, replaced };
                    self.outputs.push_back(Output::Event(event));
                    self.rewrite(|me| me.layout = version);
                }
            }
            Change::Refused(_) => {}
        }
    }

    /// Has the next round come soon, and go to several.
    fn spread(&mut self, now: Now) {
        self.news = true;
        self.rounds.hurry(now.mono_us);
    }

    /// Changes this node's own record; nobody else does.
    fn rewrite(&mut self, change: impl FnOnce(&mut MemberRecord)) {
        let me = &mut self.config.me;
        change(me);
        me.version += 1;
        self.known.merge_member(me.clone());
        self.unstored = true;
        self.unseen = true;
    }

    /// Turns what a call has changed into outputs: first what must be stored, then the view, then
    /// what tells others.
    pub(crate) fn settle(&mut self) {
        while let Some(signal) = self.detector.poll_signal() {
            self.follow(signal);
        }
        if core::mem::take(&mut self.unstored) {
            self.outputs.push_back(Output::Persist(self.known.whole()));
        }
        if core::mem::take(&mut self.unseen) {
            self.view = Arc::new(self.view.next(&self.known, self.detector.up()));
            self.outputs.push_back(Output::View(Arc::clone(&self.view)));
        }
        self.outputs.extend(self.sends.drain(..));
    }

    fn follow(&mut self, signal: Signal) {
        match signal {
            Signal::Probe { target, nonce } => self.send(target, Gossip::Probe { nonce }),
            Signal::ProbeThroughOthers { target, nonce } => {
                self.send_to_some(HELPERS, Some(target), &Gossip::ProbeFor { target, nonce });
            }
            Signal::Up(node) => {
                self.unseen = true;
                self.outputs.push_back(Output::Event(Event::Up(node)));
            }
            Signal::Down(node) => {
                self.unseen = true;
                let clean = self.known.members()[&node].status == Status::Away;
                self.outputs.push_back(Output::Event(Event::Down { node, clean }));
            }
        }
    }

    fn offer(&self) -> Gossip {
        Gossip::Offer(Box::new(self.config.me.clone()), self.known.summary())
    }

    /// Opens exchanges with up to `count` members that are up; tells with how many.
    fn offer_to_some(&mut self, now: Now, count: usize) -> usize {
        let offer = self.offer();
        let peers = self.send_to_some(count, None, &offer);
        peers.iter().for_each(|peer| self.detector.expect(now.mono_us, *peer));
        peers.len()
    }

    fn offer_to_a_seed(&mut self) {
        let mine = self.config.me.address;
        let mut seeds: Vec<SocketAddr> =
            self.config.seeds.iter().copied().filter(|seed| *seed != mine).collect();
        if let Some(seed) = self.chance.draw(&mut seeds) {
            self.sends.push(Output::Send { to: Destination::Seed(seed), gossip: self.offer() });
        }
    }

    /// Sends to up to `count` members that are up, drawn by chance, and tells to whom.
    fn send_to_some(&mut self, count: usize, but: Option<NodeId>, gossip: &Gossip) -> Vec<NodeId> {
        let up = self.detector.up();
        let mut candidates: Vec<NodeId> =
            up.into_iter().filter(|node| Some(*node) != but).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count
            && let Some(node) = self.chance.draw(&mut candidates)
        {
            self.send(node, gossip.clone());
            chosen.push(node);
        }
        chosen
    }

    /// Sends to one member; to a node that nobody introduced nothing can be sent.
    fn send(&mut self, node: NodeId, gossip: Gossip) {
        let others = self.known.members().get(&node).filter(|_| node != self.config.me.node);
        if let Some(record) = others {
            let to = Destination::Node(node, record.address);
            self.sends.push(Output::Send { to, gossip });
        }
    }
}
