//! One get: R answers merged, a hedge when the usual latency has passed, repair after answering (paper 4.5,
//! 4.6, 5).
//!
//! Its candidates are the first N healthy nodes: living primaries, then a fallback for each that is away. The local
//! record is read first where there is one, so that the others need only say that theirs is the same. It asks R of
//! them, one more whenever that takes longer than usual, and all once it has answered if those that it asked differ
//! ([decision 77](../../../../docs/decisions/0077-a-get-asks-r-replicas.md)).
//! Invariants: repairs carry the merge of every answer that came before they were sent; none is sent when the
//! version's time is over; an answer that the key is absent rests on R primaries that vote on it; a get that sees a
//! difference asks all, and sends each replica that is behind the merge.
//!
//! A replica may answer that it can't say: its record is damaged, or it has lost its past. The record that it
//! holds is merged, and others are asked in its place. Only when nobody is left to ask who would know does
//! such a record count as an answer, too.
//!
//! A fallback is repaired with a hint, so only with a merge that includes a primary's record. The collector
//! relies on that: a hint made after a tombstone has settled on all primaries carries that tombstone's clock.
//! A merge of fallbacks alone could pass an older hint on under a new date.

mod asking;
mod candidates;
mod joint;
mod output;

use alloc::collections::VecDeque;

use jedlik_hashing::NodeId;
use jedlik_protocol::error::DecodeError;
use jedlik_protocol::peer::Doubt;
use jedlik_protocol::{Digest, EncodedRecord};

use self::candidates::{Candidates, State};
pub use self::joint::{JointGet, JointGetOutput};
pub use self::output::RepairCause;
pub(crate) use self::output::{Elsewhere, GetOutput};
use crate::merged::Merged;
use crate::plan::ReadPlan;
use crate::tally::{QuorumStatus, Shortfall, Tally, quorum_status};

/// Time for which a get goes on listening after it has answered, in microseconds.
const SETTLE_US: u64 = 500_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Gathering { hedge_at_us: u64, silent_at_us: u64 },
    Settling { until_us: u64 },
    Done,
}

/// State machine of a get in one owner set.
#[derive(Debug)]
pub(crate) struct Get {
    plan: ReadPlan,
    candidates: Candidates,
    merged: Merged,
    elsewhere: Elsewhere,
    /// Whether nodes count too that hold a record without having a vote.
    relaxed: bool,
    phase: Phase,
    outputs: VecDeque<GetOutput>,
}

impl Get {
    /// Starts a get in the only owner set there is.
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

    /// Handles the record that a node, perhaps this one, holds; `None` if it holds none.
    pub(crate) fn handle_record(
        &mut self,
        now_us: u64,
        node: NodeId,
        record: Option<EncodedRecord>,
    ) {
        let merged = record.map(|record| self.merge(record)).transpose();
        let state = merged.map_or(State::Failed, |digest| State::Answered { digest });
        self.candidates.note(node, state);
        self.advance(now_us);
    }

    /// Handles a node's answer that its record is the known one.
    pub(crate) fn handle_same(&mut self, now_us: u64, node: NodeId) {
        if let Some(State::Asked { known }) = self.candidates.state(node) {
            self.candidates.note(node, State::Answered { digest: known });
        }
        self.advance(now_us);
    }

    /// Handles the answer of a node, perhaps this one, that can't say what it should hold, and the record
    /// that it does hold.
    pub(crate) fn handle_unknown(
        &mut self,
        now_us: u64,
        node: NodeId,
        record: Option<EncodedRecord>,
        why: Doubt,
    ) {
        let merged = record.map(|record| self.merge(record)).transpose();
        let state = merged.map_or(State::Failed, |held| State::Unsure { held, why });
        self.candidates.note(node, state);
        self.advance(now_us);
    }

    /// Merges a record, and returns its digest.
    fn merge(&mut self, record: EncodedRecord) -> Result<Digest, DecodeError> {
        let digest = record.digest();
        self.merged.add(record).map(|()| digest)
    }

    /// Handles the result of the gets in other owner sets.
    pub(crate) fn handle_elsewhere(&mut self, now_us: u64, elsewhere: Elsewhere) {
        self.elsewhere = elsewhere;
        self.advance(now_us);
    }

    /// Handles a request that a node refused, or for which it could not be reached.
    pub(crate) fn handle_failure(&mut self, now_us: u64, node: NodeId) {
        self.candidates.note(node, State::Failed);
        self.advance(now_us);
    }

