//! A replica's background work, one step after the other, at the pace that its budget allows (paper 6.5).
//!
//! Invariant: whatever is sent or read in pages here was granted by the budget first; each kind of work
//! has its turn.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::slice;

use jedlik_hashing::Partition;
use jedlik_membership::View;
use jedlik_protocol::admin::{BackgroundReport, HintReport, RepairReport, WorkKind};
use jedlik_storage_port::RangePage;

use crate::Tuning;
use crate::collector::Collector;
use crate::cx::{Cx, Fact};
use crate::exchange::PageRead;
use crate::exchange_worker::JobKind;
use crate::exchanges::Exchanges;
use crate::hint_delivery::Hints;
use crate::io::StorageFault;
use crate::range_reads::RangeReads;
use crate::repair::Repairs;
use crate::replica::Replica;
use crate::schedule::Schedule;
use crate::transfers::Transfers;
use crate::trees::Trees;

/// Background work of one shard: its machines, its budget and its turns.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) schedule: Schedule,
    pub(crate) hints: Hints,
    pub(crate) exchanges: Exchanges,
    pub(crate) repairs: Repairs,
    pub(crate) transfers: Transfers,
    pub(crate) range_reads: RangeReads,
    pub(crate) collector: Collector,
}

impl Background {
    pub(crate) fn new(tuning: Tuning) -> Self {
        Self {
            schedule: Schedule::new(tuning.budget),
            hints: Hints::new(),
            exchanges: Exchanges::default(),
            repairs: Repairs::default(),
            transfers: Transfers::default(),
            range_reads: RangeReads::default(),
            collector: Collector::new(tuning.collect_after_us()),
        }
    }

