//! One get: R answers merged, a hedge when the usual latency has passed, repair after answering
//! (paper 4.5, 4.6, 5).
//!
//! It asks the first N healthy nodes: living primaries, then a fallback for each that is away. The local
//! record is read first where there is one, so that the others need only say that theirs is the same.
//! Invariants: repairs carry the merge of every answer that came before they were sent; none is sent
//! when the version's time is over; an answer that the key is absent is R primaries' that vote on it.
//!
//! A replica may answer that it can't say: its record is damaged, or it has lost its past. What it holds is
//! merged, and others are asked in its place. Only when nobody is left to ask who would know is a record that
//! it does hold an answer, too.
//!
//! A fallback is repaired with a hint, so only with what a primary's record went into. The collector relies
//! on that: a hint made after a tombstone has settled on all primaries carries that tombstone's clock. A
//! merge of fallbacks alone could pass an older hint on under a new date.

mod candidates;
mod joint;
mod output;

use alloc::collections::VecDeque;

use jedlik_hashing::NodeId;
use jedlik_protocol::EncodedRecord;
use jedlik_protocol::peer::Doubt;

use self::candidates::{Candidates, State};
pub use self::joint::{JointGet, JointGetOutput};
pub use self::output::RepairCause;
pub(crate) use self::output::{Elsewhere, GetOutput};
use crate::merged::Merged;
use crate::plan::ReadPlan;
use crate::tally::{QuorumStatus, Shortfall, Tally, quorum_status};

/// How long a get goes on listening after it has answered.
const SETTLE_US: u64 = 500_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Gathering { hedge_at_us: u64, silent_at_us: u64 },
    Settling { until_us: u64 },
    Done,
}

/// One get.
#[derive(Debug)]
pub(crate) struct Get {
    plan: ReadPlan,
    candidates: Candidates,
    merged: Merged,
    elsewhere: Elsewhere,
    /// Those count too that hold a record without having a vote.
    relaxed: bool,
    phase: Phase,
    outputs: VecDeque<GetOutput>,
}