    /// Handles the time that [`Self::poll_timeout`] named.
    pub(crate) fn handle_timeout(&mut self, now_us: u64) {
        match self.phase {
            Phase::Gathering { .. } if now_us >= self.plan.deadline_us => self.fail(now_us, true),
            // A slow primary is not silent: a fallback in its place, which may know nothing, would cost the next get
            // what it is promised.
            Phase::Gathering { silent_at_us, .. } if now_us >= silent_at_us => {
                self.phase = Phase::Gathering { hedge_at_us: u64::MAX, silent_at_us: u64::MAX };
                self.candidates.replace_silent();
                self.hedge(Self::ask_all);
            }
            Phase::Gathering { hedge_at_us, silent_at_us } if now_us >= hedge_at_us => {
                let hedged = self.hedge(Self::ask_more);
                let hedge_at_us = if hedged { now_us + self.plan.hedge_after_us } else { u64::MAX };
                self.phase = Phase::Gathering { hedge_at_us, silent_at_us };
            }
            Phase::Settling { until_us } if now_us >= until_us => self.finish(now_us),
            _ => {}
        }
    }

    /// Returns when to call [`Self::handle_timeout`], in microseconds on the monotonic clock.
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

    /// Returns the next effect, `None` if there are no more.
    pub(crate) fn poll_output(&mut self) -> Option<GetOutput> {
        self.outputs.pop_front()
    }

    /// Returns whether the get is over: it has answered, and all repairs are sent and all effects taken.
    #[must_use]
    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done && self.outputs.is_empty()
    }

    /// Returns how many nodes have answered and count.
    #[must_use]
    pub(crate) fn answered(&self) -> u8 {
        self.have().answers
    }

    /// Returns how many primaries that vote have answered.
    #[must_use]
    pub(crate) fn primaries(&self) -> u8 {
        self.have().primaries
    }

    /// Returns whether a node whose answer counts holds a record.
    pub(crate) fn has_found(&self) -> bool {
        self.candidates.have_found(self.relaxed)
    }

    /// Returns whether the get waits only for the result in other owner sets.
    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.phase, Phase::Gathering { .. }) && !self.candidates.may_hear(false)
    }

    /// Returns whether the get has yet to answer.
    pub(crate) fn is_gathering(&self) -> bool {
        matches!(self.phase, Phase::Gathering { .. })
    }

    fn found(&self) -> bool {
        self.has_found() || self.elsewhere == Elsewhere::Found
    }

    /// Returns the tally reached so far.
    fn have(&self) -> Tally {
        let have = self.candidates.have(self.found());
        if self.relaxed { self.candidates.with_those_without_vote(have) } else { have }
    }

    /// Returns the id of this node.
    pub(crate) fn me(&self) -> NodeId {
        self.plan.me
    }

    /// Returns the merge of all answers so far.
    pub(crate) fn merged(&self) -> &Merged {
        &self.merged
    }

    fn advance(&mut self, now_us: u64) {
        match self.phase {
            Phase::Gathering { .. } => {
                self.candidates.replace_failed();
                self.judge(now_us);
            }
            Phase::Settling { .. } => self.compare(now_us),
            Phase::Done => {}
        }
    }

    fn judge(&mut self, now_us: u64) {
        let (needs, have) = (self.plan.needs, self.have());
        // Where no node is left to answer, nothing can be found any more.
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

    /// Lets records of nodes without a vote count, since too few nodes are left that would know; but only
    /// once nobody is left to ask. Sooner, the older of two records could be here, and the acknowledged one
    /// at a node that was not asked.
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

    /// Goes on listening for a while after the answer, to repair the nodes that are behind.
    fn settle(&mut self, now_us: u64) {
        let until_us = self.plan.repair_until_us.min(now_us + SETTLE_US);
        if until_us <= now_us {
            return self.finish(now_us);
        }
        self.phase = Phase::Settling { until_us };
        self.compare(now_us);
    }

    /// Asks the nodes that were not asked yet if one that was is behind or can't say, so that repairs carry what all
    /// hold, or if this get is one that compares all. Ends the get once all that it has asked have answered.
    fn compare(&mut self, now_us: u64) {
        if self.plan.compares_all || self.candidates.differ(self.merged.digest()) {
            self.candidates.leave_unneeded();
            self.ask_all();
        }
        if !self.candidates.any_asked() {
            self.finish(now_us);
        }
    }

    fn fail(&mut self, now_us: u64, timed_out: bool) {
        let shortfall = Shortfall { timed_out, ..self.shortfall() };
        // A node that can't say may be able to once it is repaired: the next get finds more than this one.
        let heals = !timed_out && !shortfall.in_doubt.is_empty();
        self.outputs.push_back(GetOutput::Answer(Err(shortfall)));
        if heals { self.settle(now_us) } else { self.finish(now_us) }
    }

    /// Returns what the get needs and has, and who could not say.
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
}
