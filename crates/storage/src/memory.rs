//! An engine in memory: for tests, and for nodes whose data may end with the process.
//!
//! Invariant: nothing outlives the process, so a node on it starts empty.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jedlik_hashing::{Partition, Position};
use jedlik_protocol::{Key, PlacedKey, StoredRecord};

use crate::merge::merged;
use crate::store::PageBuilder;
use crate::{RangePage, RangeQuery, Store, StoreError};

/// Records in a sorted map.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: RwLock<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    records: BTreeMap<PlacedKey, StoredRecord>,
    metadata: BTreeMap<String, Vec<u8>>,
    bytes: u64,
}

impl MemoryStore {
    /// An empty one.
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

impl Store for MemoryStore {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        Ok(self.read().records.get(key).cloned())
    }

    fn merge_many(&self, batch: &[(PlacedKey, StoredRecord)]) -> Result<(), StoreError> {
        let mut contents = self.write();
        for (key, record) in batch {
            let current = contents.records.get(key);
            let record = merged(current, record.clone())?;
            let before = current.map_or(0, |current| size(key, current));
            contents.bytes = contents.bytes - before + size(key, &record);
            contents.records.insert(key.clone(), record);
        }
        Ok(())
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let contents = self.read();
        let mut page = PageBuilder::new(query);
        for (key, record) in records_after(&contents.records, query) {
            if !page.push(key.clone(), Some(record.clone())) {
                break;
            }
        }
        Ok(page.finish())
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read().metadata.get(name).cloned())
    }

    fn set_metadata(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write().metadata.insert(name.into(), value.into());
        Ok(())
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

/// The records of the query's partition that lie past its mark.
pub(crate) fn records_after<'a>(
    records: &'a BTreeMap<PlacedKey, StoredRecord>,
    query: &'a RangeQuery,
) -> impl Iterator<Item = (&'a PlacedKey, &'a StoredRecord)> {
    let first = first_of(query.partition);
    let from = match &query.after {
        Some(after) if *after >= first => Bound::Excluded(after.clone()),
        _ => Bound::Included(first),
    };
    records.range((from, Bound::Unbounded)).take_while(|(key, _)| key.partition == query.partition)
}

/// The least key that `partition` could hold.
fn first_of(partition: Partition) -> PlacedKey {
    let least: &[u8] = &[0];
    let key = Key::new(least, least).expect("one byte is within the limits");
    PlacedKey { partition, position: Position(0), key }
}
