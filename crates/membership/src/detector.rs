//! Who is up, as this node judges it: requests' outcomes raise doubt, probes settle it (paper 4.8.3).
//!
//! Invariant: a member is taken to be down only after a direct and an indirect probe went unanswered,
//! or when others reach it and this node again and again does not; it is taken to be up again only
//! after it answered this node. So a slow node is not a dead one, and one lost message decides nothing.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use jedlik_hashing::NodeId;

use crate::chance::Chance;

#[cfg(test)]
mod tests;

/// What a direct probe may take: many times a round trip, and more than a busy disk or a long
/// scheduling pause delays an answer that needs neither.
pub(crate) const DIRECT_US: u64 = 800_000;
/// What the second, direct and indirect, may take. Together with the first it keeps detection under
/// two seconds from the first failed request.
pub(crate) const INDIRECT_US: u64 = 800_000;
/// What an exchange's answer may take before it counts as a failed request.
pub(crate) const EXCHANGE_US: u64 = 1_000_000;
/// Between the starts of two checks of one member, so that a thousand timeouts of a slow node are
/// one probe.
const CHECK_INTERVAL_US: u64 = 200_000;
/// Between two probes of a member that is down.
const DOWN_PROBE_US: u64 = 1_000_000;
/// How often others may vouch for a member that does not answer us; then it is down for us, since our
/// requests to it go the way that our probes go.
const VOUCHED_MAX: u8 = 2;
/// A member that goes down twice within this time flaps.
const FLAP_WINDOW_US: u64 = 60_000_000;
/// How long a member that flapped must answer every probe before it is trusted; doubled each time.
const HOLD_DOWN_US: u64 = 2_000_000;
/// The longest that it is doubled to: of three replicas a second may die meanwhile, and then the one
/// held back is missed.
const HOLD_DOWN_MAX_US: u64 = 10_000_000;

/// What the detector wants done, or has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ask it whether it is there.
    Probe { target: NodeId, nonce: u64 },
    /// Have others ask it.
    ProbeThroughOthers { target: NodeId, nonce: u64 },
    /// It is down from now on.
    Down(NodeId),
    /// It is up from now on.
    Up(NodeId),
}

/// What is known of one member's health.
#[derive(Debug)]
struct Peer {
    state: State,
    /// When an exchange's answer is overdue.
    expected_us: Option<u64>,
    last_check_us: Option<u64>,
    /// Times that others vouched for it since it last answered us.
    vouched: u8,
    /// Times that it went down, each within the window of the one before.
    deaths: u32,
    last_death_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Trusted and not in doubt.
    Up,
    /// Trusted, to be checked then.
    Doubted { check_us: u64 },
    /// Trusted, asked directly.
    Asked { nonce: u64, until_us: u64 },
    /// Trusted, asked again, and through others.
    AskedThroughOthers { nonce: u64, until_us: u64 },
    /// Not trusted; asked now and then. `steady_us` is since when it answers.
    Down { probe_us: u64, answered: bool, steady_us: Option<u64> },
    /// It says that it stopped; not asked until it says otherwise.
    Away,
}

/// The health of all other members.
#[derive(Debug, Default)]
pub(crate) struct Detector {
    peers: BTreeMap<NodeId, Peer>,
    signals: VecDeque<Signal>,
}

impl Detector {
    /// A member that this node did not know: taken to be up, and asked at once.
    pub(crate) fn joined(&mut self, now_us: u64, node: NodeId, away: bool) {
        let state = if away { State::Away } else { State::Doubted { check_us: now_us } };
        self.peers.entry(node).or_insert(Peer {
            state,
            expected_us: None,
            last_check_us: None,
            vouched: 0,
            deaths: 0,
            last_death_us: 0,
        });
    }

    /// It says that it stops.
    pub(crate) fn left(&mut self, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.trusted() {
            self.signals.push_back(Signal::Down(node));
        }
        peer.state = State::Away;
        peer.expected_us = None;
    }

    /// It sent something of its own accord: if it is not trusted, it is asked at once.
    pub(crate) fn stirred(&mut self, now_us: u64, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if let State::Down { probe_us, steady_us: None, .. } = &mut peer.state {
            *probe_us = now_us;
        }
    }

    /// Its record says that it is in the cluster: if it had stopped, it is asked at once.
    pub(crate) fn returned(&mut self, now_us: u64, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if peer.state == State::Away {
            peer.state = State::Down { probe_us: now_us, answered: false, steady_us: None };
        }
    }

    /// It answered something that this node asked.
    pub(crate) fn answered(&mut self, now_us: u64, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.expected_us = None;
        peer.vouched = 0;
        let hold_us = peer.hold_down_us();
        match &mut peer.state {
            State::Away => {}
            State::Down { answered, steady_us, .. } => {
                *answered = true;
                if now_us - *steady_us.get_or_insert(now_us) >= hold_us {
                    peer.state = State::Up;
                    self.signals.push_back(Signal::Up(node));
                }
            }
            state => *state = State::Up,
        }
    }

