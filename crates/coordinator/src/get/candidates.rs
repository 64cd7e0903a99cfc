//! Candidates of a get: the first N healthy nodes of the preference list, the nodes that take the place of
//! one that fails or can't say, and which answers count.
//!
//! Invariants: a node is a candidate once, so that each answer counts once; that a key is absent is counted
//! from primaries that vote, and from nobody else.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::Digest;
use jedlik_protocol::peer::Doubt;

use crate::plan::{ListedNode, ReadPlan};
use crate::tally::Tally;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Asked {
        known: Option<Digest>,
    },
    Answered {
        digest: Option<Digest>,
    },
    /// The node holds this record, and its silence about others says nothing.
    Unsure {
        held: Option<Digest>,
        why: Doubt,
    },
    Failed,
}

/// Node that is asked, or may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    /// Primary in whose place the node is asked; `None` if it is one itself.
    pub(super) stands_in_for: Option<NodeId>,
    pub(super) state: State,
    /// Whether the node is being sent all that it lacks.
    filling: bool,
}

impl Candidate {
    fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }

    fn is_of_no_use(&self) -> bool {
        matches!(self.state, State::Failed | State::Unsure { .. })
    }

    fn may_answer(&self) -> bool {
        matches!(self.state, State::Idle | State::Asked { .. })
    }

    /// Returns whether the answer counts. A fallback that holds nothing counts only where something was `found`: a
    /// sloppy quorum asks the nodes that are up, but only those that would have a key can say that it is absent.
    fn counts(&self, found: bool) -> bool {
        let State::Answered { digest } = self.state else { return false };
        let says_something = digest.is_some() || self.stands_in_for.is_none();
        says_something || found || planted::on(Bug::FallbackVotesAbsent)
    }

    /// Returns whether the node holds a record without having a vote. A damaged record is none.
    fn holds_without_vote(&self) -> bool {
        matches!(self.state, State::Unsure { held: Some(_), why: Doubt::Refilling })
    }
}

/// Candidates of one get, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Candidates {
    list: Vec<Candidate>,
    /// Primaries that are believed to be down.
    away: Vec<NodeId>,
    /// Living fallbacks that are not candidates yet, in order.
    fallbacks: VecDeque<NodeId>,
}

impl Candidates {
    /// Creates the candidates of a plan: the living primaries, then a fallback for each of the others.
    pub(super) fn new(plan: &ReadPlan) -> Self {
        let asked = plan.fallbacks.iter().filter(|_| !planted::on(Bug::FallbackNotAsked));
        let living = asked.filter(|listed| listed.alive);
        let (healthy, away): (Vec<&ListedNode>, Vec<&ListedNode>) =
            plan.primaries.iter().partition(|listed| listed.alive);
        let mut candidates = Self {
            list: Vec::with_capacity(plan.primaries.len()),
            away: away.into_iter().map(|listed| listed.node).collect(),
            fallbacks: living.map(|listed| listed.node).collect(),
        };
        for listed in healthy {
            candidates.add(listed.node, None);
        }
        for candidate in &mut candidates.list {
            candidate.filling = plan.filling.contains(&candidate.node);
        }
        for index in 0..candidates.away.len() {
            candidates.add_stand_in(candidates.away[index]);
        }
        candidates
    }

    fn add(&mut self, node: NodeId, stands_in_for: Option<NodeId>) {
        let (state, filling) = (State::Idle, false);
        self.list.push(Candidate { node, stands_in_for, state, filling });
    }

    fn add_stand_in(&mut self, primary: NodeId) -> bool {
        let Some(node) = self.fallbacks.pop_front() else { return false };
        self.add(node, Some(primary));
        true
    }

    /// Sets the state of a node that was asked; any other is left alone.
    pub(super) fn note(&mut self, node: NodeId, state: State) {
        let asked = |candidate: &&mut Candidate| candidate.node == node && candidate.is_asked();
        if let Some(candidate) = self.list.iter_mut().find(asked) {
            candidate.state = state;
        }
    }

    /// Finds a stand-in for each candidate that has failed or can't say, if one is left. It comes after all primaries.
    pub(super) fn replace_failed(&mut self) {
        let failed = self.list.iter().filter(|candidate| candidate.is_of_no_use());
        let primaries: Vec<NodeId> = failed.map(place).collect();
        for primary in primaries {
            let served =
                |candidate: &Candidate| place(candidate) == primary && !candidate.is_of_no_use();
            if !self.list.iter().any(served) {
                self.add_stand_in(primary);
            }
        }
    }

    /// Finds one further fallback for each candidate that was asked and is silent.
    pub(super) fn replace_silent(&mut self) {
        let silent: Vec<NodeId> =
            self.list.iter().filter(|candidate| candidate.is_asked()).map(place).collect();
        for primary in silent {
            self.add_stand_in(primary);
        }
    }

    /// Makes candidates of the primaries that are believed to be down.
    pub(super) fn add_away(&mut self) {
        for index in 0..self.away.len() {
            let primary = self.away[index];
            if self.get(primary).is_none() {
                self.add(primary, None);
            }
        }
    }

    /// Marks a candidate as asked and returns its node.
    pub(super) fn ask(&mut self, index: usize, known: Option<Digest>) -> NodeId {
        let candidate = &mut self.list[index];
        candidate.state = State::Asked { known };
        candidate.node
    }

    /// Drops candidates that need not be asked, now that only repairs are left: nodes that are being sent
    /// everything, and stand-ins for primaries that are up.
    pub(super) fn leave_unneeded(&mut self) {
        let unsure = |primary: NodeId| matches!(self.state(primary), Some(State::Unsure { .. }));
        let needed = |candidate: &Candidate| {
            candidate.state != State::Idle
                || !candidate.filling && !candidate.stands_in_for.is_some_and(unsure)
        };
        let keep: Vec<bool> = self.list.iter().map(needed).collect();
        let mut keep = keep.into_iter();
        self.list.retain(|_| keep.next().unwrap_or(true));
    }

