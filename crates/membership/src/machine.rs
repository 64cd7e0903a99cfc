//! The membership machine: gossip, failure detector and view in one.
//!
//! Invariant: what may be told only once it is on disk waits for [`Membership::handle_saved`]; see [`crate::saving`].
//! Nothing else waits for a disk.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord, Status};
use jedlik_protocol::{ClusterId, Digest, LayoutId, Now};

use crate::agreed::Clocks;
use crate::announce::own_record;
use crate::chance::Chance;
use crate::detector::{Detector, Signal};
use crate::founding::Founding;
use crate::knowledge::Knowledge;
use crate::layout_history::ActiveLayout;
use crate::lives::{Lineage, Lives};
use crate::output::{Destination, Event, Output};
use crate::own::Own;
use crate::relay::Relays;
use crate::rounds::{NEWS_FANOUT, Rounds};
use crate::saving::Saving;
use crate::summary;
use crate::view::View;

/// Number of others that are asked to probe a member that does not answer.
const HELPERS: usize = 3;
/// Average interval between the first probes of members that became known at once, so that a node that starts in a
/// large cluster floods nobody.
const FIRST_PROBES_US: u64 = 50_000;

/// Configuration and seed with which a node's membership starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Record in which this node describes itself; its generation counts the starts, its weight is at least 1, its
    /// name and zone have at most 256 bytes.
    pub me: MemberRecord,
    /// Identity of the cluster.
    pub cluster: ClusterId,
    /// Addresses of members that a node without acquaintances turns to.
    pub seeds: Vec<SocketAddr>,
    /// Number of partitions (Q) of the first layout.
    pub partitions: PartitionCount,
    /// Number of replicas (N) that the first layout is planned for.
    pub n: u8,
    /// Seed of nonces and choices; to be drawn anew at each start.
    pub random_seed: [u8; 32],
    /// Lives of this node, as its data directory remembers them.
    pub lineage: Lineage,
}

/// Membership of one node. After each `handle_*` the driver takes outputs until there are none, and carries them out
/// in order, before it uses what the call returned.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Membership {
    pub(crate) config: Config,
    pub(crate) known: Knowledge,
    /// Digest of all that is known; `None` if that has changed since.
    digest: Option<Digest>,
    pub(crate) detector: Detector,
    pub(crate) clocks: Clocks,
    pub(crate) relays: Relays,
    rounds: Rounds,
    pub(crate) own: Own,
    pub(crate) lives: Lives,
    pub(crate) founding: Founding,
    pub(crate) saving: Saving,
    pub(crate) chance: Chance,
    view: Arc<View>,
    pub(crate) pending: Pending,
    pub(crate) phase: NodePhase,
    /// Messages to be sent, after what is to be stored and shown.
    sends: Vec<Output>,
    pub(crate) outputs: VecDeque<Output>,
}

/// Changes of a call that [`Membership::settle`] has not turned into outputs yet.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Pending {
    /// Whether knowledge has changed since it was last persisted.
    pub(crate) unstored: bool,
    /// Whether a member's liveness, or anything else in the view, has changed.
    pub(crate) unseen: bool,
    /// Whether the next round has news that few know.
    pub(crate) news: bool,
}

/// Part that this node still takes in gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodePhase {
    /// Full part: the node answers and begins exchanges.
    In,
    /// It says that it has left, as long as too few are known to have heard that.
    Departing,
    /// It has said that it stops: it answers, and begins nothing.
    Stopping,
    /// It has no place any more: it neither answers nor begins anything.
    Fenced,
}

impl NodePhase {
    /// Whether the node still acts of its own accord.
    fn is_active(self) -> bool {
        matches!(self, Self::In | Self::Departing)
    }
}

impl Membership {
    /// Starts with what was persisted last, if anything was.
    #[must_use]
    pub fn new(now: Now, mut config: Config, stored: Option<Delta>) -> Self {
        let mut known = Knowledge::restored(stored.unwrap_or_default());
        let node = config.me.node;
        let has_left = known.has_left(node);
        let former = known.members().get(&node).cloned();
        config.me.life.rival = config.lineage.rival;
        config.me.life.ousts = config.lineage.ousts.last().copied();
        own_record(&mut config.me, &known);
        known.merge_member(config.me.clone());
        let view = View::of(node, config.cluster, config.partitions, &known, Arc::default());
        let lives = Lives::new(now, config.lineage.clone());
        let mut membership = Self {
            chance: Chance::new(config.random_seed),
            config,
            known,
            digest: None,
            detector: Detector::default(),
            clocks: Clocks::default(),
            relays: Relays::default(),
            rounds: Rounds::new(now.mono_us),
            own: Own::new(),
            saving: Saving::default(),
            view: Arc::new(view.with_past(lives.past())),
            lives,
            founding: Founding::default(),
            pending: Pending { unstored: true, unseen: true, news: false },
            phase: NodePhase::In,
            sends: Vec::new(),
            outputs: VecDeque::new(),
        };
        let members = Arc::clone(membership.known.members());
        for record in members.values().filter(|record| record.node != node) {
            membership.meet(now, record);
        }
        membership.flip_all();
        if has_left || membership.known.is_removed(node) {
            membership.fence(membership.known.history().newest_id(), !has_left);
        } else {
            membership.begin_life(now, former.as_ref());
        }
        membership.settle();
        membership
    }

