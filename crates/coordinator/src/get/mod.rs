//! One get: R answers merged, a hedge when the usual latency has passed, repair after answering.
//!
//! The local record is read first where there is one, so that the others need only say that theirs
//! is the same. Invariant: repairs carry the merge of every answer that came before they were sent.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, EncodedRecord};

use crate::merged::Merged;
use crate::plan::ReadPlan;
use crate::tally::{Shortfall, Tally, Verdict, verdict};

/// How long a get goes on listening after it has answered.
const SETTLE_US: u64 = 500_000;

/// What a get wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GetOutput {
    /// Read this node's own record.
    ReadLocal,
    /// Ask a peer for its record, unless it is the known one.
    Read {
        /// Whom.
        node: NodeId,
        /// What the peer need not send again.
        known: Option<Digest>,
    },
    /// Answer the client: the merged record, or why there is none.
    Answer(Result<Option<EncodedRecord>, Shortfall>),
    /// This replica (perhaps this node) is behind: let it merge the record, or keep it as a hint.
    Repair {
        /// Whom.
        node: NodeId,
        /// The primary for which it keeps the hint; `None` if it is one itself.
        stands_in_for: Option<NodeId>,
        /// The merge of all answers.
        record: EncodedRecord,
        /// How it was behind.
        cause: RepairCause,
    },
    /// More replicas were asked because the first were slow.
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
enum State {
    Idle,
    Asked { known: Option<Digest> },
    Answered { digest: Option<Digest> },
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Gathering { hedge_at_us: u64 },
    Settling { until_us: u64 },
    Done,
}

/// One get.
#[derive(Debug)]
pub struct Get {
    plan: ReadPlan,
    states: Vec<State>,
    merged: Merged,
    phase: Phase,
    outputs: VecDeque<GetOutput>,
}

impl Get {
    /// Starts a get.
    #[must_use]
    pub fn new(now_us: u64, plan: ReadPlan) -> Self {
        let mut get = Self {
            states: alloc::vec![State::Idle; plan.primaries.len()],
            phase: Phase::Gathering { hedge_at_us: now_us + plan.hedge_after_us },
            merged: Merged::default(),
            outputs: VecDeque::new(),
            plan,
        };
        get.advance(now_us);
        get
    }

    /// A replica, perhaps this node, sent its record, or has none.
    pub fn handle_record(&mut self, now_us: u64, node: NodeId, record: Option<EncodedRecord>) {
        let digest = record.as_ref().map(EncodedRecord::digest);
        let merged = record.map_or(Ok(()), |record| self.merged.add(record));
        self.note(node, if merged.is_ok() { State::Answered { digest } } else { State::Failed });
        self.advance(now_us);
    }

    /// A replica has the record that it was told to be known.
    pub fn handle_same(&mut self, now_us: u64, node: NodeId) {
        if let Some(State::Asked { known }) = self.state(node).copied() {
            self.note(node, State::Answered { digest: known });
        }
        self.advance(now_us);
    }

    /// A replica refused, or could not be reached.
    pub fn handle_failure(&mut self, now_us: u64, node: NodeId) {
        self.note(node, State::Failed);
        self.advance(now_us);
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now_us: u64) {
        match self.phase {
            Phase::Gathering { .. } if now_us >= self.plan.deadline_us => self.fail(true),
            Phase::Gathering { hedge_at_us } if now_us >= hedge_at_us => {
                self.phase = Phase::Gathering { hedge_at_us: u64::MAX };
                if self.ask_living() > 0 {
                    self.outputs.push_back(GetOutput::Hedged);
                }
            }
            Phase::Settling { until_us } if now_us >= until_us => self.finish(),
            _ => {}
        }
    }

    /// When to call [`Self::handle_timeout`], on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.phase {
            Phase::Gathering { hedge_at_us } => Some(hedge_at_us.min(self.plan.deadline_us)),
            Phase::Settling { until_us } => Some(until_us),
            Phase::Done => None,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<GetOutput> {
        self.outputs.pop_front()
    }

