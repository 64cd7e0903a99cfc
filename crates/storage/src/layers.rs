//! Engine with the buffers laid over it: one view of a shard's records and hints.
//!
//! Invariant: the newest layer that says anything of a place answers for it, and a page says nothing of
//! what lies past the end of the engine's page.

use std::collections::BTreeMap;
use std::sync::Arc;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, RangePage};

use crate::buffer::Buffer;
use crate::hint::{HintRow, HintRows, HintRowsBuilder};
use crate::mark::{self, MetadataWrite};
use crate::memory::{records_after, span_of};
use crate::record_cache::RecordCache;
use crate::store::PageBuilder;
use crate::{RangeQuery, Store, StoreError};

/// Full buffer on its way into the engine.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) generation: u64,
    pub(crate) buffer: Buffer,
    /// Metadata that the engine stores with the buffer, besides the generation.
    pub(crate) metadata: Vec<MetadataWrite>,
}

impl Frozen {
    /// Returns all metadata that the engine stores once it holds the buffer.
    pub(crate) fn all_metadata(&self) -> Vec<MetadataWrite> {
        [mark::reached(self.generation)].into_iter().chain(self.metadata.clone()).collect()
    }
}

/// Layers of a shard: `active` is newer than `frozen`, which is newer than the engine.
pub(crate) struct Layers {
    pub(crate) engine: Arc<dyn Store>,
    pub(crate) frozen: Option<Arc<Frozen>>,
    pub(crate) active: Buffer,
    pub(crate) cache: RecordCache,
}

impl Layers {
    /// Lays empty buffers over an engine, and an empty cache that takes up to `cache_bytes`.
    pub(crate) fn over(engine: Arc<dyn Store>, cache_bytes: u64) -> Self {
        let cache = RecordCache::new(cache_bytes);
        Self { engine, frozen: None, active: Buffer::default(), cache }
    }