    /// Learns that a request to `node` was answered, or timed out, or that its connection broke.
    pub fn handle_outcome(&mut self, now: Now, node: NodeId, answered: bool) {
        if self.phase == NodePhase::Fenced {
            return;
        }
        if answered {
            self.detector.answered(now.mono_us, node);
        } else {
            self.detector.failed(now.mono_us, node);
        }
        self.settle();
    }

    /// Does what is due at `now`; nothing if it is called early.
    pub fn handle_timeout(&mut self, now: Now) {
        if !self.phase.is_active() {
            return;
        }
        self.detector.handle_timeout(now.mono_us, &mut self.chance);
        self.tell_of_itself(now);
        self.look_back(now);
        self.wait_for_layout(now);
        self.end_belief(now);
        if let Some(ask_a_seed) = self.rounds.take(now.mono_us, &mut self.chance) {
            // A departure notice goes out until enough nodes have it on their disks.
            let news =
                core::mem::take(&mut self.pending.news) || self.phase == NodePhase::Departing;
            self.offer_departure(now);
            let alone = self.offer_to_some(now, if news { NEWS_FANOUT } else { 1 }) == 0;
            if ask_a_seed || alone || self.waits_for_a_seed() {
                self.offer_to_a_seed(now);
            }
            if alone {
                self.offer_to_one_that_is_down(now);
            }
            if self.rounds.take_watch(now.mono_us) {
                self.detector.watch_next(now.mono_us, self.config.me.node, &mut self.chance);
            }
        }
        self.settle();
    }

