//! The redb engine: records in key order, hints in the order of their age, metadata.
//!
//! Invariant: a batch is one durable commit.
//!
//! ```text
//! records       key bytes, as in `format.rs`                 -> value as in `format.rs`; of a large record what
//!                                                               stands for a value that lies apart
//! marks         bytes of a mark, as in `format.rs`           -> CRC-32 of these bytes (4)
//! values        key bytes, of large records                  -> value, as in `format.rs`
//! hints         target (8), since_ms (8), key bytes          -> value, whose checksum covers these
//!                 both big endian, so that they sort by age     bytes instead of the key bytes
//! hints_by_key  target (8, big endian), key bytes            -> since_ms (8), size (8), CRC-32 (4) of
//!                                                               these bytes, then of both numbers
//! dropped       partition (4)                                -> CRC-32 of the partition's bytes (4)
//! metadata      name: "format"                               -> 8 (4 bytes), and CRC-32 as below
//!                     "live": bytes of records and hints        -> number (8), CRC-32 (4)
//!                     "journal": see `mark.rs`               -> generation (8), CRC-32 (4) of the name
//!                     "kept.NAME": see `mark.rs`                and all before; generation (8), value,
//!                     "past": see `mark.rs`                     CRC-32 (4); 1 (1), CRC-32 (4)
//! ```
//!
//! Numbers are little endian where nothing else is said. redb checks its pages only after a crash, so it has them by
//! way of `pages.rs`, which checks each that is read. Rows have checksums of their own, for whoever reads a damaged
//! file.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};
use redb::{Builder, ReadableDatabase, ReadableTableMetadata, StorageBackend};

use crate::hint::{HintRow, HintRows};
use crate::open_files::EngineFile;
use crate::{OpenError, RangeQuery, Store, StoreError, Writes};

mod drops;
mod failures;
mod file;
mod hints;
mod live;
mod marks;
mod metadata;
mod overlay;
mod pages;
mod ranges;
mod records;
mod rewrite;
mod salvage;
mod tables;
mod writes;

use file::{Opener, RedbFile};
use live::LiveChange;
use marks::{MarkCounts, MarkWriter};
use pages::Pages;
#[cfg(test)]
pub(crate) use pages::seal;
pub use rewrite::RewriteOptions;
use rewrite::{Rewriter, Touched};
pub(crate) use salvage::{Salvaged, salvage};
pub(crate) use tables::FORMAT;
pub use tables::open_redb_file;
use tables::{METADATA, create, open_made};

/// Number of hidden records that one commit takes off for a write that has to wait for them.
const SWEEP_LIMIT_RECORDS: usize = 4096;
/// Number of a bucket's keys that are marked in each partition, unless options say otherwise. Each mark costs the put
/// of a new key half as much again in the engine, which a bucket with many keys pays for its first ones alone.
const MARKED_KEYS: usize = 64;
/// Size from which a record is large, in bytes, unless options say otherwise. Below it, a second row would cost puts
/// more than it spares listings: a tenth of a millisecond for each value.
const LARGE_RECORD_BYTES: usize = 64 << 10;
/// Unit in which a file system tells the room that a file takes, in bytes.
const BLOCK_BYTES: u64 = 512;

/// Settings of one redb file.
#[derive(Debug, Clone)]
pub struct RedbOptions {
    /// Memory for cached pages, in bytes.
    pub cache_bytes: usize,
    /// Size from which a record is large, in bytes: its values lie apart from it, so that a page of keys need not read
    /// them. It may change from one opening to the next.
    pub large_record_bytes: usize,
    /// Number of a bucket's keys that are marked in each partition, by which its pages are found; a bucket with more is
    /// looked for among all records. It may change from one opening to the next.
    pub marked_keys: usize,
    /// Settings by which the file is rewritten once much of it is not needed.
    pub rewrite: RewriteOptions,
    /// Identity of the file that rewriting has put into the place of the one that was opened.
    pub replaced: EngineFile,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 16 << 20,
            large_record_bytes: LARGE_RECORD_BYTES,
            marked_keys: MARKED_KEYS,
            rewrite: RewriteOptions::default(),
            replaced: EngineFile::default(),
        }
    }
}

/// Engine that keeps records and hints in one redb file.
pub struct RedbStore {
    file: RedbFile,
    large_record_bytes: usize,
    marked_keys: usize,
    /// Counts of marks, locked over a commit that may change them, and before the file's writer.
    mark_counts: Mutex<MarkCounts>,
    /// Rewriting of the file; `None` for one that is not the engine's own, or no file of the real file system.
    rewriter: Option<Rewriter>,
}

impl RedbStore {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// The file can't be opened, is not redb's, or has another format.
    pub fn open(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
        let rewriter = Rewriter::new(path, options)?;
        Ok(Self { rewriter: Some(rewriter), ..Self::open_file(path, options)? })
    }

    /// Opens the file at `path`, or makes it, and lets it grow.
    fn open_file(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
        let (file, cache_bytes) = (path.to_path_buf(), options.cache_bytes);
        let exists = path.try_exists().map_err(|e| OpenError::io("looking for", path, e))?;
        if !exists {
            create(path)?;
        }
        Self::open_with(path, options, Box::new(move || open_made(&file, cache_bytes)))
    }

