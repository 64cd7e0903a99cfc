//! The open tree: making it, opening it, reading its rows, and adding a batch to it.
//!
//! Invariant: a batch is there as a whole or not at all, and is durable when [`Opened::ingest`] returns. Reads see the
//! newest state; a range sees the state at which it began.
//!
//! What lsm-tree syncs itself, as of 3.1.10: each table and the folder of tables, each file of values, and the list of
//! files with its folder. Not the folder of values: a list could outlive a power cut that its files of values don't.
//! So that folder is synced before the list is written. The list's checksum is written and never checked: see
//! [`check_list`]. Old lists and the files that they alone name go only when told to ([`Opened::forget_versions`]).

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jedlik_hashing::Partition;
use lsm_tree::compaction::{Leveled, PullDown};
use lsm_tree::config::CompressionPolicy;
use lsm_tree::{
    AbstractTree, AnyTree, BlobFile, Cache, CompressionType, Config, DescriptorTable, Guard,
    IterGuardImpl, KvSeparationOptions, SeqNo, SequenceNumberCounter, Table, TableId, UserKey,
    UserValue,
};
use xxhash_rust::xxh3::xxh3_128;

use crate::OpenError;
use crate::disk::{directory_of, sync_directory};

use super::LsmOptions;
use super::failures::{Failure, may_be_of_value};
use super::pace::{Pace, PacedFilters};
use super::rows::{DROPPED, Totals, format_key, format_row, parse_dropped, parse_format, past};

/// Format of the rows that is read and written.
pub(crate) const FORMAT: u32 = 2;
/// Size from which a value lies apart from its row, in bytes.
pub(super) const APART_BYTES: u32 = 512;
/// Size at which a file of values ends, in bytes: more than any batch has.
const VALUES_FILE_BYTES: u64 = 64 << 20;
/// Size of one table, in bytes.
const TABLE_BYTES: u64 = 2 << 20;
/// Number of tables that wait before they are merged.
pub(super) const WAITING_TABLES: u8 = 8;
/// Ratio of one level's size to that of the level before.
const LEVEL_RATIO: f32 = 5.0;
/// Number of files that a tree keeps open: with as many shards as there are by default, fewer than a process may have.
const OPEN_FILES: usize = 48;
/// Name of the file that names the newest list of files.
const CURRENT: &str = "current";
/// Folder of the tables.
const TABLES: &str = "tables";
/// Folder of the files of values.
const VALUES: &str = "blobs";

/// Batch of rows in the order of their keys, each once; `None` removes what is there.
pub(super) type Rows = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// The open tree, with what is known of it in memory.
pub(super) struct Opened {
    path: PathBuf,
    tree: AnyTree,
    dropped: RwLock<BTreeSet<Partition>>,
    totals: Mutex<Totals>,
}

/// Outcome of a merge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merged {
    /// Size of the tables that it has made, in bytes; none if it has moved tables as they are.
    pub(super) bytes: u64,
}

/// Value of a row that a range has come to.
pub(super) enum Found {
    /// The value was not asked for.
    NotRead,
    /// The value as the tree has it.
    Value(UserValue),
    /// The value lies apart and is not what was written.
    Damaged,
}

/// Makes a tree under another name first, so that one whose making was cut short is never taken for an engine.
pub(super) fn create(path: &Path, options: &LsmOptions) -> Result<(), OpenError> {
    let unfinished = path.with_extension("new");
    let io = |doing| move |source| OpenError::io(doing, path, source);
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(io("removing what is left of an attempt to make")(error));
        }
        _ => {}
    }
    let make = || -> Result<(), Failure> {
        let (config, _) = configured(&unfinished, options, &Arc::default());
        let tree = config.open()?;
        let empty = Opened::over(unfinished.clone(), tree, BTreeSet::new(), Totals::default());
        let (format, totals) = (format_row(FORMAT), Totals::default().row());
        empty.ingest(vec![(format.0, Some(format.1)), (totals.0, Some(totals.1))])
    };
    make().map_err(|failure| failure.into_open_error(path))?;
    fs::rename(&unfinished, path).map_err(io("naming"))?;
    sync_directory(directory_of(path)).map_err(io("syncing the directory of"))
}

/// Opens a tree that was made before; its compactions keep to `pace`.
pub(super) fn open(
    path: &Path,
    options: &LsmOptions,
    pace: &Arc<Pace>,
) -> Result<Opened, OpenError> {
    let failed = |failure: Failure| failure.into_open_error(path);
    check_list(path).map_err(failed)?;
    remove_leftovers(path);
    let (config, counters) = configured(path, options, pace);
    let tree = config.open().map_err(|error| failed(error.into()))?;
    // The counters are not kept: what is written from now on has to be newer than all that is there.
    let first = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
    counters.iter().for_each(|counter| counter.fetch_max(first));
    let opened = Opened::over(path.into(), tree, BTreeSet::new(), Totals::default());
    let format = opened.own(&format_key()).map_err(failed)?;
    let found = parse_format(&format).map_err(failed)?;
    if found != FORMAT {
        let (path, known) = (path.into(), FORMAT);
        return Err(if found > FORMAT {
            OpenError::NewerFormat { path, found, known }
        } else {
            OpenError::OlderFormat { path, found, known }
        });
    }
    opened.learn().map_err(failed)?;
    Ok(opened)
}

