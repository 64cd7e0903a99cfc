//! A replica's background work, one step after the other, at the pace that its budget allows (paper 6.5).
//!
//! Invariant: whatever is sent or read in pages here was granted by the budget first; each kind of work
//! has its turn.

use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_antientropy::Exchange;
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::Incarnation;
use jedlik_protocol::admin::{BackgroundReport, HintReport, RepairReport, WorkKind};
use jedlik_protocol::peer::Vouching;

use crate::Tuning;
use crate::clashes::Clashes;
use crate::collector::Collector;
use crate::cx::Cx;
use crate::exchange_worker::{ExchangeWorker, JobKind, PartitionJob, With};
use crate::hint_delivery::Hints;
use crate::range_reads::RangeReads;
use crate::repair::{Repairs, Turn};
use crate::replica::Replica;
use crate::schedule::Schedule;
use crate::transfers::Transfers;
use crate::trees::Trees;

/// Background work of one shard: its machines, its budget and its turns.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) schedule: Schedule,
    pub(crate) hints: Hints,
    pub(crate) trees: Trees,
    pub(crate) repairs: Repairs,
    pub(crate) transfers: Transfers,
    pub(crate) range_reads: RangeReads,
    pub(crate) clashes: Clashes,
    /// Number of exchanges begun so far; each is named by its number.
    pub(crate) exchanges: u64,
    pub(crate) collector: Collector,
    pub(crate) tuning: Tuning,
}

