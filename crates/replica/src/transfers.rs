//! Partitions that come to this node and that go, and which of them is next (paper 4.9, 6.2;
//! [design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariants: a partition that is to be owned is worked on until this node is ready for it; a range is
//! dropped only after every present owner has been compared with it and while nothing was added to it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use jedlik_handoff::InboundTransfer;
use jedlik_hashing::Partition;

use crate::exchange_worker::{ExchangeWorker, JobKind, PartitionJob};
use crate::recalling::HeadStart;
use crate::surplus::Surplus;

/// Number of partitions that are moved at a time: while one waits for an answer another is worked on.
pub(crate) const WORKERS: usize = 2;
/// Time after which an unfinished job is tried again, in microseconds.
const RETRY_AFTER_US: u64 = 250_000;
/// Time after which a refill is tried again whose nodes had no vote or could not be reached, in microseconds.
const REFILL_AGAIN_US: u64 = 1_000_000;

/// Counts of what was transferred since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Transferred {
    pub(crate) received_records: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_records: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) dropped: u32,
}

/// Transfers to and from one shard, its refills included.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    /// Partitions that the shard owns under the active layouts.
    pub(crate) owned: BTreeSet<Partition>,
    /// Partitions that the shard is to own under the newest layout and is not ready for.
    pub(crate) inbound: BTreeMap<Partition, InboundTransfer>,
    /// Partitions that the shard no longer owns and may hold records of.
    pub(crate) unowned: BTreeSet<Partition>,
    /// Unowned partitions in which storage found something, be it a damaged record.
    occupied: BTreeSet<Partition>,
    /// Records of owned partitions for an N for which others alone own them.
    pub(crate) surplus: Surplus,
    /// Partitions for whose absent keys the shard can't vouch.
    refilling: BTreeSet<Partition>,
    pub(crate) workers: [ExchangeWorker; WORKERS],
    pub(crate) transferred: Transferred,
    /// Earlier copy of the shard, as a head start of refills.
    pub(crate) head_start: HeadStart,
    /// Whether a whole survey of the partitions that hold records has been answered.
    pub(crate) surveyed: bool,
    /// Time of the next question to storage which partitions hold records, in microseconds; `None` while one is open.
    pub(crate) survey_due_us: Option<u64>,
    /// Last partition that the survey has looked up, while there are more.
    pub(crate) surveyed_until: Option<Partition>,
    waiting: VecDeque<PartitionJob>,
    /// Jobs in `waiting`, to tell quickly which ones wait.
    queued: BTreeSet<PartitionJob>,
    resting: BTreeMap<PartitionJob, u64>,
}

impl Transfers {
    /// Forgets what is under way, since other partitions move now.
    pub(crate) fn restart(&mut self) {
        self.inbound.clear();
        self.waiting.clear();
        self.queued.clear();
        self.resting.clear();
        self.workers.iter_mut().for_each(ExchangeWorker::clear);
        self.surplus.restart();
        for partition in self.unowned.clone() {
            self.queue(PartitionJob { partition, kind: JobKind::Outbound });
        }
        for partition in self.refilling.clone() {
            self.queue(PartitionJob { partition, kind: JobKind::Refill });
        }
    }

    /// Adds a partition that this node is to own from now on.
    pub(crate) fn add_inbound(&mut self, partition: Partition) {
        self.inbound.insert(partition, InboundTransfer::new());
        self.queue(PartitionJob { partition, kind: JobKind::Inbound });
    }

    /// Adds an owned partition that may hold records of others.
    pub(crate) fn thin(&mut self, partition: Partition) {
        if self.surplus.add(partition) {
            self.queue(PartitionJob { partition, kind: JobKind::Thin });
        }
    }

    /// Ends the thinning of a partition: nothing of others is left in it, or it is no business of this node any more.
    pub(crate) fn thinned(&mut self, partition: Partition) {
        if self.surplus.remove(partition) {
            self.forget(PartitionJob { partition, kind: JobKind::Thin });
        }
    }

    /// Adds a partition for whose absent keys this node can't vouch.
    pub(crate) fn refill(&mut self, partition: Partition) {
        if self.refilling.insert(partition) {
            self.queue(PartitionJob { partition, kind: JobKind::Refill });
        }
    }

    /// Begins the comparison of a partition that is refilled: nothing is in its way any more.
    pub(crate) fn refill_now(&mut self, partition: Partition) {
        if self.refilling.contains(&partition) {
            self.queue(PartitionJob { partition, kind: JobKind::Refill });
        }
    }

    /// Ends the refill of a partition: this node has a vote on all of it again, or it is no business of this
    /// node any more.
    pub(crate) fn refilled(&mut self, partition: Partition) {
        if self.refilling.remove(&partition) {
            self.forget(PartitionJob { partition, kind: JobKind::Refill });
        }
    }

