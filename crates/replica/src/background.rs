//! A replica's background work, one step after the other, at the pace that its budget allows (paper 6.5).
//!
//! Invariant: whatever is sent or read in pages here was granted by the budget first; each kind of work
//! has its turn.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_antientropy::Exchange;
use jedlik_handoff::{Budget, Foreground, Handoff};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::{
    BackgroundChange, BackgroundReport, HintReport, RepairReport, WorkKind,
};
use jedlik_protocol::peer::Vouching;
use jedlik_protocol::{Incarnation, Now};

use crate::Tuning;
use crate::allowance::May;
use crate::clashes::Clashes;
use crate::collector::Collector;
use crate::exchange_worker::{ExchangeWorker, JobKind, PartitionJob, With};
use crate::range_reads::RangeReads;
use crate::repair::{Repairs, Turn};
use crate::replica::Replica;
use crate::transfers::Transfers;
use crate::trees::Trees;

/// Most steps of one turn; between turns the foreground is served.
const STEPS_A_TURN: usize = 16;
/// Most deliveries that a receiver wants under way from one sender.
const WINDOW_MAX: u32 = 64;
/// Steps a second for which the window has one place.
const PACE_PER_PLACE: u32 = 50;

/// Kinds of background work and their names in reports, in the order of their turns.
const WORKS: [(WorkKind, &str); 4] = [
    (WorkKind::Handoff, "handoff"),
    (WorkKind::Repair, "repair"),
    (WorkKind::Collection, "collection"),
    (WorkKind::Transfer, "transfer"),
];

/// Background work of one shard: its machines, its budget and its turns.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) budget: Budget,
    pub(crate) handoff: Handoff,
    pub(crate) trees: Trees,
    pub(crate) repairs: Repairs,
    pub(crate) transfers: Transfers,
    pub(crate) range_reads: RangeReads,
    pub(crate) clashes: Clashes,
    /// Number of exchanges begun so far; each is named by its number.
    pub(crate) exchanges: u64,
    pub(crate) collector: Collector,
    pub(crate) tuning: Tuning,
    /// Kinds of work that an admin has paused.
    paused: BTreeSet<WorkKind>,
    may: May,
    /// Index in [`WORKS`] of the kind whose turn is next, modulo their number.
    turn: usize,
    steps: [u64; WORKS.len()],
    /// Time at which the budget grants the next step, in microseconds; `None` if no work waits.
    granted_us: Option<u64>,
}

impl Background {
    pub(crate) fn new(tuning: Tuning) -> Self {
        Self {
            budget: Budget::new(tuning.budget),
            handoff: Handoff::new(),
            trees: Trees::default(),
            repairs: Repairs::default(),
            transfers: Transfers::default(),
            range_reads: RangeReads::default(),
            clashes: Clashes::default(),
            exchanges: 0,
            collector: Collector::new(tuning.collect_after_us()),
            tuning,
            paused: BTreeSet::new(),
            may: May::Everything,
            turn: 0,
            steps: [0; WORKS.len()],
            granted_us: None,
        }
    }

