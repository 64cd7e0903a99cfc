//! What a replica does of its own accord, one step after the other, at the pace that its budget allows
//! (paper 6.5).
//!
//! Invariant: whatever is sent or read in pages here was granted by the budget first; each kind of work
//! has its turn.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_handoff::{Budget, Foreground, Handoff};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::Now;
use jedlik_protocol::admin::{BackgroundChange, BackgroundReport, HintReport, RepairReport};

use crate::Tuning;
use crate::reaper::Reaper;
use crate::repair::{Errand, Repairs, Turn, With};
use crate::replica::Replica;
use crate::trees::Trees;

/// The most steps of one turn: between turns the foreground is served.
const STEPS_A_TURN: usize = 16;
/// The most deliveries that a receiver wants under way from one sender.
const WINDOW_MAX: u32 = 64;
/// Steps a second that make one place in the window.
const PACE_PER_PLACE: u32 = 50;

/// A kind of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Handoff,
    Repair,
    Reaping,
}

const WORKS: [(Work, &str); 3] =
    [(Work::Handoff, "handoff"), (Work::Repair, "repair"), (Work::Reaping, "reaping")];

/// All background work of one shard.
#[derive(Debug)]
pub(crate) struct Background {
    pub(crate) budget: Budget,
    pub(crate) handoff: Handoff,
    pub(crate) trees: Trees,
    pub(crate) repairs: Repairs,
    pub(crate) reaper: Reaper,
    tuning: Tuning,
    /// Whose turn it is.
    turn: usize,
    steps: [u64; WORKS.len()],
    /// When the budget grants the next step, if one waits for it.
    granted_us: Option<u64>,
}

impl Background {
    pub(crate) fn new(tuning: Tuning) -> Self {
        Self {
            budget: Budget::new(tuning.budget),
            handoff: Handoff::new(),
            trees: Trees::default(),
            repairs: Repairs::default(),
            reaper: Reaper::new(tuning.reap_after_us()),
            tuning,
            turn: 0,
            steps: [0; WORKS.len()],
            granted_us: None,
        }
    }

    /// When something is to be done without being asked.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let rounds = (self.trees.owned().next().is_some()).then(|| self.repairs.due_us());
        let due = [self.handoff.poll_timeout(), self.reaper.due_us(), rounds].into_iter().flatten();
        // What is due waits for the budget like everything else.
        let due = due.map(|due_us| self.granted_us.map_or(due_us, |at_us| due_us.max(at_us)));
        due.chain(self.granted_us).min().filter(|at_us| *at_us < u64::MAX)
    }

    /// How many deliveries this node wants under way from one sender.
    pub(crate) fn window(&self) -> u16 {
        self.budget
            .pace_per_s()
            .map_or(0, |pace_per_s| (pace_per_s / PACE_PER_PLACE).clamp(1, WINDOW_MAX) as u16)
    }

    fn waits(&self, now_us: u64) -> bool {
        self.handoff.has_delivery()
            || self.repairs.is_busy()
            || self.reaper.is_busy()
            || self.reaper.due_us().is_some_and(|due_us| due_us <= now_us)
    }
}

impl Replica {
    /// Does what the budget allows.
    pub(crate) fn run_background(&mut self, now: Now) {
        let Some(view) = self.view.clone().filter(|view| view.layout_version() > 0) else { return };
        let now_us = now.mono_us;
        self.background.handoff.handle_timeout(now_us);
        self.follow_handoff();
        if self.background.repairs.due_us() <= now_us {
            let Background { repairs, trees, tuning, .. } = &mut self.background;
            repairs.plan(now_us, trees, tuning);
        }
        for _ in 0..STEPS_A_TURN {
            self.background.granted_us = None;
            if !self.background.waits(now_us) {
                return;
            }
            let granted_us = self.background.budget.next_us(now_us);
            if granted_us.is_none_or(|granted_us| granted_us > now_us) {
                // While paused it is never; whoever ends the pause comes through here again.
                self.background.granted_us = Some(granted_us.unwrap_or(u64::MAX));
                return;
            }
            if !self.take_step(now, &view) {
                return;
            }
        }
        self.background.granted_us = Some(now_us);
    }

