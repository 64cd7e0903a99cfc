//! The engine on a MySQL or MariaDB server: records, hints and metadata in a set of InnoDB tables for each shard.
//!
//! Invariant: a batch is one transaction, which is there as a whole or not at all and is durable when the write returns.
//! Whatever becomes of a connection or of the server, a batch may be sent again. Of all processes that know the tables,
//! one writes.
//!
//! The server is the shop's own, on this machine. A small file in the shard's folder names the tables and the way to
//! them (`access.rs`), and the tables are described in `schema.rs`. Values have checksums of their own besides those of
//! InnoDB's pages, which cover their keys.
//!
//! A server that is away or slow is no damage: calls fail, at once while it is away (`link.rs`), and the shard's journal
//! and buffer take what comes until it is back.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};
use tracing::warn;

use crate::hint::{HintRow, HintRows};
use crate::hint_rows::damage_log;
use crate::trouble_log::TroubleLog;
use crate::{OpenError, RangeQuery, Store, StoreError, Writes};

mod access;
mod drops;
mod engine;
mod failures;
mod hints;
mod keys;
mod link;
mod pages;
mod salvage;
mod schema;
mod settings;
mod walk;
mod writer;
mod writes;

use access::{AccessFile, TablesId};
pub use access::{MysqlAccess, MysqlAddress};
use failures::Failure;
use link::{Link, WRITER_PATIENCE, driven};
pub(crate) use salvage::salvage;
use schema::{Own, Tables};
use writer::{Change, Writer};

/// Time for which the size of the tables is believed.
const SIZE_INTERVAL: Duration = Duration::from_secs(5);

/// Settings of one engine on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlOptions {
    /// Way to the database that the tables are in.
    pub access: MysqlAccess,
    /// Name for others who find the tables in use: such as that of the node, and its process.
    pub owner: String,
}

/// Engine that keeps records and hints in tables of a MySQL or MariaDB server.
pub struct MysqlStore {
    link: Arc<Link>,
    tables: Tables,
    /// Lock for one write at a time, with what only writers know.
    writer: Mutex<Writer>,
    /// Partitions whose records are hidden.
    dropped: RwLock<BTreeSet<Partition>>,
    records: AtomicU64,
    /// Size of the tables, and when it was asked for.
    size: Mutex<Option<(Instant, u64)>>,
    damaged_hints: TroubleLog,
}

impl MysqlStore {
    /// Opens the engine whose tables the file at `path` names, or makes the tables and the file.
    ///
    /// # Errors
    /// The server does not answer, refuses the user, or has settings by which writes would not be durable; the tables
    /// are gone, in use, another shard's, or of another format. The message has the remedy.
    pub fn open(path: &Path, options: &MysqlOptions) -> Result<Self, OpenError> {
        let MysqlOptions { access, owner } = options;
        let failed = |failure: Failure| failure.into_open_error(path, access);
        let link = Link::new(access.clone());
        let mut conn = link.connect(WRITER_PATIENCE).map_err(failed)?;
        driven(|| settings::check(&mut conn)).map_err(failed)?;
        let file = match AccessFile::read(path)? {
            Some(file) => file,
            None => {
                let file = AccessFile { tables: TablesId(random()), access: access.clone() };
                driven(|| Tables::of(file.tables).create(&mut conn)).map_err(failed)?;
                // Until the file is there nobody knows the tables: a crash before that leaves them empty.
                file.write(path)?;
                file
            }
        };
        let tables = Tables::of(file.tables);
        driven(|| tables.check_engine(&mut conn)).map_err(failed)?;
        drop(conn);
        let (mut writer, owner) =
            (Writer::default(), format!("{owner} (opening {:016x})", random()));
        let own = driven(|| writer.take_over(&link, &tables, owner)).map_err(failed)?;
        if file.access != *access {
            AccessFile { access: access.clone(), ..file }.write(path)?;
        }
        Ok(Self::over(link, tables, writer, own))
    }

    /// Opens the engine whose tables the file at `path` names, on the way that it names.
    ///
    /// # Errors
    /// As for [`Self::open`], and if there is no file.
    pub(crate) fn open_again(path: &Path) -> Result<Self, OpenError> {
        let AccessFile { access, .. } = file_at(path)?;
        let owner = format!("process {}", std::process::id());
        Self::open(path, &MysqlOptions { access, owner })
    }

    /// Opens the engine whose tables the file at `path` names, to be read.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(crate) fn open_unchanged(path: &Path) -> Result<Self, OpenError> {
        let AccessFile { tables, access } = file_at(path)?;
        let (link, tables) = (Link::new(access), Tables::of(tables));
        let read = || {
            let mut conn = link.connect(WRITER_PATIENCE)?;
            tables.check_engine(&mut conn)?;
            tables.learn(&mut conn)
        };
        let own = driven(read).map_err(|failure| failure.into_open_error(path, &link.access))?;
        Ok(Self::over(link, tables, Writer::default(), own))
    }

    /// Removes the tables that the file at `path` names.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(crate) fn remove(path: &Path) -> Result<(), OpenError> {
        let AccessFile { tables, access } = file_at(path)?;
        let link = Link::new(access);
        let removed = driven(|| Tables::of(tables).remove(&mut link.connect(WRITER_PATIENCE)?));
        removed.map_err(|failure| failure.into_open_error(path, &link.access))
    }

    /// Describes for people the tables that the file at `path` names; `None` if it names none.
    pub(crate) fn described(path: &Path) -> Option<String> {
        let AccessFile { tables, access } = AccessFile::read(path).ok().flatten()?;
        Some(format!("jedlik_{tables}_* in {access}"))
    }

    fn over(link: Link, tables: Tables, writer: Writer, own: Own) -> Self {
        Self {
            link: Arc::new(link),
            tables,
            writer: Mutex::new(writer),
            dropped: RwLock::new(own.dropped),
            records: AtomicU64::new(own.records),
            size: Mutex::new(None),
            damaged_hints: damage_log(),
        }
    }
}