impl Get {
    /// Starts a get of the only owner set there is.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn new(now_us: u64, plan: ReadPlan) -> Self {
        Self::beside(now_us, plan, Elsewhere::Nothing)
    }

    /// Starts a get beside those of other owner sets.
    #[must_use]
    pub(crate) fn beside(now_us: u64, plan: ReadPlan, elsewhere: Elsewhere) -> Self {
        let mut get = Self {
            candidates: Candidates::new(&plan),
            phase: Phase::Gathering {
                hedge_at_us: now_us + plan.hedge_after_us,
                silent_at_us: now_us + plan.silent_after_us,
            },
            merged: Merged::default(),
            elsewhere,
            relaxed: false,
            outputs: VecDeque::new(),
            plan,
        };
        get.advance(now_us);
        get
    }

    /// A node, perhaps this one, sent its record, or has none.
    pub(crate) fn handle_record(
        &mut self,
        now_us: u64,
        node: NodeId,
        record: Option<EncodedRecord>,
    ) {
        let merged = record.map(|record| self.merged.add_digested(record)).transpose();
        let state = merged.map_or(State::Failed, |digest| State::Answered { digest });
        self.candidates.note(node, state);
        self.advance(now_us);
    }

    /// A node has the record that it was told to be known.
    pub(crate) fn handle_same(&mut self, now_us: u64, node: NodeId) {
        if let Some(State::Asked { known }) = self.candidates.state(node) {
            self.candidates.note(node, State::Answered { digest: known });
        }
        self.advance(now_us);
    }

    /// A node, perhaps this one, can't say what it should hold; this is what it does hold.
    pub(crate) fn handle_unknown(
        &mut self,
        now_us: u64,
        node: NodeId,
        record: Option<EncodedRecord>,
        why: Doubt,
    ) {
        let merged = record.map(|record| self.merged.add_digested(record)).transpose();
        let state = merged.map_or(State::Failed, |held| State::Unsure { held, why });
        self.candidates.note(node, state);
        self.advance(now_us);
    }

    /// The gets of other owner sets have come to this.
    pub(crate) fn handle_elsewhere(&mut self, now_us: u64, elsewhere: Elsewhere) {
        self.elsewhere = elsewhere;
        self.advance(now_us);
    }

    /// A node refused, or could not be reached.
    pub(crate) fn handle_failure(&mut self, now_us: u64, node: NodeId) {
        self.candidates.note(node, State::Failed);
        self.advance(now_us);
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub(crate) fn handle_timeout(&mut self, now_us: u64) {
        match self.phase {
            Phase::Gathering { .. } if now_us >= self.plan.deadline_us => self.fail(now_us, true),
            Phase::Gathering { hedge_at_us, mut silent_at_us } => {
                // A slow primary is no silent one: a fallback in its place, which may know nothing,
                // would cost the next get what it is promised.
                if now_us >= silent_at_us {
                    silent_at_us = u64::MAX;
                    self.candidates.replace_silent();
                } else if now_us < hedge_at_us {
                    return;
                }
                self.phase = Phase::Gathering { hedge_at_us: u64::MAX, silent_at_us };
                if self.ask_all() > 0 {
                    self.outputs.push_back(GetOutput::Hedged);
                }
            }
            Phase::Settling { until_us } if now_us >= until_us => self.finish(now_us),
            _ => {}
        }
    }

    /// When to call [`Self::handle_timeout`], on the monotonic clock.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        match self.phase {
            Phase::Gathering { hedge_at_us, silent_at_us } => {
                Some(hedge_at_us.min(silent_at_us).min(self.plan.deadline_us))
            }
            Phase::Settling { until_us } => Some(until_us),
            Phase::Done => None,
        }
    }

    /// The next thing to do.
    pub(crate) fn poll_output(&mut self) -> Option<GetOutput> {
        self.outputs.pop_front()
    }

    /// Nothing more will come of it.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done && self.outputs.is_empty()
    }

    /// How many nodes have answered.
    #[must_use]
    pub(crate) fn answered(&self) -> u8 {
        self.have().answers
    }

    /// How many of them are primaries that vote.
    #[must_use]
    pub(crate) fn primaries(&self) -> u8 {
        self.have().primaries
    }

    /// Whether one whose answer counts holds a record.
    pub(crate) fn has_found(&self) -> bool {
        self.candidates.have_found(self.relaxed)
    }

    /// Whether it waits for what other owner sets come to, and for nothing else.
    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.phase, Phase::Gathering { .. }) && !self.candidates.may_hear(false)
    }

    /// Whether it has not answered yet.
    pub(crate) fn is_gathering(&self) -> bool {
        matches!(self.phase, Phase::Gathering { .. })
    }

    fn found(&self) -> bool {
        self.has_found() || self.elsewhere == Elsewhere::Found
    }

    /// What it has reached.
    fn have(&self) -> Tally {
        let have = self.candidates.have(self.found());
        if self.relaxed { self.candidates.with_those_without_vote(have) } else { have }
    }

    /// This node.
    pub(crate) fn me(&self) -> NodeId {
        self.plan.me
    }

    /// What was found so far.
    pub(crate) fn merged(&self) -> &Merged {
        &self.merged
    }

    fn advance(&mut self, now_us: u64) {
        match self.phase {
            Phase::Gathering { .. } => {
                self.candidates.replace_failed();
                self.judge(now_us);
            }
            Phase::Settling { .. } => self.finish_if_settled(now_us),
            Phase::Done => {}
        }
    }

    fn judge(&mut self, now_us: u64) {
        let (needs, have) = (self.plan.needs, self.have());
        // Where nobody is left to speak, nothing may be found any more.
        let open = |last_resort| {
            self.elsewhere == Elsewhere::Open || self.candidates.may_hear(last_resort)
        };
        let at_best = |last_resort| match open(last_resort) {
            true => self.candidates.at_best(last_resort),
            false => have,
        };
        match quorum_status(needs, have, at_best(false)) {
            QuorumStatus::Reached => self.answer(now_us),
            QuorumStatus::Pending => self.ask_enough(),
            QuorumStatus::Impossible
                if quorum_status(needs, have, at_best(true)) == QuorumStatus::Pending =>
            {
                self.candidates.add_away();
                self.ask_all();
            }
            QuorumStatus::Impossible => self.count_those_without_vote(now_us),
        }
    }

    /// Those who would know are too few. Once nobody is left to ask, who holds a record without having a vote
    /// counts too: not sooner, for of two records the older may be here, and with another that was not
    /// asked the one that was acknowledged.
    fn count_those_without_vote(&mut self, now_us: u64) {
        let needs = self.plan.needs;
        let at_best = self.candidates.with_those_without_vote(self.candidates.at_best(true));
        if quorum_status(needs, Tally::default(), at_best) == QuorumStatus::Impossible {
            return self.fail(now_us, false);
        }
        self.candidates.add_away();
        self.ask_all();
        if self.candidates.any_asked() {
            return;
        }
        self.relaxed = true;
        match quorum_status(needs, self.have(), self.have()) {
            QuorumStatus::Reached => self.answer(now_us),
            _ => self.fail(now_us, false),
        }
    }

    fn answer(&mut self, now_us: u64) {
        self.outputs.push_back(GetOutput::Answer(Ok(self.merged.record().cloned())));
        self.settle(now_us);
    }

    /// It has answered: goes on listening for a while, to repair whoever is behind.
    fn settle(&mut self, now_us: u64) {
        let until_us = self.plan.repair_until_us.min(now_us + SETTLE_US);
        if until_us <= now_us {
            return self.finish(now_us);
        }
        self.phase = Phase::Settling { until_us };
        self.candidates.leave_unneeded();
        self.ask_all();
        self.finish_if_settled(now_us);
    }

    fn fail(&mut self, now_us: u64, timed_out: bool) {
        let shortfall = Shortfall { timed_out, ..self.shortfall() };
        // Who can't say may be able to once it is repaired: the next get finds more than this one.
        let heals = !timed_out && !shortfall.in_doubt.is_empty();
        self.outputs.push_back(GetOutput::Answer(Err(shortfall)));
        if heals { self.settle(now_us) } else { self.finish(now_us) }
    }

    /// How far it has come.
    pub(crate) fn shortfall(&self) -> Shortfall {
        let found = self.found();
        Shortfall {
            needs: self.plan.needs,
            had: self.have(),
            timed_out: false,
            in_doubt: self.candidates.in_doubt(),
            nothing_at_fallbacks: if found { 0 } else { self.candidates.nothing_at_fallbacks() },
        }
    }

    fn finish_if_settled(&mut self, now_us: u64) {
        if !self.candidates.any_asked() {
            self.finish(now_us);
        }
    }

    fn finish(&mut self, now_us: u64) {
        self.phase = Phase::Done;
        let Some(record) = self.merged.record() else { return };
        if now_us >= self.plan.repair_until_us {
            return;
        }
        for (candidate, held) in self.candidates.behind(self.merged.digest()) {
            self.outputs.push_back(GetOutput::Repair {
                node: candidate.node,
                stands_in_for: candidate.stands_in_for,
                record: record.clone(),
                cause: held.map_or(RepairCause::Missing, |_| RepairCause::Stale),
            });
        }
    }

    /// Keeps as many nodes asked as are needed; the local one alone first, for its digest.
    fn ask_enough(&mut self) {
        let wanted = usize::from(self.plan.needs.answers.max(self.plan.needs.primaries));
        let found = self.found();
        while self.candidates.in_use(found) < wanted && !self.waits_for_local() {
            let Some(next) = self.candidates.next_idle() else { return };
            self.ask(next);
        }
    }

    /// Asks every candidate that was not asked yet; says how many.
    fn ask_all(&mut self) -> usize {
        let mut asked = 0;
        while let Some(next) = self.candidates.next_idle() {
            self.ask(next);
            asked += 1;
        }
        asked
    }

    fn ask(&mut self, index: usize) {
        let known = self.merged.digest();
        let node = self.candidates.ask(index, known);
        self.outputs.push_back(if node == self.plan.me {
            GetOutput::ReadLocal
        } else {
            GetOutput::Read { node, known }
        });
    }

    fn waits_for_local(&self) -> bool {
        matches!(self.candidates.state(self.plan.me), Some(State::Asked { .. }))
    }
}
