//! One get: R answers merged, a hedge when the usual latency has passed, repair after answering
//! (paper 4.5, 4.6, 5).
//!
//! It asks the first N healthy nodes: living primaries, then a fallback for each that is away. The local
//! record is read first where there is one, so that the others need only say that theirs is the same.
//! Invariants: repairs carry the merge of every answer that came before they were sent; none is sent
//! when the version's time is over.
//!
//! A fallback is repaired with a hint, so only with what a primary's record went into. The reaper relies
//! on that: a hint made after a tombstone has settled on all primaries carries that tombstone's clock. A
//! merge of fallbacks alone could pass an older hint on under a new date.

mod candidates;
mod chain;

use alloc::collections::VecDeque;

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, EncodedRecord};

use self::candidates::{Candidates, State};
pub use self::chain::{GetChain, GetChainOutput};
use crate::merged::Merged;
use crate::plan::ReadPlan;
use crate::tally::{Shortfall, Verdict, verdict};

/// How long a get goes on listening after it has answered.
const SETTLE_US: u64 = 500_000;

/// What a get of one owner set wants done; each is told in [`GetChainOutput`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GetOutput {
    ReadLocal,
    Read {
        node: NodeId,
        known: Option<Digest>,
    },
    Answer(Result<Option<EncodedRecord>, Shortfall>),
    Repair {
        node: NodeId,
        stands_in_for: Option<NodeId>,
        /// The merge of all answers to this get.
        record: EncodedRecord,
        cause: RepairCause,
    },
    Hedged,
}

/// How a replica was behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairCause {
    /// It had nothing of the key.
    Missing,
    /// It had another record than the merge.
    Stale,
}

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
    phase: Phase,
    outputs: VecDeque<GetOutput>,
}

impl Get {
    /// Starts a get.
    #[must_use]
    pub(crate) fn new(now_us: u64, plan: ReadPlan) -> Self {
        let mut get = Self {
            candidates: Candidates::new(&plan),
            phase: Phase::Gathering {
                hedge_at_us: now_us + plan.hedge_after_us,
                silent_at_us: now_us + plan.silent_after_us,
            },
            merged: Merged::default(),
            outputs: VecDeque::new(),
            plan,
        };
        get.advance(now_us);
        get
    }

    /// A node, perhaps this one, sent its record, or has none. A fallback that has none counts like one
    /// that has: a sloppy quorum asks who is up, not who knows.
    pub(crate) fn handle_record(
        &mut self,
        now_us: u64,
        node: NodeId,
        record: Option<EncodedRecord>,
    ) {
        let digest = record.as_ref().map(EncodedRecord::digest);
        let merged = record.map_or(Ok(()), |record| self.merged.add(record));
        let state = if merged.is_ok() { State::Answered { digest } } else { State::Failed };
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
        self.candidates.have().answers
    }

    /// How many of them are primaries.
    #[must_use]
    pub(crate) fn primaries(&self) -> u8 {
        self.candidates.have().primaries
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
        let (needs, have) = (self.plan.needs, self.candidates.have());
        match verdict(needs, have, self.candidates.at_best(false)) {
            Verdict::Reached => self.answer(now_us),
            Verdict::Pending => self.ask_enough(),
            Verdict::Impossible => {
                if verdict(needs, have, self.candidates.at_best(true)) == Verdict::Impossible {
                    self.fail(now_us, false);
                } else {
                    self.candidates.add_away();
                    self.ask_all();
                }
            }
        }
    }

    fn answer(&mut self, now_us: u64) {
        self.outputs.push_back(GetOutput::Answer(Ok(self.merged.record().cloned())));
        let until_us = self.plan.repair_until_us.min(now_us + SETTLE_US);
        if until_us <= now_us {
            return self.finish(now_us);
        }
        self.phase = Phase::Settling { until_us };
        self.candidates.leave_filling();
        self.ask_all();
        self.finish_if_settled(now_us);
    }

    fn fail(&mut self, now_us: u64, timed_out: bool) {
        let had = self.candidates.have();
        let shortfall = Shortfall { needs: self.plan.needs, had, timed_out };
        self.outputs.push_back(GetOutput::Answer(Err(shortfall)));
        self.finish(now_us);
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
        while self.candidates.in_use() < wanted && !self.waits_for_local() {
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
