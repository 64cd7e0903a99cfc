//! One page of a partition: the pages of R replicas that vote, in each active owner set, and of the fallbacks
//! that may keep hints for owners that are away, merged key by key.
//!
//! Invariants: the answer ends where the shortest page ends, so no replica's record is skipped; a node of
//! several owner sets is asked once and counts in each; a replica with a damaged record has said nothing of
//! that key; a stand-in adds what it holds and counts for nothing, since only nodes that would have a key can
//! say that it is absent.

mod owners;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::peer::Doubt;
use jedlik_protocol::{EncodedRecord, PlacedKey};

use self::owners::OwnerSet;
use crate::joint::within_limit;
use crate::merged::Merged;
use crate::plan::{ListedNode, ReadPlan};
use crate::tally::{QuorumStatus, Shortfall, Tally, quorum_status};

/// Page of records of one replica, or of the merge of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// Records in the order of their keys.
    pub records: Vec<(PlacedKey, EncodedRecord)>,
    /// Last key that the page covers; `None` if it reaches the end of the partition.
    pub until: Option<PlacedKey>,
    /// Keys on the page whose records can't be read.
    pub damaged: Vec<PlacedKey>,
    /// Reason why a key that is missing on the page may exist all the same; `None` if such a key is absent.
    pub doubt: Option<Doubt>,
}

/// Reason why a scan has no page to answer with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanShortfall {
    /// Shortfall of the owner set that was missed.
    pub quorum: Shortfall,
    /// Key that too few replicas can read, if that is the reason.
    pub damaged: Option<PlacedKey>,
}

/// Effect that a scan asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanOutput {
    /// Ask a replica, perhaps this node, for its page.
    Read {
        /// Replica that is asked.
        node: NodeId,
    },
    /// Answer the client. Comes exactly once; nothing follows.
    Answer(Result<ScanPage, ScanShortfall>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Asked,
    Answered(ScanPage),
    Failed,
}

/// State machine of one page of a scan, over every active owner set.
#[derive(Debug)]
pub struct Scan {
    /// Nodes of all owner sets, each once, stand-ins included.
    nodes: Vec<ListedNode>,
    /// State of each node, in the order of `nodes`.
    states: Vec<State>,
    sets: Vec<OwnerSet>,
    hedge_at_us: u64,
    deadline_us: u64,
    answered: bool,
    outputs: VecDeque<ScanOutput>,
}

impl Scan {
    /// Starts a scan over a single owner set.
    #[must_use]
    pub fn new(now_us: u64, plan: ReadPlan) -> Self {
        Self::over(now_us, &[plan])
    }

