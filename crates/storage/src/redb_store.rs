//! The redb engine: records in key order, hints in the order of their age, metadata.
//!
//! Invariant: a batch is one durable commit. After an input or output error redb refuses everything
//! until its file has been opened anew, so the next call does that.
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
//! metadata      name: "format"                               -> 7 (4 bytes), and CRC-32 as below
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
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTableMetadata, StorageBackend,
    WriteTransaction,
};

use crate::hint::{HintRow, HintRows};
use crate::hint_rows::damage_log;
use crate::trouble_log::TroubleLog;
use crate::{OpenError, RangeQuery, Store, StoreError, Writes};

mod drops;
mod failures;
mod hints;
mod marks;
mod metadata;
mod overlay;
mod pages;
mod ranges;
mod records;
mod salvage;
mod tables;
mod writes;

use failures::{engine_error, store_error};
use marks::{MarkCounts, MarkWriter};
use pages::Pages;
#[cfg(test)]
pub(crate) use pages::seal;
pub(crate) use salvage::{Salvaged, salvage};
pub(crate) use tables::FORMAT;
pub use tables::open_redb_file;
use tables::{METADATA, Tables, create, open_made, prepare};

/// Number of hidden records that one commit takes off for a write that has to wait for them.
const SWEEP_LIMIT_RECORDS: usize = 4096;
/// Number of a bucket's keys that are marked in each partition, unless options say otherwise. Each mark costs the put
/// of a new key half as much again in the engine, which a bucket with many keys pays for its first ones alone.
const MARKED_KEYS: usize = 64;
/// Size from which a record is large, in bytes, unless options say otherwise. Below it, a second row would cost puts
/// more than it spares listings: a tenth of a millisecond for each value.
const LARGE_RECORD_BYTES: usize = 64 << 10;

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
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 16 << 20,
            large_record_bytes: LARGE_RECORD_BYTES,
            marked_keys: MARKED_KEYS,
        }
    }
}

/// Engine that keeps records and hints in one redb file.
pub struct RedbStore {
    path: PathBuf,
    large_record_bytes: usize,
    marked_keys: usize,
    /// Counts of marks, locked over a commit that may change them, and before `writer`.
    mark_counts: Mutex<MarkCounts>,
    opener: Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>,
    /// The open file; `None` after a failure, until the next call.
    opened: RwLock<Option<Opened>>,
    /// Lock for one commit at a time; a wait for it holds up nobody who reads.
    writer: Mutex<()>,
    reopenings: TroubleLog,
    damaged_hints: Arc<TroubleLog>,
}

/// The open file. Fields are dropped in order: the tables before the database that they read.
struct Opened {
    /// Tables as of the last commit; kept open because opening one costs more than a load.
    tables: Tables,
    database: Database,
}

