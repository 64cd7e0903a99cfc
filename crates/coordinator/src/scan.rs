//! One page of a partition: the pages of R replicas, in each owner set that counts, merged key by key.
//!
//! Invariants: the answer ends where the shortest page ends, so no replica's record is skipped; a node
//! of several owner sets is asked once and counts in each.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::{EncodedRecord, PlacedKey};

use crate::chain::within_limit;
use crate::merged::Merged;
use crate::plan::{ReadPlan, Target};
use crate::tally::{Needs, Shortfall, Tally, Verdict, verdict};

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

/// An owner set: whom of all nodes it has, by their places, and what is needed of them.
#[derive(Debug)]
struct OwnerSet {
    members: Vec<usize>,
    needs: Needs,
}

/// One scan. It asks primaries only: a fallback holds hints and no ranges.
#[derive(Debug)]
pub struct Scan {
    /// Of all owner sets, each once.
    nodes: Vec<Target>,
    /// Of each node.
    states: Vec<State>,
    sets: Vec<OwnerSet>,
    hedge_at_us: u64,
    deadline_us: u64,
    answered: bool,
    outputs: VecDeque<ScanOutput>,
}

impl Scan {
    /// Starts a scan over one owner set.
    #[must_use]
    pub fn new(now_us: u64, plan: ReadPlan) -> Self {
        Self::over(now_us, &[plan])
    }

    /// Starts a scan over the owner sets of `plans`, newest first: at least one, at most
    /// [`OWNER_SETS_MAX`](crate::OWNER_SETS_MAX); otherwise it answers short at once. The newest one's
    /// times are the scan's.
    #[must_use]
    pub fn over(now_us: u64, plans: &[ReadPlan]) -> Self {
        let newest = plans.first();
        let mut scan = Self {
            nodes: Vec::new(),
            states: Vec::new(),
            sets: Vec::new(),
            hedge_at_us: newest.map_or(now_us, |plan| now_us + plan.hedge_after_us),
            deadline_us: newest.map_or(now_us, |plan| plan.deadline_us),
            answered: false,
            outputs: VecDeque::new(),
        };
        for plan in within_limit(plans) {
            scan.add_set(plan);
        }
        if scan.sets.is_empty() {
            let needs = newest.map(|plan| plan.needs).unwrap_or_default();
            scan.answer(Err(Shortfall { needs, ..Shortfall::default() }));
        }
        scan.advance();
        scan
    }

    fn add_set(&mut self, plan: &ReadPlan) {
        let mut members = Vec::with_capacity(plan.primaries.len());
        for target in &plan.primaries {
            let known = self.nodes.iter().position(|known| known.node == target.node);
            members.push(known.unwrap_or_else(|| {
                self.nodes.push(*target);
                self.states.push(State::Idle);
                self.nodes.len() - 1
            }));
        }
        self.sets.push(OwnerSet { members, needs: plan.needs });
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
        if now_us >= self.deadline_us {
            self.fail(true);
        } else if now_us >= self.hedge_at_us {
            self.hedge_at_us = u64::MAX;
            for index in 0..self.nodes.len() {
                if self.states[index] == State::Idle && self.nodes[index].alive {
                    self.ask(index);
                }
            }
        }
    }

    /// When to call [`Self::handle_timeout`], on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        (!self.answered).then(|| self.hedge_at_us.min(self.deadline_us))
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
        let verdicts = self.sets.iter().map(|set| self.verdict(set));
        if verdicts.clone().any(|verdict| verdict == Verdict::Impossible) {
            self.fail(false);
        } else if verdicts.clone().all(|verdict| verdict == Verdict::Reached) {
            match self.merge() {
                Some(page) => self.answer(Ok(page)),
                None => self.fail(false),
            }
        } else {
            for set in 0..self.sets.len() {
                self.ask_enough(set);
            }
        }
    }

    fn ask_enough(&mut self, set: usize) {
        let needs = self.sets[set].needs;
        let wanted = usize::from(needs.answers.max(needs.primaries));
        while self.in_use(&self.sets[set]) < wanted {
            let Some(index) = self.next_idle(&self.sets[set]) else { return };
            self.ask(index);
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

    /// Answers with the first owner set that can't be reached any more, or was not.
    fn fail(&mut self, timed_out: bool) {
        let missed = |set: &&OwnerSet| match self.verdict(set) {
            Verdict::Impossible => true,
            Verdict::Pending => timed_out,
            Verdict::Reached => false,
        };
        let missed = self.sets.iter().find(missed).or(self.sets.first());
        if let Some(set) = missed {
            let had = self.tally(set, false);
            self.answer(Err(Shortfall {
                needs: set.needs,
                had,
                timed_out,
                ..Shortfall::default()
            }));
        }
    }

    fn answer(&mut self, result: Result<ScanPage, Shortfall>) {
        if !self.answered {
            self.answered = true;
            self.outputs.push_back(ScanOutput::Answer(result));
        }
    }

    fn ask(&mut self, index: usize) {
        self.states[index] = State::Asked;
        self.outputs.push_back(ScanOutput::Read { node: self.nodes[index].node });
    }

    fn in_use(&self, set: &OwnerSet) -> usize {
        let in_use = |state: &&State| matches!(state, State::Asked | State::Answered(_));
        self.states_of(set).filter(in_use).count()
    }

    /// The living first.
    fn next_idle(&self, set: &OwnerSet) -> Option<usize> {
        let members = set.members.iter().copied();
        let mut idle = members.filter(|index| self.states[*index] == State::Idle);
        idle.clone().find(|index| self.nodes[*index].alive).or_else(|| idle.next())
    }

    fn verdict(&self, set: &OwnerSet) -> Verdict {
        verdict(set.needs, self.tally(set, false), self.tally(set, true))
    }

    fn tally(&self, set: &OwnerSet, at_best: bool) -> Tally {
        let mut tally = Tally::default();
        for state in self.states_of(set) {
            let may_answer = matches!(state, State::Idle | State::Asked);
            if matches!(state, State::Answered(_)) || (at_best && may_answer) {
                tally.add(true, false);
            }
        }
        tally
    }

    fn states_of<'a>(&'a self, set: &'a OwnerSet) -> impl Iterator<Item = &'a State> {
        set.members.iter().map(|index| &self.states[*index])
    }

    fn note(&mut self, node: NodeId, state: State) {
        let index = self.nodes.iter().position(|target| target.node == node);
        if let Some(slot) = index.and_then(|index| self.states.get_mut(index))
            && *slot == State::Asked
        {
            *slot = state;
        }
        self.advance();
    }
}
