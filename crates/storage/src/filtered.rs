//! Engine behind filters of its keys: that a key is absent is known without a look at the engine.
//!
//! Invariant: a filter has every key that the engine holds a record of, damaged ones included. So a filter begins where
//! nothing is stored (an engine without records, a partition that was dropped), with what a clean stop kept, or with a
//! reading of a whole partition that met no damage; it hears of every write before the engine does. For keys that a
//! filter does not rule out the engine is asked, which finds out whether damage hides them: a record that was whole
//! when its filter was made is never taken for absent.
//!
//! ```text
//! format      1 byte: 1
//! rest        1 byte: 1 if partitions that are not listed hold nothing
//! partitions  for each: its number, 4 bytes, little endian, and its filter, as in `filter.rs`
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};

use crate::filter::{Filter, take};
use crate::hint::{HintRow, HintRows};
use crate::{MergeStats, RangeQuery, Store, StoreError, Writes};

const FORMAT: u8 = 1;
/// Largest size of the filters kept over a stop, in bytes; partitions past it are learned again as they are read.
const KEPT_LIMIT_BYTES: usize = 64 << 20;

/// Engine with filters of its keys in memory, by which most loads of absent keys are answered.
#[derive(Debug)]
pub struct Filtered<S: Store> {
    engine: S,
    /// Lock of the thread that changes the engine's records.
    writer: Mutex<()>,
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    partitions: BTreeMap<Partition, Keys>,
    /// Whether partitions without an entry hold no record.
    rest_is_empty: bool,
    /// Whether the engine is at work on a write, which readings may not have seen.
    writing: bool,
    /// Whether something was written since the engine was opened.
    changed: bool,
    readings: u64,
}

/// Filter of one partition's keys, and the reading that makes the next one.
#[derive(Debug, Default)]
struct Keys {
    filter: Option<Filter>,
    /// Reading under way that makes the next filter.
    reading: Option<Reading>,
}

/// Reading of a partition: pages that follow one another from its beginning.
#[derive(Debug)]
struct Reading {
    number: u64,
    /// Key at which the last page ended.
    until: Option<PlacedKey>,
    /// Whether the reading has come to the partition's end.
    ended: bool,
    keys: Filter,
}

impl<S: Store> Filtered<S> {
    /// Puts filters before an engine that was just opened.
    #[must_use]
    pub fn over(engine: S) -> Self {
        // An engine that can't say is not known to be empty.
        let rest_is_empty = engine.record_count().is_ok_and(|records| records == 0);
        let known = RwLock::new(Known { rest_is_empty, ..Known::default() });
        Self { engine, writer: Mutex::new(()), known }
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a page to a reading; a page with damage ends it.
    fn learn(&self, reading: u64, query: &RangeQuery, page: Result<&RangePage, &StoreError>) {
        let sound = page.ok().filter(|page| page.damaged.is_empty());
        self.known_mut().learn(query.partition, reading, sound);
    }
}

impl Known {
    fn may_hold(&self, key: &PlacedKey) -> bool {
        match self.partitions.get(&key.partition) {
            Some(Keys { filter: Some(filter), .. }) => filter.may_hold(key.position),
            Some(Keys { filter: None, .. }) => true,
            None => !self.rest_is_empty,
        }
    }

    /// Returns the entry of a partition, made if partitions without one are known to be empty; `None` if nothing is
    /// known.
    fn keys_of(&mut self, partition: Partition) -> Option<&mut Keys> {
        if self.rest_is_empty {
            let empty = || Keys { filter: Some(Filter::default()), reading: None };
            return Some(self.partitions.entry(partition).or_insert_with(empty));
        }
        self.partitions.get_mut(&partition)
    }

    /// Returns the number of the reading that a page will belong to, if any. The reading has begun before the engine is
    /// asked, so that it hears of every write that the page may not show.
    fn reading_of(&mut self, query: &RangeQuery) -> Option<u64> {
        // A page of one record is a look and not a reading.
        let whole = query.bucket.is_none() && query.from.is_none() && query.to.is_none();
        if !whole || query.limit_records == 1 {
            return None;
        }
        let Some(after) = &query.after else { return Some(self.begin(query.partition)) };
        let reading = self.partitions.get(&query.partition)?.reading.as_ref()?;
        (reading.until.as_ref() == Some(after)).then_some(reading.number)
    }

    fn begin(&mut self, partition: Partition) -> u64 {
        self.readings += 1;
        let number = self.readings;
        let empty = self.rest_is_empty.then(Filter::default);
        let keys = self.partitions.entry(partition);
        let keys = keys.or_insert(Keys { filter: empty, reading: None });
        let before = keys.filter.as_ref().map_or(0, Filter::keys);
        let filter = Filter::with_room_for(before);
        keys.reading = Some(Reading { number, until: None, ended: false, keys: filter });
        number
    }

