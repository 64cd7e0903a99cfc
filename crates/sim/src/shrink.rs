//! The reduction of failing plans: faults and operations are left out as long as the promise stays broken.

use crate::plan::Plan;
use crate::{Breach, Promise, run};

/// Number of events that all tries together may have.
const EVENTS: u64 = 40_000_000;

struct Shrinking {
    plan: Plan,
    promise: Promise,
    /// Number of events that is left of [`EVENTS`].
    events: u64,
}

/// Returns the smallest plan found that breaks the same promise as `plan`, whose breach is `breach`.
#[must_use]
pub fn shrunk(plan: &Plan, breach: &Breach) -> Plan {
    let mut shrinking = Shrinking { plan: plan.clone(), promise: breach.promise, events: EVENTS };
    if let Some(key) = breach.key {
        shrinking.try_plan(|plan| plan.operations.retain(|operation| operation.key == key));
    }
    shrinking.try_plan(|plan| plan.outage = None);
    shrinking.try_plan(|plan| {
        plan.setting.buckets.iter_mut().for_each(|bucket| bucket.later = None);
    });
    shrinking.calm();
    loop {
        let before = shrinking.size();
        let changes = shrinking.plan.changes.clone();
        let changes = shrinking.thin(changes, |plan, changes| plan.changes = changes);
        shrinking.plan.changes = changes;
        let faults = shrinking.plan.faults.clone();
        let faults = shrinking.thin(faults, |plan, faults| plan.faults = faults);
        shrinking.plan.faults = faults;
        let operations = shrinking.plan.operations.clone();
        let operations = shrinking.thin(operations, |plan, kept| plan.operations = kept);
        shrinking.plan.operations = operations;
        if shrinking.size() == before || shrinking.events == 0 {
            return shrinking.plan;
        }
    }
}

impl Shrinking {
    fn size(&self) -> (usize, usize, usize) {
        let Plan { changes, faults, operations, .. } = &self.plan;
        (changes.len(), faults.len(), operations.len())
    }

    fn breaks(&mut self, plan: &Plan) -> bool {
        if self.events == 0 {
            return false;
        }
        let tried = run(plan, false);
        self.events = self.events.saturating_sub(tried.counts.events);
        tried.breach.is_some_and(|breach| breach.promise == self.promise)
    }

    fn try_plan(&mut self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.plan.clone();
        change(&mut plan);
        if self.breaks(&plan) {
            self.plan = plan;
        }
    }

    /// Removes noise from the plan's setting that the breach does not need.
    fn calm(&mut self) {
        self.try_plan(|plan| plan.setting.loss_permille = 0);
        self.try_plan(|plan| plan.setting.duplicate_permille = 0);
        let breach_us = run(&self.plan, false).counts.virtual_us;
        for end_us in [10_000_000, 20_000_000, 40_000_000, breach_us] {
            self.try_plan(|plan| {
                plan.end_us = plan.end_us.min(end_us);
                plan.operations.retain(|operation| operation.at_us < end_us);
                plan.faults.retain(|fault| fault.at_us < end_us);
                plan.changes.retain(|change| change.at_us < end_us);
            });
        }
    }

    /// Leaves out ever smaller parts of a list.
    fn thin<T: Clone>(&mut self, list: Vec<T>, put: impl Fn(&mut Plan, Vec<T>)) -> Vec<T> {
        let mut kept = list;
        let mut size = kept.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < kept.len() {
                let end = (at + size).min(kept.len());
                let fewer: Vec<T> = kept[..at].iter().chain(&kept[end..]).cloned().collect();
                let mut plan = self.plan.clone();
                put(&mut plan, fewer.clone());
                if self.breaks(&plan) {
                    kept = fewer;
                    put(&mut self.plan, kept.clone());
                } else {
                    at = end;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
        kept
    }
}