    /// It did not answer something that this node asked, or the connection broke.
    pub(crate) fn failed(&mut self, now_us: u64, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.expected_us = None;
        match &mut peer.state {
            State::Up => {
                let earliest = peer.last_check_us.map_or(0, |last| last + CHECK_INTERVAL_US);
                peer.state = State::Doubted { check_us: now_us.max(earliest) };
            }
            State::Down { steady_us, .. } => *steady_us = None,
            _ => {}
        }
    }

    /// Another node answers for one that was asked through others.
    pub(crate) fn vouched(&mut self, now_us: u64, nonce: u64) {
        let asked = |(node, peer): (&NodeId, &Peer)| {
            let through =
                matches!(peer.state, State::AskedThroughOthers { nonce: n, .. } if n == nonce);
            through.then_some(*node)
        };
        let Some(node) = self.peers.iter().find_map(asked) else { return };
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.vouched += 1;
        if peer.vouched > VOUCHED_MAX {
            self.declare_down(now_us, node);
        } else {
            peer.state = State::Doubted { check_us: now_us + CHECK_INTERVAL_US };
        }
    }

    /// An exchange was opened with it: an answer is due.
    pub(crate) fn expect(&mut self, now_us: u64, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.expected_us.get_or_insert(now_us + EXCHANGE_US);
        }
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now_us: u64, chance: &mut Chance) {
        let due = |(node, peer): (&NodeId, &Peer)| {
            peer.due_us().is_some_and(|due_us| due_us <= now_us).then_some(*node)
        };
        let due: alloc::vec::Vec<NodeId> = self.peers.iter().filter_map(due).collect();
        for node in due {
            if self.peers[&node].expected_us.is_some_and(|due_us| due_us <= now_us) {
                self.failed(now_us, node);
            }
            self.advance(now_us, node, chance);
        }
    }

    /// When something is due next.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.peers.values().filter_map(Peer::due_us).min()
    }

    pub(crate) fn poll_signal(&mut self) -> Option<Signal> {
        self.signals.pop_front()
    }

    pub(crate) fn is_up(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(Peer::trusted)
    }

    /// Every member that is taken to be up.
    pub(crate) fn up(&self) -> BTreeSet<NodeId> {
        self.peers.iter().filter(|(_, peer)| peer.trusted()).map(|(node, _)| *node).collect()
    }

    /// Takes the next step with one member if its time has come.
    fn advance(&mut self, now_us: u64, node: NodeId, chance: &mut Chance) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        match peer.state {
            State::Doubted { check_us } if check_us <= now_us => {
                let nonce = chance.nonce();
                peer.last_check_us = Some(now_us);
                peer.state = State::Asked { nonce, until_us: now_us + DIRECT_US };
                self.signals.push_back(Signal::Probe { target: node, nonce });
            }
            State::Asked { nonce, until_us } if until_us <= now_us => {
                peer.state = State::AskedThroughOthers { nonce, until_us: now_us + INDIRECT_US };
                self.signals.push_back(Signal::Probe { target: node, nonce });
                self.signals.push_back(Signal::ProbeThroughOthers { target: node, nonce });
            }
            State::AskedThroughOthers { until_us, .. } if until_us <= now_us => {
                self.declare_down(now_us, node);
            }
            State::Down { probe_us, answered, steady_us } if probe_us <= now_us => {
                let steady_us = steady_us.filter(|_| answered);
                let probe_us = now_us + DOWN_PROBE_US;
                peer.state = State::Down { probe_us, answered: false, steady_us };
                self.signals.push_back(Signal::Probe { target: node, nonce: chance.nonce() });
            }
            _ => {}
        }
    }

    fn declare_down(&mut self, now_us: u64, node: NodeId) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        let flaps = peer.deaths > 0 && now_us - peer.last_death_us <= FLAP_WINDOW_US;
        peer.deaths = if flaps { peer.deaths.saturating_add(1) } else { 1 };
        peer.last_death_us = now_us;
        let probe_us = now_us + DOWN_PROBE_US;
        peer.state = State::Down { probe_us, answered: false, steady_us: None };
        self.signals.push_back(Signal::Down(node));
    }
}

impl Peer {
    fn trusted(&self) -> bool {
        !matches!(self.state, State::Down { .. } | State::Away)
    }

    /// How long it has to answer before it is trusted again: not at all the first time.
    fn hold_down_us(&self) -> u64 {
        match self.deaths {
            0 | 1 => 0,
            // Shifts past the limit's are the limit.
            deaths => (HOLD_DOWN_US << (deaths - 2).min(8)).min(HOLD_DOWN_MAX_US),
        }
    }

    fn due_us(&self) -> Option<u64> {
        let step = match self.state {
            State::Up | State::Away => None,
            State::Doubted { check_us } => Some(check_us),
            State::Asked { until_us, .. } | State::AskedThroughOthers { until_us, .. } => {
                Some(until_us)
            }
            State::Down { probe_us, .. } => Some(probe_us),
        };
        step.into_iter().chain(self.expected_us).min()
    }
}
