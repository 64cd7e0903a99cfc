//! The order in which partitions are read and compared, and the peers (paper 4.7;
//! [design 5](../../../docs/design.md#5-anti-entropy)).
//!
//! One job at a time: read the partition's records if its tree is not whole or they have not been read for
//! long, then compare with other owners, for each N that a bucket has. Invariant: every owned partition has a
//! job in each round, and one that could not be finished gets another.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::RepairReport;

use crate::Tuning;
use crate::cx::{Cx, Fact};
use crate::exchange_worker::{Ended, JobKind, PartitionJob, With};
use crate::exchanges::{Exchanges, Progress, Seat};
use crate::trees::Trees;

/// Time after which an unfinished job is tried again, in microseconds; the next round may come first.
const RETRY_AFTER_US: u64 = 2_000_000;

/// Place of new jobs among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Before all that wait: an admin asked for the jobs, or a node is back.
    First,
    /// After all jobs that wait.
    Last,
}

/// Comparisons with the other owners of one shard's partitions.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    jobs: VecDeque<PartitionJob>,
    /// Jobs in `jobs`, to tell quickly which ones wait.
    waiting: BTreeSet<PartitionJob>,
    /// Job that the worker has begun.
    under_way: Option<PartitionJob>,
    next_round_us: u64,
    retry_us: Option<u64>,
    failed: Vec<PartitionJob>,
    /// Number of jobs planned since none was left.
    planned: u32,
    /// Number of exchanges that did not come to their end since the start.
    failures: u64,
}

impl Repairs {
    /// Returns the counts of all that was done since the start, and the jobs left of this round.
    pub(crate) fn report(&self, exchanges: &Exchanges) -> RepairReport {
        let left = self.jobs.len() + usize::from(self.under_way.is_some());
        RepairReport {
            partitions: self.planned,
            done: self.planned.saturating_sub(left as u32),
            building: exchanges.trees.unread() as u32,
            to_retry: self.failed.len() as u32,
            failed: self.failures,
            ..exchanges.counts.clone()
        }
    }

    /// Adds jobs that are not waiting yet.
    pub(crate) fn add(&mut self, turn: Turn, jobs: impl Iterator<Item = PartitionJob>) {
        let idle = self.jobs.is_empty() && self.under_way.is_none();
        if idle {
            self.planned = 0;
        }
        for job in jobs {
            if self.waiting.insert(job) {
                match turn {
                    Turn::First => self.jobs.push_front(job),
                    Turn::Last => self.jobs.push_back(job),
                }
                self.planned += 1;
            }
        }
    }

    fn take(&mut self) -> Option<PartitionJob> {
        let job = self.jobs.pop_front()?;
        self.waiting.remove(&job);
        Some(job)
    }

    /// Forgets what was planned and begins a first round: at the start, or since buckets have other numbers
    /// of replicas now.
    pub(crate) fn restart(&mut self, cx: &mut Cx) {
        self.jobs.clear();
        self.waiting.clear();
        self.failed.clear();
        if let Some(job) = self.under_way.take() {
            cx.tell(Fact::GivenUp(job));
        }
        self.next_round_us = 0;
    }

    /// Returns whether there is a job, so that a step may be possible.
    pub(crate) fn is_busy(&self) -> bool {
        !self.jobs.is_empty() || self.under_way.is_some()
    }

    /// Returns when a round or a retry is due, in microseconds.
    pub(crate) fn due_us(&self) -> u64 {
        self.retry_us.map_or(self.next_round_us, |retry_us| retry_us.min(self.next_round_us))
    }

    /// Plans what is due: a round over all `owned` partitions, or another try of what failed.
    pub(crate) fn plan(
        &mut self,
        now_us: u64,
        owned: &BTreeSet<Partition>,
        trees: &Trees,
        tuning: &Tuning,
    ) {
        if self.retry_us.is_some_and(|retry_us| retry_us <= now_us) {
            self.retry_us = None;
            let failed = core::mem::take(&mut self.failed);
            self.add(Turn::Last, failed.into_iter());
        }
        if self.next_round_us > now_us || owned.is_empty() {
            return;
        }
        // The first round is with everyone: what was missed while this node was away is to be found
        // now, and not when the others come round to it.
        let with = if self.next_round_us == 0 { With::All } else { With::Later };
        self.next_round_us = now_us + tuning.exchange_interval_us;
        let scrub_before_us = now_us.checked_sub(tuning.scrub_interval_us);
        let round = owned.iter().copied().map(|partition| {
            let read_us = trees.read_us(partition);
            // A tree kept over a clean stop counts as read at the start.
            let due = scrub_before_us.is_some_and(|before_us| read_us.unwrap_or(0) <= before_us);
            // The tree still counts a damaged record as it was before the damage.
            let scrub = due || trees.has_damage(partition);
            PartitionJob { partition, kind: JobKind::Compare { with, scrub } }
        });
        self.add(Turn::Last, round);
    }

