//! Changes that the journal has and the engine does not have yet.
//!
//! Invariant: an entry is the final state of its place, merged with all that was below it, so it alone answers a load.
//! An entry of `None` says that there is nothing, whatever lies below; a dropped partition says so of all its keys
//! without an entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{Hint, HintMark};

use crate::memory::span_of;

/// Memory that a buffered record takes beyond its bytes: the map's entry and the headers of its allocations.
const OVERHEAD_BYTES: usize = 320;
/// Memory that a buffered hint takes beyond its bytes; a hint stands in two maps.
const HINT_OVERHEAD_BYTES: usize = 560;
/// Memory that a dropped partition takes.
const DROP_BYTES: usize = 64;

/// Generation of the buffer: changes that go into the engine together.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    records: BTreeMap<PlacedKey, Option<StoredRecord>>,
    /// Partitions of which everything below this buffer is gone; entries of theirs came later.
    dropped: BTreeSet<Partition>,
    hints: BTreeMap<NodeId, TargetHints>,
    bytes: usize,
    journal_bytes: usize,
}

#[derive(Debug, Default)]
struct TargetHints {
    by_key: BTreeMap<PlacedKey, Option<Hint>>,
    /// Marks of the hints in `by_key` that are there.
    by_age: BTreeSet<HintMark>,
}

impl Buffer {
    /// Returns the entry of `key`; `None` if the buffer says nothing of it.
    pub(crate) fn load(&self, key: &PlacedKey) -> Option<Option<&StoredRecord>> {
        let gone = || self.has_dropped(key.partition).then_some(None);
        self.records.get(key).map(Option::as_ref).or_else(gone)
    }

    /// Whether everything of `partition` below this buffer is gone.
    pub(crate) fn has_dropped(&self, partition: Partition) -> bool {
        self.dropped.contains(&partition)
    }

    pub(crate) fn dropped(&self) -> &BTreeSet<Partition> {
        &self.dropped
    }

    /// Returns the entry of this hint; `None` if the buffer says nothing of it.
    pub(crate) fn hint(&self, target: NodeId, key: &PlacedKey) -> Option<Option<&Hint>> {
        self.hints.get(&target)?.by_key.get(key).map(Option::as_ref)
    }

    pub(crate) fn records(&self) -> &BTreeMap<PlacedKey, Option<StoredRecord>> {
        &self.records
    }

    /// Returns every entry of a hint, sorted by target and key.
    pub(crate) fn hints(&self) -> impl Iterator<Item = (NodeId, &PlacedKey, Option<&Hint>)> {
        self.hints.iter().flat_map(|(&target, hints)| {
            hints.by_key.iter().map(move |(key, hint)| (target, key, hint.as_ref()))
        })
    }

    /// Returns the entries of hints for `target`, by key; `None` if there are none.
    pub(crate) fn hints_for(&self, target: NodeId) -> Option<&BTreeMap<PlacedKey, Option<Hint>>> {
        self.hints.get(&target).map(|hints| &hints.by_key)
    }

    /// Returns the places of the target's hints that are there, past `after`, in order.
    pub(crate) fn marks_after(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
    ) -> impl Iterator<Item = &HintMark> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let hints = self.hints.get(&target);
        hints.into_iter().flat_map(move |hints| hints.by_age.range((from, Bound::Unbounded)))
    }

    /// Whether the buffer has no entry of any kind.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.dropped.is_empty() && self.hints.is_empty()
    }

    /// Returns roughly how much memory the buffer takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many bytes the buffer's frames take in the journal.
    pub(crate) fn journal_bytes(&self) -> usize {
        self.journal_bytes
    }

    /// Sets what `key` holds from now on; the frame in the journal has `journal_bytes`. The key is copied, the record
    /// has to be detached already.
    pub(crate) fn put(
        &mut self,
        mut key: PlacedKey,
        record: Option<StoredRecord>,
        journal_bytes: usize,
    ) {
        self.journal_bytes += journal_bytes;
        self.bytes += length(record.as_ref());
        if let Some(place) = self.records.get_mut(&key) {
            self.bytes -= length(place.as_ref());
            *place = record;
            return;
        }
        self.bytes += key_length(&key) + OVERHEAD_BYTES;
        key.key = key.key.detached();
        self.records.insert(key, record);
    }

    /// Notes that everything of `partition` is gone; the frame in the journal has `journal_bytes`.
    pub(crate) fn drop_partition(&mut self, partition: Partition, journal_bytes: usize) {
        self.journal_bytes += journal_bytes;
        for (key, record) in self.records.extract_if(span_of(partition), |_, _| true) {
            self.bytes -= key_length(&key) + OVERHEAD_BYTES + length(record.as_ref());
        }
        if self.dropped.insert(partition) {
            self.bytes += DROP_BYTES;
        }
    }

    /// Sets the hint of `key` for `target`, as [`Self::put`] does for a record.
    pub(crate) fn put_hint(
        &mut self,
        target: NodeId,
        mut key: PlacedKey,
        record: Option<(u64, StoredRecord)>,
        journal_bytes: usize,
    ) {
        self.journal_bytes += journal_bytes;
        let hints = self.hints.entry(target).or_default();
        match hints.by_key.get_key_value(&key) {
            Some((there, hint)) => {
                key = there.clone();
                if let Some(hint) = hint {
                    self.bytes -= length(Some(&hint.record));
                    hints.by_age.remove(&hint.mark());
                }
            }
            None => {
                self.bytes += key_length(&key) + HINT_OVERHEAD_BYTES;
                key.key = key.key.detached();
            }
        }
        let hint =
            record.map(|(since_ms, record)| Hint { target, since_ms, key: key.clone(), record });
        if let Some(hint) = &hint {
            self.bytes += length(Some(&hint.record));
            hints.by_age.insert(hint.mark());
        }
        hints.by_key.insert(key, hint);
    }
}

fn length(record: Option<&StoredRecord>) -> usize {
    record.map_or(0, |record| record.record.bytes().len())
}

fn key_length(key: &PlacedKey) -> usize {
    key.key.bucket().len() + key.key.key().len()
}
