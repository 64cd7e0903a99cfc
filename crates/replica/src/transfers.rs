//! Partitions that come to this node and that go, and which of them is next (paper 4.9, 6.2;
//! [design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariants: a partition that is to be owned is worked on until this node is ready for it; a range is
//! dropped only after every present owner has been compared with it and while nothing was added to it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::mem;

use jedlik_handoff::InboundTransfer;
use jedlik_hashing::Partition;

use crate::cx::{Cx, Fact};
use crate::exchange_worker::{JobKind, PartitionJob};
use crate::recalling::HeadStart;
use crate::surplus::Surplus;

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
    /// Jobs that a worker has begun.
    under_way: BTreeSet<PartitionJob>,
}

impl Transfers {
    /// Forgets what is under way, since other partitions move now.
    pub(crate) fn restart(&mut self, cx: &mut Cx) {
        self.inbound.clear();
        self.waiting.clear();
        self.queued.clear();
        self.resting.clear();
        for job in mem::take(&mut self.under_way) {
            cx.tell(Fact::GivenUp(job));
        }
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
    pub(crate) fn thinned(&mut self, cx: &mut Cx, partition: Partition) {
        if self.surplus.remove(partition) {
            self.forget(cx, PartitionJob { partition, kind: JobKind::Thin });
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
    pub(crate) fn refilled(&mut self, cx: &mut Cx, partition: Partition) {
        if self.refilling.remove(&partition) {
            self.forget(cx, PartitionJob { partition, kind: JobKind::Refill });
        }
    }

    /// Ends an inbound transfer: this node is ready for the partition, or it is no business of this node any more.
    pub(crate) fn end_inbound(&mut self, cx: &mut Cx, partition: Partition) {
        if self.inbound.remove(&partition).is_some() {
            self.forget(cx, PartitionJob { partition, kind: JobKind::Inbound });
        }
    }

    /// Begins an inbound transfer anew, since its comparisons so far do not count any more.
    pub(crate) fn restart_inbound(&mut self, cx: &mut Cx, partition: Partition) {
        if self.inbound.contains_key(&partition) {
            self.end_inbound(cx, partition);
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

    /// Counts records that were sent to new owners.
    pub(crate) fn count_sent(&mut self, records: u64, bytes: u64) {
        self.transferred.sent_records += records;
        self.transferred.sent_bytes += bytes;
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
    pub(crate) fn end_outbound(&mut self, cx: &mut Cx, partition: Partition) {
        self.occupied.remove(&partition);
        if self.unowned.remove(&partition) {
            self.forget(cx, PartitionJob { partition, kind: JobKind::Outbound });
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

    /// Notes that a worker has begun a job.
    pub(crate) fn began(&mut self, job: PartitionJob) {
        self.under_way.insert(job);
    }

    /// Notes that a job has no worker any more, be it done or not.
    pub(crate) fn left(&mut self, job: PartitionJob) {
        self.under_way.remove(&job);
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
        for job in mem::take(&mut self.resting).into_keys() {
            self.queue(job);
        }
    }

    /// Returns whether a step may be possible.
    pub(crate) fn is_busy(&self) -> bool {
        let is_idle = self.waiting.is_empty() && self.under_way.is_empty();
        !is_idle || self.head_start.is_ready() || self.surplus.is_busy()
    }

    /// Returns when a job or the survey is due, in microseconds.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.resting.values().copied().chain(self.survey_due_us).min()
    }

    fn queue(&mut self, job: PartitionJob) {
        let under_way = self.under_way.contains(&job);
        if !under_way && !self.resting.contains_key(&job) && self.queued.insert(job) {
            self.waiting.push_back(job);
        }
    }

    fn forget(&mut self, cx: &mut Cx, job: PartitionJob) {
        if self.queued.remove(&job) {
            self.waiting.retain(|waiting| *waiting != job);
        }
        self.resting.remove(&job);
        if self.under_way.remove(&job) {
            cx.tell(Fact::GivenUp(job));
        }
    }
}

#[cfg(test)]
mod tests;
