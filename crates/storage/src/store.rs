//! Trait of an engine: small, synchronous, built for batches.
//!
//! Invariant: records come back in the order of [`PlacedKey`] and hints in that of [`HintMark`], and one
//! that fails its checksum is reported, never returned.

use std::collections::BTreeSet;

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_protocol::{Blob, PlacedKey, StoredRecord};
use jedlik_storage_port::RangePage;
use jedlik_storage_port::{HintMark, HintTotals};

use crate::hint::{HintRow, HintRows, HintWrite};
use crate::{MergeStats, StoreError};

/// Engine in which a shard's records and hints end up. Several threads read it and write to it; the engine makes one
/// write after the other.
///
/// An engine does not merge: it holds what the last write gave it.
pub trait Store: Send + Sync + 'static {
    /// Returns the record of `key`; `None` if the engine holds none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the record fails its checksum; otherwise the engine's own errors.
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError>;

    /// Returns the hint of `key` for `target`; `None` if the engine holds none. A hint that fails its checksum comes
    /// without its record.
    ///
    /// # Errors
    /// The engine's own.
    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError>;

    /// Stores `writes`, and returns once all of them are durable. A record put into a dropped partition waits until the
    /// partition is swept.
    ///
    /// # Errors
    /// The engine's own. Either all of the writes were stored or none, and which of the two is unknown; storing them
    /// again is harmless.
    fn write(&self, writes: &Writes) -> Result<(), StoreError>;

    /// Removes every record of `partitions`, damaged ones included, and returns once that is durable. The call hides
    /// the records, which takes less time than to remove them one by one; [`Self::sweep`] removes them from the disk.
    ///
    /// # Errors
    /// As for [`Self::write`].
    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError>;

    /// Removes up to about `limit_records` records of dropped partitions from the disk, or takes another step at giving
    /// room back. Returns false if nothing was left to do; a later write may change that.
    ///
    /// # Errors
    /// As for [`Self::write`].
    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError>;

    /// Returns the first partition at or past `from` that holds a record; `None` if there is none. Dropped partitions
    /// hold none, swept or not.
    ///
    /// # Errors
    /// The engine's own.
    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError>;

    /// Returns a page of one partition's records, in key order.
    ///
    /// # Errors
    /// The engine's own; a damaged record is listed in the page instead.
    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError>;

    /// Returns a page of the hints for `target` among one partition's keys, in key order.
    ///
    /// # Errors
    /// The engine's own; a damaged hint is listed in the page instead.
    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError>;

    /// Returns a page of one target's hints past `after`, oldest first: at most `limit_hints`, ending with the hint
    /// that reaches `limit_bytes`, and at least one if there is one.
    ///
    /// # Errors
    /// The engine's own.
    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError>;

    /// Returns count, size and oldest time of the hints kept for each target, sorted by target. Takes time in
    /// proportion to the number of hints.
    ///
    /// # Errors
    /// The engine's own.
    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError>;

    /// Returns the metadata value that was last written under `name`; `None` if there is none.
    ///
    /// # Errors
    /// The engine's own.
    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the names of all metadata values, sorted; what the engine keeps for itself is not among them.
    ///
    /// # Errors
    /// The engine's own.
    fn metadata_names(&self) -> Result<Vec<String>, StoreError>;

    /// Returns the room that the engine takes, in bytes: on disk, or in memory for an engine without a disk.
    ///
    /// # Errors
    /// The engine's own.
    fn size_bytes(&self) -> Result<u64, StoreError>;

    /// Returns the number of records, tombstones and those of dropped partitions that are not swept yet included.
    ///
    /// # Errors
    /// The engine's own.
    fn record_count(&self) -> Result<u64, StoreError>;

    /// Returns what the engine has merged by itself, and what waits for that; `None` for an engine that merges nothing, or
    /// can't say.
    fn merges(&self) -> Option<MergeStats> {
        None
    }

    /// Returns the error with which every call fails since the engine was found damaged; `None` if it was not.
    fn damage(&self) -> Option<StoreError> {
        None
    }

    /// Returns the engine's in-memory filters of absent keys, for [`Self::restore_filters`] after the next start;
    /// `None` for an engine without such filters.
    fn filters(&self) -> Option<Vec<u8>> {
        None
    }

    /// Whether the engine knows without a look at its disk that it holds no record of `key`.
    fn is_absent(&self, _key: &PlacedKey) -> bool {
        false
    }

    /// Returns the memory that the engine's filters of absent keys take, in bytes.
    fn filter_bytes(&self) -> u64 {
        0
    }

    /// Takes over filters that [`Self::filters`] returned when the engine held what it holds now, or more.
    fn restore_filters(&self, _filters: &[u8]) {}

    /// Logs which troubles of the engine are over; called now and then.
    fn look_at_troubles(&self) {}
}

