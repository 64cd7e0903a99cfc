//! Tables of a redb file: making them, and reading them as of the last commit.
//!
//! Invariant: a file has all of its tables or none, and says of which format they are.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use jedlik_hashing::Partition;
use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable, StorageError,
    TableDefinition, TableError,
};

use crate::OpenError;
use crate::checked::checked;
use crate::disk::{self, directory_of, sync_directory};
use crate::trouble_log::TroubleLog;

use super::failures::engine_error;
use super::pages::Pages;
use super::{live, metadata};

/// Format of the tables that is read and written.
pub(crate) const FORMAT: u32 = 9;
pub(super) const FORMAT_NAME: &str = "format";
pub(super) const LIVE_NAME: &str = "live";
/// Memory for cached pages while a file is made, in bytes.
const CACHE_BYTES: usize = 1 << 20;

/// Definition of a table of bytes by bytes.
pub(super) type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub(super) const RECORDS: Bytes = TableDefinition::new("records");
/// Whole values of records whose rows in `records` say that they are here: see `records.rs`.
pub(super) const VALUES: Bytes = TableDefinition::new("values");
/// Keys of small buckets, with their checksums: see `marks.rs`.
pub(super) const MARKS: TableDefinition<'static, &'static [u8], u32> =
    TableDefinition::new("marks");
pub(super) const HINTS: Bytes = TableDefinition::new("hints");
pub(super) const HINTS_BY_KEY: Bytes = TableDefinition::new("hints_by_key");
/// Partitions whose records don't count any more, with their checksums.
pub(super) const DROPPED: TableDefinition<'static, u32, u32> = TableDefinition::new("dropped");
pub(super) const METADATA: TableDefinition<'static, &'static str, &'static [u8]> =
    TableDefinition::new("metadata");

/// Tables that loads read, as of one commit.
pub(super) struct Tables {
    pub(super) records: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(super) values: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(super) marks: ReadOnlyTable<&'static [u8], u32>,
    pub(super) hints: ReadOnlyTable<&'static [u8], &'static [u8]>,
    pub(super) hints_by_key: ReadOnlyTable<&'static [u8], &'static [u8]>,
    /// Partitions whose records are hidden until they are swept: see `drops.rs`.
    pub(super) dropped: BTreeSet<Partition>,
    /// Bytes of records and hints with their keys: see `live.rs`.
    pub(super) live_bytes: u64,
    /// Log of rows about hints that can't be read.
    pub(super) damaged_hints: Arc<TroubleLog>,
}

impl Tables {
    /// Opens the tables as of the last commit.
    pub(super) fn of(
        database: &Database,
        damaged_hints: &Arc<TroubleLog>,
    ) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        let dropped = transaction.open_table(DROPPED)?;
        let dropped = dropped.iter()?.map(|entry| {
            let (partition, checksum) = entry?;
            let partition = Partition(partition.value());
            if checksum.value() == drop_checksum(partition) {
                Ok(partition)
            } else {
                Err(redb::Error::Corrupted("a row of the dropped partitions is damaged".into()))
            }
        });
        Ok(Self {
            dropped: dropped.collect::<Result<_, redb::Error>>()?,
            records: transaction.open_table(RECORDS)?,
            values: transaction.open_table(VALUES)?,
            marks: transaction.open_table(MARKS)?,
            hints: transaction.open_table(HINTS)?,
            hints_by_key: transaction.open_table(HINTS_BY_KEY)?,
            live_bytes: live::load(&transaction.open_table(METADATA)?)?,
            damaged_hints: Arc::clone(damaged_hints),
        })
    }
}

/// Makes the file under another name first: redb can't open one whose making was cut short.
pub(super) fn create(path: &Path) -> Result<(), OpenError> {
    let unfinished = path.with_extension("new");
    let io = |doing| move |source| OpenError::io(doing, path, source);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(io("removing what is left of an attempt to make")(error));
        }
        _ => {}
    }
    let database =
        open_redb_file(&unfinished, CACHE_BYTES).map_err(|e| engine_error(path, e.into()))?;
    prepare(&database).map_err(|e| engine_error(path, e))?;
    drop(database);
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io("syncing"))?;
    fs::rename(&unfinished, path).map_err(io("naming"))?;
    sync_directory(directory_of(path)).map_err(io("syncing the directory of"))
}

/// Opens a file that was made before. It is opened again after an error, and must not be made anew then.
pub(super) fn open_made(path: &Path, cache_bytes: usize) -> Result<Database, DatabaseError> {
    fs::metadata(path).map_err(StorageError::Io)?;
    open_redb_file(path, cache_bytes)
}

/// Opens a shard's file as redb sees it, or makes it, for tests and tools that act behind a node's back.
///
/// # Errors
/// The file can't be opened, is open elsewhere, is damaged, or is not redb's.
pub fn open_redb_file(path: &Path, cache_bytes: usize) -> Result<Database, DatabaseError> {
    let io = StorageError::Io;
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(io)?;
    disk::lock(&file).map_err(|failure| match failure {
        TryLockError::WouldBlock => DatabaseError::DatabaseAlreadyOpen,
        TryLockError::Error(error) => io(error).into(),
    })?;
    let pages = Pages::over(FileBackend::new(file)?).map_err(io)?;
    Builder::new().set_cache_size(cache_bytes).create_with_backend(pages)
}

/// Returns the checksum that is stored beside a dropped partition.
pub(super) fn drop_checksum(partition: Partition) -> u32 {
    crc32fast::hash(&partition.0.to_le_bytes())
}

/// Makes the tables in a new file. Returns the format that the file has then.
pub(super) fn prepare(database: &Database) -> Result<u32, redb::Error> {
    match database.begin_read()?.open_table(METADATA) {
        Ok(table) => return format_of(&table),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(RECORDS)?;
    transaction.open_table(VALUES)?;
    transaction.open_table(MARKS)?;
    transaction.open_table(HINTS)?;
    transaction.open_table(HINTS_BY_KEY)?;
    transaction.open_table(DROPPED)?;
    let format = checked(FORMAT_NAME, &FORMAT.to_le_bytes());
    let mut metadata = transaction.open_table(METADATA)?;
    metadata.insert(FORMAT_NAME, format.as_slice())?;
    metadata.insert(LIVE_NAME, live::row(0).as_slice())?;
    drop(metadata);
    transaction.commit()?;
    Ok(FORMAT)
}

fn format_of(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u32, redb::Error> {
    // Before format 4 there was no checksum.
    if let Some(bytes) = table.get(FORMAT_NAME)?
        && let Ok(older) = bytes.value().try_into()
    {
        return Ok(u32::from_le_bytes(older));
    }
    let bytes = metadata::load(table, FORMAT_NAME)?;
    let format = bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    format.ok_or_else(|| redb::Error::Corrupted("the file does not say its format".into()))
}