    /// Nothing more will come of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done && self.outputs.is_empty()
    }

    /// How many replicas have answered.
    #[must_use]
    pub fn answered(&self) -> u8 {
        self.tally(false).answers
    }

    /// How many of them are primaries.
    #[must_use]
    pub fn primaries(&self) -> u8 {
        self.tally(false).primaries
    }

    fn advance(&mut self, now_us: u64) {
        match self.phase {
            Phase::Gathering { .. } => {
                match verdict(self.plan.needs, self.tally(false), self.tally(true)) {
                    Verdict::Reached => self.answer(now_us),
                    Verdict::Impossible => self.fail(false),
                    Verdict::Pending => self.ask_enough(),
                }
            }
            Phase::Settling { .. } => self.finish_if_settled(),
            Phase::Done => {}
        }
    }

    fn answer(&mut self, now_us: u64) {
        self.outputs.push_back(GetOutput::Answer(Ok(self.merged.record().cloned())));
        self.phase = Phase::Settling { until_us: now_us + SETTLE_US };
        self.ask_living();
        self.finish_if_settled();
    }

    fn fail(&mut self, timed_out: bool) {
        let shortfall = Shortfall { needs: self.plan.needs, had: self.tally(false), timed_out };
        self.outputs.push_back(GetOutput::Answer(Err(shortfall)));
        self.finish();
    }

    fn finish_if_settled(&mut self) {
        if !self.states.iter().any(|state| matches!(state, State::Asked { .. })) {
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.phase = Phase::Done;
        let Some(record) = self.merged.record() else { return };
        for (target, state) in self.plan.primaries.iter().zip(&self.states) {
            let State::Answered { digest } = *state else { continue };
            if digest != self.merged.digest() {
                let cause = digest.map_or(RepairCause::Missing, |_| RepairCause::Stale);
                self.outputs.push_back(GetOutput::Repair {
                    node: target.node,
                    stands_in_for: None,
                    record: record.clone(),
                    cause,
                });
            }
        }
    }

    /// Keeps as many replicas asked as are needed; the local one alone first, for its digest.
    fn ask_enough(&mut self) {
        let wanted = usize::from(self.plan.needs.answers.max(self.plan.needs.primaries));
        while self.states.iter().filter(|state| Self::counts(**state)).count() < wanted {
            if self.waits_for_local() {
                return;
            }
            let Some(next) = self.next_idle() else { return };
            self.ask(next);
        }
    }

    /// Asks every idle replica that is believed to be up; says how many.
    fn ask_living(&mut self) -> usize {
        let idle: Vec<usize> = (0..self.states.len())
            .filter(|index| self.states[*index] == State::Idle && self.plan.primaries[*index].alive)
            .collect();
        for index in &idle {
            self.ask(*index);
        }
        idle.len()
    }

    fn ask(&mut self, index: usize) {
        let node = self.plan.primaries[index].node;
        let known = self.merged.digest();
        self.states[index] = State::Asked { known };
        self.outputs.push_back(if node == self.plan.me {
            GetOutput::ReadLocal
        } else {
            GetOutput::Read { node, known }
        });
    }

    fn next_idle(&self) -> Option<usize> {
        let idle = |index: &usize| self.states[*index] == State::Idle;
        let indexes = 0..self.states.len();
        indexes
            .clone()
            .filter(idle)
            .find(|index| self.plan.primaries[*index].alive)
            .or_else(|| indexes.clone().find(idle))
    }

    fn waits_for_local(&self) -> bool {
        matches!(self.state(self.plan.me), Some(State::Asked { .. }))
    }

    fn counts(state: State) -> bool {
        matches!(state, State::Asked { .. } | State::Answered { .. })
    }

    fn tally(&self, at_best: bool) -> Tally {
        let mut tally = Tally::default();
        for state in &self.states {
            let may_answer = matches!(state, State::Idle | State::Asked { .. });
            if matches!(state, State::Answered { .. }) || (at_best && may_answer) {
                tally.add(true, false);
            }
        }
        tally
    }

    fn state(&self, node: NodeId) -> Option<&State> {
        let index = self.plan.primaries.iter().position(|target| target.node == node)?;
        self.states.get(index)
    }

    fn note(&mut self, node: NodeId, state: State) {
        let index = self.plan.primaries.iter().position(|target| target.node == node);
        let slot = index.and_then(|index| self.states.get_mut(index));
        if let Some(slot) = slot.filter(|slot| matches!(slot, State::Asked { .. })) {
            *slot = state;
        }
    }
}
