//! Cache of whole records above the buffers and the engine: what was read or written last is answered from memory.
//!
//! Invariant: an entry is what a load without the cache would return, so every change of a record passes through here.
//! Only records are cached, not that a key has none: that is what the filters say.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use jedlik_hashing::{Partition, Position};
use jedlik_protocol::{PlacedKey, StoredRecord};
use quick_cache::unsync::Cache;
use quick_cache::{Equivalent, Weighter};
use smallvec::SmallVec;

/// Memory that an entry takes beyond its record and names that do not lie in it: the slots of the cache's tables, and the
/// record's reference count.
const ENTRY_BYTES: usize = 232;
/// Length of the names that lie in the entry itself, in bytes: most are shorter. Longer ones cost each look at an entry
/// one more wait for memory.
const INLINE_BYTES: usize = 48;
/// Size of an entry by which the tables are made. They grow for smaller ones, at the cost of a pause.
const USUAL_ENTRY_BYTES: u64 = 1 << 10;

/// Records of one shard that were read or written lately, up to a limit of memory.
pub(crate) struct RecordCache {
    // A load changes what is cached, and nothing that anyone sees.
    entries: RefCell<Cache<CachedKey, Entry, BySize>>,
    limit_bytes: u64,
    /// Number of drops so far, all partitions together.
    drops: u64,
    /// Number of drops up to the last one of each partition that was dropped; entries from before are not shown.
    dropped: BTreeMap<Partition, u64>,
    hits: Cell<u64>,
    misses: Cell<u64>,
}

/// Counters of a record cache since its shard was opened, and its size now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Memory that the entries take now, in bytes, estimated.
    pub bytes: u64,
    /// Number of loads that were answered from the cache.
    pub hits: u64,
    /// Number of loads that were not.
    pub misses: u64,
}

struct Entry {
    record: StoredRecord,
    /// Number of drops when the entry was made.
    drops: u64,
}

/// Key of an entry, in the entry itself if its names are short.
#[derive(PartialEq, Eq)]
struct CachedKey {
    partition: Partition,
    position: Position,
    bucket_length: usize,
    /// The bucket's name and the key in it, side by side.
    names: SmallVec<[u8; INLINE_BYTES]>,
}

/// Key that is looked for, as it has come.
struct Sought<'a>(&'a PlacedKey);

/// Measure of entries by the memory that they take.
#[derive(Clone)]
struct BySize;

impl CachedKey {
    fn of(key: &PlacedKey) -> Self {
        let PlacedKey { partition, position, key } = key;
        let (bucket, name) = (key.bucket(), key.key());
        let bucket_length = bucket.len();
        let mut names = SmallVec::with_capacity(bucket_length + name.len());
        names.extend_from_slice(bucket);
        names.extend_from_slice(name);
        Self { partition: *partition, position: *position, bucket_length, names }
    }
}

// The position is a hash of the rest.
impl Hash for CachedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.position.hash(state);
    }
}

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.position.hash(state);
    }
}

impl Equivalent<CachedKey> for Sought<'_> {
    fn equivalent(&self, cached: &CachedKey) -> bool {
        let PlacedKey { partition, position, key } = self.0;
        let (bucket, name) = cached.names.split_at(cached.bucket_length);
        *position == cached.position
            && *partition == cached.partition
            && key.key()[..] == *name
            && key.bucket()[..] == *bucket
    }
}

impl Weighter<CachedKey, Entry> for BySize {
    fn weight(&self, key: &CachedKey, entry: &Entry) -> u64 {
        let apart = if key.names.spilled() { key.names.capacity() } else { 0 };
        (ENTRY_BYTES + apart + entry.record.record.bytes().len()) as u64
    }
}

impl RecordCache {
    /// Makes an empty cache that takes up to `limit_bytes` of memory.
    pub(crate) fn new(limit_bytes: u64) -> Self {
        let expected = (limit_bytes / USUAL_ENTRY_BYTES) as usize;
        let mut entries = Cache::with_weighter(expected, limit_bytes, BySize);
        // The system gives the pages once they are used.
        entries.reserve(expected);
        Self {
            entries: RefCell::new(entries),
            limit_bytes,
            drops: 0,
            dropped: BTreeMap::new(),
            hits: Cell::new(0),
            misses: Cell::new(0),
        }
    }

    /// Returns the record of `key`; `None` if it is not cached.
    pub(crate) fn load(&self, key: &PlacedKey) -> Option<StoredRecord> {
        let dropped = self.dropped_at(key.partition);
        let entries = self.entries.borrow();
        let entry = entries.get(&Sought(key)).filter(|entry| entry.drops >= dropped);
        let count = if entry.is_some() { &self.hits } else { &self.misses };
        count.set(count.get() + 1);
        entry.map(|entry| entry.record.clone())
    }

    /// Returns the size in bytes of the record that [`Self::load`] would return; it counts as no load.
    pub(crate) fn size_of(&self, key: &PlacedKey) -> Option<usize> {
        let dropped = self.dropped_at(key.partition);
        let entries = self.entries.borrow();
        let entry = entries.peek(&Sought(key)).filter(|entry| entry.drops >= dropped)?;
        Some(entry.record.record.bytes().len())
    }

    /// Notes what `key` holds from now on. The record has to be detached, the key is copied.
    pub(crate) fn put(&self, key: &PlacedKey, record: Option<&StoredRecord>) {
        match record {
            Some(record) => {
                let entry = Entry { record: record.clone(), drops: self.drops };
                self.entries.borrow_mut().insert(CachedKey::of(key), entry);
            }
            None => self.forget(key),
        }
    }

    /// Forgets the entry of `key`, so that the next load looks below.
    pub(crate) fn forget(&self, key: &PlacedKey) {
        self.entries.borrow_mut().remove(&Sought(key));
    }

    /// Forgets every entry of `partition`; their memory is given to others as it is needed.
    pub(crate) fn drop_partition(&mut self, partition: Partition) {
        self.drops += 1;
        self.dropped.insert(partition, self.drops);
    }

    /// Leaves `other_bytes` of the limit to others from now on.
    pub(crate) fn leave(&mut self, other_bytes: u64) {
        let bytes = self.limit_bytes.saturating_sub(other_bytes);
        let entries = self.entries.get_mut();
        if bytes != entries.capacity() {
            entries.set_capacity(bytes);
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let bytes = self.entries.borrow().weight();
        CacheStats { bytes, hits: self.hits.get(), misses: self.misses.get() }
    }

    fn dropped_at(&self, partition: Partition) -> u64 {
        self.dropped.get(&partition).copied().unwrap_or(0)
    }
}

impl fmt::Debug for RecordCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordCache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