    pub(super) fn next_idle(&self) -> Option<usize> {
        self.list.iter().position(|candidate| candidate.state == State::Idle)
    }

    /// Returns how many candidates are asked, or have answered and count.
    pub(super) fn in_use(&self, found: bool) -> usize {
        let in_use = |candidate: &&Candidate| candidate.is_asked() || candidate.counts(found);
        self.list.iter().filter(in_use).count()
    }

    pub(super) fn any_asked(&self) -> bool {
        self.list.iter().any(Candidate::is_asked)
    }

    pub(super) fn state(&self, node: NodeId) -> Option<State> {
        self.get(node).map(|candidate| candidate.state)
    }

    fn get(&self, node: NodeId) -> Option<&Candidate> {
        self.list.iter().find(|candidate| candidate.node == node)
    }

    /// Returns whether a node whose answer counts holds a record; with `relaxed` also a node without a vote.
    pub(super) fn have_found(&self, relaxed: bool) -> bool {
        let found = |candidate: &Candidate| {
            matches!(candidate.state, State::Answered { digest: Some(_) })
                || relaxed && candidate.holds_without_vote()
        };
        self.list.iter().any(found)
    }

    /// Returns the tally reached so far. `found`: a record was found, so that fallbacks without one count too.
    pub(super) fn have(&self, found: bool) -> Tally {
        self.tally(|candidate| candidate.counts(found))
    }

    /// Returns the tally if every node that may still answer did, with a record. `last_resort`: nodes that
    /// are believed to be down count too.
    pub(super) fn at_best(&self, last_resort: bool) -> Tally {
        let mut tally = self.tally(|candidate| candidate.may_answer() || candidate.counts(true));
        if last_resort {
            for primary in &self.away {
                if self.get(*primary).is_none() {
                    tally.add(true, false);
                }
            }
        }
        tally
    }

    /// Adds the nodes that hold a record without having a vote. They add answers, but none of a primary:
    /// those are wanted where only nodes count that would know.
    pub(super) fn with_those_without_vote(&self, mut tally: Tally) -> Tally {
        for _ in self.list.iter().filter(|candidate| candidate.holds_without_vote()) {
            tally.add(false, false);
        }
        tally
    }

    /// Returns whether a node may still answer; with `last_resort` also one that is believed to be down.
    pub(super) fn may_hear(&self, last_resort: bool) -> bool {
        let away = |primary: &NodeId| self.get(*primary).is_none();
        self.list.iter().any(Candidate::may_answer) || last_resort && self.away.iter().any(away)
    }

    /// Returns the nodes that could not say, and why.
    pub(super) fn in_doubt(&self) -> Vec<(NodeId, Doubt)> {
        let unsure = |candidate: &Candidate| match candidate.state {
            State::Unsure { why, .. } => Some((candidate.node, why)),
            _ => None,
        };
        self.list.iter().filter_map(unsure).collect()
    }

    /// Returns how many answers do not count as long as nothing is found.
    pub(super) fn nothing_at_fallbacks(&self) -> u8 {
        self.have(true).answers - self.have(false).answers
    }

    fn tally(&self, counts: impl Fn(&Candidate) -> bool) -> Tally {
        let mut tally = Tally::default();
        for candidate in self.list.iter().filter(|candidate| counts(candidate)) {
            tally.add(candidate.stands_in_for.is_none(), false);
        }
        tally
    }

    /// Whether a node that has answered is behind `merged`, or can't say what it should hold.
    pub(super) fn differ(&self, merged: Option<Digest>) -> bool {
        let unsure = |candidate: &Candidate| {
            matches!(candidate.state, State::Unsure { .. }) && !candidate.filling
        };
        self.list.iter().any(unsure) || self.behind(merged).next().is_some()
    }

    /// Returns the candidates that answered with something else than `merged`, and their records' digests. Primaries
    /// with a damaged record count as holding none; nodes that are being sent everything are left out. A fallback is
    /// behind only while the primary in whose place it was asked is away, and only if the record of a primary with a
    /// vote is in the merge: another may have lost the tombstone that a hint would bring to life again.
    pub(super) fn behind(
        &self,
        merged: Option<Digest>,
    ) -> impl Iterator<Item = (&Candidate, Option<Digest>)> {
        let from_primary = self.list.iter().any(|candidate| {
            let held = matches!(candidate.state, State::Answered { digest: Some(_) });
            held && candidate.stands_in_for.is_none()
        });
        self.list.iter().filter_map(move |candidate| {
            let digest = match candidate.state {
                State::Answered { digest } => digest,
                State::Unsure { why: Doubt::Damaged, .. } if candidate.stands_in_for.is_none() => {
                    None
                }
                State::Unsure { held, .. } => held,
                State::Idle | State::Asked { .. } | State::Failed => return None,
            };
            let due =
                candidate.stands_in_for.is_none_or(|primary| from_primary && self.is_away(primary));
            (digest != merged && due && !candidate.filling).then_some((candidate, digest))
        })
    }

    /// Returns whether a primary failed, or was believed to be down and has not answered.
    fn is_away(&self, primary: NodeId) -> bool {
        match self.state(primary) {
            Some(State::Failed) => true,
            Some(State::Answered { .. } | State::Unsure { .. }) => false,
            Some(State::Idle | State::Asked { .. }) | None => self.away.contains(&primary),
        }
    }
}

/// Returns the primary in whose place a candidate is asked, perhaps itself.
fn place(candidate: &Candidate) -> NodeId {
    candidate.stands_in_for.unwrap_or(candidate.node)
}