    /// Returns the buffers, newest first.
    pub(crate) fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        let frozen = self.frozen.as_ref().map(|frozen| &frozen.buffer);
        [Some(&self.active), frozen].into_iter().flatten()
    }

    /// Returns the record of `key`. A damaged record is an error.
    pub(crate) fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        if let Some(record) = self.cache.load(key) {
            return Ok(Some(record));
        }
        let loaded = match self.buffered(key) {
            Some(record) => record.cloned(),
            None => self.engine.load(key)?,
        };
        if loaded.is_some() {
            self.cache.put(key, loaded.as_ref());
        }
        Ok(loaded)
    }

    /// Returns the size in bytes of what [`Self::load`] would return without a look at the engine's disk, 0 where it knows
    /// that there is no record; `None` if it would have to look.
    pub(crate) fn size_at_hand(&self, key: &PlacedKey) -> Option<usize> {
        let length = |record: &StoredRecord| record.record.bytes().len();
        self.cache
            .size_of(key)
            .or_else(|| self.buffered(key).map(|record| record.map_or(0, length)))
            .or_else(|| self.engine.is_absent(key).then_some(0))
    }

    /// Sets what `key` holds from now on, as [`Buffer::put`] does.
    pub(crate) fn put(
        &mut self,
        key: PlacedKey,
        record: Option<StoredRecord>,
        journal_bytes: usize,
    ) {
        self.cache.put(&key, record.as_ref());
        self.active.put(key, record, journal_bytes);
    }

    /// Notes that everything of `partition` is gone, as [`Buffer::drop_partition`] does.
    pub(crate) fn drop_partition(&mut self, partition: Partition, journal_bytes: usize) {
        self.cache.drop_partition(partition);
        self.active.drop_partition(partition, journal_bytes);
    }

    /// Returns the record of `key` as a write finds it: a damaged record counts as missing, and is replaced.
    pub(crate) fn current(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        match self.load(key) {
            Err(StoreError::Damaged { .. }) => Ok(None),
            loaded => loaded,
        }
    }

    /// Returns the newest entry of the buffers for the record of `key`; `None` if they have none.
    fn buffered(&self, key: &PlacedKey) -> Option<Option<&StoredRecord>> {
        self.buffers().find_map(|buffer| buffer.load(key))
    }

    /// Whether the buffers have an entry for the record of `key`, be it that there is none.
    pub(crate) fn is_buffered(&self, key: &PlacedKey) -> bool {
        self.buffered(key).is_some()
    }

    /// Returns the hint of `key` for `target`.
    pub(crate) fn hint(
        &self,
        target: NodeId,
        key: &PlacedKey,
    ) -> Result<Option<HintRow>, StoreError> {
        match self.buffered_hint(target, key) {
            Some(row) => Ok(row),
            None => self.engine.load_hint(target, key),
        }
    }

    /// Returns the buffers' entry of a hint; `None` if they have none.
    pub(crate) fn buffered_hint(&self, target: NodeId, key: &PlacedKey) -> Option<Option<HintRow>> {
        let hint = self.buffers().find_map(|buffer| buffer.hint(target, key))?;
        Some(hint.map(HintRow::from))
    }

    /// Returns the buffers whose records of `partition` count, newest first, and whether the last of them has dropped
    /// what lies below.
    fn buffers_of(&self, partition: Partition) -> (Vec<&Buffer>, bool) {
        let mut counting = Vec::with_capacity(2);
        for buffer in self.buffers() {
            counting.push(buffer);
            if buffer.has_dropped(partition) {
                return (counting, true);
            }
        }
        (counting, false)
    }

    /// Whether `partition` holds any record, damaged ones included.
    pub(crate) fn is_occupied(&self, partition: Partition) -> Result<bool, StoreError> {
        if self.active.records().range(span_of(partition)).any(|(_, record)| record.is_some()) {
            return Ok(true);
        }
        let mut query = RangeQuery {
            partition,
            from: None,
            to: None,
            after: None,
            bucket: None,
            values: false,
            limit_records: 1,
            limit_bytes: 0,
            limit_examined: 1,
            limit_examined_bytes: 0,
        };
        loop {
            let page = self.range(&query)?;
            if !page.records.is_empty() || !page.damaged.is_empty() {
                return Ok(true);
            }
            // The buffers say that what the engine has there is gone.
            query.after = page.until;
            if query.after.is_none() {
                return Ok(false);
            }
        }
    }

    /// Returns a page of one partition's records, in key order.
    pub(crate) fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let (buffers, dropped) = self.buffers_of(query.partition);
        let page = if dropped { RangePage::default() } else { self.engine.range(query)? };
        let mut overlay = Overlay::over(page, query);
        for buffer in buffers.into_iter().rev() {
            let entries = records_after(buffer.records(), query);
            overlay.lay(entries.map(|(key, record)| (key, record.as_ref())));
        }
        Ok(overlay.finish())
    }

    /// Returns a page of the hints for `target` among one partition's keys, in key order.
    pub(crate) fn hint_range(
        &self,
        target: NodeId,
        query: &RangeQuery,
    ) -> Result<RangePage, StoreError> {
        let mut overlay = Overlay::over(self.engine.hint_range(target, query)?, query);
        let buffers: Vec<&Buffer> = self.buffers().collect();
        for hints in buffers.into_iter().rev().filter_map(|buffer| buffer.hints_for(target)) {
            let entries = records_after(hints, query);
            overlay.lay(entries.map(|(key, hint)| (key, hint.as_ref().map(|hint| &hint.record))));
        }
        Ok(overlay.finish())
    }

    /// Returns a page of one target's hints, oldest first.
    pub(crate) fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        let mut page = HintRowsBuilder::new(limit_hints, limit_bytes);
        let mut cursor = after.cloned();
        loop {
            let HintRows { rows, until } =
                self.engine.hints(target, cursor.as_ref(), limit_hints, limit_bytes)?;
            let mut newest: BTreeMap<HintMark, HintRow> = rows
                .into_iter()
                .filter(|row| self.buffered_hint(target, &row.mark.key).is_none())
                .map(|row| (row.mark.clone(), row))
                .collect();
            for buffer in self.buffers() {
                let rows = buffer
                    .marks_after(target, cursor.as_ref())
                    .take_while(|mark| until.as_ref().is_none_or(|until| *mark <= until))
                    .filter_map(|mark| {
                        // An older layer's hint counts only if no newer layer has an entry for it.
                        let row = self.buffered_hint(target, &mark.key).flatten();
                        row.filter(|row| row.mark == *mark)
                    })
                    .take(limit_hints);
                newest.extend(rows.map(|row| (row.mark.clone(), row)));
            }
            for row in newest.into_values() {
                if !page.push(row) {
                    return Ok(page.finish());
                }
            }
            cursor = until;
            if cursor.is_none() {
                return Ok(page.finish());
            }
        }
    }
}

/// Page of an engine with the entries of buffers laid over it, up to where the page ends.
struct Overlay<'a> {
    query: &'a RangeQuery,
    until: Option<PlacedKey>,
    /// Newest record of each key; `None` stands for a damaged one.
    newest: BTreeMap<PlacedKey, Option<StoredRecord>>,
}

impl<'a> Overlay<'a> {
    fn over(page: RangePage, query: &'a RangeQuery) -> Self {
        let RangePage { records, until, damaged } = page;
        let mut newest: BTreeMap<_, _> =
            records.into_iter().map(|(key, record)| (key, Some(record))).collect();
        newest.extend(damaged.into_iter().map(|key| (key, None)));
        Self { query, until, newest }
    }

    /// Lays the entries of one buffer over the page. An entry without a record takes away what is below.
    fn lay<'b>(
        &mut self,
        entries: impl Iterator<Item = (&'b PlacedKey, Option<&'b StoredRecord>)>,
    ) {
        for (key, record) in entries {
            if self.until.as_ref().is_some_and(|until| key > until) {
                break;
            }
            match record {
                Some(record) if self.query.wants(key) => {
                    self.newest.insert(key.clone(), self.query.shown(record.clone()));
                }
                Some(_) => {}
                None => drop(self.newest.remove(key)),
            }
        }
    }

    fn finish(self) -> RangePage {
        let mut page = PageBuilder::new(self.query);
        for (key, record) in self.newest {
            if !page.push(key, record) {
                return page.finish();
            }
        }
        RangePage { until: self.until, ..page.finish() }
    }
}
