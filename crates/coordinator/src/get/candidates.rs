//! Whom a get may ask: the first N healthy nodes of the preference list, and who takes the place of one
//! that fails.
//!
//! Invariant: a node is a candidate once, so that each answer counts once.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Digest;
use jedlik_vclock::planted::{self, Bug};

use crate::plan::{ReadPlan, Target};
use crate::tally::Tally;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Asked { known: Option<Digest> },
    Answered { digest: Option<Digest> },
    Failed,
}

/// A node that is asked, or may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) node: NodeId,
    /// The primary in whose place it is asked; `None` if it is one itself.
    pub(super) stands_in_for: Option<NodeId>,
    pub(super) state: State,
    /// It is being sent all that it lacks.
    filling: bool,
}

impl Candidate {
    fn is_asked(&self) -> bool {
        matches!(self.state, State::Asked { .. })
    }
}

/// All candidates of one get, in the order in which they are asked.
#[derive(Debug)]
pub(super) struct Candidates {
    list: Vec<Candidate>,
    /// Primaries that are believed away.
    away: Vec<NodeId>,
    /// Alive and not candidates yet, in order.
    fallbacks: VecDeque<NodeId>,
}

impl Candidates {
    /// The living primaries, then a fallback for each of the others.
    pub(super) fn new(plan: &ReadPlan) -> Self {
        let asked = plan.fallbacks.iter().filter(|_| !planted::on(Bug::FallbackNotAsked));
        let living = asked.filter(|target| target.alive);
        let (healthy, away): (Vec<&Target>, Vec<&Target>) =
            plan.primaries.iter().partition(|target| target.alive);
        let mut candidates = Self {
            list: Vec::with_capacity(plan.primaries.len()),
            away: away.into_iter().map(|target| target.node).collect(),
            fallbacks: living.map(|target| target.node).collect(),
        };
        for target in healthy {
            candidates.add(target.node, None);
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

    /// Sets the state of one that was asked; whoever was not is left alone.
    pub(super) fn note(&mut self, node: NodeId, state: State) {
        let asked = |candidate: &&mut Candidate| candidate.node == node && candidate.is_asked();
        if let Some(candidate) = self.list.iter_mut().find(asked) {
            candidate.state = state;
        }
    }

    /// Finds a stand-in for each that has failed, if one is left.
    pub(super) fn replace_failed(&mut self) {
        let failed = self.list.iter().filter(|candidate| candidate.state == State::Failed);
        let primaries: Vec<NodeId> = failed.map(place).collect();
        for primary in primaries {
            let served = |candidate: &Candidate| {
                place(candidate) == primary && candidate.state != State::Failed
            };
            if !self.list.iter().any(served) {
                self.add_stand_in(primary);
            }
        }
    }

    /// Finds one further fallback for each that was asked and is silent.
    pub(super) fn replace_silent(&mut self) {
        let silent: Vec<NodeId> =
            self.list.iter().filter(|candidate| candidate.is_asked()).map(place).collect();
        for primary in silent {
            self.add_stand_in(primary);
        }
    }

    /// Makes candidates of the primaries that are believed away.
    pub(super) fn add_away(&mut self) {
        for index in 0..self.away.len() {
            let primary = self.away[index];
            if self.get(primary).is_none() {
                self.add(primary, None);
            }
        }
    }

    /// Marks one as asked; says which.
    pub(super) fn ask(&mut self, index: usize, known: Option<Digest>) -> NodeId {
        let candidate = &mut self.list[index];
        candidate.state = State::Asked { known };
        candidate.node
    }

    /// From now on the question is who is behind: who is being sent everything need not be asked.
    pub(super) fn leave_filling(&mut self) {
        self.list.retain(|candidate| !candidate.filling || candidate.state != State::Idle);
    }

    pub(super) fn next_idle(&self) -> Option<usize> {
        self.list.iter().position(|candidate| candidate.state == State::Idle)
    }

    /// How many have been asked and have not failed.
    pub(super) fn in_use(&self) -> usize {
        let in_use = |state| matches!(state, State::Asked { .. } | State::Answered { .. });
        self.list.iter().filter(|candidate| in_use(candidate.state)).count()
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

    pub(super) fn have(&self) -> Tally {
        self.tally(|state| matches!(state, State::Answered { .. }))
    }

    /// What would be if everyone answered who still may; with `last_resort` those believed away too.
    pub(super) fn at_best(&self, last_resort: bool) -> Tally {
        let mut tally = self.tally(|state| state != State::Failed);
        if last_resort {
            for primary in &self.away {
                if self.get(*primary).is_none() {
                    tally.add(true, false);
                }
            }
        }
        tally
    }

    fn tally(&self, counts: impl Fn(State) -> bool) -> Tally {
        let mut tally = Tally::default();
        for candidate in self.list.iter().filter(|candidate| counts(candidate.state)) {
            tally.add(candidate.stands_in_for.is_none(), false);
        }
        tally
    }

    /// Whoever answered with something else than `merged`, and what, but for those that are being sent
    /// everything. A fallback is behind only while the primary in whose place it was asked is away, and
    /// only if a primary's record is in the merge.
    pub(super) fn behind(
        &self,
        merged: Option<Digest>,
    ) -> impl Iterator<Item = (&Candidate, Option<Digest>)> {
        let from_primary = self.list.iter().any(|candidate| {
            let held = matches!(candidate.state, State::Answered { digest: Some(_) });
            held && candidate.stands_in_for.is_none()
        });
        self.list.iter().filter_map(move |candidate| {
            let State::Answered { digest } = candidate.state else { return None };
            let due =
                candidate.stands_in_for.is_none_or(|primary| from_primary && self.is_away(primary));
            (digest != merged && due && !candidate.filling).then_some((candidate, digest))
        })
    }

    /// It failed, or was believed away and has not answered.
    fn is_away(&self, primary: NodeId) -> bool {
        match self.state(primary) {
            Some(State::Failed) => true,
            Some(State::Answered { .. }) => false,
            Some(State::Idle | State::Asked { .. }) | None => self.away.contains(&primary),
        }
    }
}

/// The primary in whose place a candidate is asked, perhaps itself.
fn place(candidate: &Candidate) -> NodeId {
    candidate.stands_in_for.unwrap_or(candidate.node)
}
