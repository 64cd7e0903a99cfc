//! Records of partitions that this node owns for some N, and not for the records' N: a bucket's `n` was lowered, or the
//! partition's owners are others ([design 4](../../../docs/design.md#4-membership-and-moving-data), decision 31).
//!
//! Invariant: such a record is removed only if each present owner was compared with it, and holds it or has seen it,
//! while nothing was added for its N; and only if it is that record still, or still can't be read.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::PlacedKey;
use jedlik_protocol::admin::WorkKind;
use jedlik_storage_port::RangePage;

use crate::cx::{Cx, Fact};
use crate::exchange::READING_RECORDS;
use crate::exchange_worker::{JobKind, PartitionJob};
use crate::io::{Output, StorageFault};
use crate::range;
use crate::reasons::{ApplyFor, PageFor};
use crate::revision::Revision;
use crate::transfer_jobs::Obstacle;
use crate::transfers::Transfers;
use crate::trees::Trees;

/// Records of others in partitions that one shard owns, and their removal.
#[derive(Debug, Default)]
pub(crate) struct Surplus {
    /// N for which others alone own a partition that this node owns for another.
    others: BTreeMap<Partition, BTreeSet<u8>>,
    /// Partitions that may hold such records, and the moment at which the last comparison of them began.
    partitions: BTreeMap<Partition, u64>,
    sweep: Option<Sweep>,
    sweeps: u64,
}

/// Removal of compared records from the disk, page by page.
#[derive(Debug)]
struct Sweep {
    number: u64,
    partition: Partition,
    counts: BTreeSet<u8>,
    /// Moment at which the comparison began.
    since: u64,
    after: Option<PlacedKey>,
    /// Whether a page is being read.
    asked: bool,
    /// Number of records that are being removed.
    removing: usize,
    ended: bool,
}

impl Surplus {
    pub(crate) fn restart(&mut self) {
        self.partitions.clear();
        self.sweep = None;
    }

    pub(crate) fn add(&mut self, partition: Partition) -> bool {
        self.partitions.insert(partition, 0).is_none()
    }

    pub(crate) fn remove(&mut self, partition: Partition) -> bool {
        self.sweep.take_if(|sweep| sweep.partition == partition);
        self.partitions.remove(&partition).is_some()
    }

    pub(crate) fn contains(&self, partition: Partition) -> bool {
        self.partitions.contains_key(&partition)
    }

    /// Returns the number of partitions that may hold such records.
    pub(crate) fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Returns the partitions that may hold such records.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Partition> {
        self.partitions.keys().copied()
    }

    /// Returns whether others alone own the keys of this partition and N, while this node owns it for another N.
    pub(crate) fn is_for_others(&self, partition: Partition, n: u8) -> bool {
        self.others.get(&partition).is_some_and(|counts| counts.contains(&n))
    }

    /// Returns whether the sweep can read its next page.
    pub(crate) fn is_busy(&self) -> bool {
        self.sweep.as_ref().is_some_and(|sweep| !sweep.asked && sweep.removing == 0)
    }
}

impl Transfers {
    /// Looks anew where there may be records of others, since owners or numbers of replicas have changed.
    pub(crate) fn follow_surplus(&mut self, cx: &mut Cx, view: &View) {
        let (me, counts) = (cx.config.me, view.replica_counts());
        let others_alone = |partition: &Partition| {
            let others = |n: &u8| !view.owners(*partition, *n).contains(&me);
            let others: BTreeSet<u8> = counts.iter().copied().filter(others).collect();
            (!others.is_empty()).then_some((*partition, others))
        };
        let others: BTreeMap<Partition, BTreeSet<u8>> =
            self.owned.iter().filter_map(others_alone).collect();
        for partition in self.surplus.waiting().collect::<Vec<_>>() {
            if !others.contains_key(&partition) {
                self.thinned(cx, partition);
            }
        }
        let before = core::mem::replace(&mut self.surplus.others, others);
        for (partition, counts) in self.surplus.others.clone() {
            if before.get(&partition) != Some(&counts) || !self.surplus.contains(partition) {
                self.thin(partition);
            }
        }
    }

    /// Returns the N for which the partition holds records that are for others alone, damaged ones included.
    fn surplus_counts(&self, trees: &Trees, view: &View, partition: Partition) -> BTreeSet<u8> {
        let others = self.surplus.others.get(&partition).into_iter().flatten().copied();
        let n_of = |key: &PlacedKey| view.bucket(key.key.bucket()).n;
        let damaged = |n: u8| trees.damaged(partition).any(|key| n_of(key) == n);
        others.filter(|n| trees.holds(partition, *n) || damaged(*n)).collect()
    }

    /// Has damaged records removed that others alone own, since no exchange would mend them.
    pub(crate) fn notice_damaged_surplus(&mut self, view: &View, damaged: &[PlacedKey]) {
        for key in damaged {
            let n = view.bucket(key.key.bucket()).n;
            if self.surplus.is_for_others(key.partition, n) {
                self.thin(key.partition);
            }
        }
    }

    /// Returns the owners, for each N, that such records are compared with: all of them. Notes the moment.
    pub(crate) fn surplus_pairs(
        &mut self,
        trees: &Trees,
        view: &View,
        partition: Partition,
    ) -> Vec<(u8, NodeId)> {
        let moment = trees.moment();
        if let Some(since) = self.surplus.partitions.get_mut(&partition) {
            *since = moment;
        }
        if planted::on(Bug::DroppedUnverified) {
            return Vec::new();
        }
        let list = view.preference_list(partition);
        let owners = |n: u8| list.iter().take(usize::from(n)).map(move |node| (n, *node));
        self.surplus_counts(trees, view, partition).into_iter().flat_map(owners).collect()
    }

