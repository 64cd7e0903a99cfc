//! Migration of a stopped node's data directory to another engine.
//!
//! Invariant: until `node.toml` names the new engine, the old one is as it was and counts alone; from then on the new
//! one holds all that the old one held, which was compared. The journals stay where they are: what an engine says of
//! them is copied with it. A node that starts meanwhile makes the copies stale, and removes them.
//!
//! ```text
//! shard-N/records.E.copy  copy in the engine E, while it is made
//! shard-N/migration       how far the copy has come: see `migration/trail.rs`
//! ```

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
#[cfg(feature = "mysql")]
use std::sync::Arc;

use tracing::warn;

use crate::contents::{ContentsDigest, Digester, PAGE_BYTES, Place, Reader};
use crate::disk::sync_directory;
use crate::engine_kind::EngineKind;
use crate::fault_note::FaultNote;
use crate::folder::exists;
use crate::guarded::guarded;
use crate::{DataDir, OpenError, ShardFolder, Store, StoreError};
#[cfg(feature = "mysql")]
use crate::{MysqlOptions, MysqlStore};

mod error;
mod remains;
mod trail;

pub use error::MigrateError;
pub(crate) use remains::forget_others;
use remains::{copy_path, forget};
use trail::Trail;

/// Memory for cached pages of each of the two engines, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// Migration of a data directory, which is locked meanwhile.
#[derive(Debug)]
pub struct Migration {
    dir: DataDir,
    to: EngineKind,
    page_bytes: usize,
    /// Way to the server on which the new engine is made, if it is one on a server.
    #[cfg(feature = "mysql")]
    mysql: Option<Arc<MysqlOptions>>,
}

/// State of a migration, as told now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationProgress {
    /// Shard that is at work, counted from 0.
    pub shard: u16,
    /// Number of shards of the node.
    pub shards: u16,
    /// Whether the shard's copy is complete and is being compared with the original.
    pub comparing: bool,
    /// Number of the shard's records that were copied or compared.
    pub records: u64,
    /// Number of records in the shard, about; when comparing twice as many, since both engines are read.
    pub of_records: u64,
}

/// Result of a migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// Name of the engine that held the records.
    pub from: &'static str,
    /// Name of the engine that holds them now.
    pub to: &'static str,
    /// Shards that were migrated; one that was never opened is not among them.
    pub shards: Vec<MigratedShard>,
    /// Files of the old engine that could not be removed. The next start of the node removes them.
    pub left: Vec<PathBuf>,
}

/// Result of a migration for one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigratedShard {
    /// Index of the shard.
    pub shard: u16,
    /// Digest of what both engines hold.
    pub digest: ContentsDigest,
    /// Room that the old engine took, in bytes.
    pub before_bytes: u64,
    /// Room that the new engine takes, in bytes.
    pub after_bytes: u64,
}

/// Function that hears of the progress and may end the migration.
type Tell<'a> = &'a mut dyn FnMut(MigrationProgress) -> ControlFlow<()>;

impl Migration {
    /// Opens the data directory at `path` of a node that does not run, for a migration to the engine named `to`.
    ///
    /// # Errors
    /// The directory is in use or is none, or there is nothing to migrate.
    pub fn open(path: &Path, to: &str) -> Result<Self, MigrateError> {
        let target = EngineKind::named(to).filter(|kind| EngineKind::TARGETS.contains(kind));
        Self::begin(path, target.ok_or_else(|| MigrateError::NoEngine { named: to.into() })?)
    }

    /// Opens the data directory as [`Self::open`] does, for a migration to tables of a MySQL server.
    ///
    /// # Errors
    /// As for [`Self::open`].
    #[cfg(feature = "mysql")]
    pub fn open_to_mysql(path: &Path, options: MysqlOptions) -> Result<Self, MigrateError> {
        let mysql = Some(Arc::new(options));
        Ok(Self { mysql, ..Self::begin(path, EngineKind::Mysql)? })
    }

    fn begin(path: &Path, to: EngineKind) -> Result<Self, MigrateError> {
        let dir = DataDir::open_stopped(path)?;
        let engine = dir.node().engine();
        match EngineKind::named(engine) {
            None => Err(MigrateError::NothingKept { path: path.into(), engine: engine.into() }),
            Some(from) if from == to => {
                Err(MigrateError::Already { path: path.into(), engine: from.name() })
            }
            Some(_) => Ok(Self {
                dir,
                to,
                page_bytes: PAGE_BYTES,
                #[cfg(feature = "mysql")]
                mysql: None,
            }),
        }
    }

