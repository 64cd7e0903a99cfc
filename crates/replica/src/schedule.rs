//! The turns of background work: which kind may take the next step, and when the budget grants one (paper 6.5).
//!
//! Invariant: each kind of work that is allowed has its turn; what is paused, or held up, has none.

use alloc::collections::BTreeSet;
use alloc::string::ToString;

use jedlik_handoff::{Budget, BudgetSettings, Foreground};
use jedlik_membership::View;
use jedlik_protocol::admin::{BackgroundChange, BackgroundReport, WorkKind};

use crate::allowance::May;

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

/// Budget and turns of one shard's background work.
#[derive(Debug)]
pub(crate) struct Schedule {
    budget: Budget,
    settings: BudgetSettings,
    /// Kinds of work that an admin has paused.
    paused: BTreeSet<WorkKind>,
    may: May,
    /// Index in [`WORKS`] of the kind whose turn is next, modulo their number.
    turn: usize,
    steps: [u64; WORKS.len()],
    /// Time at which the budget grants the next step, in microseconds; `None` if no work waits.
    granted_us: Option<u64>,
}

impl Schedule {
    pub(crate) fn new(settings: BudgetSettings) -> Self {
        Self {
            budget: Budget::new(settings),
            settings,
            paused: BTreeSet::new(),
            may: May::Everything,
            turn: 0,
            steps: [0; WORKS.len()],
            granted_us: None,
        }
    }

    /// Follows a new view, under which work may be held up.
    pub(crate) fn handle_view(&mut self, view: &View) {
        self.may = May::under(view);
    }

    /// Returns the earliest of these times and the time of the next grant, in microseconds; `None` if there is none. What
    /// is due waits for the budget like everything else.
    pub(crate) fn next_us(&self, due_us: impl Iterator<Item = u64>) -> Option<u64> {
        let due = due_us.map(|due_us| self.granted_us.map_or(due_us, |at_us| due_us.max(at_us)));
        due.chain(self.granted_us).min().filter(|at_us| *at_us < u64::MAX)
    }

    /// Forgets when the next step is granted, until work waits for it.
    pub(crate) fn forget_grant(&mut self) {
        self.granted_us = None;
    }

    /// Whether a step is granted now. If not, the time of the next grant is known from here on.
    pub(crate) fn grants(&mut self, now_us: u64) -> bool {
        let granted_us = self.budget.next_us(now_us);
        if granted_us.is_some_and(|granted_us| granted_us <= now_us) {
            return true;
        }
        // While paused it is never granted; the end of the pause comes through here again.
        self.granted_us = Some(granted_us.unwrap_or(u64::MAX));
        false
    }

    /// Has the work go on once the foreground was served.
    pub(crate) fn go_on(&mut self, now_us: u64) {
        self.granted_us = Some(now_us);
    }

    /// Returns the kinds of work that may take a step, that of the next turn first.
    pub(crate) fn turns(&self) -> impl Iterator<Item = WorkKind> + use<> {
        let allowed = WORKS.map(|(kind, _)| self.is_allowed(kind).then_some(kind));
        let first = self.turn;
        (0..WORKS.len()).filter_map(move |offset| allowed[(first + offset) % WORKS.len()])
    }

    /// Notes that a kind of work has taken a step.
    pub(crate) fn took(&mut self, now_us: u64, kind: WorkKind) {
        self.budget.take(now_us, 1);
        let turn = turn_of(kind);
        self.steps[turn] += 1;
        self.turn = turn + 1;
    }

    /// Charges a page for what it weighs beyond the step that it was granted as.
    pub(crate) fn charge(&mut self, now_us: u64, kind: WorkKind, steps: u32) {
        self.budget.charge(now_us, steps);
        self.steps[turn_of(kind)] += u64::from(steps);
    }

    /// Notes the latency of an answered foreground request: the background makes way if requests are slow.
    pub(crate) fn observe(&mut self, now_us: u64, kind: Foreground, started_us: u64) {
        self.budget.observe(now_us, kind, now_us.saturating_sub(started_us));
    }

    /// Returns whether neither an admin, nor the disk, nor what others may remember holds up this kind of work.
    pub(crate) fn is_allowed(&self, kind: WorkKind) -> bool {
        self.may.includes(kind) && !self.paused.contains(&kind)
    }

    /// Returns whether an admin has paused transfers.
    pub(crate) fn is_paused(&self) -> bool {
        self.budget.report().paused || self.paused.contains(&WorkKind::Transfer)
    }

    /// Returns how many deliveries this node wants under way from one sender; 0 while paused.
    pub(crate) fn window(&self) -> u16 {
        self.budget
            .pace_per_s()
            .map_or(0, |pace_per_s| (pace_per_s / PACE_PER_PLACE).clamp(1, WINDOW_MAX) as u16)
    }

    /// Changes what an admin wants changed.
    pub(crate) fn handle_change(&mut self, now_us: u64, change: BackgroundChange) {
        match (change.paused, change.work) {
            (Some(true), None) => self.budget.pause(),
            (Some(false), None) => {
                self.budget.resume();
                self.paused.clear();
            }
            (Some(true), Some(kind)) => {
                self.paused.insert(kind);
            }
            (Some(false), Some(kind)) => {
                self.paused.remove(&kind);
            }
            (None, _) => {}
        }
        let settings = &mut self.settings;
        settings.limit_per_s = change.limit_per_s.unwrap_or(settings.limit_per_s);
        settings.slowdown_percent = change.slowdown_percent.unwrap_or(settings.slowdown_percent);
        self.budget.set(now_us, *settings);
    }

    /// Returns the limits, the pace and the steps so far.
    pub(crate) fn report(&self) -> BackgroundReport {
        let budget = self.budget.report();
        let steps = WORKS.iter().zip(self.steps);
        BackgroundReport {
            paused: budget.paused,
            paused_kinds: self.paused.iter().copied().collect(),
            limit_per_s: budget.limit_per_s,
            slowdown_percent: budget.slowdown_percent,
            pace_per_s: budget.pace_per_s,
            foreground_p99_us: budget.foreground_p99_us,
            quiet_p99_us: budget.quiet_p99_us,
            steps: steps.map(|((_, name), steps)| (name.to_string(), steps)).collect(),
            // Storage's own work, which a replica does not see.
            merges: None,
        }
    }
}

/// Returns the place of a kind of work among the turns.
fn turn_of(kind: WorkKind) -> usize {
    match kind {
        WorkKind::Handoff => 0,
        WorkKind::Repair => 1,
        WorkKind::Collection => 2,
        WorkKind::Transfer => 3,
    }
}

#[cfg(test)]
mod tests;
