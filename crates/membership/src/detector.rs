//! Failure detector: requests' outcomes raise suspicion, probes settle it (paper 4.8.3).
//!
//! Invariant: a member is taken to be down only after a direct and an indirect probe went unanswered, or when others
//! reach it again and again and this node does not; it is taken to be up again only after it answered this node. So a
//! slow node is not a dead one, and one lost message decides nothing.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;

use jedlik_hashing::NodeId;

use crate::chance::Chance;

#[cfg(test)]
mod tests;

/// Probes of a suspected member, step by step: how long each waits, and whether others are asked to probe as well.
/// Later steps make up for lost messages, so that one in twenty may be lost for days without a live member being
/// taken to be dead. Each step waits many times a round trip, and longer than a busy disk or a scheduling pause
/// delays an answer that needs neither. Together they keep detection under two seconds from the first failed request.
const STEPS: [(u64, bool); 5] =
    [(250_000, false), (250_000, false), (300_000, false), (300_000, true), (500_000, true)];
/// Time that an exchange's answer, or that of the watched member to a probe, may take before it counts as a failed
/// request.
pub(crate) const EXCHANGE_US: u64 = 800_000;
/// Interval between the starts of two checks of one member, so that a thousand timeouts of a slow node are one
/// probe.
const CHECK_INTERVAL_US: u64 = 200_000;
/// Interval between two probes of a member that is down.
const DOWN_PROBE_US: u64 = 1_000_000;
/// Times that others may vouch for a member that does not answer this node. Past it the member is down for this node,
/// since its requests go the way that its probes go.
const VOUCHED_MAX: u8 = 2;
/// Time within which a member that goes down twice flaps.
const FLAP_WINDOW_US: u64 = 60_000_000;
/// Time for which a member that flapped must answer every probe before it is trusted; doubled each time.
const HOLD_DOWN_US: u64 = 2_000_000;
/// Longest time that a member which flapped is held back: a second of three replicas may die meanwhile, and the one
/// held back is then missed.
const HOLD_DOWN_MAX_US: u64 = 10_000_000;

/// An action that the detector asks for, or a change that it has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Probe of a member by this node.
    Probe { target: NodeId, nonce: u64 },
    /// Probe of a member through others.
    ProbeThroughOthers { target: NodeId, nonce: u64 },
    /// The member is down from now on.
    Down(NodeId),
    /// The member is up from now on.
    Up(NodeId),
}

/// Health of one member, as far as it is known.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Peer {
    state: State,
    /// Time at which an exchange's answer is overdue.
    expected_us: Option<u64>,
    last_check_us: Option<u64>,
    /// Times that others vouched for the member since it last answered this node.
    vouched: u8,
    /// Times that the member went down, each within the window of the one before.
    deaths: u32,
    last_death_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Trusted and not suspected.
    Up,
    /// Trusted and suspected; checked at `check_us`.
    Doubted { check_us: u64 },
    /// Trusted and probed; `step` is an index into [`STEPS`].
    Asked { nonce: u64, step: usize, until_us: u64 },
    /// Not trusted and probed now and then; `steady_us` is since when it answers.
    Down { probe_us: u64, answered: bool, steady_us: Option<u64> },
    /// Stopped by its own word; not probed until it says otherwise.
    Away,
}

/// Health of all other members.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Detector {
    peers: BTreeMap<NodeId, Peer>,
    /// Trusted members; shared with the views.
    up: Arc<BTreeSet<NodeId>>,
    /// Times at which something is due, with the member that it is about.
    due: BTreeSet<(u64, NodeId)>,
    /// Members that are probed through others, by nonce.
    asked: BTreeMap<u64, NodeId>,
    signals: VecDeque<Signal>,
}

impl Detector {
    /// Adds a new member. It is taken to be up unless it is `away`, and checked at `check_us`.
    pub(crate) fn joined(&mut self, check_us: u64, node: NodeId, away: bool) {
        if self.peers.contains_key(&node) {
            return;
        }
        let state = if away { State::Away } else { State::Doubted { check_us } };
        let peer = Peer {
            state,
            expected_us: None,
            last_check_us: None,
            vouched: 0,
            deaths: 0,
            last_death_us: 0,
        };
        self.index(node, &peer.place());
        self.peers.insert(node, peer);
    }

    /// Drops a node that is no longer a member.
    pub(crate) fn forget(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.remove(&node) {
            self.unindex(node, &peer.place());
            Arc::make_mut(&mut self.up).remove(&node);
        }
    }