    /// Returns when [`Self::handle_timeout`] is to be called next, on the monotonic clock in microseconds.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if !self.phase.is_active() {
            return None;
        }
        let own_us = self.own.due_us(self.has_stored_layout());
        let dues = self.detector.due_us().into_iter().chain(own_us);
        let waits = self.lives.due_us().into_iter().chain(self.founding.due_us());
        dues.chain(waits).chain([self.rounds.due_us()]).min()
    }

    /// Returns the next effect to carry out; `None` if there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the same moment with the calendar time that the members agree on in place of this node's own: versions
    /// are written at it and expire by it. Before a node has heard another clock it can't say when versions expire
    /// ([`Now::UNHEARD_MS`]).
    #[must_use]
    pub fn agreed(&self, now: Now) -> Now {
        let (wall_ms, latest_ms) = self.clocks.agreed_ms(now);
        let me = self.config.me.node;
        let has_others = self.known.newest().is_some_and(|newest| {
            newest.layout().ring.nodes().iter().any(|placed| placed.node != me)
        });
        let unheard = has_others && self.clocks.is_alone() && !planted::on(Bug::ExpiryByOwnClock);
        Now { wall_ms, latest_ms: if unheard { Now::UNHEARD_MS } else { latest_ms }, ..now }
    }

    /// Returns the cluster as this node sees it now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// Moves the next round up and has it go to several members.
    pub(crate) fn spread(&mut self, now: Now) {
        self.pending.news = true;
        self.rounds.hurry(now.mono_us);
    }

    /// Notes that what is known has changed, and has to be stored and shown.
    pub(crate) fn touch(&mut self) {
        self.digest = None;
        self.pending.unstored = true;
        self.pending.unseen = true;
    }

    /// Notes that what is known has changed in a way that neither disk nor view has to follow at once.
    pub(crate) fn touch_lightly(&mut self) {
        self.digest = None;
    }

    /// Adds a member to the detector. Members that become known at once are not probed all at once.
    pub(crate) fn meet(&mut self, now: Now, record: &MemberRecord) {
        let spread_us = self.known.members().len() as u64 * FIRST_PROBES_US;
        let check_us = now.mono_us + self.chance.below(spread_us.max(1));
        self.detector.joined(check_us, record.node, record.status != Status::Up);
    }

    /// Ends this node's part, since it has no place any more, and says so.
    pub(crate) fn fence(&mut self, layout: LayoutId, forced: bool) {
        if self.phase != NodePhase::Fenced {
            self.phase = NodePhase::Fenced;
            self.outputs.push_back(Output::Event(Event::Fenced { layout, forced }));
        }
    }

    /// Ends this node's part without a word: the driver knows why.
    pub(crate) fn silence(&mut self) {
        self.phase = NodePhase::Fenced;
    }

    /// Returns the digest of all that is known.
    pub(crate) fn digest(&mut self) -> Digest {
        *self.digest.get_or_insert_with(|| summary::digest(&self.known.summary()))
    }

    /// Turns the changes of a call into outputs: first what is to be stored, then the view, then the messages.
    pub(crate) fn settle(&mut self) {
        while let Some(signal) = self.detector.poll_signal() {
            self.follow(signal);
        }
        if core::mem::take(&mut self.pending.unstored) {
            self.hand_out();
        }
        if core::mem::take(&mut self.pending.unseen) {
            let settled = |view: &View| {
                let newest = view.layouts().first();
                newest.filter(|newest| newest.is_settled()).map(ActiveLayout::id)
            };
            let before = settled(&self.view);
            let view = self.view.next(&self.known, Arc::clone(self.detector.up()));
            self.view = Arc::new(view.with_past(self.lives.past()));
            if let Some(id) = settled(&self.view).filter(|id| Some(*id) != before) {
                self.outputs.push_back(Output::Event(Event::Settled(id)));
            }
            self.outputs.push_back(Output::View(Arc::clone(&self.view)));
        }
        if self.phase == NodePhase::Fenced {
            self.sends.clear();
        }
        let lives = &self.lives;
        let let_out = |output: &Output| match output {
            Output::Send { gossip, .. } => lives.lets_out(gossip),
            _ => true,
        };
        self.outputs.extend(self.sends.drain(..).filter(let_out));
    }

    fn follow(&mut self, signal: Signal) {
        match signal {
            Signal::Probe { target, nonce } => self.send(target, Gossip::Probe { nonce }),
            Signal::ProbeThroughOthers { target, nonce } => {
                self.send_to_some(HELPERS, Some(target), &Gossip::ProbeFor { target, nonce });
            }
            Signal::Up(node) => {
                self.pending.unseen = true;
                self.outputs.push_back(Output::Event(Event::Up(node)));
            }
            Signal::Down(node) => {
                self.pending.unseen = true;
                let record = self.known.members().get(&node);
                let clean = record.is_none_or(|record| record.status != Status::Up);
                self.outputs.push_back(Output::Event(Event::Down { node, clean }));
            }
        }
    }

    pub(crate) fn offer(&mut self, now: Now) -> Gossip {
        Gossip::Offer(Box::new(self.config.me.clone()), self.digest(), now.wall_ms)
    }

    /// Opens exchanges with up to `count` members that are up, and returns with how many.
    fn offer_to_some(&mut self, now: Now, count: usize) -> usize {
        let offer = self.offer(now);
        let peers = self.send_to_some(count, None, &offer);
        peers.iter().for_each(|peer| self.detector.expect(now.mono_us, *peer));
        peers.len()
    }

    /// Replaces the addresses of the seeds, since their names now stand for others.
    pub fn set_seeds(&mut self, seeds: Vec<SocketAddr>) {
        self.config.seeds = seeds;
    }

    fn offer_to_a_seed(&mut self, now: Now) {
        let mine = self.config.me.address;
        let mut seeds: Vec<SocketAddr> =
            self.config.seeds.iter().copied().filter(|seed| *seed != mine).collect();
        if let Some(seed) = self.chance.draw(&mut seeds) {
            let gossip = self.offer(now);
            self.send_to(Destination::Seed(seed), gossip);
        }
    }

    /// Sends to up to `count` members that are up, drawn by chance, and returns to which.
    pub(crate) fn send_to_some(
        &mut self,
        count: usize,
        but: Option<NodeId>,
        gossip: &Gossip,
    ) -> Vec<NodeId> {
        let up = Arc::clone(self.detector.up());
        let mut candidates: Vec<NodeId> =
            up.iter().copied().filter(|node| Some(*node) != but).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count
            && let Some(node) = self.chance.draw(&mut candidates)
        {
            self.send(node, gossip.clone());
            chosen.push(node);
        }
        chosen
    }

    pub(crate) fn send_to(&mut self, to: Destination, gossip: Gossip) {
        self.sends.push(Output::Send { to, gossip });
    }

    /// Sends to one member; nothing can be sent to a node that nobody introduced.
    pub(crate) fn send(&mut self, node: NodeId, gossip: Gossip) {
        let others = self.known.members().get(&node).filter(|_| node != self.config.me.node);
        if let Some(record) = others {
            self.send_to(Destination::Node(node, record.address), gossip);
        }
    }
}
