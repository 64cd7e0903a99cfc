//! One page of a partition: R replicas' pages merged key by key.
//!
//! Invariant: the answer ends where the shortest page ends, so no replica's record is skipped.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::{EncodedRecord, PlacedKey};

use crate::merged::Merged;
use crate::plan::ReadPlan;
use crate::tally::{Shortfall, Tally, Verdict, verdict};

/// A page of records in key order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// In order.
    pub records: Vec<(PlacedKey, EncodedRecord)>,
    /// How far it reaches; `None` if to the partition's end.
    pub until: Option<PlacedKey>,
}

/// What a scan wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanOutput {
    /// Ask this replica, perhaps this node, for its page.
    Read {
        /// Whom.
        node: NodeId,
    },
    /// Answer the client.
    Answer(Result<ScanPage, Shortfall>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Asked,
    Answered(ScanPage),
    Failed,
}

/// One scan. It asks primaries only: a fallback holds hints and no ranges.
#[derive(Debug)]
pub struct Scan {
    plan: ReadPlan,
    states: Vec<State>,
    hedge_at_us: u64,
    answered: bool,
    outputs: VecDeque<ScanOutput>,
}

impl Scan {
    /// Starts a scan.
    #[must_use]
    pub fn new(now_us: u64, plan: ReadPlan) -> Self {
        let mut scan = Self {
            states: alloc::vec![State::Idle; plan.primaries.len()],
            hedge_at_us: now_us + plan.hedge_after_us,
            answered: false,
            outputs: VecDeque::new(),
            plan,
        };
        scan.advance();
        scan
    }

    /// A replica, perhaps this node, sent its page.
    pub fn handle_page(&mut self, node: NodeId, page: ScanPage) {
        self.note(node, State::Answered(page));
    }

    /// A replica refused, or could not be reached.
    pub fn handle_failure(&mut self, node: NodeId) {
        self.note(node, State::Failed);
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now_us: u64) {
        if now_us >= self.plan.deadline_us {
            self.fail(true);
        } else if now_us >= self.hedge_at_us {
            self.hedge_at_us = u64::MAX;
            while let Some(index) = self.next_idle(true) {
                self.ask(index);
            }
        }
    }

    /// When to call [`Self::handle_timeout`], on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        (!self.answered).then(|| self.hedge_at_us.min(self.plan.deadline_us))
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<ScanOutput> {
        self.outputs.pop_front()
    }

    /// Nothing more will come of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.answered && self.outputs.is_empty()
    }

    fn advance(&mut self) {
        if self.answered {
            return;
        }
        match verdict(self.plan.needs, self.tally(false), self.tally(true)) {
            Verdict::Reached => {
                let page = self.merge();
                self.finish(page.ok_or(()));
            }
            Verdict::Impossible => self.fail(false),
            Verdict::Pending => {
                let wanted = usize::from(self.plan.needs.answers.max(self.plan.needs.primaries));
                while self.in_use() < wanted {
                    let Some(index) = self.next_idle(false) else { return };
                    self.ask(index);
                }
            }
        }
    }

    fn merge(&mut self) -> Option<ScanPage> {
        let pages = self.states.iter_mut().filter_map(|state| match state {
            State::Answered(page) => Some(core::mem::take(page)),
            State::Idle | State::Asked | State::Failed => None,
        });
        let pages: Vec<ScanPage> = pages.collect();
        let until = pages.iter().filter_map(|page| page.until.clone()).min();
        let mut merged: BTreeMap<PlacedKey, Merged> = BTreeMap::new();
        for (key, record) in pages.into_iter().flat_map(|page| page.records) {
            if until.as_ref().is_none_or(|until| key <= *until) {
                merged.entry(key).or_default().add(record).ok()?;
            }
        }
        let records = merged
            .into_iter()
            .filter_map(|(key, merged)| Some((key, merged.record()?.clone())))
            .collect();
        Some(ScanPage { records, until })
    }

    fn finish(&mut self, page: Result<ScanPage, ()>) {
        match page {
            Ok(page) => {
                self.answered = true;
                self.outputs.push_back(ScanOutput::Answer(Ok(page)));
            }
            Err(()) => self.fail(false),
        }
    }

    fn fail(&mut self, timed_out: bool) {
        if !self.answered {
            self.answered = true;
            let shortfall = Shortfall { needs: self.plan.needs, had: self.tally(false), timed_out };
            self.outputs.push_back(ScanOutput::Answer(Err(shortfall)));
        }
    }

    fn ask(&mut self, index: usize) {
        self.states[index] = State::Asked;
        self.outputs.push_back(ScanOutput::Read { node: self.plan.primaries[index].node });
    }

    fn in_use(&self) -> usize {
        self.states.iter().filter(|s| matches!(s, State::Asked | State::Answered(_))).count()
    }

    fn next_idle(&self, living_only: bool) -> Option<usize> {
        let idle = |index: &usize| self.states[*index] == State::Idle;
        let living = |index: &usize| self.plan.primaries[*index].alive;
        let indexes = 0..self.states.len();
        let first = indexes.clone().filter(idle).find(living);
        if living_only { first } else { first.or_else(|| indexes.clone().find(idle)) }
    }

    fn tally(&self, at_best: bool) -> Tally {
        let mut tally = Tally::default();
        for state in &self.states {
            let may_answer = matches!(state, State::Idle | State::Asked);
            if matches!(state, State::Answered(_)) || (at_best && may_answer) {
                tally.add(true, false);
            }
        }
        tally
    }

    fn note(&mut self, node: NodeId, state: State) {
        let index = self.plan.primaries.iter().position(|target| target.node == node);
        if let Some(slot) = index.and_then(|index| self.states.get_mut(index))
            && *slot == State::Asked
        {
            *slot = state;
        }
        self.advance();
    }
}
