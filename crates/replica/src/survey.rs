//! The search for partitions whose records this node does not own
//! ([design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariant: storage is asked for a few partitions at a time, since it looks each of them up while clients wait.

use alloc::vec::Vec;

use jedlik_hashing::Partition;
use jedlik_membership::View;

use crate::cx::Cx;
use crate::io::{Output, StorageFault};
use crate::transfers::Transfers;

/// Most partitions that are looked up in one turn of the shard: a millisecond or two. Tests have few partitions.
pub(crate) const SURVEY_PARTITIONS: usize = if cfg!(test) { 3 } else { 256 };

impl Transfers {
    /// Begins to look up all partitions anew.
    pub(crate) fn begin_survey(&mut self, now_us: u64) {
        self.survey_due_us = Some(now_us);
        self.surveyed_until = None;
    }
}

impl Transfers {
    /// Asks, if that is due, which partitions that this node does not own hold records. Returns whether it did.
    pub(crate) fn survey_if_due(&mut self, cx: &mut Cx, view: &View) -> bool {
        if self.survey_due_us.is_none_or(|due_us| due_us > cx.now.mono_us) {
            return false;
        }
        self.survey_due_us = None;
        let after = self.surveyed_until;
        let is_left = |partition: &Partition| after.is_none_or(|after| *partition > after);
        let (partitions, until) = {
            let owned = &self.owned;
            let left = cx.of_this_shard(view).filter(is_left);
            let mut unowned = left.filter(|partition| !owned.contains(partition));
            let partitions: Vec<Partition> = unowned.by_ref().take(SURVEY_PARTITIONS).collect();
            let until = unowned.next().and_then(|_more| partitions.last().copied());
            (partitions, until)
        };
        let ticket = cx.pending.survey(until);
        cx.emit(Output::Survey { ticket, partitions });
        true
    }

    /// Takes storage's answer which of the partitions hold records.
    pub(crate) fn handle_surveyed(
        &mut self,
        cx: &mut Cx,
        ticket: u64,
        result: Result<Vec<Partition>, StorageFault>,
    ) {
        let Some(until) = cx.pending.take_survey(ticket) else { return };
        let interval_us = cx.config.tuning.exchange_interval_us;
        let Ok(occupied) = result else {
            self.survey_due_us = Some(cx.now.mono_us + interval_us);
            return;
        };
        // A new layout may have had it begin anew meanwhile.
        if self.survey_due_us.is_none() {
            let more = until.is_some();
            self.survey_due_us =
                Some(if more { cx.now.mono_us } else { cx.now.mono_us + interval_us });
            self.surveyed_until = until;
            self.surveyed |= !more;
        }
        for partition in occupied {
            if !self.owned.contains(&partition) {
                self.found(partition);
            }
        }
    }
}
