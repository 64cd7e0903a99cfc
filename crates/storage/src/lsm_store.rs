//! The log-structured engine: records, hints and metadata in one tree of sorted tables, large values apart from them.
//!
//! Invariant: a batch is one ingestion, which is there as a whole or not at all and is durable when the write returns.
//! After an input or output error on the way the files may be ahead of what the tree has in memory, so the next call
//! opens them anew.
//!
//! lsm-tree is used by itself, without a journal of its own: the shard's journal is the log, and the shard's buffer
//! what elsewhere is the memtable. Keys begin with the byte of their table:
//!
//! ```text
//! r  key bytes, as in `format.rs`       -> value as in `format.rs`
//! h  row by age, as in `hint_rows.rs`   -> value, whose checksum covers these bytes instead of the key bytes
//! k  row by key, as in `hint_rows.rs`   -> place of the hint, as there
//! d  partition (4, big endian)          -> CRC-32 of these bytes (4)
//! m  name: as for redb                  -> value, and CRC-32 as in `checked.rs`
//! o  "format"                           -> 1 (4), CRC-32 (4)
//!    "totals"                           -> number of records (8), bytes of rows that count (8), CRC-32 (4)
//! ```
//!
//! Numbers are little endian where nothing else is said. A value of 512 bytes and more lies in a file of values, and
//! its row names the place. lsm-tree checks each block and each value that it reads; values have checksums of their own
//! as well, which cover their keys.
//!
//! The count of records is a row of its own, exact because every write looks whether its keys are there.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};

use crate::hint::{HintRow, HintRows};
use crate::{MergeStats, OpenError, RangeQuery, Store, StoreError, Writes};

mod compactor;
mod drops;
mod engine;
mod failures;
mod garbage;
mod hints;
mod merges;
mod pace;
mod pages;
mod rows;
mod salvage;
mod tree;
mod writes;

use compactor::Compactor;
use engine::Engine;
pub(crate) use salvage::salvage;
use writes::Batch;

/// Settings of one log-structured engine.
#[derive(Debug, Clone)]
pub struct LsmOptions {
    /// Memory for cached blocks and values, in bytes.
    pub cache_bytes: usize,
    /// Room that values nobody needs any more may take besides nearly as much as those that are needed, in bytes.
    pub garbage_bytes: u64,
}

impl Default for LsmOptions {
    fn default() -> Self {
        Self { cache_bytes: 16 << 20, garbage_bytes: 4 << 20 }
    }
}

/// Engine that keeps records and hints in a folder of sorted tables.
pub struct LsmStore {
    engine: Arc<Engine>,
    /// Thread that merges; `None` for an engine that is only read.
    compactor: Option<Compactor>,
    /// Folder to be removed when the engine is closed.
    mirror: Option<PathBuf>,
}

impl LsmStore {
    /// Opens the engine in the folder at `path`, or makes it.
    ///
    /// # Errors
    /// The folder can't be opened, is not lsm-tree's, or has another format.
    pub fn open(path: &Path, options: &LsmOptions) -> Result<Self, OpenError> {
        let exists = path.try_exists().map_err(|e| OpenError::io("looking for", path, e))?;
        if !exists {
            tree::create(path, options)?;
        }
        let engine = Arc::new(Engine::open(path, options)?);
        let compactor = Compactor::start(&engine)
            .map_err(|error| OpenError::io("starting the thread of", path, error))?;
        Ok(Self { engine, compactor: Some(compactor), mirror: None })
    }

    /// Opens the engine in the folder at `path` to be read: nothing in it is changed. What opening would change is
    /// changed below `scratch`, where the engine has its own names for the files, or copies of them.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(crate) fn open_unchanged(
        path: &Path,
        scratch: &Path,
        options: &LsmOptions,
    ) -> Result<Self, OpenError> {
        let mirror = scratch.join(format!("records.reading-{}", std::process::id()));
        let opened = tree::mirror(path, &mirror)
            .map_err(|error| OpenError::io("reading", path, error))
            .and_then(|()| Engine::open(&mirror, options));
        match opened {
            Ok(engine) => {
                Ok(Self { engine: Arc::new(engine), compactor: None, mirror: Some(mirror) })
            }
            Err(error) => {
                // A leftover takes no room but its names.
                let _ = fs::remove_dir_all(&mirror);
                Err(error)
            }
        }
    }
}

impl Drop for LsmStore {
    fn drop(&mut self) {
        self.engine.pace.stop();
        if let Some(compactor) = self.compactor.take() {
            compactor.join();
        }
        *self.engine.write() = None;
        if let Some(mirror) = &self.mirror {
            // A leftover takes no room but its names.
            let _ = fs::remove_dir_all(mirror);
        }
    }
}

impl Store for LsmStore {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        let found = self.engine.with("reading a record", |opened| pages::load(opened, key))?;
        found.transpose().map_err(|what| StoreError::damaged(key, what))
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        let log = &self.engine.damaged_hints;
        self.engine.with("reading a hint", |opened| hints::load(opened, log, target, key))
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let doing = "writing a batch of records";
        let mut writer = self.engine.writer();
        self.engine.make_room(doing)?;
        self.engine.make_way_for(&mut writer, writes)?;
        self.engine.commit(doing, &writer, |opened| Ok((Batch::of(opened, writes)?, ())))
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        let mut writer = self.engine.writer();
        partitions.iter().for_each(|partition| drop(writer.swept.remove(partition)));
        self.engine.commit("dropping partitions", &writer, |opened| drops::hide(opened, partitions))
    }

    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError> {
        let doing = "sweeping dropped partitions";
        let mut writer = self.engine.writer();
        let hidden = self.engine.with(doing, |opened| Ok(opened.dropped().first().copied()))?;
        let Some(partition) = hidden else { return Ok(false) };
        self.engine.make_room(doing)?;
        self.engine.sweep_step(doing, &mut writer, partition, limit_records)?;
        Ok(true)
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        self.engine.with("looking for a partition", |opened| pages::next_partition(opened, from))
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.engine.with("reading a range of records", |opened| pages::page(opened, query))
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let log = &self.engine.damaged_hints;
        self.engine
            .with("reading a range of hints", |opened| pages::hints_of(opened, log, target, query))
    }

    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        let log = &self.engine.damaged_hints;
        self.engine.with("reading hints", |opened| {
            hints::page(opened, log, target, after, limit_hints, limit_bytes)
        })
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        self.engine.with("counting hints", hints::totals)
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.engine.with("reading metadata", |opened| pages::metadata(opened, name))
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        self.engine.with("listing metadata", pages::metadata_names)
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        folder_bytes(&self.engine.path)
            .map_err(|error| StoreError::io("looking at the size of the engine's files", error))
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        self.engine.with("counting records", |opened| Ok(opened.totals().records))
    }

    fn merges(&self) -> Option<MergeStats> {
        self.engine.merges.stats(&self.engine).ok()
    }

    fn look_at_troubles(&self) {
        self.engine.reopenings.look();
        self.engine.compactions.look();
        self.engine.damaged_hints.look();
    }
}

/// Returns the size of all files in a folder and below it; one that goes meanwhile does not count.
fn folder_bytes(path: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path())?,
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

impl fmt::Debug for LsmStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LsmStore").field("path", &self.engine.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