    /// Starts a scan over the owner sets of `plans`, newest first: at least one, at most
    /// [`OWNER_SETS_MAX`](crate::OWNER_SETS_MAX); otherwise it answers short at once. The times of the newest
    /// plan are the scan's.
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
            let primaries = plan.primaries.iter().map(|listed| scan.place(*listed)).collect();
            scan.sets.push(OwnerSet::new(primaries, plan));
        }
        if scan.sets.is_empty() {
            let needs = newest.map(|plan| plan.needs).unwrap_or_default();
            let quorum = Shortfall { needs, ..Shortfall::default() };
            scan.answer(Err(ScanShortfall { quorum, damaged: None }));
        }
        scan.advance();
        scan
    }

    /// Returns a node's place among all nodes, adding it if it is new.
    fn place(&mut self, listed: ListedNode) -> usize {
        let known = self.nodes.iter().position(|known| known.node == listed.node);
        known.unwrap_or_else(|| {
            self.nodes.push(listed);
            self.states.push(State::Idle);
            self.nodes.len() - 1
        })
    }

    /// Handles the page of a replica, perhaps this node.
    pub fn handle_page(&mut self, node: NodeId, page: ScanPage) {
        self.note(node, State::Answered(page));
    }

    /// Handles a replica that refused, or could not be reached.
    pub fn handle_failure(&mut self, node: NodeId) {
        self.note(node, State::Failed);
    }

    /// Handles the time that [`Self::poll_timeout`] named.
    pub fn handle_timeout(&mut self, now_us: u64) {
        if now_us >= self.deadline_us {
            self.fail(true);
        } else if now_us >= self.hedge_at_us {
            self.hedge_at_us = u64::MAX;
            for set in 0..self.sets.len() {
                self.sets[set].stand_in_for_silent(&self.states);
            }
            for index in 0..self.nodes.len() {
                if self.states[index] == State::Idle && self.nodes[index].alive {
                    self.ask(index);
                }
            }
            self.advance();
        }
    }

    /// Returns when to call [`Self::handle_timeout`], in microseconds on the monotonic clock; `None` once the
    /// scan has answered.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        (!self.answered).then(|| self.hedge_at_us.min(self.deadline_us))
    }

    /// Returns the next effect, `None` if there are no more.
    pub fn poll_output(&mut self) -> Option<ScanOutput> {
        self.outputs.pop_front()
    }

    /// Returns whether the scan has answered and all its effects are taken.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.answered && self.outputs.is_empty()
    }

    fn advance(&mut self) {
        if self.answered {
            return;
        }
        self.ask_stand_ins();
        let statuses = self.sets.iter().map(|set| self.quorum_status(set));
        if statuses.clone().any(|status| status == QuorumStatus::Impossible) {
            self.fail(false);
        } else if statuses.clone().all(|status| status == QuorumStatus::Reached) {
            // Hints at stand-ins belong on the page, so all stand-ins have to be heard.
            if self.sets.iter().any(|set| set.waits_for_stand_in(&self.nodes, &self.states)) {
                return;
            }
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

    /// Asks living fallbacks where an owner is away or has failed.
    fn ask_stand_ins(&mut self) {
        for set in 0..self.sets.len() {
            while let Some(node) = self.sets[set].next_stand_in(&self.nodes, &self.states) {
                let index = self.place(ListedNode { node, alive: true });
                self.sets[set].add_stand_in(index);
                if self.states[index] == State::Idle {
                    self.ask(index);
                }
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
        let until = self.reach();
        let pages = self.states.iter_mut().filter_map(|state| match state {
            State::Answered(page) => Some(core::mem::take(page)),
            State::Idle | State::Asked | State::Failed => None,
        });
        let pages: Vec<ScanPage> = pages.collect();
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
        Some(ScanPage { records, until, ..ScanPage::default() })
    }

    /// Returns the key that all pages reach; `None` if they reach the end of the partition.
    fn reach(&self) -> Option<PlacedKey> {
        let pages = self.states.iter().filter_map(|state| match state {
            State::Answered(page) => page.until.as_ref(),
            State::Idle | State::Asked | State::Failed => None,
        });
        pages.min().cloned()
    }

    /// Answers with the shortfall of the first owner set that can't be reached any more, or was not in time.
    fn fail(&mut self, timed_out: bool) {
        let missed = |set: &&OwnerSet| match self.quorum_status(set) {
            QuorumStatus::Impossible => true,
            QuorumStatus::Pending => timed_out,
            QuorumStatus::Reached => false,
        };
        let missed = self.sets.iter().find(missed).or(self.sets.first());
        if let Some(set) = missed {
            let (had, damaged) = self.tally(set, false);
            let in_doubt = set.in_doubt(&self.nodes, &self.states);
            let needs = set.needs;
            let quorum = Shortfall { needs, had, timed_out, in_doubt, ..Shortfall::default() };
            self.answer(Err(ScanShortfall { quorum, damaged }));
        }
    }

    fn answer(&mut self, result: Result<ScanPage, ScanShortfall>) {
        if !self.answered {
            self.answered = true;
            self.outputs.push_back(ScanOutput::Answer(result));
        }
    }

    fn ask(&mut self, index: usize) {
        self.states[index] = State::Asked;
        self.outputs.push_back(ScanOutput::Read { node: self.nodes[index].node });
    }

    /// Returns how many owners are asked, or have answered and count for every key.
    fn in_use(&self, set: &OwnerSet) -> usize {
        let asked = set.states(&self.states).filter(|state| **state == State::Asked).count();
        asked + usize::from(self.tally(set, false).0.answers)
    }

    /// Returns the place of an owner that was not asked yet, a living one first.
    fn next_idle(&self, set: &OwnerSet) -> Option<usize> {
        let members = set.primaries.iter().copied();
        let mut idle = members.filter(|index| self.states[*index] == State::Idle);
        idle.clone().find(|index| self.nodes[*index].alive).or_else(|| idle.next())
    }

    fn quorum_status(&self, set: &OwnerSet) -> QuorumStatus {
        quorum_status(set.needs, self.tally(set, false).0, self.tally(set, true).0)
    }

    /// Returns how many owners have said something of every key, and the key of which the fewest have, if
    /// damage is the reason. `at_best`: with all that may still answer.
    fn tally(&self, set: &OwnerSet, at_best: bool) -> (Tally, Option<PlacedKey>) {
        let (count, damaged) = set.count(&self.states, self.reach().as_ref(), at_best);
        let mut tally = Tally::default();
        (0..count).for_each(|_| tally.add(true, false));
        (tally, damaged)
    }

    fn note(&mut self, node: NodeId, state: State) {
        let index = self.nodes.iter().position(|listed| listed.node == node);
        if let Some(slot) = index.and_then(|index| self.states.get_mut(index))
            && *slot == State::Asked
        {
            *slot = state;
        }
        self.advance();
    }
}