impl MysqlAccess {
    /// Returns why no server answers; `None` if one does, whatever it says.
    #[must_use]
    pub fn away(&self) -> Option<String> {
        match Link::new(self.clone()).connect(link::READER_PATIENCE) {
            Err(Failure::Lost { what, .. }) => Some(what),
            Ok(_) | Err(_) => None,
        }
    }
}

impl Store for MysqlStore {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        if self.is_dropped(key.partition) {
            return Ok(None);
        }
        let found =
            self.link.read("reading a record", |conn| pages::load(conn, &self.tables, key))?;
        found.transpose().map_err(|what| StoreError::damaged(key, what))
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        let log = &self.damaged_hints;
        self.link.read("reading a hint", |conn| hints::load(conn, &self.tables, log, target, key))
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let mut writer = self.writer();
        self.make_way_for(&mut writer, writes)?;
        self.commit("writing a batch of records", &mut writer, |conn| {
            let records = writes::apply(conn, &self.tables, writes)?;
            Ok((Change { records, ..Change::default() }, ()))
        })
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        let mut writer = self.writer();
        partitions.iter().for_each(|partition| drop(writer.swept.remove(partition)));
        self.commit("dropping partitions", &mut writer, |conn| {
            Ok((drops::hide(conn, &self.tables, partitions)?, ()))
        })
    }

    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError> {
        let mut writer = self.writer();
        let hidden = self.dropped().first().copied();
        let Some(partition) = hidden else { return Ok(false) };
        self.sweep_step("sweeping dropped partitions", &mut writer, partition, limit_records)?;
        Ok(true)
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        let mut from = from;
        loop {
            let found = self.link.read("looking for a partition", |conn| {
                pages::partition_from(conn, &self.tables, from)
            })?;
            let Some(partition) = found.filter(|partition| self.is_dropped(*partition)) else {
                return Ok(found);
            };
            let Some(next) = partition.0.checked_add(1) else { return Ok(None) };
            from = Partition(next);
        }
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        if self.is_dropped(query.partition) {
            return Ok(RangePage::default());
        }
        self.link.read("reading a range of records", |conn| pages::page(conn, &self.tables, query))
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let log = &self.damaged_hints;
        self.link.read("reading a range of hints", |conn| {
            pages::hints_of(conn, &self.tables, log, target, query)
        })
    }

    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        let (log, limits) = (&self.damaged_hints, (limit_hints, limit_bytes));
        self.link.read("reading hints", |conn| {
            hints::page(conn, &self.tables, log, target, after, limits)
        })
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        let log = &self.damaged_hints;
        self.link.read("counting hints", |conn| hints::totals(conn, &self.tables, log))
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.link.read("reading metadata", |conn| pages::metadata(conn, &self.tables, name))
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        self.link.read("listing metadata", |conn| pages::metadata_names(conn, &self.tables))
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asked, bytes)) = *size
            && asked.elapsed() < SIZE_INTERVAL
        {
            return Ok(bytes);
        }
        let asked = self.link.read("measuring the tables", |conn| self.tables.size_bytes(conn));
        match (asked, *size) {
            (Ok(bytes), _) => {
                *size = Some((Instant::now(), bytes));
                Ok(bytes)
            }
            // An old figure is better than none.
            (Err(failure), Some((_, bytes))) if !failure.is_damage() => Ok(bytes),
            (Err(failure), _) => Err(failure),
        }
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        Ok(self.records.load(Ordering::Relaxed))
    }

    fn look_at_troubles(&self) {
        self.link.look();
        self.damaged_hints.look();
    }
}

impl fmt::Debug for MysqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlStore").field("tables", &self.tables.id).finish_non_exhaustive()
    }
}

/// Removes the tables that the file at `path` names, if there is one, as far as their server answers.
pub(crate) fn forget(path: &Path) {
    let Some(tables) = MysqlStore::described(path) else { return };
    if let Err(error) = MysqlStore::remove(path) {
        warn!(tables, %error, "tables that nobody needs any more could not be dropped: drop them by hand");
    }
}

/// Reads the file at `path`, which must be there.
fn file_at(path: &Path) -> Result<AccessFile, OpenError> {
    AccessFile::read(path)?.ok_or_else(|| {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        OpenError::io("reading", path, missing)
    })
}

/// Returns a number that nobody else draws: the system seeds each of these hashers at random.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
pub(crate) mod tests;
