//! One put: the merged record to every replica at once, an answer when W have acknowledged.
//!
//! The local commit is one acknowledgement among the others. Invariant: a replica's acknowledgement
//! counts as synced only if it was asked to sync.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use jedlik_protocol::client::Acknowledgement;
use jedlik_vclock::planted::{self, Bug};

use crate::plan::{Target, WritePlan};
use crate::tally::{Needs, Shortfall, Tally, Verdict, verdict};

/// A write that failed is sent again after this long, doubled each time.
const RESEND_AFTER_US: u64 = 50_000;
/// A replica is given up after this many failures.
const FAILURES_LIMIT: u8 = 4;

/// What a put wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutput {
    /// Let this primary, perhaps this node, merge the record and acknowledge at this level.
    Write {
        /// Whom.
        node: NodeId,
        /// When it acknowledges.
        durability: Durability,
    },
    /// Let this node, perhaps this one, keep the record for primaries until they are back.
    Hint {
        /// Whom.
        node: NodeId,
        /// For whom; the first is the one that it stands in for.
        targets: Vec<NodeId>,
        /// When it acknowledges.
        durability: Durability,
    },
    /// Answer the client.
    Answer(Result<PutSuccess, Shortfall>),
    /// Fallbacks were asked because primaries were silent.
    Hedged,
}

/// Who has acknowledged when the client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutSuccess {
    /// How many nodes, each for a primary of its own.
    pub acknowledged: u8,
    /// Those that have synced.
    pub synced: u8,
    /// Every acknowledgement; a node that keeps hints for several primaries has one for each.
    pub by: Vec<Acknowledgement>,
}

/// Why a request to a node came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It can't be reached, or did not answer in time.
    Lost,
    /// It answered that it can't now.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Asked,
    /// To be sent again then.
    Resting {
        until_us: u64,
    },
    GivenUp,
}

#[derive(Debug, Clone, Copy)]
struct Writing {
    target: Target,
    level: Durability,
    acknowledged: Option<Durability>,
    progress: Progress,
    failures: u8,
}

/// One put, after its version was minted.
#[derive(Debug)]
pub struct Put {
    needs: Needs,
    deadline_us: u64,
    replicas: Vec<Writing>,
    answered: bool,
    outputs: VecDeque<PutOutput>,
}

impl Put {
    /// Starts a put: every replica is written to at once.
    #[must_use]
    pub fn new(_now_us: u64, plan: &WritePlan) -> Self {
        let count = plan.primaries.len();
        let replicas = plan.primaries.iter().enumerate().map(|(index, target)| Writing {
            target: *target,
            level: initial_level(plan, index, count),
            acknowledged: None,
            progress: Progress::Asked,
            failures: 0,
        });
        let missing = u8::from(planted::on(Bug::AcknowledgementMissing));
        let mut put = Self {
            needs: Needs { answers: plan.needs.answers - missing, ..plan.needs },
            deadline_us: plan.deadline_us,
            replicas: replicas.collect(),
            answered: false,
            outputs: VecDeque::new(),
        };
        for index in 0..count {
            put.write(index);
        }
        put.judge();
        put
    }

    /// A replica has merged the record, as durably as `durability`, which is what it was asked.
    pub fn handle_acknowledgement(&mut self, _now_us: u64, node: NodeId, durability: Durability) {
        if let Some(replica) = self.replica(node) {
            replica.acknowledged = replica.acknowledged.max(Some(durability));
        }
        self.judge();
    }

    /// A replica refused, or could not be reached; it is written to again later.
    pub fn handle_failure(&mut self, now_us: u64, node: NodeId, _cause: Cause) {
        if let Some(replica) = self.replica(node) {
            replica.failures = replica.failures.saturating_add(1);
            let rest_us = RESEND_AFTER_US << (replica.failures - 1).min(FAILURES_LIMIT);
            replica.progress = if replica.failures >= FAILURES_LIMIT {
                Progress::GivenUp
            } else {
                Progress::Resting { until_us: now_us + rest_us }
            };
        }
        self.replace_syncer();
        self.judge();
    }