impl Background {
    pub(crate) fn new(tuning: Tuning) -> Self {
        Self {
            schedule: Schedule::new(tuning.budget),
            hints: Hints::new(),
            trees: Trees::default(),
            repairs: Repairs::default(),
            transfers: Transfers::default(),
            range_reads: RangeReads::default(),
            clashes: Clashes::default(),
            exchanges: 0,
            collector: Collector::new(tuning.collect_after_us()),
            tuning,
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

    fn workers(&mut self) -> impl Iterator<Item = &mut ExchangeWorker> {
        core::iter::once(&mut self.repairs.worker).chain(&mut self.transfers.workers)
    }

    /// Returns the worker that runs the exchange of this number.
    pub(crate) fn worker(&mut self, exchange: u64) -> Option<&ExchangeWorker> {
        self.workers().find(|worker| worker.runs(exchange)).map(|worker| &*worker)
    }

    /// Returns the exchange of this number while it is under way.
    pub(crate) fn exchange(&mut self, wanted: u64) -> Option<&mut Exchange> {
        self.workers().find_map(|worker| worker.exchange(wanted))
    }

    /// Plans to read a partition's tree soon, since another node waits for it. A node that owns the partition
    /// only under a layout in between takes nothing over, so that only the next round would read it.
    pub(crate) fn read_soon(&mut self, partition: Partition) {
        if self.trees.keeps(partition) && !self.workers().any(|worker| worker.is_at(partition)) {
            let kind = JobKind::Compare { with: With::Later, scrub: false };
            self.repairs.add(Turn::First, core::iter::once(PartitionJob { partition, kind }));
        }
    }

    /// Notes whether the peer of an exchange has a vote.
    pub(crate) fn vote(&mut self, exchange: u64, told: Option<(Incarnation, Vouching)>) {
        self.workers().for_each(|worker| worker.vote(exchange, told));
    }

    /// Ends an exchange whose peer has to read its records first.
    pub(crate) fn put_off(&mut self, exchange: u64) {
        self.workers().for_each(|worker| worker.put_off(exchange));
    }

    /// Notes that a page of a partition's records has been taken in.
    pub(crate) fn page_read(&mut self, partition: Partition) {
        let reading = self.workers().find(|worker| worker.reads(partition).is_some());
        if let Some(worker) = reading {
            worker.page_read();
        }
    }

    /// Notes that a page could not be read: the job is repeated later.
    pub(crate) fn page_failed(&mut self, now_us: u64, partition: Partition) {
        if let Some(job) = self.repairs.worker.reads(partition) {
            return self.repairs.page_failed(now_us, job);
        }
        let worker =
            self.transfers.workers.iter_mut().find(|worker| worker.reads(partition).is_some());
        if let Some(worker) = worker
            && let Some(job) = worker.job()
        {
            worker.clear();
            self.transfers.rest(now_us, job);
        }
    }

    /// Does what is due before steps are taken: hints that are tried again, and the next round of comparisons.
    pub(crate) fn begin_turn(&mut self, cx: &mut Cx) {
        let now_us = cx.now.mono_us;
        self.hints.handle_timeout(cx);
        if self.repairs.due_us() <= now_us {
            let Self { repairs, transfers, trees, tuning, .. } = self;
            repairs.plan(now_us, &transfers.owned, trees, tuning);
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
        for kind in self.schedule.turns() {
            let taken = match kind {
                WorkKind::Handoff => self.hints.step(cx, &self.clashes),
                WorkKind::Repair => self.repair_next(cx, view),
                WorkKind::Collection => self.collector.next(cx),
                WorkKind::Transfer => self.serve_next(cx, view) || self.transfer_next(cx, view),
            };
            if taken {
                self.schedule.took(cx.now.mono_us, kind);
                return true;
            }
        }
        false
    }

    /// Follows a change of the owners of this shard's partitions.
    fn follow_owners(&mut self, cx: &mut Cx, before: Option<&View>, view: &View) {
        let counts = |view: &View| -> Vec<(Vec<u8>, u8)> {
            let other = view.other_replica_counts();
            other.into_iter().map(|(bucket, n)| (bucket.to_vec(), n)).collect()
        };
        let recounted = before.is_some_and(|before| counts(before) != counts(view));
        if recounted {
            self.trees.distrust();
        }
        self.follow_layouts(cx, before, view);
        // Partitions that move are compared on their way; the others have their turn in the rounds.
        if before.is_none() || recounted {
            self.repairs.restart();
        }
    }

    /// Plans comparisons with a node that is back, to find soon what it missed.
    fn compare_with(&mut self, node: NodeId, view: &View) {
        let most = view.replica_counts().last().copied().unwrap_or(0);
        let shared = |partition: &Partition| view.owners(*partition, most).contains(&node);
        let kind = JobKind::Compare { with: With::One(node), scrub: false };
        let job = |partition| PartitionJob { partition, kind };
        let owned = self.transfers.owned.iter().copied();
        let owned: Vec<_> = owned.filter(shared).map(job).collect();
        self.repairs.add(Turn::First, owned.into_iter());
    }

    /// Plans to read and compare partitions, as an admin asks.
    pub(crate) fn handle_repair(&mut self, partition: Option<Partition>) {
        let wanted = |owned: &Partition| partition.is_none_or(|partition| partition == *owned);
        let kind = JobKind::Compare { with: With::All, scrub: true };
        let job = |partition| PartitionJob { partition, kind };
        let owned = self.transfers.owned.iter().copied();
        let owned: Vec<_> = owned.filter(wanted).map(job).collect();
        self.repairs.add(Turn::First, owned.into_iter());
    }
}

impl Replica {
    /// Takes over a new view: which nodes are back, and what this shard owns.
    pub(crate) fn handle_view(&mut self, view: &Arc<View>) {
        let before = self.cx.view.replace(Arc::clone(view));
        self.background.schedule.handle_view(view);
        self.background.hints.handle_view(&self.cx, view);
        if view.layout_version() == 0 {
            return;
        }
        let before = before.filter(|before| before.layout_version() > 0);
        self.background.follow_votes(&mut self.cx, before.as_deref(), view);
        self.background.hints.release_hints_for_others(&mut self.cx, view);
        let another = before.as_ref().is_some_and(|before| before.lacks_layout_of(view));
        if before.as_ref().is_none_or(|before| !before.has_owners_of(view)) {
            self.background.follow_owners(&mut self.cx, before.as_deref(), view);
        }
        if another {
            self.operations.restart(&mut self.cx);
        }
        let Some(before) = before else { return };
        let back = view.members().map(|member| member.node);
        let back = back.filter(|node| view.is_alive(*node) && !before.is_alive(*node));
        for node in back.collect::<Vec<_>>() {
            self.background.compare_with(node, view);
        }
        self.background.transfers.wake_all();
    }

    /// Returns the hints that this shard holds, one report for each target.
    #[must_use]
    pub fn hint_reports(&self) -> Vec<HintReport> {
        self.background.hints.reports().collect()
    }

    /// Returns the progress of this shard's repairs.
    #[must_use]
    pub fn repair_report(&self) -> RepairReport {
        self.background.repairs.report(&self.background.trees)
    }

    /// Returns the limits, the pace and the steps so far of this shard's background work.
    #[must_use]
    pub fn background_report(&self) -> BackgroundReport {
        self.background.schedule.report()
    }

    /// Returns the encoded hash trees, to be kept over a clean stop for the next [`Replica`] of this shard.
    #[must_use]
    pub fn trees(&self) -> Vec<u8> {
        self.background.trees.encode()
    }

    /// Restores the trees that were kept over a clean stop; to be called before anything else. Bytes that
    /// can't be decoded are ignored, and the records are read instead.
    pub fn restore_trees(&mut self, bytes: &[u8]) {
        self.background.trees = Trees::decode(bytes);
    }
}