    /// Notes that a member says that it stops.
    pub(crate) fn left(&mut self, node: NodeId) {
        self.update(node, |peer, signals| {
            if peer.trusted() {
                signals.push_back(Signal::Down(node));
            }
            peer.state = State::Away;
            peer.expected_us = None;
        });
    }

    /// Notes that a member has sent something of its own accord: if it is not trusted, it is probed at once.
    pub(crate) fn stirred(&mut self, now_us: u64, node: NodeId) {
        self.update(node, |peer, _| {
            if let State::Down { probe_us, steady_us: None, .. } = &mut peer.state {
                *probe_us = now_us;
            }
        });
    }

    /// Notes that a member's record says that it is in the cluster: if it had stopped, it is probed at once.
    pub(crate) fn returned(&mut self, now_us: u64, node: NodeId) {
        self.update(node, |peer, _| {
            if peer.state == State::Away {
                peer.state = State::Down { probe_us: now_us, answered: false, steady_us: None };
            }
        });
    }

    /// Notes that a member has answered this node.
    pub(crate) fn answered(&mut self, now_us: u64, node: NodeId) {
        self.update(node, |peer, signals| {
            peer.expected_us = None;
            peer.vouched = 0;
            let hold_us = peer.hold_down_us();
            match &mut peer.state {
                State::Away => {}
                State::Down { answered, steady_us, .. } => {
                    *answered = true;
                    if now_us - *steady_us.get_or_insert(now_us) >= hold_us {
                        peer.state = State::Up;
                        signals.push_back(Signal::Up(node));
                    }
                }
                state => *state = State::Up,
            }
        });
    }

    /// Notes that a member has not answered this node in time, or that its connection broke.
    pub(crate) fn failed(&mut self, now_us: u64, node: NodeId) {
        self.update(node, |peer, _| {
            peer.expected_us = None;
            if let State::Down { steady_us, .. } = &mut peer.state {
                *steady_us = None;
            }
            peer.doubt(now_us);
        });
    }

    /// Notes that another node asks about a member because it got no answer: if it is dead, all know soon.
    pub(crate) fn doubted(&mut self, now_us: u64, node: NodeId) {
        self.update(node, |peer, _| peer.doubt(now_us));
    }

    /// Notes that another node vouches for a member that was probed through others.
    pub(crate) fn vouched(&mut self, now_us: u64, nonce: u64) {
        let Some(node) = self.asked.get(&nonce).copied() else { return };
        self.update(node, |peer, signals| {
            peer.vouched += 1;
            if peer.vouched > VOUCHED_MAX {
                peer.die(now_us);
                signals.push_back(Signal::Down(node));
            } else {
                peer.state = State::Doubted { check_us: now_us + CHECK_INTERVAL_US };
            }
        });
    }

    /// Notes that an exchange was opened with a member, whose answer is now due.
    pub(crate) fn expect(&mut self, now_us: u64, node: NodeId) {
        self.update(node, |peer, _| {
            peer.expected_us.get_or_insert(now_us + EXCHANGE_US);
        });
    }

    /// Probes the next member in the order of identities. Every node does so, and each member is thus watched by one
    /// other, however large the cluster is.
    pub(crate) fn watch_next(&mut self, now_us: u64, me: NodeId, chance: &mut Chance) {
        let mut after = self.up.range((Bound::Excluded(me), Bound::Unbounded));
        if let Some(next) = after.next().or_else(|| self.up.first()).copied() {
            self.expect(now_us, next);
            self.signals.push_back(Signal::Probe { target: next, nonce: chance.nonce() });
        }
    }

    /// Does what is due at `now_us`.
    pub(crate) fn handle_timeout(&mut self, now_us: u64, chance: &mut Chance) {
        let due = self.due.iter().take_while(|(due_us, _)| *due_us <= now_us);
        let mut due: Vec<NodeId> = due.map(|(_, node)| *node).collect();
        due.sort_unstable();
        for node in due {
            if self.peers[&node].expected_us.is_some_and(|due_us| due_us <= now_us) {
                self.failed(now_us, node);
            }
            self.update(node, |peer, signals| peer.advance(now_us, node, chance, signals));
        }
    }

    /// Returns when something is due next.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }

