//! The contents of one disk: records, and hints for other nodes, and the changes that lead from one state to the next.
//!
//! Invariant: the same changes in the same order make the same contents, so that the replay of a journal is equivalent
//! to its writing.

use std::collections::{BTreeMap, BTreeSet};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{EncodedRecord, PlacedKey, StoredRecord};
use jedlik_storage_port::{Hint, HintMark, HintTotals, RangePage, RangeRequest, RecordMeta};

/// Targets and keys of a set of hints.
pub(crate) type HintNames = BTreeSet<(NodeId, PlacedKey)>;

/// Record that is kept as a hint for another node.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    since_ms: u64,
    pub(crate) stored: StoredRecord,
}

/// Change of the contents, in the order of the journal.
#[derive(Debug, Clone)]
pub(crate) enum DiskOperation {
    /// Change of a single key.
    Edit(PlacedKey, Edit),
    /// Removal of all records of a partition; hints stay.
    Drop(Partition),
    /// No change; a caller waits for what came before.
    Nothing,
    /// Replacement of everything, whatever came before.
    All(Contents),
}

impl DiskOperation {
    /// Whether the operation is about the key's record.
    pub(crate) fn is_about(&self, key: &PlacedKey) -> bool {
        match self {
            Self::Edit(of, _) => of == key,
            Self::Drop(partition) => *partition == key.partition,
            Self::Nothing => false,
            Self::All(all) => all.records.contains_key(key),
        }
    }
}

/// Change of a single key.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Merge of a record over the stored one.
    Merge(StoredRecord),
    /// Replacement of the stored record by another, or by none.
    Set(Option<StoredRecord>),
    /// Merge of a record into the hint for a node.
    Hold(NodeId, Kept),
    /// Removal of the hint for a node.
    Release(NodeId),
    /// No change; a caller waits for what came before.
    Wait,
}

impl Edit {
    pub(crate) fn hold(target: NodeId, since_ms: u64, stored: StoredRecord) -> Self {
        Self::Hold(target, Kept { since_ms, stored })
    }
}

/// Records and hints of one disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    pub(crate) records: BTreeMap<PlacedKey, StoredRecord>,
    hints: BTreeMap<(NodeId, PlacedKey), Kept>,
}

impl Contents {
    /// Keeps those records and hints for which `is_readable` says so.
    pub(crate) fn retain(&mut self, mut is_readable: impl FnMut() -> bool) {
        self.records.retain(|_, _| is_readable());
        self.hints.retain(|_, _| is_readable());
    }

    /// Applies one operation to the contents.
    pub(crate) fn carry_out(&mut self, operation: &DiskOperation) {
        match operation {
            DiskOperation::Edit(key, edit) => self.make(key, edit),
            DiskOperation::Drop(partition) => {
                self.records.retain(|key, _| key.partition != *partition);
            }
            DiskOperation::Nothing => {}
            DiskOperation::All(all) => *self = all.clone(),
        }
    }

    /// Applies a change of one key.
    pub(crate) fn make(&mut self, key: &PlacedKey, edit: &Edit) {
        match edit {
            Edit::Merge(new) => {
                let stored = merged(self.records.get(key), new.clone());
                self.records.insert(key.clone(), stored);
            }
            Edit::Set(Some(new)) => drop(self.records.insert(key.clone(), new.clone())),
            Edit::Set(None) => drop(self.records.remove(key)),
            Edit::Hold(target, new) => {
                let place = (*target, key.clone());
                let held = self.hints.get(&place);
                let since_ms = held.map_or(new.since_ms, |held| held.since_ms.min(new.since_ms));
                let stored = merged(held.map(|held| &held.stored), new.stored.clone());
                self.hints.insert(place, Kept { since_ms, stored });
            }
            Edit::Release(target) => drop(self.hints.remove(&(*target, key.clone()))),
            Edit::Wait => {}
        }
    }

    /// Replaces a merge that was made by its result, as the journal has it.
    pub(crate) fn whole(&self, key: &PlacedKey, edit: Edit) -> Edit {
        match edit {
            Edit::Merge(new) => Edit::Merge(self.records.get(key).cloned().unwrap_or(new)),
            Edit::Hold(target, new) => {
                let kept = self.hints.get(&(target, key.clone())).cloned();
                Edit::Hold(target, kept.unwrap_or(new))
            }
            other => other,
        }
    }

    pub(crate) fn meta(&self, key: &PlacedKey) -> Option<RecordMeta> {
        self.records.get(key).map(|stored| RecordMeta::of(&stored.record))
    }