    /// Returns when background work is due, in microseconds; `None` if none is.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let rounds = (!self.transfers.owned.is_empty()).then(|| self.repairs.due_us());
        let due = [
            self.handoff.poll_timeout(),
            self.collector.due_us().filter(|_| self.is_allowed(WorkKind::Collection)),
            rounds,
            self.transfers.due_us().filter(|_| self.is_allowed(WorkKind::Transfer)),
        ];
        let due = due.into_iter().flatten();
        // What is due waits for the budget like everything else.
        let due = due.map(|due_us| self.granted_us.map_or(due_us, |at_us| due_us.max(at_us)));
        due.chain(self.granted_us).min().filter(|at_us| *at_us < u64::MAX)
    }

    /// Returns how many deliveries this node wants under way from one sender; 0 while paused.
    pub(crate) fn window(&self) -> u16 {
        self.budget
            .pace_per_s()
            .map_or(0, |pace_per_s| (pace_per_s / PACE_PER_PLACE).clamp(1, WINDOW_MAX) as u16)
    }

    /// Charges a page for what it weighs beyond the step that it was granted as.
    pub(crate) fn charge(&mut self, now_us: u64, kind: WorkKind, steps: u32) {
        self.budget.charge(now_us, steps);
        if let Some(turn) = WORKS.iter().position(|(work, _)| *work == kind) {
            self.steps[turn] += u64::from(steps);
        }
    }

    /// Notes the latency of an answered foreground request: the background makes way if requests are slow.
    pub(crate) fn observe(&mut self, now: Now, kind: Foreground, started_us: u64) {
        let took_us = now.mono_us.saturating_sub(started_us);
        self.budget.observe(now.mono_us, kind, took_us);
    }

    /// Returns whether neither an admin, nor the disk, nor what others may remember holds up this kind of work.
    fn is_allowed(&self, kind: WorkKind) -> bool {
        self.may.includes(kind) && !self.paused.contains(&kind)
    }

    /// Returns whether an admin has paused transfers.
    pub(crate) fn is_paused(&self) -> bool {
        self.budget.report().paused || self.paused.contains(&WorkKind::Transfer)
    }

    fn waits(&self, now_us: u64) -> bool {
        let due = |due_us: Option<u64>| due_us.is_some_and(|due_us| due_us <= now_us);
        let waits = |kind| match kind {
            WorkKind::Handoff => self.handoff.has_delivery(),
            WorkKind::Repair => self.repairs.is_busy(),
            WorkKind::Collection => self.collector.is_busy() || due(self.collector.due_us()),
            WorkKind::Transfer => {
                self.range_reads.is_busy()
                    || self.transfers.is_busy()
                    || due(self.transfers.due_us())
            }
        };
        WORKS.into_iter().any(|(kind, _)| self.is_allowed(kind) && waits(kind))
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
}

impl Replica {
    /// Takes as many steps of background work as the budget and the turn allow.
    pub(crate) fn run_background(&mut self, now: Now) {
        let Some(view) = self.cx.view.clone().filter(|view| view.layout_version() > 0) else {
            return;
        };
        let now_us = now.mono_us;
        self.background.handoff.handle_timeout(now_us);
        self.follow_handoff();
        if self.background.repairs.due_us() <= now_us {
            let Background { repairs, transfers, trees, tuning, .. } = &mut self.background;
            repairs.plan(now_us, &transfers.owned, trees, tuning);
        }
        for _ in 0..STEPS_A_TURN {
            self.background.granted_us = None;
            if !self.background.waits(now_us) {
                return;
            }
            let granted_us = self.background.budget.next_us(now_us);
            if granted_us.is_none_or(|granted_us| granted_us > now_us) {
                // While paused it is never granted; the end of the pause comes through here again.
                self.background.granted_us = Some(granted_us.unwrap_or(u64::MAX));
                return;
            }
            if !self.take_step(now, &view) {
                return;
            }
        }
        self.background.granted_us = Some(now_us);
    }

    /// Takes a step of the first kind of work that has one; returns false if none has.
    fn take_step(&mut self, now: Now, view: &Arc<View>) -> bool {
        let first = self.background.turn;
        for offset in 0..WORKS.len() {
            let turn = (first + offset) % WORKS.len();
            if !self.background.is_allowed(WORKS[turn].0) {
                continue;
            }
            let taken = match WORKS[turn].0 {
                WorkKind::Handoff => self.deliver_next(now),
                WorkKind::Repair => self.repair_next(now, view),
                WorkKind::Collection => self.collect_next(now),
                WorkKind::Transfer => self.serve_next(now, view) || self.transfer_next(now, view),
            };
            if taken {
                self.background.budget.take(now.mono_us, 1);
                self.background.steps[turn] += 1;
                self.background.turn = turn + 1;
                return true;
            }
        }
        false
    }

    /// Takes over a new view: which nodes are back, and what this shard owns.
    pub(crate) fn handle_view(&mut self, now: Now, view: &Arc<View>) {
        let before = self.cx.view.replace(Arc::clone(view));
        self.background.may = May::under(view);
        for member in view.members().filter(|member| member.node != self.cx.config.me) {
            if view.is_alive(member.node) {
                self.background.handoff.handle_up(now.mono_us, member.node);
            } else {
                self.background.handoff.handle_down(now.mono_us, member.node);
            }
        }
        if view.layout_version() == 0 {
            return;
        }
        let before = before.filter(|before| before.layout_version() > 0);
        self.follow_votes(before.as_deref(), view);
        self.release_hints_for_others(now, view);
        let another = before.as_ref().is_some_and(|before| before.lacks_layout_of(view));
        if before.as_ref().is_none_or(|before| !before.has_owners_of(view)) {
            self.follow_owners(now, before.as_deref(), view);
        }
        if another {
            self.operations.restart(&mut self.cx);
        }
        let Some(before) = before else { return };
        let back = view.members().map(|member| member.node);
        let back = back.filter(|node| view.is_alive(*node) && !before.is_alive(*node));
        for node in back.collect::<Vec<_>>() {
            self.compare_with(node, view);
        }
        self.background.transfers.wake_all();
    }