/// Returns the tree's settings, and its counters of what is written and what is seen of it.
fn configured(
    path: &Path,
    options: &LsmOptions,
    pace: &Arc<Pace>,
) -> (Config, [SequenceNumberCounter; 2]) {
    let counters = [SequenceNumberCounter::default(), SequenceNumberCounter::default()];
    let apart = KvSeparationOptions::default()
        .compression(CompressionType::None)
        .separation_threshold(APART_BYTES)
        .file_target_size(VALUES_FILE_BYTES)
        // No merge moves values: that would take one of all tables at a time. See `garbage.rs`.
        .staleness_threshold(f32::INFINITY);
    let [written, visible] = counters.clone();
    let config = Config::new(path, written, visible)
        .use_cache(Arc::new(Cache::with_capacity_bytes(options.cache_bytes as u64)))
        .use_descriptor_table(Some(Arc::new(DescriptorTable::new(OPEN_FILES))))
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .index_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .with_kv_separation(Some(apart))
        .with_compaction_filter_factory(Some(Arc::new(PacedFilters::new(Arc::clone(pace)))));
    (config, counters)
}

/// Checks the list of files against the checksum that is kept beside its name. lsm-tree believes the list, and with it
/// which tables there are and which of them are newer: a bit that flips there would hide records.
fn check_list(path: &Path) -> Result<(), Failure> {
    let current = fs::read(path.join(CURRENT))?;
    let parts = current.split_first_chunk::<8>();
    let parts = parts.and_then(|(id, rest)| Some((id, rest.split_first_chunk::<16>()?)));
    let Some((id, (checksum, [0]))) = parts else {
        return Err(Failure::damaged("the name of the list of files is damaged"));
    };
    let list = fs::read(path.join(format!("v{}", u64::from_le_bytes(*id))))?;
    if xxh3_128(&list) != u128::from_le_bytes(*checksum) {
        return Err(Failure::damaged("the list of files is damaged"));
    }
    Ok(())
}

/// Removes files that were to take the place of `current`, which a crash may have left.
fn remove_leftovers(path: &Path) {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp")) {
        // A leftover is in nobody's way.
        let _ = fs::remove_file(entry.path());
    }
}

impl Opened {
    fn over(path: PathBuf, tree: AnyTree, dropped: BTreeSet<Partition>, totals: Totals) -> Self {
        Self { path, tree, dropped: RwLock::new(dropped), totals: Mutex::new(totals) }
    }

    /// Reads what is to be known in memory.
    fn learn(&self) -> Result<(), Failure> {
        *self.totals() = Totals::parse(&self.own(&Totals::key())?)?;
        let mut rows = Vec::new();
        for row in self.range(vec![DROPPED], past(&[DROPPED])) {
            if let (key, Found::Value(value)) = read(row, |_| true)? {
                rows.push((key, value));
            }
        }
        *self.dropped_mut() = parse_dropped(rows.iter().map(|(key, value)| (&**key, &**value)))?;
        Ok(())
    }

    fn own(&self, key: &[u8]) -> Result<UserValue, Failure> {
        let found = self.tree.get(key, SeqNo::MAX)?;
        found.ok_or_else(|| Failure::damaged("a row of the engine itself is missing"))
    }