    /// The time of [`Self::poll_timeout`] has come.
    pub fn handle_timeout(&mut self, now_us: u64) {
        if now_us >= self.deadline_us {
            self.answer_short(true);
        }
        for index in 0..self.replicas.len() {
            if matches!(self.replicas[index].progress, Progress::Resting { until_us } if until_us <= now_us)
            {
                self.replicas[index].progress = Progress::Asked;
                self.write(index);
            }
        }
    }

    /// When to call [`Self::handle_timeout`], on the monotonic clock.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        if self.answered {
            return None;
        }
        let resting = self.replicas.iter().filter_map(|replica| match replica.progress {
            Progress::Resting { until_us } => Some(until_us),
            Progress::Asked | Progress::GivenUp => None,
        });
        Some(resting.min().map_or(self.deadline_us, |at| at.min(self.deadline_us)))
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<PutOutput> {
        self.outputs.pop_front()
    }

    /// Nothing more will come of it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.answered && self.outputs.is_empty()
    }

    fn judge(&mut self) {
        if self.answered {
            return;
        }
        let have = self.tally(false);
        match verdict(self.needs, have, self.tally(true)) {
            Verdict::Reached => {
                let success =
                    PutSuccess { acknowledged: have.answers, synced: have.synced, by: self.by() };
                self.answer(Ok(success));
            }
            Verdict::Impossible => self.answer_short(false),
            Verdict::Pending => {}
        }
    }

    fn by(&self) -> Vec<Acknowledgement> {
        let acknowledged = self.replicas.iter().filter(|replica| replica.acknowledged.is_some());
        let by = acknowledged.map(|replica| Acknowledgement {
            node: replica.target.node,
            stands_in_for: None,
            synced: replica.acknowledged == Some(Durability::Synced),
        });
        by.collect()
    }

    fn answer_short(&mut self, timed_out: bool) {
        if !self.answered {
            self.answer(Err(Shortfall { needs: self.needs, had: self.tally(false), timed_out }));
        }
    }

    fn answer(&mut self, result: Result<PutSuccess, Shortfall>) {
        self.answered = true;
        self.outputs.push_back(PutOutput::Answer(result));
    }

    /// If too few replicas that were asked to sync are left, asks another one to.
    fn replace_syncer(&mut self) {
        let syncing = |replica: &Writing| {
            replica.level == Durability::Synced
                && (replica.progress == Progress::Asked || replica.acknowledged.is_some())
        };
        let missing = usize::from(self.needs.synced)
            .saturating_sub(self.replicas.iter().filter(|replica| syncing(replica)).count());
        let spare = (0..self.replicas.len()).filter(|index| {
            self.replicas[*index].level < Durability::Synced
                && self.replicas[*index].progress == Progress::Asked
        });
        for index in spare.take(missing).collect::<Vec<_>>() {
            self.replicas[index].level = Durability::Synced;
            self.write(index);
        }
    }

    fn write(&mut self, index: usize) {
        let replica = &self.replicas[index];
        self.outputs
            .push_back(PutOutput::Write { node: replica.target.node, durability: replica.level });
    }

    fn tally(&self, at_best: bool) -> Tally {
        let mut tally = Tally::default();
        for replica in &self.replicas {
            let waiting = at_best && replica.progress != Progress::GivenUp;
            if replica.acknowledged.is_some() || waiting {
                // Any replica still in reach can be asked to sync.
                let synced = waiting || replica.acknowledged == Some(Durability::Synced);
                tally.add(true, synced);
            }
        }
        tally
    }

    fn replica(&mut self, node: NodeId) -> Option<&mut Writing> {
        self.replicas.iter_mut().find(|replica| replica.target.node == node)
    }
}

/// The level asked of the replica at `index`: the bucket's, but DW of them sync. Where an
/// acknowledgement means memory only, one more syncs without being waited for (paper 6.1): the last,
/// so that the nearest answers soonest.
fn initial_level(plan: &WritePlan, index: usize, count: usize) -> Durability {
    let must_sync = index < usize::from(plan.needs.synced);
    let should_sync = plan.durability == Durability::Buffered && index + 1 == count;
    if must_sync || should_sync { Durability::Synced } else { plan.durability }
}