    /// Adds the next page to a reading, or gives the reading up if there is damage.
    fn learn(&mut self, partition: Partition, number: u64, page: Option<&RangePage>) {
        let writing = self.writing;
        let Some(keys) = self.partitions.get_mut(&partition) else { return };
        let reading = keys.reading.take_if(|reading| reading.number == number);
        if let (Some(mut reading), Some(page)) = (reading, page) {
            page.records.iter().for_each(|(key, _)| reading.keys.add(key.position));
            reading.until.clone_from(&page.until);
            reading.ended = page.until.is_none();
            keys.reading = Some(reading);
        }
        if !writing {
            keys.conclude();
        }
    }

    fn begin_write(&mut self, writes: &Writes) {
        (self.writing, self.changed) = (true, true);
        for key in put(writes) {
            let Some(keys) = self.keys_of(key.partition) else { continue };
            keys.filter.iter_mut().for_each(|filter| filter.add(key.position));
            keys.reading.iter_mut().for_each(|reading| reading.keys.add(key.position));
        }
    }

    /// Ends a write, and adds its keys to the readings: one that began meanwhile may not have seen them.
    fn end_write(&mut self, writes: &Writes) {
        self.writing = false;
        if self.partitions.values().all(|keys| keys.reading.is_none()) {
            return;
        }
        for key in put(writes) {
            let reading = self.partitions.get_mut(&key.partition).map(|keys| &mut keys.reading);
            let reading = reading.and_then(Option::as_mut);
            reading.into_iter().for_each(|reading| reading.keys.add(key.position));
        }
        self.partitions.values_mut().for_each(Keys::conclude);
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT, u8::from(self.rest_is_empty)];
        for (partition, keys) in &self.partitions {
            let Some(filter) = &keys.filter else { continue };
            if out.len() + filter.encoded_bytes() > KEPT_LIMIT_BYTES {
                out[1] = 0;
                continue;
            }
            out.extend_from_slice(&partition.0.to_le_bytes());
            filter.push(&mut out);
        }
        out
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let [format, rest] = take(&mut bytes)?;
        if format != FORMAT || rest > 1 {
            return None;
        }
        let mut known = Self { rest_is_empty: rest == 1, ..Self::default() };
        while !bytes.is_empty() {
            let partition = Partition(u32::from_le_bytes(take(&mut bytes)?));
            let filter = Some(Filter::take(&mut bytes)?);
            known.partitions.insert(partition, Keys { filter, reading: None });
        }
        Some(known)
    }
}

impl Keys {
    /// Makes the keys of a reading the filter once it has come to the partition's end.
    fn conclude(&mut self) {
        if let Some(reading) = self.reading.take_if(|reading| reading.ended) {
            self.filter = Some(reading.keys);
        }
    }
}

/// Returns the keys that will have a record.
fn put(writes: &Writes) -> impl Iterator<Item = &PlacedKey> {
    writes.records.iter().filter(|(_, record)| record.is_some()).map(|(key, _)| key)
}

impl<S: Store> Store for Filtered<S> {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        if self.known().may_hold(key) { self.engine.load(key) } else { Ok(None) }
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        self.engine.load_hint(target, key)
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        if writes.records.is_empty() {
            return self.engine.write(writes);
        }
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.known_mut().begin_write(writes);
        // If the write fails, the filters hold too many keys, which costs looks at the engine.
        let written = self.engine.write(writes);
        self.known_mut().end_write(writes);
        written
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.known_mut().changed = true;
        self.engine.drop_partitions(partitions)?;
        let mut known = self.known_mut();
        for partition in partitions {
            let empty = Keys { filter: Some(Filter::default()), reading: None };
            known.partitions.insert(*partition, empty);
        }
        Ok(())
    }

    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError> {
        self.engine.sweep(limit_records)
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        self.engine.next_partition(from)
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let reading = self.known_mut().reading_of(query);
        let page = self.engine.range(query);
        if let Some(reading) = reading {
            self.learn(reading, query, page.as_ref());
        }
        page
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.engine.hint_range(target, query)
    }

    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        self.engine.hints(target, after, limit_hints, limit_bytes)
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        self.engine.hint_totals()
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.engine.metadata(name)
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        self.engine.metadata_names()
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.engine.size_bytes()
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        self.engine.record_count()
    }

    fn merges(&self) -> Option<MergeStats> {
        self.engine.merges()
    }

    fn damage(&self) -> Option<StoreError> {
        self.engine.damage()
    }

    fn filters(&self) -> Option<Vec<u8>> {
        Some(self.known().encode())
    }

    fn is_absent(&self, key: &PlacedKey) -> bool {
        !self.known().may_hold(key)
    }

    fn filter_bytes(&self) -> u64 {
        let filters = |keys: &Keys| {
            let reading = keys.reading.as_ref().map(|reading| &reading.keys);
            keys.filter.iter().chain(reading).map(Filter::encoded_bytes).sum::<usize>()
        };
        self.known().partitions.values().map(filters).sum::<usize>() as u64
    }

    fn restore_filters(&self, bytes: &[u8]) {
        let mut known = self.known_mut();
        // They lack what was written since.
        if !known.changed
            && !known.rest_is_empty
            && let Some(kept) = Known::decode(bytes)
        {
            *known = kept;
        }
    }

    fn look_at_troubles(&self) {
        self.engine.look_at_troubles();
    }
}

#[cfg(test)]
mod tests;
