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
use crate::exchange_worker::{Ended, ExchangeWorker, JobKind, PartitionJob, With, WorkerStep};
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
    pub(crate) worker: ExchangeWorker,
    next_round_us: u64,
    retry_us: Option<u64>,
    failed: Vec<PartitionJob>,
    report: RepairReport,
}

impl Repairs {
    /// Returns the counts of all that was done since the start, and the jobs left of this round.
    pub(crate) fn report(&self, trees: &Trees) -> RepairReport {
        let left = self.jobs.len() + usize::from(!self.worker.is_idle());
        let done = self.report.partitions.saturating_sub(left as u32);
        let (building, to_retry) = (trees.unread() as u32, self.failed.len() as u32);
        RepairReport { done, building, to_retry, ..self.report.clone() }
    }

    pub(crate) fn report_mut(&mut self) -> &mut RepairReport {
        &mut self.report
    }

    /// Adds jobs that are not waiting yet.
    pub(crate) fn add(&mut self, turn: Turn, jobs: impl Iterator<Item = PartitionJob>) {
        let idle = self.jobs.is_empty() && self.worker.is_idle();
        if idle {
            self.report.partitions = 0;
        }
        for job in jobs {
            if self.waiting.insert(job) {
                match turn {
                    Turn::First => self.jobs.push_front(job),
                    Turn::Last => self.jobs.push_back(job),
                }
                self.report.partitions += 1;
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
    pub(crate) fn restart(&mut self) {
        self.jobs.clear();
        self.waiting.clear();
        self.failed.clear();
        self.worker.clear();
        self.next_round_us = 0;
    }

    /// Returns whether there is a job, so that a step may be possible.
    pub(crate) fn is_busy(&self) -> bool {
        !self.jobs.is_empty() || !self.worker.is_idle()
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

    /// Returns the next step if one can be taken now.
    pub(crate) fn step(
        &mut self,
        now_us: u64,
        trees: &mut Trees,
        exchanges: &mut u64,
        (moving, view): (&[ExchangeWorker], &View),
    ) -> Option<WorkerStep> {
        // Each turn begins a job or takes a step of one.
        loop {
            if self.worker.is_idle() {
                let job = self.take()?;
                if moving.iter().any(|worker| worker.is_at(job.partition)) {
                    self.again(now_us, job);
                } else if trees.keeps(job.partition) {
                    self.worker.begin(job, trees);
                }
                continue;
            }
            match self.worker.step(trees, exchanges)? {
                WorkerStep::Choose(job) => self.worker.compare(pairs(job, view), trees),
                WorkerStep::Ended(ended) => self.end_exchange(now_us, &ended),
                WorkerStep::Done { .. } => {}
                step => return Some(step),
            }
        }
    }

    /// Drops the job under way, since a page could not be read; it is repeated later.
    pub(crate) fn page_failed(&mut self, now_us: u64, job: PartitionJob) {
        self.worker.clear();
        self.again(now_us, job);
    }

    fn end_exchange(&mut self, now_us: u64, ended: &Ended) {
        self.count(ended);
        if !ended.report.complete {
            self.report.failed += u64::from(!ended.put_off);
            // Only records that can't be merged are left: until one of them changes there is nothing to try.
            if ended.finished && ended.report.clashes == ended.report.failed_records {
                return;
            }
            let kind = JobKind::Compare { with: With::One(ended.peer), scrub: false };
            self.again(now_us, PartitionJob { kind, ..ended.job });
        }
    }

    /// Adds the counts of an exchange to the report.
    pub(crate) fn count(&mut self, ended: &Ended) {
        let (total, report) = (&mut self.report, &ended.report);
        total.hash_requests += report.hash_requests;
        total.digest_requests += report.digest_requests;
        total.keys_compared += report.keys_compared;
        total.pulled += report.pulled + report.fetched;
        total.pushed += report.pushed;
        if ended.finished {
            total.exchanges += 1;
            total.agreed += u64::from(report.agreed);
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