    /// Begins to remove the records that are others' alone, if all owners were compared with (`whole`) and
    /// nothing was added since. Returns true if the job is over for now.
    pub(crate) fn begin_sweep(
        &mut self,
        cx: &mut Cx,
        (trees, view): (&Trees, &View),
        partition: Partition,
        whole: bool,
    ) -> bool {
        let counts = self.surplus_counts(trees, view, partition);
        if counts.is_empty() && trees.is_whole(partition) {
            self.thinned(cx, partition);
            return true;
        }
        let surplus = &self.surplus;
        let Some(since) = surplus.partitions.get(&partition).copied() else { return true };
        let added = counts.iter().any(|n| trees.added_since(partition, *n, since));
        if !whole || added || surplus.sweep.is_some() || !self.may_thin(cx, view, partition) {
            return false;
        }
        let surplus = &mut self.surplus;
        surplus.sweeps += 1;
        let (number, after) = (surplus.sweeps, None);
        let (asked, removing, ended) = (false, 0, false);
        let sweep = Sweep { number, partition, counts, since, after, asked, removing, ended };
        surplus.sweep = Some(sweep);
        true
    }

    /// Returns the partition whose records are being removed.
    #[cfg(test)]
    pub(crate) fn sweeping(&self) -> Option<Partition> {
        self.surplus.sweep.as_ref().map(|sweep| sweep.partition)
    }

    fn may_thin(&self, cx: &Cx, view: &View, partition: Partition) -> bool {
        let job = PartitionJob { partition, kind: JobKind::Thin };
        matches!(self.obstacle(cx, view, job), Obstacle::None)
    }

    /// Reads the next page of the sweep; returns false if there is none now.
    pub(crate) fn sweep_next(&mut self, cx: &mut Cx) -> bool {
        let surplus = &mut self.surplus;
        if !surplus.is_busy() {
            return false;
        }
        let Some(sweep) = surplus.sweep.as_mut() else { return false };
        sweep.asked = true;
        let (sweep, partition, after) = (sweep.number, sweep.partition, sweep.after.clone());
        let ticket = cx.pending.page(PageFor::Surplus { sweep });
        let limit = READING_RECORDS;
        let range = range::stored(partition, None, after, limit);
        cx.emit(Output::Range { ticket, range });
        true
    }

    /// Removes the compared records of a page of the sweep.
    pub(crate) fn handle_surplus_page(
        &mut self,
        cx: &mut Cx,
        trees: &Trees,
        number: u64,
        result: Result<RangePage, StorageFault>,
    ) {
        let Some(view) = cx.view.clone() else { return };
        let Some(sweep) = self.surplus.sweep.as_ref() else { return };
        if sweep.number != number {
            return;
        }
        let (partition, since) = (sweep.partition, sweep.since);
        // Records added since were compared with nobody, and the page may show them.
        let added = sweep.counts.iter().any(|n| trees.added_since(partition, *n, since));
        let (false, true, Ok(page)) = (added, self.may_thin(cx, &view, partition), result) else {
            return self.end_sweep(cx, trees);
        };
        let Some(sweep) = self.surplus.sweep.as_mut() else { return };
        let counts = sweep.counts.clone();
        let of_others = |key: &PlacedKey| counts.contains(&view.bucket(key.key.bucket()).n);
        let records: Vec<_> = page.records.into_iter().filter(|(key, _)| of_others(key)).collect();
        let damaged: Vec<_> = page.damaged.into_iter().filter(of_others).collect();
        let count = records.len() + damaged.len();
        (sweep.asked, sweep.removing, sweep.ended) = (false, count, page.until.is_none());
        sweep.after = page.until;
        if count == 0 && sweep.ended {
            return self.end_sweep(cx, trees);
        }
        cx.tell(Fact::Weighed { kind: WorkKind::Transfer, steps: count as u32 });
        for key in damaged {
            let sweep = Some(number);
            let ticket = cx.pending.apply(ApplyFor::Discarded { sweep, key: key.clone() });
            cx.emit(Output::Discard { ticket, key });
        }
        for (key, stored) in records {
            let ticket = cx.pending.apply(ApplyFor::Thinned { sweep: number });
            let (expected, by) = (stored.record.digest(), Revision::GivenUp);
            cx.emit(Output::Revise { ticket, key, expected, by });
        }
    }

    /// Counts one record of the sweep as removed; ends the sweep if it is not.
    pub(crate) fn handle_thinned(
        &mut self,
        cx: &mut Cx,
        trees: &Trees,
        number: u64,
        removed: bool,
    ) {
        let sweep = self.surplus.sweep.as_mut();
        let Some(sweep) = sweep.filter(|sweep| sweep.number == number) else { return };
        sweep.removing = sweep.removing.saturating_sub(1);
        if !removed || sweep.removing == 0 && sweep.ended {
            self.end_sweep(cx, trees);
        }
    }

    /// Ends the sweep; what is left of the partition's surplus is compared anew.
    fn end_sweep(&mut self, cx: &mut Cx, trees: &Trees) {
        let Some(sweep) = self.surplus.sweep.take() else { return };
        let partition = sweep.partition;
        let left = cx.view.clone().map(|view| self.surplus_counts(trees, &view, partition));
        let nothing = left.is_none_or(|counts| counts.is_empty());
        if nothing && trees.is_whole(partition) {
            self.thinned(cx, partition);
        } else {
            self.rest(cx.now.mono_us, PartitionJob { partition, kind: JobKind::Thin });
        }
    }
}