    /// Takes a step of the first kind of work that has one; false if none has.
    fn take_step(&mut self, now: Now, view: &Arc<View>) -> bool {
        let first = self.background.turn;
        for offset in 0..WORKS.len() {
            let turn = (first + offset) % WORKS.len();
            let taken = match WORKS[turn].0 {
                Work::Handoff => self.deliver_next(now),
                Work::Repair => self.repair_next(now, view),
                Work::Reaping => self.reap_next(now),
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

    /// The cluster looks different: who is back, and what this shard owns.
    pub(crate) fn handle_view(&mut self, now: Now, view: &Arc<View>) {
        let before = self.view.replace(Arc::clone(view));
        for member in view.members().filter(|member| member.node != self.config.me) {
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
        let moved = before.as_ref().is_none_or(|before| {
            before.layout() != view.layout()
                || before.other_replica_counts() != view.other_replica_counts()
        });
        if moved {
            let owned = self.owned(view);
            if before.is_some() {
                self.background.trees.distrust();
            }
            self.background.trees.own(&owned);
            self.background.repairs.restart();
        } else if let Some(before) = before {
            let back = view.members().map(|member| member.node);
            let back = back.filter(|node| view.is_alive(*node) && !before.is_alive(*node));
            for node in back.collect::<Vec<_>>() {
                self.compare_with(node, view);
            }
        }
    }

    /// The partitions of this shard that this node owns for some N.
    fn owned(&self, view: &View) -> Vec<Partition> {
        let most = view.replica_counts().last().copied().unwrap_or(0);
        let shards = u32::from(self.config.shards.max(1));
        let mine = |partition: &Partition| {
            let owners = view.preference_list(*partition).iter().take(usize::from(most));
            partition.0 % shards == u32::from(self.config.shard)
                && owners.into_iter().any(|node| *node == self.config.me)
        };
        view.partitions().partitions().filter(mine).collect()
    }

    /// A node is back: what it may have missed is found soon.
    fn compare_with(&mut self, node: NodeId, view: &View) {
        let most = view.replica_counts().last().copied().unwrap_or(0);
        let shared = |partition: &Partition| {
            view.preference_list(*partition).iter().take(usize::from(most)).any(|n| *n == node)
        };
        let errand = |partition| Errand { partition, scrub: false, with: With::One(node) };
        let owned: Vec<_> = self.background.trees.owned().filter(shared).map(errand).collect();
        self.background.repairs.add(Turn::First, owned.into_iter());
    }

    /// An admin wants partitions read and compared.
    pub(crate) fn handle_repair(&mut self, partition: Option<Partition>) {
        let wanted = |owned: &Partition| partition.is_none_or(|partition| partition == *owned);
        let errand = |partition| Errand { partition, scrub: true, with: With::All };
        let owned: Vec<_> = self.background.trees.owned().filter(wanted).map(errand).collect();
        self.background.repairs.add(Turn::First, owned.into_iter());
    }

    pub(crate) fn handle_background_change(&mut self, now: Now, change: BackgroundChange) {
        let Background { budget, tuning, .. } = &mut self.background;
        match change.paused {
            Some(true) => budget.pause(),
            Some(false) => budget.resume(),
            None => {}
        }
        let settings = &mut tuning.budget;
        settings.limit_per_s = change.limit_per_s.unwrap_or(settings.limit_per_s);
        settings.slowdown_percent = change.slowdown_percent.unwrap_or(settings.slowdown_percent);
        budget.set(now.mono_us, *settings);
    }

    /// A foreground request was answered: the background makes way if it took long.
    pub(crate) fn observe(&mut self, now: Now, kind: Foreground, started_us: u64) {
        let took_us = now.mono_us.saturating_sub(started_us);
        self.background.budget.observe(now.mono_us, kind, took_us);
    }

    /// What this shard holds for other nodes.
    #[must_use]
    pub fn hint_reports(&self) -> Vec<HintReport> {
        self.background.handoff.progress().collect()
    }

    /// How far this shard's repairs have come.
    #[must_use]
    pub fn repair_report(&self) -> RepairReport {
        self.background.repairs.report(&self.background.trees)
    }

    /// What this shard does in the background.
    #[must_use]
    pub fn background_report(&self) -> BackgroundReport {
        let budget = self.background.budget.report();
        let steps = WORKS.iter().zip(self.background.steps);
        BackgroundReport {
            paused: budget.paused,
            limit_per_s: budget.limit_per_s,
            slowdown_percent: budget.slowdown_percent,
            pace_per_s: budget.pace_per_s,
            foreground_p99_us: budget.foreground_p99_us,
            quiet_p99_us: budget.quiet_p99_us,
            steps: steps.map(|((_, name), steps)| (name.to_string(), steps)).collect(),
        }
    }

    /// The hash trees, to be kept over a clean stop and given to the next [`Replica`] of this shard.
    #[must_use]
    pub fn trees(&self) -> Vec<u8> {
        self.background.trees.encode()
    }

    /// Takes the trees that were kept over a clean stop; to be called before anything else. Bytes that
    /// are no trees are ignored: the records are read instead.
    pub fn restore_trees(&mut self, bytes: &[u8]) {
        self.background.trees = Trees::decode(bytes);
    }
}
