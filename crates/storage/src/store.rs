//! The engine's trait: small, synchronous, built for batches.
//!
//! Invariant: records come back in the order of [`PlacedKey`] and hints in that of [`HintMark`], and one
//! that fails its checksum is reported, never returned.

use std::collections::BTreeSet;

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_protocol::{Blob, PlacedKey, StoredRecord};

use crate::StoreError;
use crate::hint::{Hint, HintMark, HintRow, HintRows, HintTotals};

/// Where a shard's records and hints end up. One thread writes, several read.
///
/// An engine merges nothing: it holds what the last write said.
pub trait Store: Send + Sync + 'static {
    /// The record of `key`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it fails its checksum; otherwise the engine's own errors.
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError>;

    /// The hint of `key` for `target`.
    ///
    /// # Errors
    /// The engine's own.
    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError>;

    /// Stores `writes`, and returns once all of it is durable. A record of a dropped partition waits
    /// until that is swept.
    ///
    /// # Errors
    /// The engine's own. All of it was stored or nothing, which of the two is unknown; storing it again
    /// is harmless.
    fn write(&self, writes: &Writes) -> Result<(), StoreError>;

    /// Removes every record of `partitions`, damaged ones too, and returns once that is durable: sooner
    /// than many records can be removed. What is left of them on the disk is seen no more, and is for
    /// [`Self::sweep`].
    ///
    /// # Errors
    /// As for [`Self::write`].
    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError>;

    /// Takes up to about `limit_records` of dropped partitions off the disk; false if nothing is left
    /// to take off.
    ///
    /// # Errors
    /// As for [`Self::write`].
    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError>;

    /// A page of one partition's records.
    ///
    /// # Errors
    /// The engine's own; a damaged record is listed in the page instead.
    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError>;

    /// A page of the hints for `target` among one partition's keys, in the order of keys.
    ///
    /// # Errors
    /// The engine's own; a damaged hint is listed in the page instead.
    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError>;

    /// A page of one target's hints past `after`: at most `limit_hints`, ending with the one that takes
    /// it past `limit_bytes`, and at least one if there is one.
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

    /// What is kept for each target, sorted by target; reads as much as there are hints.
    ///
    /// # Errors
    /// The engine's own.
    fn hint_totals(&self) -> Result<Vec<HintTotals>, StoreError>;

    /// What was last written under `name` as metadata.
    ///
    /// # Errors
    /// The engine's own.
    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The room that it takes on disk, or in memory for an engine without one, in bytes.
    ///
    /// # Errors
    /// The engine's own.
    fn size_bytes(&self) -> Result<u64, StoreError>;

    /// How many records it holds, tombstones included, and those that are still to be swept.
    ///
    /// # Errors
    /// The engine's own.
    fn record_count(&self) -> Result<u64, StoreError>;

    /// Why it is not asked any more, if it was found damaged: the error of every call since.
    fn damage(&self) -> Option<StoreError> {
        None
    }

    /// What it knows in memory of the keys that it does not hold, for [`Self::restore_filters`] after the next
    /// start; `None` if it keeps nothing of the kind.
    fn filters(&self) -> Option<Vec<u8>> {
        None
    }

    /// Takes what [`Self::filters`] gave when the engine held what it holds now, or more.
    fn restore_filters(&self, _filters: &[u8]) {}
}

/// What an engine is to hold from now on; `None` removes.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// Sorted by key, without repeats.
    pub records: Vec<(PlacedKey, Option<StoredRecord>)>,
    /// Sorted by target and key, without repeats.
    pub hints: Vec<(NodeId, PlacedKey, Option<Hint>)>,
    /// By name.
    pub metadata: Vec<(String, Option<Vec<u8>>)>,
}

impl Writes {
    /// Whether nothing would change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.hints.is_empty() && self.metadata.is_empty()
    }
}

/// Which records a page should hold.
#[derive(Debug, Clone)]
pub struct RangeQuery {
    /// Of which partition.
    pub partition: Partition,
    /// Only at this position or past it.
    pub from: Option<Position>,
    /// Only at this position or before it.
    pub to: Option<Position>,
    /// Only past this key.
    pub after: Option<PlacedKey>,
    /// Only this bucket's.
    pub bucket: Option<Blob>,
    /// Whether values are wanted; otherwise their lengths stand for them, as in
    /// [`EncodedRecord::with_lengths`](jedlik_protocol::EncodedRecord::with_lengths), and an engine need not read them.
    pub values: bool,
    /// The most records in the page, damaged ones included; at least 1.
    pub limit_records: usize,
    /// The page ends with the record that takes it past this size.
    pub limit_bytes: usize,
    /// The most records looked at, other buckets' included; at least 1.
    pub limit_examined: usize,
    /// The page ends with the record that takes what was looked at, other buckets' included, past this size. Values that
    /// an engine need not read for it don't count.
    pub limit_examined_bytes: usize,
}

impl RangeQuery {
    /// Whether `key` is of the bucket that is asked for.
    pub(crate) fn wants(&self, key: &PlacedKey) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket == key.key.bucket())
    }

    /// `record`, which has its values, as it is asked for; `None` if it is none, which its checksum should have said.
    pub(crate) fn shown(&self, record: StoredRecord) -> Option<StoredRecord> {
        if self.values {
            return Some(record);
        }
        let StoredRecord { local, record } = record;
        Some(StoredRecord { local, record: record.with_lengths().ok()? })
    }

    /// Where the records begin that are asked for, whatever lies past `after`.
    pub(crate) fn first_position(&self) -> Position {
        self.from.unwrap_or(Position(0))
    }

    /// Whether `key`, which is not before the first position, is not past the last.
    pub(crate) fn reaches(&self, key: &PlacedKey) -> bool {
        key.partition == self.partition && self.to.is_none_or(|to| key.position <= to)
    }
}

/// Records in order, and how far they reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangePage {
    /// Those that were asked for.
    pub records: Vec<(PlacedKey, StoredRecord)>,
    /// The last key that was looked at; `None` if the end of what was asked for was reached.
    pub until: Option<PlacedKey>,
    /// Keys up to there whose records fail their checksums.
    pub damaged: Vec<PlacedKey>,
}

/// Fills a page up to the query's limits.
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

    /// Looks at the next record in order, `None` for a damaged one; false once the page is full.
    pub(crate) fn push(&mut self, key: PlacedKey, record: Option<StoredRecord>) -> bool {
        let length_bytes = record.as_ref().map_or(0, |record| record.record.bytes().len());
        self.push_read(key, record, length_bytes)
    }

    /// As [`Self::push`], of a record for which `length_bytes` were read.
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

    /// Counts the next record in order, which is not asked for, or was pushed; false once the page is full.
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