    /// Follows a change of the owners of this shard's partitions.
    fn follow_owners(&mut self, now: Now, before: Option<&View>, view: &View) {
        let counts = |view: &View| -> Vec<(Vec<u8>, u8)> {
            let other = view.other_replica_counts();
            other.into_iter().map(|(bucket, n)| (bucket.to_vec(), n)).collect()
        };
        let recounted = before.is_some_and(|before| counts(before) != counts(view));
        if recounted {
            self.background.trees.distrust();
        }
        self.follow_layouts(now, before, view);
        // Partitions that move are compared on their way; the others have their turn in the rounds.
        if before.is_none() || recounted {
            self.background.repairs.restart();
        }
    }

    /// Plans comparisons with a node that is back, to find soon what it missed.
    fn compare_with(&mut self, node: NodeId, view: &View) {
        let most = view.replica_counts().last().copied().unwrap_or(0);
        let shared = |partition: &Partition| view.owners(*partition, most).contains(&node);
        let kind = JobKind::Compare { with: With::One(node), scrub: false };
        let job = |partition| PartitionJob { partition, kind };
        let owned = self.background.transfers.owned.iter().copied();
        let owned: Vec<_> = owned.filter(shared).map(job).collect();
        self.background.repairs.add(Turn::First, owned.into_iter());
    }

    /// Plans to read and compare partitions, as an admin asks.
    pub(crate) fn handle_repair(&mut self, partition: Option<Partition>) {
        let wanted = |owned: &Partition| partition.is_none_or(|partition| partition == *owned);
        let kind = JobKind::Compare { with: With::All, scrub: true };
        let job = |partition| PartitionJob { partition, kind };
        let owned = self.background.transfers.owned.iter().copied();
        let owned: Vec<_> = owned.filter(wanted).map(job).collect();
        self.background.repairs.add(Turn::First, owned.into_iter());
    }

    pub(crate) fn handle_background_change(&mut self, now: Now, change: BackgroundChange) {
        let Background { budget, tuning, paused, .. } = &mut self.background;
        match (change.paused, change.work) {
            (Some(true), None) => budget.pause(),
            (Some(false), None) => {
                budget.resume();
                paused.clear();
            }
            (Some(true), Some(kind)) => {
                paused.insert(kind);
            }
            (Some(false), Some(kind)) => {
                paused.remove(&kind);
            }
            (None, _) => {}
        }
        let settings = &mut tuning.budget;
        settings.limit_per_s = change.limit_per_s.unwrap_or(settings.limit_per_s);
        settings.slowdown_percent = change.slowdown_percent.unwrap_or(settings.slowdown_percent);
        budget.set(now.mono_us, *settings);
    }

    /// Returns the hints that this shard holds, one report for each target.
    #[must_use]
    pub fn hint_reports(&self) -> Vec<HintReport> {
        self.background.handoff.progress().collect()
    }

    /// Returns the progress of this shard's repairs.
    #[must_use]
    pub fn repair_report(&self) -> RepairReport {
        self.background.repairs.report(&self.background.trees)
    }

    /// Returns the limits, the pace and the steps so far of this shard's background work.
    #[must_use]
    pub fn background_report(&self) -> BackgroundReport {
        let budget = self.background.budget.report();
        let steps = WORKS.iter().zip(self.background.steps);
        BackgroundReport {
            paused: budget.paused,
            paused_kinds: self.background.paused.iter().copied().collect(),
            limit_per_s: budget.limit_per_s,
            slowdown_percent: budget.slowdown_percent,
            pace_per_s: budget.pace_per_s,
            foreground_p99_us: budget.foreground_p99_us,
            quiet_p99_us: budget.quiet_p99_us,
            steps: steps.map(|((_, name), steps)| (name.to_string(), steps)).collect(),
        }
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