    /// Takes the next step of reading or comparing; returns false if there is none now.
    pub(crate) fn step(&mut self, cx: &mut Cx, exchanges: &mut Exchanges, view: &View) -> bool {
        let (seat, now_us) = (Seat::REPAIRS, cx.now.mono_us);
        // Each turn begins a job or takes a step of one.
        loop {
            if exchanges.is_free(seat) {
                let Some(job) = self.take() else { return false };
                if exchanges.is_at(job.partition) {
                    self.again(now_us, job);
                } else if exchanges.trees.keeps(job.partition) {
                    exchanges.begin(seat, job);
                    self.under_way = Some(job);
                }
                continue;
            }
            match exchanges.step(cx, view, seat) {
                Progress::Waits => return false,
                Progress::Taken => return true,
                Progress::Choose(job) => exchanges.compare(seat, pairs(job, view)),
                Progress::Ended(ended) => self.end_exchange(now_us, &ended),
                Progress::Done(_) => self.under_way = None,
            }
        }
    }

    /// Repeats the job under way later, since a page could not be read.
    pub(crate) fn handle_not_read(&mut self, now_us: u64, job: PartitionJob) {
        self.under_way = None;
        self.again(now_us, job);
    }

    /// Plans comparisons with a node that is back, to find soon what it missed.
    pub(crate) fn compare_with(&mut self, node: NodeId, owned: &BTreeSet<Partition>, view: &View) {
        let most = view.replica_counts().last().copied().unwrap_or(0);
        let shared = |partition: &Partition| view.owners(*partition, most).contains(&node);
        let kind = JobKind::Compare { with: With::One(node), scrub: false };
        let job = |partition| PartitionJob { partition, kind };
        self.add(Turn::First, owned.iter().copied().filter(shared).map(job));
    }

    /// Plans to read and compare partitions, as an admin asks.
    pub(crate) fn handle_repair(
        &mut self,
        partition: Option<Partition>,
        owned: &BTreeSet<Partition>,
    ) {
        let wanted = |owned: &Partition| partition.is_none_or(|partition| partition == *owned);
        let kind = JobKind::Compare { with: With::All, scrub: true };
        let job = |partition| PartitionJob { partition, kind };
        self.add(Turn::First, owned.iter().copied().filter(wanted).map(job));
    }

    /// Plans to read a partition's tree soon, since another node waits for it.
    pub(crate) fn read_soon(&mut self, partition: Partition) {
        let kind = JobKind::Compare { with: With::Later, scrub: false };
        self.add(Turn::First, core::iter::once(PartitionJob { partition, kind }));
    }

    fn end_exchange(&mut self, now_us: u64, ended: &Ended) {
        if !ended.report.complete {
            self.failures += u64::from(!ended.put_off);
            // Only records that can't be merged are left: until one of them changes there is nothing to try.
            if ended.finished && ended.report.clashes == ended.report.failed_records {
                return;
            }
            let kind = JobKind::Compare { with: With::One(ended.peer), scrub: false };
            self.again(now_us, PartitionJob { kind, ..ended.job });
        }
    }

    fn again(&mut self, now_us: u64, job: PartitionJob) {
        if !self.failed.contains(&job) {
            self.failed.push(job);
        }
        self.retry_us.get_or_insert(now_us + RETRY_AFTER_US);
    }
}

/// Returns the living nodes, for each N, that a job's partition is compared with.
fn pairs(job: PartitionJob, view: &View) -> Vec<(u8, NodeId)> {
    let JobKind::Compare { with, .. } = job.kind else { return Vec::new() };
    let mut pairs = Vec::new();
    for n in view.replica_counts() {
        let owners = view.owners(job.partition, n);
        let Some(me) = owners.iter().position(|node| *node == view.me()) else { continue };
        for (place, node) in owners.into_iter().enumerate() {
            let wanted = match with {
                With::All => place != me,
                With::Later => place > me,
                With::One(peer) => node == peer && place != me,
            };
            if wanted && view.is_alive(node) {
                pairs.push((n, node));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