    /// Ends an inbound transfer: this node is ready for the partition, or it is no business of this node any more.
    pub(crate) fn end_inbound(&mut self, partition: Partition) {
        if self.inbound.remove(&partition).is_some() {
            self.forget(PartitionJob { partition, kind: JobKind::Inbound });
        }
    }

    /// Begins an inbound transfer anew, since its comparisons so far do not count any more.
    pub(crate) fn restart_inbound(&mut self, partition: Partition) {
        if self.inbound.contains_key(&partition) {
            self.end_inbound(partition);
            self.add_inbound(partition);
        }
    }

    /// Counts records that have come for an inbound partition. The rounds of repair bring some of them: a new
    /// owner's first one is with everyone.
    pub(crate) fn count_received(&mut self, partition: Partition, records: usize, bytes: usize) {
        if self.inbound.contains_key(&partition) {
            self.transferred.received_records += records as u64;
            self.transferred.received_bytes += bytes as u64;
        }
    }

    /// Adds a partition that this node no longer owns and may hold records of.
    pub(crate) fn add_outbound(&mut self, partition: Partition) {
        if self.unowned.insert(partition) {
            self.queue(PartitionJob { partition, kind: JobKind::Outbound });
        }
    }

    /// Notes that storage has found something in a partition that this node does not own.
    pub(crate) fn found(&mut self, partition: Partition) {
        self.occupied.insert(partition);
        self.add_outbound(partition);
    }

    /// Returns whether storage has found something in an unowned partition; damaged records are in no tree.
    pub(crate) fn is_occupied(&self, unowned: Partition) -> bool {
        self.occupied.contains(&unowned)
    }

    /// Ends an outbound transfer: the partition is owned again, or nothing of it is left.
    pub(crate) fn end_outbound(&mut self, partition: Partition) {
        self.occupied.remove(&partition);
        if self.unowned.remove(&partition) {
            self.forget(PartitionJob { partition, kind: JobKind::Outbound });
        }
    }

    /// Returns whether a job is still to be done.
    pub(crate) fn is_wanted(&self, job: PartitionJob) -> bool {
        match job.kind {
            JobKind::Inbound => self.inbound.contains_key(&job.partition),
            JobKind::Outbound => self.unowned.contains(&job.partition),
            JobKind::Refill => self.refilling.contains(&job.partition),
            JobKind::Thin => self.surplus.contains(job.partition),
            JobKind::Compare { .. } => false,
        }
    }

    /// Takes out the next job that waits.
    pub(crate) fn take(&mut self) -> Option<PartitionJob> {
        let job = self.waiting.pop_front()?;
        self.queued.remove(&job);
        Some(job)
    }

    /// Has a job tried again after a rest.
    pub(crate) fn rest(&mut self, now_us: u64, job: PartitionJob) {
        let rest_us = if job.kind == JobKind::Refill { REFILL_AGAIN_US } else { RETRY_AFTER_US };
        self.resting.insert(job, now_us + rest_us);
    }

    /// Lets the jobs whose rest is over wait for their turn.
    pub(crate) fn wake(&mut self, now_us: u64) {
        let due = self.resting.iter().filter(|(_, due_us)| **due_us <= now_us);
        for job in due.map(|(job, _)| *job).collect::<Vec<_>>() {
            self.resting.remove(&job);
            self.queue(job);
        }
    }

    /// Lets all resting jobs wait for their turn, since something may go on that could not before.
    pub(crate) fn wake_all(&mut self) {
        for job in core::mem::take(&mut self.resting).into_keys() {
            self.queue(job);
        }
    }

    /// Returns whether a step may be possible.
    pub(crate) fn is_busy(&self) -> bool {
        let under_way = self.workers.iter().any(|worker| !worker.is_idle());
        let recalls = self.head_start.is_ready();
        !self.waiting.is_empty() || under_way || recalls || self.surplus.is_busy()
    }

    /// Returns when a job or the survey is due, in microseconds.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.resting.values().copied().chain(self.survey_due_us).min()
    }

    fn queue(&mut self, job: PartitionJob) {
        let under_way = self.workers.iter().any(|worker| worker.job() == Some(job));
        if !under_way && !self.resting.contains_key(&job) && self.queued.insert(job) {
            self.waiting.push_back(job);
        }
    }

    fn forget(&mut self, job: PartitionJob) {
        if self.queued.remove(&job) {
            self.waiting.retain(|waiting| *waiting != job);
        }
        self.resting.remove(&job);
        for worker in &mut self.workers {
            if worker.job() == Some(job) {
                worker.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests;