impl RedbStore {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// The file can't be opened, is not redb's, or has another format.
    pub fn open(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
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

    fn open_with(
        path: &Path,
        options: &RedbOptions,
        opener: Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>,
    ) -> Result<Self, OpenError> {
        let failed = |e: redb::Error| engine_error(path, e);
        let database = opener().map_err(|e| failed(e.into()))?;
        let found = prepare(&database).map_err(failed)?;
        if found != FORMAT {
            let (path, known) = (path.into(), FORMAT);
            return Err(if found > FORMAT {
                OpenError::NewerFormat { path, found, known }
            } else {
                OpenError::OlderFormat { path, found, known }
            });
        }
        let damaged_hints = Arc::new(damage_log());
        let tables = Tables::of(&database, &damaged_hints).map_err(failed)?;
        let opened = Opened { tables, database };
        Ok(Self {
            path: path.into(),
            large_record_bytes: options.large_record_bytes,
            marked_keys: options.marked_keys,
            mark_counts: Mutex::default(),
            opener,
            opened: RwLock::new(Some(opened)),
            writer: Mutex::default(),
            reopenings: failures::reopenings(),
            damaged_hints,
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Opened>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Opened>> {
        self.opened.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the open file, and opens it anew first if it was broken.
    fn with<T>(
        &self,
        doing: &'static str,
        act: impl Fn(&Opened) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let outcome = match &*self.read() {
            Some(opened) => act(opened),
            None => Err(redb::Error::PreviousIo),
        };
        let outcome = match outcome {
            Err(redb::Error::PreviousIo) => {
                self.reopen(doing)?;
                match &*self.read() {
                    Some(opened) => act(opened),
                    None => Err(redb::Error::PreviousIo),
                }
            }
            outcome => outcome,
        };
        outcome.map_err(|failure| {
            if matches!(failure, redb::Error::Io(_) | redb::Error::PreviousIo) {
                // Waits for the threads that still read; then lets go of the broken file.
                *self.write() = None;
            }
            store_error(doing, failure)
        })
    }

    fn reopen(&self, doing: &'static str) -> Result<(), StoreError> {
        let mut opened = self.write();
        *opened = None;
        self.reopenings.happened(&self.path.display());
        let database = (self.opener)().map_err(|e| store_error(doing, e.into()))?;
        let tables =
            Tables::of(&database, &self.damaged_hints).map_err(|e| store_error(doing, e))?;
        *opened = Some(Opened { tables, database });
        Ok(())
    }

    /// Makes one durable commit of what `act` does; loads see it from then on.
    fn commit<T>(
        &self,
        doing: &'static str,
        act: impl Fn(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let _alone = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = self.with(doing, |opened| {
            let mut transaction = opened.database.begin_write()?;
            // Without it the whole file would be read after a crash.
            transaction.set_quick_repair(true);
            let outcome = act(&transaction)?;
            transaction.commit()?;
            Ok(outcome)
        })?;
        self.reopenings.works();
        self.refresh(doing)?;
        Ok(outcome)
    }

    /// Sweeps every hidden partition into which a record is to be put, since the record would be hidden too.
    fn make_way_for(&self, writes: &Writes) -> Result<(), StoreError> {
        let doing = "sweeping dropped partitions before a write";
        let hidden: BTreeSet<Partition> = self.with(doing, |opened| {
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
        self.commit(doing, |transaction| drops::sweep(transaction, partition, limit_records))
    }

    fn mark_counts(&self) -> MutexGuard<'_, MarkCounts> {
        self.mark_counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets loads see the last commit.
    fn refresh(&self, doing: &'static str) -> Result<(), StoreError> {
        let mut opened = self.write();
        if let Some(opened) = &mut *opened {
            let tables = Tables::of(&opened.database, &self.damaged_hints);
            opened.tables = tables.map_err(|e| store_error(doing, e))?;
        }
        Ok(())
    }
}

impl Store for RedbStore {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        let value = self.with("reading a record", |opened| records::load(&opened.tables, key))?;
        value.transpose().map_err(|what| StoreError::Damaged {
            bucket: String::from_utf8_lossy(key.key.bucket()).into_owned(),
            key: String::from_utf8_lossy(key.key.key()).into_owned(),
            what,
        })
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        self.with("reading a hint", |opened| hints::load(&opened.tables, target, key))
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        self.make_way_for(writes)?;
        let counts = RefCell::new(self.mark_counts());
        self.commit("writing a batch of records", |transaction| {
            let counts = &mut **counts.borrow_mut();
            counts.begin();
            let marks = MarkWriter::new(transaction, counts, self.marked_keys);
            writes::write_all(transaction, writes, self.large_record_bytes, marks)
        })?;
        counts.into_inner().committed();
        Ok(())
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        self.commit("dropping partitions", |transaction| drops::hide(transaction, partitions))
    }

    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError> {
        let doing = "sweeping dropped partitions";
        let hidden = self.with(doing, |opened| Ok(opened.tables.dropped.first().copied()))?;
        let Some(partition) = hidden else { return Ok(false) };
        self.sweep_step(doing, partition, limit_records)?;
        Ok(true)
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        self.with("looking for a partition", |opened| ranges::next_partition(&opened.tables, from))
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.with("reading a range of records", |opened| ranges::page(&opened.tables, query))
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.with("reading a range of hints", |opened| {
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
        self.with("reading hints", |opened| {
            hints::page(&opened.tables, target, after, limit_hints, limit_bytes)
        })
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        self.with("counting hints", |opened| hints::totals(&opened.tables))
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with("reading metadata", |opened| {
            metadata::load(&opened.database.begin_read()?.open_table(METADATA)?, name)
        })
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        self.with("listing metadata", |opened| {
            metadata::names(&opened.database.begin_read()?.open_table(METADATA)?)
        })
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        // An engine that is no file of the real file system has no size to tell.
        Ok(fs::metadata(&self.path).map_or(0, |metadata| metadata.len()))
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        self.with("counting records", |opened| Ok(opened.tables.records.len()?))
    }

    fn look_at_troubles(&self) {
        self.reopenings.look();
        self.damaged_hints.look();
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("path", &self.path).finish_non_exhaustive()
    }
}