    /// Copies all shards, compares the copies, and makes the new engine the node's. `tell` hears of the progress with
    /// each page; if it breaks, the migration ends, and the next one goes on where it was.
    ///
    /// # Errors
    /// Anything that went wrong; the node's engine is the old one then.
    pub fn run(
        mut self,
        tell: &mut dyn FnMut(MigrationProgress) -> ControlFlow<()>,
    ) -> Result<Migrated, MigrateError> {
        let mut shards = Vec::new();
        let mut copies = Vec::new();
        for shard in 0..self.dir.shards() {
            let folder = self.dir.shard_folder(shard);
            folder.prepare()?;
            if exists(&folder.engine_path())? {
                let copy = ShardCopy::new(folder, shard, &self);
                shards.push(copy.make(tell)?);
                copies.push(copy);
            }
        }
        copies.iter().try_for_each(ShardCopy::name)?;
        let (from, to) = (self.dir.shard_folder(0).engine().name(), self.to.name());
        self.dir.rewrite(|node| node.set_engine(to))?;
        let left = copies.iter().flat_map(ShardCopy::remove_original).collect();
        Ok(Migrated { from, to, shards, left })
    }
}

/// Copy of one shard in the making.
struct ShardCopy {
    /// Folder of the shard, with the old engine.
    folder: ShardFolder,
    shard: u16,
    shards: u16,
    /// Generation of the directory, which another start of the node would change.
    generation: u64,
    to: EngineKind,
    page_bytes: usize,
    #[cfg(feature = "mysql")]
    mysql: Option<Arc<MysqlOptions>>,
}

impl ShardCopy {
    fn new(folder: ShardFolder, shard: u16, migration: &Migration) -> Self {
        let Migration { dir, to, page_bytes, .. } = migration;
        let (shards, generation) = (dir.shards(), dir.generation());
        Self {
            folder,
            shard,
            shards,
            generation,
            to: *to,
            page_bytes: *page_bytes,
            #[cfg(feature = "mysql")]
            mysql: migration.mysql.clone(),
        }
    }

    /// Opens the copy, or makes it.
    fn open(&self) -> Result<Box<dyn Store>, OpenError> {
        #[cfg(feature = "mysql")]
        if let Some(options) = &self.mysql {
            return Ok(Box::new(MysqlStore::open(&self.path(), options)?));
        }
        self.to.open(&self.path(), CACHE_BYTES)
    }

    /// Returns the path of the copy while it is made.
    fn path(&self) -> PathBuf {
        copy_path(&self.folder, self.to)
    }

    /// Makes the copy, or the rest of it, and compares it.
    fn make(&self, tell: Tell<'_>) -> Result<MigratedShard, MigrateError> {
        let (engine, path) = (self.folder.engine(), self.folder.engine_path());
        if let Some(what) = FaultNote::of_use(&path).condemns() {
            return Err(OpenError::EngineDamaged { path, what }.into());
        }
        let trail = self.trail()?;
        let scratch = self.folder.path();
        let original = held(|| engine.open_unchanged(&path, &scratch, CACHE_BYTES), &path)?;
        let copy = held(|| self.open(), &self.path())?;
        let made = self.fill(&*original, &*copy, trail, tell).and_then(|()| {
            let digest = self.compare(&*original, &*copy, tell)?;
            let before_bytes = self.reading(|| original.size_bytes())?;
            let after_bytes = self.writing(|| copy.size_bytes())?;
            Ok(MigratedShard { shard: self.shard, digest, before_bytes, after_bytes })
        });
        closed(original);
        closed(copy);
        if let Err(MigrateError::Differs { .. }) = made {
            self.remove_copy()?;
        }
        made
    }

    /// Returns the trail of a copy that can be gone on with, or of one that begins.
    fn trail(&self) -> Result<Trail, OpenError> {
        let (folder, to) = (self.folder.path(), self.to);
        let begins = Trail { generation: self.generation, to, place: Place::START };
        // The node's engine is still the old one, so a new one in its place was not used.
        let (named, copy) = (folder.join(to.file_name()), self.path());
        if exists(&named)? && !exists(&copy)? {
            fs::rename(&named, &copy).map_err(|e| OpenError::io("renaming", &named, e))?;
        }
        if exists(&copy)?
            && let Some(trail) = Trail::read(&folder)
            && (trail.generation, trail.to) == (self.generation, to)
        {
            return Ok(trail);
        }
        forget(&self.folder, None)?;
        begins.write(&folder)?;
        Ok(begins)
    }

