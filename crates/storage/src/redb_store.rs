//! The redb engine: one table of records in key order, one of metadata.
//!
//! Invariant: a batch is one durable commit. After an input or output error redb refuses everything
//! until its file has been opened anew, so the next call does that.

use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jedlik_protocol::{PlacedKey, StoredRecord};
use redb::{
    Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageBackend, Table, TableDefinition,
};
use tracing::{error, warn};

use crate::disk::sync_directory;
use crate::format::{key_bytes, parse_key, parse_value, value_bytes};
use crate::merge::merged;
use crate::store::PageBuilder;
use crate::{OpenError, RangePage, RangeQuery, Store, StoreError};

/// The newest format of the tables that is read, and the one that is written.
const FORMAT: u32 = 1;
const FORMAT_NAME: &str = "format";
const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");
const METADATA: TableDefinition<&str, &[u8]> = TableDefinition::new("metadata");

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

/// Records in one redb file, keyed by bytes in the order of [`PlacedKey`].
pub struct RedbStore {
    path: PathBuf,
    opener: Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>,
    /// `None` after a failure, until the next call.
    opened: RwLock<Option<Opened>>,
}

/// Fields are dropped in order: the table before the database that it reads.
struct Opened {
    /// As of the last commit; kept open because opening one costs more than a load.
    records: ReadOnlyTable<&'static [u8], &'static [u8]>,
    database: Database,
}

impl RedbStore {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// The file can't be opened, is not redb's, or is of a newer format.
    pub fn open(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
        let (file, cache_bytes) = (path.to_path_buf(), options.cache_bytes);
        let exists = path.try_exists().map_err(|e| OpenError::io("looking for", path, e))?;
        if !exists {
            create(path)?;
        }
        let open = move || Builder::new().set_cache_size(cache_bytes).open(&file);
        Self::open_with(path, Box::new(open))
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
            Box::new(move || {
                Builder::new().set_cache_size(cache_bytes).create_with_backend(backend())
            }),
        )
    }

    fn open_with(
        path: &Path,
        opener: Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>,
    ) -> Result<Self, OpenError> {
        let failed = |e: redb::Error| engine_error(path, &e);
        let database = opener().map_err(|e| failed(e.into()))?;
        let found = prepare(&database).map_err(failed)?;
        if found > FORMAT {
            return Err(OpenError::NewerFormat { path: path.into(), found, known: FORMAT });
        }
        let opened = Opened { records: records_of(&database).map_err(failed)?, database };
        Ok(Self { path: path.into(), opener, opened: RwLock::new(Some(opened)) })
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Opened>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Option<Opened>> {
        self.opened.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the open file, opening it anew first if it was broken.
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
                // Waits for whoever still reads; then lets go of the broken file.
                *self.write() = None;
            }
            store_error(doing, failure)
        })
    }

    fn reopen(&self, doing: &'static str) -> Result<(), StoreError> {
        let mut opened = self.write();
        *opened = None;
        warn!(path = %self.path.display(), "opening the engine's file anew after an error");
        let database = (self.opener)().map_err(|e| store_error(doing, e.into()))?;
        let records = records_of(&database).map_err(|e| store_error(doing, e))?;
        *opened = Some(Opened { records, database });
        Ok(())
    }

    /// Lets loads see the last commit.
    fn refresh(&self, doing: &'static str) -> Result<(), StoreError> {
        let mut opened = self.write();
        if let Some(opened) = &mut *opened {
            opened.records = records_of(&opened.database).map_err(|e| store_error(doing, e))?;
        }
        Ok(())
    }
}