    pub(super) fn totals(&self) -> MutexGuard<'_, Totals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dropped(&self) -> RwLockReadGuard<'_, BTreeSet<Partition>> {
        self.dropped.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dropped_mut(&self) -> RwLockWriteGuard<'_, BTreeSet<Partition>> {
        self.dropped.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_dropped(&self, partition: Partition) -> bool {
        self.dropped().contains(&partition)
    }

    /// Returns the value of a row, or the defect of one that lies apart; `None` if there is none.
    pub(super) fn get(
        &self,
        key: &[u8],
    ) -> Result<Option<Result<UserValue, &'static str>>, Failure> {
        match self.tree.get(key, SeqNo::MAX) {
            Ok(value) => Ok(value.map(Ok)),
            // If the row is all right, it is the value that isn't.
            Err(error) if may_be_of_value(&error) && self.size_of(key)?.is_some() => {
                Ok(Some(Err("its bytes are not those that were written")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the size of a row's value, which is not read if it lies apart; `None` if there is no row.
    pub(super) fn size_of(&self, key: &[u8]) -> Result<Option<u32>, Failure> {
        Ok(self.tree.size_of(key, SeqNo::MAX)?)
    }

    /// Returns the rows from `first` on, up to `end`, which is not among them.
    pub(super) fn range(
        &self,
        first: Vec<u8>,
        end: Vec<u8>,
    ) -> impl Iterator<Item = IterGuardImpl> + use<> {
        self.tree.range((Bound::Included(first), Bound::Excluded(end)), SeqNo::MAX, None)
    }

    /// Adds a batch of rows.
    pub(super) fn ingest(&self, rows: Rows) -> Result<(), Failure> {
        let mut ingestion = self.tree.ingestion()?;
        let lies_apart = |value: &Vec<u8>| value.len() >= APART_BYTES as usize;
        let makes_files = rows.iter().any(|(_, value)| value.as_ref().is_some_and(lies_apart));
        for (key, value) in rows {
            match value {
                Some(value) => ingestion.write(key, value)?,
                None => ingestion.write_tombstone(key)?,
            }
        }
        if makes_files {
            // They have their names by now, and the list that names them is still to be written.
            sync_directory(&self.path.join(VALUES))?;
        }
        ingestion.finish()?;
        self.forget_versions();
        Ok(())
    }

    /// Lets go of all states but the newest, and of the files that they alone have. Ranges that have begun keep theirs.
    fn forget_versions(&self) {
        let mut versions = self.tree.get_version_history_lock();
        // What could not be removed now is removed the next time, or when the tree is opened.
        let _ = versions.maintenance(&self.path, SeqNo::MAX);
    }

    /// Makes one merge, if one is due.
    pub(super) fn compact(&self) -> Result<Option<Merged>, Failure> {
        let strategy = Leveled::default()
            .with_l0_threshold(WAITING_TABLES)
            .with_table_target_size(TABLE_BYTES)
            .with_level_ratio_policy(vec![LEVEL_RATIO]);
        let (before, known) = (self.tree.current_version().id(), self.tables_from(0));
        self.tree.compact(Arc::new(strategy), SeqNo::MAX)?;
        Ok((self.tree.current_version().id() != before).then(|| self.merged_besides(&known)))
    }

    /// Merges all tables, which finds every value that no row names any more, and lets go of files that have no other
    /// values: one after the other, each followed by a `rest`.
    pub(super) fn compact_all(&self, rest: impl Fn()) -> Result<Merged, Failure> {
        let known = self.tables_from(0);
        // A file is removed by the last that lets go of it, which would be a merge, all files at one moment.
        let files: Vec<_> = self.tree.current_version().blob_files.iter().cloned().collect();
        self.tree.major_compact(TABLE_BYTES, SeqNo::MAX)?;
        // A merge lets go of the files that those before it have found: here one of two levels that are empty now.
        self.tree.compact(Arc::new(PullDown(1, 2)), SeqNo::MAX)?;
        let merged = self.merged_besides(&known);
        let after = self.tree.current_version();
        let is_gone = |file: &BlobFile| !after.blob_files.contains_key(file.id());
        let gone: Vec<_> = files.into_iter().filter(is_gone).collect();
        drop(after);
        for file in gone {
            drop(file);
            rest();
        }
        Ok(merged)
    }

    /// Returns the tables in a level and those below it.
    fn tables_from(&self, level: usize) -> BTreeSet<TableId> {
        let version = self.tree.current_version();
        let runs = version.iter_levels().skip(level).flat_map(|level| level.iter());
        runs.flat_map(|run| run.iter()).map(Table::id).collect()
    }

    /// Returns what merges have made besides the tables that were known before: writes add to the first level alone.
    fn merged_besides(&self, known: &BTreeSet<TableId>) -> Merged {
        let size = |id| fs::metadata(self.path.join(TABLES).join(format!("{id}")));
        let made = self.tables_from(1);
        let sizes = made.difference(known).filter_map(|id| size(id).ok());
        Merged { bytes: sizes.map(|metadata| metadata.len()).sum() }
    }

    /// Returns the number of runs of tables that a load may have to look through before it comes to merged ones.
    pub(super) fn waiting_runs(&self) -> usize {
        self.tree.l0_run_count()
    }

    /// Returns the size of all files that the newest list names, in bytes.
    pub(super) fn used_bytes(&self) -> u64 {
        self.tree.disk_space()
    }
}

/// Reads a row that a range has come to; its value only if `wanted` says so.
pub(super) fn read(
    row: IterGuardImpl,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<(UserKey, Found), Failure> {
    let asked = OnceCell::new();
    let read = row.into_inner_if(|key| {
        let _ = asked.set(key.clone());
        wanted(key)
    });
    match read {
        Ok((key, value)) => Ok((key, value.map_or(Found::NotRead, Found::Value))),
        // The row itself was read before its key was asked about.
        Err(error) => match asked.into_inner() {
            Some(key) if may_be_of_value(&error) => Ok((key, Found::Damaged)),
            _ => Err(error.into()),
        },
    }
}

/// Makes a folder with the files of the tree at `path`, which stay as they are: opening a tree removes files that no
/// list names. They are the same files where the file system allows that, and copies where it does not.
pub(super) fn mirror(path: &Path, into: &Path) -> io::Result<()> {
    fs::create_dir_all(into)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (from, to) = (entry.path(), into.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            mirror(&from, &to)?;
        } else if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
        }
    }
    File::open(into)?.sync_all()
}