    pub(crate) fn poll_signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.up.contains(&node)
    }

    /// Returns all members that are taken to be up.
    pub(crate) fn up(&self) -> &Arc<BTreeSet<NodeId>> {
        &self.up
    }

    /// Changes the health of one member and keeps the indices in step.
    fn update(&mut self, node: NodeId, change: impl FnOnce(&mut Peer, &mut VecDeque<Signal>)) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let before = peer.place();
        change(peer, &mut self.signals);
        let after = peer.place();
        if before != after {
            self.unindex(node, &before);
            self.index(node, &after);
        }
    }

    fn index(&mut self, node: NodeId, place: &Place) {
        self.due.extend(place.due_us.map(|due_us| (due_us, node)));
        self.asked.extend(place.asked.map(|nonce| (nonce, node)));
        if place.trusted && !self.up.contains(&node) {
            Arc::make_mut(&mut self.up).insert(node);
        } else if !place.trusted && self.up.contains(&node) {
            Arc::make_mut(&mut self.up).remove(&node);
        }
    }

    fn unindex(&mut self, node: NodeId, place: &Place) {
        if let Some(due_us) = place.due_us {
            self.due.remove(&(due_us, node));
        }
        if let Some(nonce) = place.asked {
            self.asked.remove(&nonce);
        }
    }
}

/// Entries of a member in the detector's indices.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    due_us: Option<u64>,
    trusted: bool,
    asked: Option<u64>,
}

impl Peer {
    fn place(&self) -> Place {
        let asked = match self.state {
            State::Asked { nonce, step, .. } if STEPS[step].1 => Some(nonce),
            _ => None,
        };
        Place { due_us: self.due_us(), trusted: self.trusted(), asked }
    }

    fn trusted(&self) -> bool {
        !matches!(self.state, State::Down { .. } | State::Away)
    }

    /// Schedules a check of the member soon, unless it is suspected already.
    fn doubt(&mut self, now_us: u64) {
        if self.state == State::Up {
            let earliest = self.last_check_us.map_or(0, |last| last + CHECK_INTERVAL_US);
            self.state = State::Doubted { check_us: now_us.max(earliest) };
        }
    }

    /// Takes the next step if its time has come.
    fn advance(
        &mut self,
        now_us: u64,
        node: NodeId,
        chance: &mut Chance,
        signals: &mut VecDeque<Signal>,
    ) {
        match self.state {
            State::Doubted { check_us } if check_us <= now_us => {
                self.last_check_us = Some(now_us);
                self.ask(now_us, node, chance.nonce(), 0, signals);
            }
            State::Asked { step, until_us, .. }
                if until_us <= now_us && step + 1 == STEPS.len() =>
            {
                self.die(now_us);
                signals.push_back(Signal::Down(node));
            }
            State::Asked { nonce, step, until_us } if until_us <= now_us => {
                self.ask(now_us, node, nonce, step + 1, signals);
            }
            State::Down { probe_us, answered, steady_us } if probe_us <= now_us => {
                let steady_us = steady_us.filter(|_| answered);
                let probe_us = now_us + DOWN_PROBE_US;
                self.state = State::Down { probe_us, answered: false, steady_us };
                signals.push_back(Signal::Probe { target: node, nonce: chance.nonce() });
            }
            _ => {}
        }
    }

    fn ask(
        &mut self,
        now_us: u64,
        node: NodeId,
        nonce: u64,
        step: usize,
        signals: &mut VecDeque<Signal>,
    ) {
        let (wait_us, through_others) = STEPS[step];
        self.state = State::Asked { nonce, step, until_us: now_us + wait_us };
        signals.push_back(Signal::Probe { target: node, nonce });
        if through_others {
            signals.push_back(Signal::ProbeThroughOthers { target: node, nonce });
        }
    }

    /// Stops to trust the member.
    fn die(&mut self, now_us: u64) {
        let flaps = self.deaths > 0 && now_us - self.last_death_us <= FLAP_WINDOW_US;
        self.deaths = if flaps { self.deaths.saturating_add(1) } else { 1 };
        self.last_death_us = now_us;
        let probe_us = now_us + DOWN_PROBE_US;
        self.state = State::Down { probe_us, answered: false, steady_us: None };
    }

    /// Returns how long the member has to answer before it is trusted again: not at all the first time.
    fn hold_down_us(&self) -> u64 {
        match self.deaths {
            0 | 1 => 0,
            // Larger shifts would exceed the limit anyway.
            deaths => (HOLD_DOWN_US << (deaths - 2).min(8)).min(HOLD_DOWN_MAX_US),
        }
    }

    fn due_us(&self) -> Option<u64> {
        let step = match self.state {
            State::Up | State::Away => None,
            State::Doubted { check_us } => Some(check_us),
            State::Asked { until_us, .. } => Some(until_us),
            State::Down { probe_us, .. } => Some(probe_us),
        };
        step.into_iter().chain(self.expected_us).min()
    }
}