    /// Returns the hint of a key for a node.
    pub(crate) fn hint(&self, target: NodeId, key: &PlacedKey) -> Option<&StoredRecord> {
        self.hints.get(&(target, key.clone())).map(|kept| &kept.stored)
    }

    /// Returns all hints of a key.
    pub(crate) fn hints_of(&self, key: &PlacedKey) -> Vec<Hint> {
        let of_key = |((target, of), kept): (&(NodeId, PlacedKey), &Kept)| {
            let (since_ms, record) = (kept.since_ms, kept.stored.clone());
            (of == key).then(|| Hint { target: *target, since_ms, key: key.clone(), record })
        };
        self.hints.iter().filter_map(of_key).collect()
    }

    /// Returns the hints for a node past a mark, the oldest first.
    pub(crate) fn hints_for(&self, target: NodeId, after: Option<&HintMark>) -> Vec<Hint> {
        let held = |((of, key), kept): (&(NodeId, PlacedKey), &Kept)| {
            let (key, since_ms) = (key.clone(), kept.since_ms);
            let record = kept.stored.clone();
            (*of == target).then_some(Hint { target, since_ms, key, record })
        };
        let mut hints: Vec<Hint> = self.hints.iter().filter_map(held).collect();
        hints.sort_by_key(Hint::mark);
        hints.retain(|hint| after.is_none_or(|after| hint.mark() > *after));
        hints
    }

    /// Returns each key's record merged with its hints, also for keys that have hints alone. Hints that can't be read
    /// are left out.
    pub(crate) fn shown(&self, unreadable: &HintNames) -> BTreeMap<PlacedKey, StoredRecord> {
        let mut shown = self.records.clone();
        let readable = |(name, _): &(&(NodeId, PlacedKey), &Kept)| !unreadable.contains(*name);
        for ((_, key), kept) in self.hints.iter().filter(readable) {
            let both = merged(shown.get(key), kept.stored.clone());
            shown.insert(key.clone(), both);
        }
        shown
    }

    pub(crate) fn totals(&self, target: NodeId) -> HintTotals {
        let mut totals = HintTotals::default();
        for ((_, _), kept) in self.hints.iter().filter(|((of, _), _)| *of == target) {
            totals.count += 1;
            totals.bytes += kept.stored.record.bytes().len() as u64;
            let oldest_ms = totals.oldest_ms.map_or(kept.since_ms, |ms| ms.min(kept.since_ms));
            totals.oldest_ms = Some(oldest_ms);
        }
        totals
    }

    /// Returns a page of a partition's records, and the damaged ones among them.
    pub(crate) fn page(
        &self,
        (damaged, unreadable): (&BTreeSet<PlacedKey>, &HintNames),
        asked: &RangeRequest,
    ) -> RangePage {
        let inside = |key: &PlacedKey| {
            key.partition == asked.partition
                && asked.bucket.as_ref().is_none_or(|bucket| key.key.bucket() == bucket)
                && asked.span.is_none_or(|(a, b)| a <= key.position && key.position <= b)
                && asked.after.as_ref().is_none_or(|after| key > after)
        };
        let shown = asked.hints.then(|| self.shown(unreadable));
        let records = shown.as_ref().unwrap_or(&self.records).iter();
        let records = records.filter(|(key, _)| inside(key));
        let mut records: Vec<_> = records.map(|(key, held)| (key.clone(), held.clone())).collect();
        let more = records.len() > asked.limit as usize;
        records.truncate(asked.limit as usize);
        if !asked.values {
            let lean =
                |record: &EncodedRecord| record.with_lengths().expect("it came through a decoder");
            records.iter_mut().for_each(|(_, held)| held.record = lean(&held.record));
        }
        let until = records.last().filter(|_| more).map(|(key, _)| key.clone());
        let reached = |key: &&PlacedKey| until.as_ref().is_none_or(|until| *key <= until);
        let damaged = damaged.iter().filter(|key| inside(key)).filter(reached);
        RangePage { damaged: damaged.cloned().collect(), records, until }
    }

    /// Returns the target and key of each hint.
    pub(crate) fn held(&self) -> impl Iterator<Item = &(NodeId, PlacedKey)> {
        self.hints.keys()
    }
}

/// Returns the record after a merge of `new` over `held`; the newer local actor is kept.
fn merged(held: Option<&StoredRecord>, new: StoredRecord) -> StoredRecord {
    let Some(held) = held else { return new };
    let local = new.local.or(held.local);
    if held.record == new.record {
        return StoredRecord { local, record: new.record };
    }
    let decode = |record: &EncodedRecord| record.decode().expect("it came through a decoder");
    let mut record = decode(&held.record);
    record.merge(&decode(&new.record));
    StoredRecord { local, record: EncodedRecord::encode(&record) }
}