    /// Copies what is past the trail's place.
    fn fill(
        &self,
        original: &dyn Store,
        copy: &dyn Store,
        mut trail: Trail,
        tell: Tell<'_>,
    ) -> Result<(), MigrateError> {
        let of_records = self.reading(|| original.record_count())?;
        let mut records = self.writing(|| copy.record_count())?;
        let mut reader = Reader::new(trail.place.clone(), self.page_bytes);
        while let Some(page) = self.reading(|| reader.next_page(original))? {
            records += page.records() as u64;
            let writes = page.into_writes();
            self.writing(|| copy.write(&writes))?;
            trail.place = reader.place().clone();
            trail.write(&self.folder.path())?;
            self.tell(tell, false, records, of_records)?;
        }
        Ok(())
    }

    /// Returns the digest of both engines, whose contents must be the same.
    fn compare(
        &self,
        original: &dyn Store,
        copy: &dyn Store,
        tell: Tell<'_>,
    ) -> Result<ContentsDigest, MigrateError> {
        let of_records = 2 * self.reading(|| original.record_count())?;
        let mut records = 0;
        let mut digest = |engine: &dyn Store| {
            let mut reader = Reader::new(Place::START, self.page_bytes);
            let mut digester = Digester::default();
            while let Some(page) = self.reading(|| reader.next_page(engine))? {
                digester.add(&page);
                records += page.records() as u64;
                self.tell(tell, true, records, of_records)?;
            }
            Ok::<_, MigrateError>(digester.finish())
        };
        let (original, copy) = (digest(original)?, digest(copy)?);
        if original == copy {
            return Ok(original);
        }
        Err(MigrateError::Differs { shard: self.shard, original, copy })
    }

    fn tell(
        &self,
        tell: Tell<'_>,
        comparing: bool,
        records: u64,
        of_records: u64,
    ) -> Result<(), MigrateError> {
        let Self { shard, shards, .. } = *self;
        match tell(MigrationProgress { shard, shards, comparing, records, of_records }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(MigrateError::Interrupted),
        }
    }

    fn reading<T>(&self, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, MigrateError> {
        called("reading", act).map_err(|error| match error {
            StoreError::Damaged { .. } => MigrateError::Damaged { error },
            error => MigrateError::Unreadable { shard: self.shard, error },
        })
    }

    fn writing<T>(&self, act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, MigrateError> {
        let shard = self.shard;
        called("writing", act).map_err(|error| MigrateError::Unwritable { shard, error })
    }

    fn remove_copy(&self) -> Result<(), OpenError> {
        forget(&self.folder, None)
    }

    /// Gives the copy the name under which the node looks for it.
    fn name(&self) -> Result<(), OpenError> {
        let (copy, folder) = (self.path(), self.folder.path());
        let named = folder.join(self.to.file_name());
        self.to.remove(&named).map_err(|e| OpenError::io("removing", &named, e))?;
        fs::rename(&copy, &named).map_err(|e| OpenError::io("naming", &copy, e))?;
        sync_directory(&folder).map_err(|e| OpenError::io("syncing", &folder, e))
    }

    /// Removes the old engine, which counts no more, and what was noted of it. Returns its path if that is not possible.
    fn remove_original(&self) -> Option<PathBuf> {
        let path = self.folder.engine_path();
        FaultNote::of_use(&path).clear();
        match forget(&self.folder.clone().with_engine(self.to), Some(self.to)) {
            Ok(()) => None,
            Err(error) => {
                warn!(%error, "the old engine can't be removed");
                Some(path)
            }
        }
    }
}

/// Runs a call of an engine, whose panic is the error of the call.
fn called<T>(
    doing: &'static str,
    act: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    guarded(act).unwrap_or_else(|what| Err(StoreError::EngineDamaged { doing, what }))
}

/// Opens an engine; its panic is the error of the opening.
fn held(
    open: impl FnOnce() -> Result<Box<dyn Store>, OpenError>,
    path: &Path,
) -> Result<Box<dyn Store>, OpenError> {
    guarded(open).unwrap_or_else(|what| Err(OpenError::EngineDamaged { path: path.into(), what }))
}

/// Closes an engine; its panic is logged.
fn closed(engine: Box<dyn Store>) {
    if let Err(what) = guarded(|| drop(engine)) {
        warn!(what, "an engine could not be closed");
    }
}

#[cfg(test)]
mod tests;
