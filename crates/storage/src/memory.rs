//! Engine in memory: for tests, and for nodes whose data may end with the process.
//!
//! Invariant: nothing outlives the process, so a node on it starts empty.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_protocol::{Key, PlacedKey, StoredRecord};
use jedlik_storage_port::{Hint, HintMark, HintTotals, RangePage};

use crate::hint::{HintRow, HintRows, HintRowsBuilder};
use crate::store::PageBuilder;
use crate::{RangeQuery, Store, StoreError, Writes};

/// Engine that keeps records and hints in sorted maps in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: RwLock<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    records: BTreeMap<PlacedKey, StoredRecord>,
    hints: BTreeMap<NodeId, TargetHints>,
    metadata: BTreeMap<String, Vec<u8>>,
    bytes: u64,
}

/// Hints of one target, of which there is at least one.
#[derive(Debug, Default)]
struct TargetHints {
    by_age: BTreeMap<HintMark, Hint>,
    since_ms: BTreeMap<PlacedKey, u64>,
}

impl MemoryStore {
    /// Returns an engine that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn put_record(&mut self, key: &PlacedKey, record: Option<&StoredRecord>) {
        let before = match record {
            Some(record) => {
                self.bytes += size(key, record);
                self.records.insert(key.clone(), record.clone())
            }
            None => self.records.remove(key),
        };
        self.bytes -= before.map_or(0, |before| size(key, &before));
    }

    fn put_hint(&mut self, target: NodeId, key: &PlacedKey, hint: Option<&Hint>) {
        let hints = self.hints.entry(target).or_default();
        if let Some(since_ms) = hints.since_ms.remove(key) {
            let before = hints.by_age.remove(&HintMark { since_ms, key: key.clone() });
            self.bytes -= before.map_or(0, |before| before.size_bytes());
        }
        if let Some(hint) = hint {
            self.bytes += hint.size_bytes();
            hints.since_ms.insert(key.clone(), hint.since_ms);
            hints.by_age.insert(hint.mark(), hint.clone());
        }
        if hints.by_age.is_empty() {
            self.hints.remove(&target);
        }
    }
}

impl Store for MemoryStore {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        Ok(self.read().records.get(key).cloned())
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        let contents = self.read();
        Ok(contents.hints.get(&target).and_then(|hints| {
            let since_ms = *hints.since_ms.get(key)?;
            hints.by_age.get(&HintMark { since_ms, key: key.clone() }).map(HintRow::from)
        }))
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let mut contents = self.write();
        for (key, record) in &writes.records {
            contents.put_record(key, record.as_ref());
        }
        for write in &writes.hints {
            contents.put_hint(write.target, &write.key, write.hint.as_ref());
        }
        for (name, value) in &writes.metadata {
            match value {
                Some(value) => contents.metadata.insert(name.clone(), value.clone()),
                None => contents.metadata.remove(name),
            };
        }
        Ok(())
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        let mut contents = self.write();
        let Contents { records, bytes, .. } = &mut *contents;
        for &partition in partitions {
            let dropped = records.extract_if(span_of(partition), |_, _| true);
            *bytes -= dropped.map(|(key, record)| size(&key, &record)).sum::<u64>();
        }
        Ok(())
    }

    fn sweep(&self, _limit_records: usize) -> Result<bool, StoreError> {
        // A drop leaves nothing behind.
        Ok(false)
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        let contents = self.read();
        let mut records = contents.records.range(first_of(from, Position(0))..);
        Ok(records.next().map(|(key, _)| key.partition))
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let contents = self.read();
        let mut page = PageBuilder::new(query);
        for (key, record) in records_after(&contents.records, query) {
            let length_bytes = record.record.bytes().len();
            if !page.push_read(key.clone(), query.shown(record.clone()), length_bytes) {
                break;
            }
        }
        Ok(page.finish())
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let contents = self.read();
        let mut page = PageBuilder::new(query);
        let Some(hints) = contents.hints.get(&target) else { return Ok(page.finish()) };
        for (key, since_ms) in records_after(&hints.since_ms, query) {
            let mark = HintMark { since_ms: *since_ms, key: key.clone() };
            let record = hints.by_age.get(&mark).map(|hint| hint.record.clone());
            let length_bytes = record.as_ref().map_or(0, |record| record.record.bytes().len());
            let record = record.and_then(|record| query.shown(record));
            if !page.push_read(mark.key, record, length_bytes) {
                break;
            }
        }
        Ok(page.finish())
    }

    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        let contents = self.read();
        let mut page = HintRowsBuilder::new(limit_hints, limit_bytes);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let hints = contents.hints.get(&target).into_iter();
        for hint in hints.flat_map(|hints| hints.by_age.range((from, Bound::Unbounded))) {
            if !page.push(HintRow::from(hint.1)) {
                break;
            }
        }
        Ok(page.finish())
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        let contents = self.read();
        let totals = contents.hints.iter().map(|(&target, hints)| {
            let totals = HintTotals {
                count: hints.by_age.len() as u64,
                bytes: hints.by_age.values().map(Hint::size_bytes).sum(),
                oldest_ms: hints.by_age.keys().next().map(|mark| mark.since_ms),
            };
            (target, totals)
        });
        Ok(totals.collect())
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read().metadata.get(name).cloned())
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.read().metadata.keys().cloned().collect())
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.read().bytes)
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        Ok(self.read().records.len() as u64)
    }
}

fn size(key: &PlacedKey, record: &StoredRecord) -> u64 {
    (key.key.bucket().len() + key.key.key().len() + record.record.bytes().len()) as u64
}

/// Returns the entries that the query asks for past its key `after`, of every bucket.
pub(crate) fn records_after<'a, T>(
    records: &'a BTreeMap<PlacedKey, T>,
    query: &'a RangeQuery,
) -> impl Iterator<Item = (&'a PlacedKey, &'a T)> {
    let first = first_of(query.partition, query.first_position());
    let from = match &query.after {
        Some(after) if *after >= first => Bound::Excluded(after.clone()),
        _ => Bound::Included(first),
    };
    records.range((from, Bound::Unbounded)).take_while(|(key, _)| query.reaches(key))
}

/// Returns the bounds of the keys of `partition`.
pub(crate) fn span_of(partition: Partition) -> (Bound<PlacedKey>, Bound<PlacedKey>) {
    let first = |partition| first_of(Partition(partition), Position(0));
    let end = partition.0.checked_add(1).map(first);
    (Bound::Included(first(partition.0)), end.map_or(Bound::Unbounded, Bound::Excluded))
}

/// Returns the least key at `position` or past it.
fn first_of(partition: Partition, position: Position) -> PlacedKey {
    let least: &[u8] = &[0];
    let key = Key::new(least, least).expect("one byte is within the limits");
    PlacedKey { partition, position, key }
}
