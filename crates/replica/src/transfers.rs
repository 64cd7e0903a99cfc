//! Which partitions come to this node and which go, and which of them is next (paper 4.9, 6.2; [design 4](../../../docs/design.md#4-membership-and-moving-data)).
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

/// How many partitions are moved at a time: while one waits for an answer another is worked on.
pub(crate) const WORKERS: usize = 2;
/// What could not be finished is tried again after this long.
const RETRY_AFTER_US: u64 = 250_000;
/// Who had no vote, or could not be reached, when a partition was to be refilled is asked again after this long.
const REFILL_AGAIN_US: u64 = 1_000_000;

/// What has been moved since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Transferred {
    pub(crate) received_records: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_records: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) dropped: u32,
}

/// All that moves to and from one shard.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    /// What the shard owns under the active layouts.
    pub(crate) owned: BTreeSet<Partition>,
    /// What it is to own under the newest and is not ready for.
    pub(crate) inbound: BTreeMap<Partition, InboundTransfer>,
    /// What it owns no more, and may hold records of.
    pub(crate) unowned: BTreeSet<Partition>,
    /// Those of them in which storage found something, be it a damaged record.
    occupied: BTreeSet<Partition>,
    /// What it holds of partitions that it owns, for an N for which it does not.
    pub(crate) surplus: Surplus,
    /// Partitions of which it can't say what is absent.
    refilling: BTreeSet<Partition>,
    pub(crate) workers: [ExchangeWorker; WORKERS],
    pub(crate) transferred: Transferred,
    /// What an earlier copy of the shard holds of what is refilled.
    pub(crate) head_start: HeadStart,
    /// It was asked which partitions hold records, and that was answered.
    pub(crate) surveyed: bool,
    /// When the shard is next asked which partitions hold records; `None` while it is being asked.
    pub(crate) survey_due_us: Option<u64>,
    /// The last partition that was looked at, while there are more to be.
    pub(crate) surveyed_until: Option<Partition>,
    waiting: VecDeque<PartitionJob>,
    /// The same, to tell which are waiting.
    queued: BTreeSet<PartitionJob>,
    resting: BTreeMap<PartitionJob, u64>,
}

impl Transfers {
    /// Forgets what is under way: other partitions move now.
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

    /// A partition that this node is to own from now on.
    pub(crate) fn add_inbound(&mut self, partition: Partition) {
        self.inbound.insert(partition, InboundTransfer::new());
        self.queue(PartitionJob { partition, kind: JobKind::Inbound });
    }

    /// A partition that this node owns, and of which it may hold records of others.
    pub(crate) fn thin(&mut self, partition: Partition) {
        if self.surplus.add(partition) {
            self.queue(PartitionJob { partition, kind: JobKind::Thin });
        }
    }

    /// Nothing is left of them, or it is no business of this node any more.
    pub(crate) fn thinned(&mut self, partition: Partition) {
        if self.surplus.remove(partition) {
            self.forget(PartitionJob { partition, kind: JobKind::Thin });
        }
    }

    /// A partition of which this node can't say what is absent.
    pub(crate) fn refill(&mut self, partition: Partition) {
        if self.refilling.insert(partition) {
            self.queue(PartitionJob { partition, kind: JobKind::Refill });
        }
    }

    /// Nothing is in the way of its comparison any more.
    pub(crate) fn refill_now(&mut self, partition: Partition) {
        if self.refilling.contains(&partition) {
            self.queue(PartitionJob { partition, kind: JobKind::Refill });
        }
    }

    /// It has a vote for all of it again, or it is no business of this node any more.
    pub(crate) fn refilled(&mut self, partition: Partition) {
        if self.refilling.remove(&partition) {
            self.forget(PartitionJob { partition, kind: JobKind::Refill });
        }
    }

    /// This node is ready for it, or it is no business of this node any more.
    pub(crate) fn end_inbound(&mut self, partition: Partition) {
        if self.inbound.remove(&partition).is_some() {
            self.forget(PartitionJob { partition, kind: JobKind::Inbound });
        }
    }

    /// What it was compared with while it is being taken over does not count any more.
    pub(crate) fn restart_inbound(&mut self, partition: Partition) {
        if self.inbound.contains_key(&partition) {
            self.end_inbound(partition);
            self.add_inbound(partition);
        }
    }

    /// Counts records that have come for a partition that is being taken over. The rounds of repair bring
    /// some of them: a new owner's first one is with everyone.
    pub(crate) fn count_received(&mut self, partition: Partition, records: usize, bytes: usize) {
        if self.inbound.contains_key(&partition) {
            self.transferred.received_records += records as u64;
            self.transferred.received_bytes += bytes as u64;
        }
    }

    /// A partition that this node owns no more, and of which it may hold records.
    pub(crate) fn add_outbound(&mut self, partition: Partition) {
        if self.unowned.insert(partition) {
            self.queue(PartitionJob { partition, kind: JobKind::Outbound });
        }
    }

    /// Storage has found something in a partition that this node owns no more.
    pub(crate) fn found(&mut self, partition: Partition) {
        self.occupied.insert(partition);
        self.add_outbound(partition);
    }

    /// Whether storage has found something in an unowned partition; what is damaged is in no tree.
    pub(crate) fn is_occupied(&self, unowned: Partition) -> bool {
        self.occupied.contains(&unowned)
    }

    /// It is owned again, or nothing of it is left.
    pub(crate) fn end_outbound(&mut self, partition: Partition) {
        self.occupied.remove(&partition);
        if self.unowned.remove(&partition) {
            self.forget(PartitionJob { partition, kind: JobKind::Outbound });
        }
    }

    /// Whether a job is still to be done.
    pub(crate) fn is_wanted(&self, job: PartitionJob) -> bool {
        match job.kind {
            JobKind::Inbound => self.inbound.contains_key(&job.partition),
            JobKind::Outbound => self.unowned.contains(&job.partition),
            JobKind::Refill => self.refilling.contains(&job.partition),
            JobKind::Thin => self.surplus.contains(job.partition),
            JobKind::Compare { .. } => false,
        }
    }

    /// The next job that waits.
    pub(crate) fn take(&mut self) -> Option<PartitionJob> {
        let job = self.waiting.pop_front()?;
        self.queued.remove(&job);
        Some(job)
    }

    /// Tries a job again after a rest.
    pub(crate) fn rest(&mut self, now_us: u64, job: PartitionJob) {
        let rest_us = if job.kind == JobKind::Refill { REFILL_AGAIN_US } else { RETRY_AFTER_US };
        self.resting.insert(job, now_us + rest_us);
    }

    /// Lets those whose rest is over wait for their turn.
    pub(crate) fn wake(&mut self, now_us: u64) {
        let due = self.resting.iter().filter(|(_, due_us)| **due_us <= now_us);
        for job in due.map(|(job, _)| *job).collect::<Vec<_>>() {
            self.resting.remove(&job);
            self.queue(job);
        }
    }

    /// Something may go on that could not before.
    pub(crate) fn wake_all(&mut self) {
        for job in core::mem::take(&mut self.resting).into_keys() {
            self.queue(job);
        }
    }

    /// Whether a step may be possible.
    pub(crate) fn is_busy(&self) -> bool {
        let under_way = self.workers.iter().any(|worker| !worker.is_idle());
        let recalls = self.head_start.is_ready();
        !self.waiting.is_empty() || under_way || recalls || self.surplus.is_busy()
    }

    /// When something is due.
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