impl Store for RedbStore {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        let bytes = key_bytes(key);
        let value = self.with("reading a record", |opened| {
            let value = opened.records.get(bytes.as_slice())?;
            Ok(value.map(|value| parse_value(&bytes, value.value())))
        })?;
        value.transpose().map_err(|what| StoreError::Damaged {
            bucket: String::from_utf8_lossy(key.key.bucket()).into_owned(),
            key: String::from_utf8_lossy(key.key.key()).into_owned(),
            what,
        })
    }

    fn merge_many(&self, batch: &[(PlacedKey, StoredRecord)]) -> Result<(), StoreError> {
        let doing = "writing a batch of records";
        self.with(doing, |opened| {
            let mut transaction = opened.database.begin_write()?;
            // Without it the whole file would be read after a crash.
            transaction.set_quick_repair(true);
            {
                let mut table = transaction.open_table(RECORDS)?;
                for (key, record) in batch {
                    merge_one(&mut table, key, record)?;
                }
            }
            Ok(transaction.commit()?)
        })?;
        self.refresh(doing)
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.with("reading a range of records", |opened| {
            let mut page = PageBuilder::new(query);
            let from = query.after.as_ref().map(key_bytes);
            let mut next = from.clone().unwrap_or_default();
            next = next.max(query.partition.0.to_be_bytes().to_vec());
            for entry in opened.records.range(next.as_slice()..)? {
                let (key, value) = entry?;
                let bytes = key.value();
                if from.as_deref() == Some(bytes) {
                    continue;
                }
                if !bytes.starts_with(&query.partition.0.to_be_bytes()) {
                    break;
                }
                let Some(placed) = parse_key(bytes) else {
                    error!(path = %self.path.display(), ?bytes, "a key in the engine is damaged");
                    continue;
                };
                if !page.push(placed, parse_value(bytes, value.value()).ok()) {
                    break;
                }
            }
            Ok(page.finish())
        })
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with("reading metadata", |opened| {
            let table = opened.database.begin_read()?.open_table(METADATA)?;
            Ok(table.get(name)?.map(|value| value.value().to_vec()))
        })
    }

    fn set_metadata(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.with("writing metadata", |opened| {
            let mut transaction = opened.database.begin_write()?;
            transaction.set_quick_repair(true);
            transaction.open_table(METADATA)?.insert(name, value)?;
            Ok(transaction.commit()?)
        })
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        // One that is not a file of the real file system has no size to tell.
        Ok(fs::metadata(&self.path).map_or(0, |metadata| metadata.len()))
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        self.with("counting records", |opened| Ok(opened.records.len()?))
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Makes the file under another name first: redb can't open one whose making was cut short.
fn create(path: &Path) -> Result<(), OpenError> {
    let unfinished = path.with_extension("new");
    let io = |doing| move |source| OpenError::io(doing, path, source);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(io("removing what is left of an attempt to make")(error));
        }
        _ => {}
    }
    let database = Database::create(&unfinished).map_err(|e| engine_error(path, &e.into()))?;
    prepare(&database).map_err(|e| engine_error(path, &e))?;
    drop(database);
    File::open(&unfinished).and_then(|file| file.sync_all()).map_err(io("syncing"))?;
    fs::rename(&unfinished, path).map_err(io("naming"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_directory(directory.unwrap_or(Path::new("."))).map_err(io("syncing the directory of"))
}

/// Makes the tables if they are not there. Returns the format.
fn prepare(database: &Database) -> Result<u32, redb::Error> {
    if let Ok(table) = database.begin_read()?.open_table(METADATA) {
        let format = table.get(FORMAT_NAME)?;
        let bytes = format.and_then(|format| format.value().try_into().ok());
        return Ok(bytes.map_or(u32::MAX, u32::from_le_bytes));
    }
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    transaction.open_table(RECORDS)?;
    transaction.open_table(METADATA)?.insert(FORMAT_NAME, FORMAT.to_le_bytes().as_slice())?;
    transaction.commit()?;
    Ok(FORMAT)
}

fn records_of(
    database: &Database,
) -> Result<ReadOnlyTable<&'static [u8], &'static [u8]>, redb::Error> {
    Ok(database.begin_read()?.open_table(RECORDS)?)
}

fn merge_one(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    key: &PlacedKey,
    record: &StoredRecord,
) -> Result<(), redb::Error> {
    let bytes = key_bytes(key);
    // What is damaged counts as missing.
    let current =
        table.get(bytes.as_slice())?.and_then(|value| parse_value(&bytes, value.value()).ok());
    let record = merged(current.as_ref(), record.clone())
        .map_err(|_| redb::Error::Corrupted("a record to be stored is malformed".into()))?;
    if current.as_ref() != Some(&record) {
        table.insert(bytes.as_slice(), value_bytes(&bytes, &record).as_slice())?;
    }
    Ok(())
}

fn engine_error(path: &Path, failure: &redb::Error) -> OpenError {
    OpenError::Engine { path: path.into(), message: failure.to_string() }
}

fn store_error(doing: &'static str, failure: redb::Error) -> StoreError {
    match failure {
        redb::Error::Io(source) => StoreError::io(doing, source),
        other => StoreError::Engine { doing, message: other.to_string() },
    }
}
