//! The engine's trait: small, synchronous, built for batches.
//!
//! Invariant: records come back in the order of [`PlacedKey`], and one that fails its checksum is
//! reported, never returned.

use jedlik_hashing::Partition;
use jedlik_protocol::{Blob, PlacedKey, StoredRecord};

use crate::StoreError;

/// Where a shard's records end up. One thread writes, several read.
pub trait Store: Send + Sync + 'static {
    /// The record of `key`.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it fails its checksum; otherwise the engine's own errors.
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError>;

    /// Merges `batch`, sorted by key without repeats, into what is there, and returns once all of it is
    /// durable. A damaged record is replaced.
    ///
    /// # Errors
    /// The engine's own. All of the batch was stored or none of it, which of the two is unknown;
    /// merging it again is harmless.
    fn merge_many(&self, batch: &[(PlacedKey, StoredRecord)]) -> Result<(), StoreError>;

    /// A page of one partition's records.
    ///
    /// # Errors
    /// The engine's own; a damaged record is listed in the page instead.
    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError>;

    /// What was stored under `name` by [`Self::set_metadata`].
    ///
    /// # Errors
    /// The engine's own.
    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Stores `value` under `name`, durably.
    ///
    /// # Errors
    /// The engine's own; the old value or the new one is there then.
    fn set_metadata(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// The room that it takes on disk, or in memory for an engine without one, in bytes.
    ///
    /// # Errors
    /// The engine's own.
    fn size_bytes(&self) -> Result<u64, StoreError>;

    /// How many records it holds, tombstones included.
    ///
    /// # Errors
    /// The engine's own.
    fn record_count(&self) -> Result<u64, StoreError>;
}

/// Which records a page should hold.
#[derive(Debug, Clone)]
pub struct RangeQuery {
    /// Of which partition.
    pub partition: Partition,
    /// Only past this key.
    pub after: Option<PlacedKey>,
    /// Only this bucket's.
    pub bucket: Option<Blob>,
    /// The most records in the page; at least 1.
    pub limit_records: usize,
    /// The page ends with the record that takes it past this size.
    pub limit_bytes: usize,
    /// The most records looked at, other buckets' included; at least 1.
    pub limit_examined: usize,
}

impl RangeQuery {
    /// Whether `key` is of the bucket that is asked for.
    pub(crate) fn wants(&self, key: &PlacedKey) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket == key.key.bucket())
    }
}

/// Records in order, and how far they reach.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangePage {
    /// Those that were asked for.
    pub records: Vec<(PlacedKey, StoredRecord)>,
    /// The last key that was looked at; `None` if the partition's end was reached.
    pub until: Option<PlacedKey>,
    /// Keys up to there whose records fail their checksums.
    pub damaged: Vec<PlacedKey>,
}

/// Fills a page up to the query's limits.
pub(crate) struct PageBuilder<'a> {
    query: &'a RangeQuery,
    page: RangePage,
    examined: usize,
    bytes: usize,
}

impl<'a> PageBuilder<'a> {
    pub(crate) fn new(query: &'a RangeQuery) -> Self {
        Self { query, page: RangePage::default(), examined: 0, bytes: 0 }
    }

    /// Looks at the next record in order, `None` for a damaged one; false once the page is full.
    pub(crate) fn push(&mut self, key: PlacedKey, record: Option<StoredRecord>) -> bool {
        self.examined += 1;
        if self.query.wants(&key) {
            match record {
                Some(record) => {
                    self.bytes += record.record.bytes().len();
                    self.page.records.push((key.clone(), record));
                }
                None => self.page.damaged.push(key.clone()),
            }
        }
        let full = self.examined >= self.query.limit_examined
            || self.page.records.len() >= self.query.limit_records
            || self.bytes > self.query.limit_bytes;
        if full {
            self.page.until = Some(key);
        }
        !full
    }

    pub(crate) fn finish(self) -> RangePage {
        self.page
    }
}