    /// Returns when background work is due, in microseconds; `None` if none is.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let rounds = (!self.transfers.owned.is_empty()).then(|| self.repairs.due_us());
        let due = [
            self.hints.poll_timeout(),
            self.collector.due_us().filter(|_| self.schedule.is_allowed(WorkKind::Collection)),
            rounds,
            self.transfers.due_us().filter(|_| self.schedule.is_allowed(WorkKind::Transfer)),
        ];
        self.schedule.next_us(due.into_iter().flatten())
    }

    fn waits(&self, now_us: u64) -> bool {
        let due = |due_us: Option<u64>| due_us.is_some_and(|due_us| due_us <= now_us);
        let waits = |kind| match kind {
            WorkKind::Handoff => self.hints.has_delivery(),
            WorkKind::Repair => self.repairs.is_busy(),
            WorkKind::Collection => self.collector.is_busy() || due(self.collector.due_us()),
            WorkKind::Transfer => {
                self.range_reads.is_busy()
                    || self.transfers.is_busy()
                    || due(self.transfers.due_us())
            }
        };
        self.schedule.turns().any(waits)
    }

    /// Does what is due before steps are taken: hints that are tried again, and the next round of comparisons.
    pub(crate) fn begin_turn(&mut self, cx: &mut Cx) {
        let now_us = cx.now.mono_us;
        self.hints.handle_timeout(cx);
        if self.repairs.due_us() <= now_us {
            let Self { repairs, transfers, exchanges, .. } = self;
            repairs.plan(now_us, &transfers.owned, &exchanges.trees, &cx.config.tuning);
        }
    }

    /// Takes a step if work waits and the budget grants one; returns false if none was taken.
    pub(crate) fn step(&mut self, cx: &mut Cx, view: &Arc<View>) -> bool {
        self.schedule.forget_grant();
        let now_us = cx.now.mono_us;
        self.waits(now_us) && self.schedule.grants(now_us) && self.take_step(cx, view)
    }

    /// Takes a step of the first kind of work that has one; returns false if none has.
    fn take_step(&mut self, cx: &mut Cx, view: &Arc<View>) -> bool {
        let Self { schedule, hints, exchanges, repairs, transfers, range_reads, collector } = self;
        for kind in schedule.turns() {
            let taken = match kind {
                WorkKind::Handoff => hints.step(cx, &exchanges.clashes),
                WorkKind::Repair => repairs.step(cx, exchanges, view),
                WorkKind::Collection => collector.next(cx),
                WorkKind::Transfer => {
                    range_reads.step(cx, view) || transfers.step(cx, exchanges, view)
                }
            };
            if taken {
                schedule.took(cx.now.mono_us, kind);
                return true;
            }
        }
        false
    }

    /// Follows a change of the owners of this shard's partitions.
    pub(crate) fn follow_owners(&mut self, cx: &mut Cx, before: Option<&View>, view: &View) {
        let counts = |view: &View| -> Vec<(Vec<u8>, u8)> {
            let other = view.other_replica_counts();
            other.into_iter().map(|(bucket, n)| (bucket.to_vec(), n)).collect()
        };
        let recounted = before.is_some_and(|before| counts(before) != counts(view));
        if recounted {
            self.exchanges.trees.distrust();
        }
        self.transfers.follow_layouts(cx, &mut self.exchanges.trees, before, view);
        // Partitions that move are compared on their way; the others have their turn in the rounds.
        if before.is_none() || recounted {
            self.repairs.restart(cx);
        }
    }

    /// Takes a page of a reading, and deals with the damage that it shows.
    pub(crate) fn handle_reading(
        &mut self,
        cx: &mut Cx,
        (partition, reading): (Partition, u64),
        result: Result<RangePage, StorageFault>,
    ) {
        let Some(view) = cx.view.clone() else { return };
        let Self { exchanges, transfers, .. } = self;
        let read = exchanges.handle_reading(cx, &view, (partition, reading), result);
        let Some(PageRead { damaged, ended }) = read else { return };
        transfers.notice_damaged_surplus(&view, &damaged);
        if ended {
            transfers.discard_unmended(cx, (&mut exchanges.trees, &view), partition);
        }
    }

    /// Tells the parts that a fact is about.
    pub(crate) fn hear(&mut self, now_us: u64, fact: Fact) {
        let Self { schedule, exchanges, repairs, transfers, collector, .. } = self;
        match fact {
            Fact::Answered { kind, started_us } => schedule.observe(now_us, kind, started_us),
            Fact::Weighed { kind, steps } => schedule.charge(now_us, kind, steps),
            Fact::MayBeForgotten { key, due_us } => collector.notice(&key, due_us),
            Fact::Damaged(key) => exchanges.trees.note_damage(slice::from_ref(&key)),
            Fact::Received { partition, records, bytes } => {
                transfers.count_received(partition, records, bytes);
            }
            Fact::Sent { records, bytes } => transfers.count_sent(records, bytes),
            Fact::Wanted(partition) => repairs.read_soon(partition),
            Fact::NotRead(job) if matches!(job.kind, JobKind::Compare { .. }) => {
                repairs.handle_not_read(now_us, job);
            }
            Fact::NotRead(job) => {
                transfers.left(job);
                transfers.rest(now_us, job);
            }
            Fact::GivenUp(job) => exchanges.give_up(job),
        }
    }
}

impl Replica {
    /// Returns the hints that this shard holds, one report for each target.
    #[must_use]
    pub fn hint_reports(&self) -> Vec<HintReport> {
        self.background.hints.reports().collect()
    }

    /// Returns the progress of this shard's repairs.
    #[must_use]
    pub fn repair_report(&self) -> RepairReport {
        self.background.repairs.report(&self.background.exchanges)
    }

    /// Returns the limits, the pace and the steps so far of this shard's background work.
    #[must_use]
    pub fn background_report(&self) -> BackgroundReport {
        self.background.schedule.report()
    }

    /// Returns the encoded hash trees, to be kept over a clean stop for the next [`Replica`] of this shard.
    #[must_use]
    pub fn trees(&self) -> Vec<u8> {
        self.background.exchanges.trees.encode()
    }

    /// Restores the trees that were kept over a clean stop; to be called before anything else. Bytes that
    /// can't be decoded are ignored, and the records are read instead.
    pub fn restore_trees(&mut self, bytes: &[u8]) {
        self.background.exchanges.trees = Trees::decode(bytes);
    }
}