    /// Opens what `backend` gives, each time that the file has to be opened; `path` is for messages.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_backend<B: StorageBackend>(
        path: &Path,
        options: &RedbOptions,
        backend: impl Fn() -> B + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let cache_bytes = options.cache_bytes;
        Self::open_with(
            path,
            options,
            Box::new(move || {
                let pages = Pages::over(backend()).map_err(redb::StorageError::Io)?;
                Builder::new().set_cache_size(cache_bytes).create_with_backend(pages)
            }),
        )
    }

    fn open_with(path: &Path, options: &RedbOptions, opener: Opener) -> Result<Self, OpenError> {
        Ok(Self {
            file: RedbFile::open(path, opener)?,
            large_record_bytes: options.large_record_bytes,
            marked_keys: options.marked_keys,
            mark_counts: Mutex::default(),
            rewriter: None,
        })
    }

    /// Sweeps every hidden partition into which a record is to be put, since the record would be hidden too.
    fn make_way_for(&self, writes: &Writes) -> Result<(), StoreError> {
        let doing = "sweeping dropped partitions before a write";
        let hidden: BTreeSet<Partition> = self.file.with(doing, |opened| {
            let put = writes.records.iter().filter(|(_, record)| record.is_some());
            let partitions = put.map(|(key, _)| key.partition);
            Ok(partitions.filter(|partition| opened.tables.dropped.contains(partition)).collect())
        })?;
        for partition in hidden {
            while self.sweep_step(doing, partition, SWEEP_LIMIT_RECORDS)? {}
        }
        Ok(())
    }

    /// Takes one step of a sweep. Returns false once nothing of `partition` is left.
    fn sweep_step(
        &self,
        doing: &'static str,
        partition: Partition,
        limit_records: usize,
    ) -> Result<bool, StoreError> {
        let mut counts = self.mark_counts();
        counts.forget();
        let (more, change) = self.file.commit(
            doing,
            || {},
            |transaction| drops::sweep(transaction, partition, limit_records),
        )?;
        self.count(change);
        Ok(more)
    }

    /// Returns the bytes of records and hints with their keys, hidden ones included.
    fn live_bytes(&self) -> Result<u64, StoreError> {
        self.file.with("reading a count", |opened| Ok(opened.tables.live_bytes))
    }

    /// Notes what a commit may have changed, if the file is being rewritten.
    fn note(&self, note: impl FnOnce(&mut Touched)) {
        let Some(rewriter) = &self.rewriter else { return };
        if let Some(touched) = &mut *rewriter.touched() {
            note(touched);
        }
    }

    fn count(&self, change: LiveChange) {
        self.rewriter.iter().for_each(|rewriter| rewriter.count(change.total()));
    }

    fn mark_counts(&self) -> MutexGuard<'_, MarkCounts> {
        self.mark_counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for RedbStore {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        let value =
            self.file.with("reading a record", |opened| records::load(&opened.tables, key))?;
        value.transpose().map_err(|what| StoreError::damaged(key, what))
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        self.file.with("reading a hint", |opened| hints::load(&opened.tables, target, key))
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        self.make_way_for(writes)?;
        let counts = RefCell::new(self.mark_counts());
        let note = || self.note(|touched| touched.note_writes(writes));
        let change = self.file.commit("writing a batch of records", note, |transaction| {
            let counts = &mut **counts.borrow_mut();
            counts.begin();
            let marks = MarkWriter::new(transaction, counts, self.marked_keys);
            writes::write_all(transaction, writes, self.large_record_bytes, marks)
        })?;
        counts.into_inner().committed();
        self.count(change);
        Ok(())
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        let note = || self.note(|touched| touched.note_dropped(partitions));
        let hide = |transaction: &_| drops::hide(transaction, partitions);
        self.file.commit("dropping partitions", note, hide)
    }

    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError> {
        let doing = "sweeping dropped partitions";
        let hidden = self.file.with(doing, |opened| Ok(opened.tables.dropped.first().copied()))?;
        if let Some(rewriter) = &self.rewriter
            && rewriter.step(self)?
        {
            return Ok(true);
        }
        let Some(partition) = hidden else { return Ok(false) };
        self.sweep_step(doing, partition, limit_records)?;
        Ok(true)
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        self.file
            .with("looking for a partition", |opened| ranges::next_partition(&opened.tables, from))
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.file.with("reading a range of records", |opened| ranges::page(&opened.tables, query))
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.file.with("reading a range of hints", |opened| {
            ranges::hints_of(&opened.tables, target, query)
        })
    }

    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        self.file.with("reading hints", |opened| {
            hints::page(&opened.tables, target, after, limit_hints, limit_bytes)
        })
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        self.file.with("counting hints", |opened| hints::totals(&opened.tables))
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.file.with("reading metadata", |opened| {
            metadata::load(&opened.database.begin_read()?.open_table(METADATA)?, name)
        })
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        self.file.with("listing metadata", |opened| {
            metadata::names(&opened.database.begin_read()?.open_table(METADATA)?)
        })
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        // An engine that is no file of the real file system has no size to tell. redb doubles the length of its file,
        // which takes no room until it is written.
        Ok(fs::metadata(&self.file.path).map_or(0, |metadata| metadata.blocks() * BLOCK_BYTES))
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        self.file.with("counting records", |opened| Ok(opened.tables.records.len()?))
    }

    fn look_at_troubles(&self) {
        self.file.reopenings.look();
        self.file.damaged_hints.look();
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("path", &self.file.path).finish_non_exhaustive()
    }
}
