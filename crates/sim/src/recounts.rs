//! Admins who give a bucket another N while clients and faults go on.
//!
//! Invariant: each goes on until its bucket has that N at whichever node it asks once faults have ceased.

use crate::admins::{PATIENCE_US, RETRY_US};
use crate::plan::{BucketPlan, Plan, Quorums};
use crate::world::{Event, World};

/// Progress of the buckets' changes of N.
#[derive(Debug)]
pub(crate) struct Recounts {
    /// Whether each bucket's new N was in force somewhere, and may be so everywhere.
    begun: Vec<bool>,
    /// Whether each bucket's change is in force or given up, or there is none.
    done: Vec<bool>,
}

impl Recounts {
    pub(crate) fn new(plan: &Plan) -> Self {
        let buckets = &plan.setting.buckets;
        let done = buckets.iter().map(|bucket| bucket.later.is_none()).collect();
        Self { begun: vec![false; buckets.len()], done }
    }

    pub(crate) fn are_done(&self) -> bool {
        self.done.iter().all(|done| *done)
    }
}

impl World {
    pub(crate) fn begin_recounts(&mut self) {
        for bucket in 0..self.plan.setting.buckets.len() as u8 {
            if let Some((at_us, _)) = self.plan.setting.buckets[usize::from(bucket)].later {
                self.after(at_us, Event::Recount(bucket));
            }
        }
    }

    /// Tries once to set a bucket's new N, through a node that the admin can reach.
    pub(crate) fn try_recount(&mut self, bucket: u8) {
        let place = usize::from(bucket);
        let Some((_, quorums)) = self.plan.setting.buckets[place].later else { return };
        let quiet_us = self.convergence.quiet_us().unwrap_or(self.now_us);
        if self.now_us > quiet_us + PATIENCE_US {
            self.admins.recounts.done[place] = true;
            return;
        }
        let reached = |node: &u8| {
            let place = &self.nodes[usize::from(*node)];
            let up = place.running.as_ref().is_some_and(|running| !running.stopping);
            up && place.pauses == 0 && !place.removed
        };
        let reached: Vec<u8> = (0..self.plan.setting.places()).filter(reached).collect();
        if !reached.is_empty() {
            let node = self.chances.admins.pick(&reached);
            let name = BucketPlan::name(bucket);
            let view = self.running(node).map(|running| running.membership.view());
            if view.is_some_and(|view| view.bucket(name.as_bytes()).n == quorums.n) {
                if self.convergence.is_quiet() {
                    self.admins.recounts.done[place] = true;
                    return;
                }
            } else {
                let request = self.bucket_to_set(bucket, quorums);
                let set = self.admin(node, &request);
                self.admins.recounts.begun[place] |= set.is_ok();
                let Quorums { n, r, w } = quorums;
                self.say(node, || format!("ADMIN: {name} gets n={n} r={r} w={w}: {set:?}"));
            }
        }
        let again_us = self.chances.admins.between(RETRY_US / 4, RETRY_US);
        self.after(again_us, Event::Recount(bucket));
    }

    /// Returns the present quorums of a key's bucket.
    pub(crate) fn quorums(&self, key: u8) -> Quorums {
        let bucket = self.plan.setting.of_key(key);
        let later = bucket.later.filter(|_| self.is_recounted(key));
        later.map_or(bucket.quorums, |(_, later)| later)
    }

    /// Whether the N of a key's bucket was changed. Writes acknowledged by a quorum under the former N, or through a
    /// node that has not heard of the new one, need not be met by the very next get; they are there at rest.
    pub(crate) fn is_recounted(&self, key: u8) -> bool {
        self.admins.recounts.begun[usize::from(self.plan.setting.bucket(key))]
    }
}