/// Batch of changes that an engine stores in one call. `None` in an entry removes what is there.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// Records by key, sorted and without repeats.
    pub records: Vec<(PlacedKey, Option<StoredRecord>)>,
    /// Hints by target and key, sorted and without repeats.
    pub hints: Vec<HintWrite>,
    /// Metadata values by name, stored in this order.
    pub metadata: Vec<(String, Option<Vec<u8>>)>,
}

impl Writes {
    /// Whether the batch changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.hints.is_empty() && self.metadata.is_empty()
    }
}

/// Query for one page of a partition's records or hints, in key order.
#[derive(Debug, Clone)]
pub struct RangeQuery {
    /// Partition whose records are asked for.
    pub partition: Partition,
    /// First position of the range, inclusive; `None` for the partition's beginning.
    pub from: Option<Position>,
    /// Last position of the range, inclusive; `None` for the partition's end.
    pub to: Option<Position>,
    /// Key past which the page begins, as [`RangePage::until`] of the page before; `None` for the first page.
    pub after: Option<PlacedKey>,
    /// Bucket that the records belong to; `None` for all buckets.
    pub bucket: Option<Blob>,
    /// Whether the page holds values. If not, their lengths stand for them, as in
    /// [`EncodedRecord::with_lengths`](jedlik_protocol::EncodedRecord::with_lengths), and an engine need not read them.
    pub values: bool,
    /// Largest number of records in the page, damaged ones included; at least 1.
    pub limit_records: usize,
    /// Size limit of the page's records, in bytes; the page ends with the record that exceeds it.
    pub limit_bytes: usize,
    /// Largest number of records looked at, other buckets' included; at least 1.
    pub limit_examined: usize,
    /// Size limit of all records looked at, other buckets' included, in bytes; the page ends with the record that
    /// exceeds it. Values that an engine need not read don't count.
    pub limit_examined_bytes: usize,
}

impl RangeQuery {
    /// Whether `key` belongs to the bucket that the query names.
    pub(crate) fn wants(&self, key: &PlacedKey) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket == key.key.bucket())
    }

    /// Returns `record`, given with its values, as the query asks for it; `None` if its bytes are malformed, which its
    /// checksum should have caught.
    pub(crate) fn shown(&self, record: StoredRecord) -> Option<StoredRecord> {
        if self.values {
            return Some(record);
        }
        let StoredRecord { local, record } = record;
        Some(StoredRecord { local, record: record.with_lengths().ok()? })
    }

    /// Returns the first position of the range, whatever `after` says.
    pub(crate) fn first_position(&self) -> Position {
        self.from.unwrap_or(Position(0))
    }

    /// Whether `key`, which is known not to lie before the first position, lies within the range.
    pub(crate) fn reaches(&self, key: &PlacedKey) -> bool {
        key.partition == self.partition && self.to.is_none_or(|to| key.position <= to)
    }
}

/// Builder that fills a page up to the query's limits.
pub(crate) struct PageBuilder<'a> {
    query: &'a RangeQuery,
    page: RangePage,
    examined: usize,
    examined_bytes: usize,
    bytes: usize,
}

impl<'a> PageBuilder<'a> {
    pub(crate) fn new(query: &'a RangeQuery) -> Self {
        Self { query, page: RangePage::default(), examined: 0, examined_bytes: 0, bytes: 0 }
    }

    /// Adds the next record in order, `None` for a damaged one. Returns false once the page is full.
    pub(crate) fn push(&mut self, key: PlacedKey, record: Option<StoredRecord>) -> bool {
        let length_bytes = record.as_ref().map_or(0, |record| record.record.bytes().len());
        self.push_read(key, record, length_bytes)
    }

    /// As [`Self::push`], for a record of which `length_bytes` were read.
    pub(crate) fn push_read(
        &mut self,
        key: PlacedKey,
        record: Option<StoredRecord>,
        length_bytes: usize,
    ) -> bool {
        if !self.query.wants(&key) {
            return self.skip(length_bytes, || Some(key));
        }
        match record {
            Some(record) => {
                self.bytes += record.record.bytes().len();
                self.page.records.push((key.clone(), record));
            }
            None => self.page.damaged.push(key.clone()),
        }
        self.skip(length_bytes, || Some(key))
    }

    /// Counts the next record in order, which was pushed already or is of another bucket. Returns false once the page
    /// is full.
    pub(crate) fn skip(
        &mut self,
        length_bytes: usize,
        key: impl FnOnce() -> Option<PlacedKey>,
    ) -> bool {
        self.examined += 1;
        self.examined_bytes += length_bytes;
        let full = self.examined >= self.query.limit_examined
            || self.examined_bytes > self.query.limit_examined_bytes
            || self.page.records.len() + self.page.damaged.len() >= self.query.limit_records
            || self.bytes > self.query.limit_bytes;
        if !full {
            return true;
        }
        // A page can't end at a key that can't be read: it ends at the next one.
        self.page.until = key();
        self.page.until.is_none()
    }

    pub(crate) fn finish(self) -> RangePage {
        self.page
    }
}
