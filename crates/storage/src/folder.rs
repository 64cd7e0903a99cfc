//! Folder of one shard, and how a damaged one is set aside.
//!
//! Invariant: a crash at any moment leaves the old folder, or the new one with all that could be read of the
//! old; and the shard in the new one has lost its past, as far as it says so itself (`mark.rs`), from its
//! first commit on.
//!
//! ```text
//! shard-N/records.redb       the engine's file, or its folder `records.lsm`, or `records.mysql`, which names its tables
//! shard-N/records.fault      while it is not known whether the engine ends the process: see `fault_note.rs`
//! shard-N/journal/           the journal
//! shard-N.new/               while a damaged shard is set aside: what takes its place. It is complete once
//!                            the journal is in it
//! set-aside/shard-N-SECONDS/ the damaged file and a README.txt; the last one of each shard is kept
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tracing::warn;

use crate::datadir::NODE;
use crate::disk::{make_directory, sync_directory};
use crate::engine_kind::EngineKind;
use crate::fault_note::FaultNote;
use crate::life_mark::{self, MarkFound};
#[cfg(feature = "lsm")]
use crate::lsm_store::{LsmOptions, LsmStore};
#[cfg(feature = "mysql")]
use crate::mysql_store::{self, MysqlOptions, MysqlStore};
use crate::open_files::EngineFile;
use crate::redb_store::Salvaged;
use crate::{Guarded, OpenError, RedbOptions, RedbStore, Store, StoreError, Writes, mark};

/// The journal's folder beside the engine's file.
pub(crate) const JOURNAL: &str = "journal";
const SET_ASIDE: &str = "set-aside";
/// Memory for cached pages of an engine that is being filled, in bytes.
const CACHE_BYTES: usize = 1 << 20;

/// Folder in which one shard keeps its files.
#[derive(Debug, Clone)]
pub struct ShardFolder {
    root: PathBuf,
    shard: u16,
    engine: EngineKind,
    replaced: EngineFile,
    /// Server on which an engine is made, where there is a choice.
    #[cfg(feature = "mysql")]
    mysql: Option<Arc<MysqlOptions>>,
}

/// Files of a shard that were set aside and are not used any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LyingAside {
    /// Folder in which the files lie.
    pub path: PathBuf,
    /// Time at which the files were set aside, in seconds since the Unix epoch.
    pub since_s: u64,
    /// Whether the files were damaged; otherwise they are an earlier copy.
    pub damaged: bool,
}

/// Outcome of setting a damaged shard aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Folder in which the damaged file is now.
    pub path: PathBuf,
    /// Number of records that could be read, and are in the shard that takes its place.
    pub records: u64,
    /// Number of hints that could be read, and are in that shard too.
    pub hints: u64,
    /// Number of rows that failed their checksums; besides these, whole pages may be missing.
    pub damaged: u64,
}

impl ShardFolder {
    /// Returns the kind of the shard's engine.
    pub(crate) fn engine(&self) -> EngineKind {
        self.engine
    }

    pub(crate) fn new(root: &Path, shard: u16) -> Self {
        Self {
            root: root.into(),
            shard,
            engine: EngineKind::Redb,
            replaced: EngineFile::default(),
            #[cfg(feature = "mysql")]
            mysql: None,
        }
    }

    /// Returns the identity of the file that the shard's engine has put into the place of its own, for its options.
    #[must_use]
    pub fn replaced(&self) -> EngineFile {
        self.replaced.clone()
    }

    /// Returns the same folder with a server for its tables.
    #[cfg(feature = "mysql")]
    #[must_use]
    pub fn with_mysql(self, mysql: Arc<MysqlOptions>) -> Self {
        Self { mysql: Some(mysql), ..self }
    }

    /// Returns the same folder with an engine of this kind.
    pub(crate) fn with_engine(self, engine: EngineKind) -> Self {
        Self { engine, ..self }
    }

    /// Opens the engine on the folder's server, or makes it.
    ///
    /// # Errors
    /// As for [`MysqlStore::open`], and if the folder has no server.
    #[cfg(feature = "mysql")]
    pub fn open_mysql(&self) -> Result<MysqlStore, OpenError> {
        let path = self.engine_path();
        let Some(options) = self.mysql.as_deref() else {
            let message = "it is not known which server has the tables".into();
            return Err(OpenError::Engine { path, message });
        };
        MysqlStore::open(&path, options)
    }

    /// Returns the path of the engine's file, or of its folder.
    #[must_use]
    pub fn engine_path(&self) -> PathBuf {
        self.path().join(self.engine.file_name())
    }

    /// Returns the path of the journal's directory.
    #[must_use]
    pub fn journal_dir(&self) -> PathBuf {
        self.path().join(JOURNAL)
    }

    /// Returns the path of the shard's folder.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.root.join(format!("shard-{}", self.shard))
    }

    /// Returns the path of the data directory's `node.toml`.
    pub(crate) fn node_file(&self) -> PathBuf {
        self.root.join(NODE)
    }

    fn next_path(&self) -> PathBuf {
        self.root.join(format!("shard-{}.new", self.shard))
    }

    /// Makes the folder if it is not there, and finishes a setting aside that a crash has cut short.
    ///
    /// # Errors
    /// The operating system's.
    pub fn prepare(&self) -> Result<(), OpenError> {
        let (path, next) = (self.path(), self.next_path());
        if exists(&next)? {
            if exists(&next.join(JOURNAL))? || !exists(&path)? {
                self.swap("its making was cut short", 0)?;
            } else {
                remove(&next).map_err(io("removing an unfinished", &next))?;
            }
        }
        make_directory(&path).map_err(io("making the shard's directory", &path))
    }

    /// Sets the folder aside because of `why`, and puts another in its place with what can be read of it: the records
    /// and hints of its engine that pass their checksums, and its journal. The shard must be closed. `now_s` is the
    /// time in seconds since the Unix epoch.
    ///
    /// # Errors
    /// The operating system's, or the new engine's. The old folder is still in its place then, or the next
    /// [`Self::prepare`] finishes the exchange.
    pub fn rebuild(&self, why: &str, now_s: u64) -> Result<SetAside, OpenError> {
        self.prepare()?;
        let next = self.next_path();
        make_directory(&next).map_err(io("making", &next))?;
        let Salvaged { records, hints, damaged, .. } = self.salvage(&next)?;
        let (journal, moved) = (self.journal_dir(), next.join(JOURNAL));
        if exists(&journal)? {
            fs::rename(&journal, &moved).map_err(io("moving", &journal))?;
        } else {
            make_directory(&moved).map_err(io("making", &moved))?;
        }
        sync_directory(&next).map_err(io("syncing", &next))?;
        let path = self.swap(why, now_s)?;
        Ok(SetAside { path, records, hints, damaged })
    }

    /// Returns the mark of the node's life that last used the journal.
    #[must_use]
    pub fn journal_mark(&self) -> MarkFound {
        life_mark::beside_journal(&self.journal_dir())
    }

    /// Lists the shard's files that were set aside, because they were damaged or were an earlier copy.
    #[must_use]
    pub fn lying_aside(&self) -> Vec<LyingAside> {
        let damaged = self.damaged_aside().into_iter();
        let damaged = damaged.map(|(path, since_s)| LyingAside { path, since_s, damaged: true });
        let name = format!("shard-{}", self.shard);
        let entries = fs::read_dir(self.root.join(SET_ASIDE)).into_iter().flatten().flatten();
        let copies = entries.filter_map(|entry| {
            let path = entry.path().join(&name);
            let moved = path.exists().then(|| fs::metadata(entry.path()))?.ok()?.modified().ok()?;
            let since_s = moved.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            Some(LyingAside { path, since_s, damaged: false })
        });
        damaged.chain(copies).collect()
    }

    /// Returns the folders that were set aside as damaged, each with the time in seconds since the Unix epoch.
    fn damaged_aside(&self) -> Vec<(PathBuf, u64)> {
        let prefix = format!("shard-{}-", self.shard);
        let entries = fs::read_dir(self.root.join(SET_ASIDE)).into_iter().flatten().flatten();
        let lying = entries.filter_map(|entry| {
            let name = entry.file_name();
            let at_s = name.to_str()?.strip_prefix(&prefix)?.parse().ok()?;
            Some((entry.path(), at_s))
        });
        lying.collect()
    }

    /// Makes the engine of the shard in the folder `next`, with what can be read of the damaged one.
    fn salvage(&self, next: &Path) -> Result<Salvaged, OpenError> {
        let into = next.join(self.engine.file_name());
        match self.engine {
            EngineKind::Redb => {
                let options = RedbOptions { cache_bytes: CACHE_BYTES, ..RedbOptions::default() };
                let engine = Guarded::open(&into, || RedbStore::open(&into, &options))?;
                self.salvage_into(&engine, next)
            }
            #[cfg(feature = "lsm")]
            EngineKind::Lsm => {
                let options = LsmOptions { cache_bytes: CACHE_BYTES, ..LsmOptions::default() };
                let engine = Guarded::open(&into, || LsmStore::open(&into, &options))?;
                self.salvage_into(&engine, next)
            }
            #[cfg(feature = "mysql")]
            EngineKind::Mysql => {
                let Some(options) = self.mysql.as_deref() else {
                    let message = "it is not known which server is to have the tables".into();
                    return Err(OpenError::Engine { path: into, message });
                };
                let engine = Guarded::open(&into, || MysqlStore::open(&into, options))?;
                self.salvage_into(&engine, next)
            }
        }
    }

    fn salvage_into(&self, engine: &dyn Store, next: &Path) -> Result<Salvaged, OpenError> {
        let lost = Writes { metadata: vec![mark::lost_past()], ..Writes::default() };
        engine.write(&lost)?;
        let damaged = self.engine_path();
        if !exists(&damaged)? {
            return Ok(Salvaged::default());
        }
        let salvaged = read_out(self.engine, &damaged, next, engine)?;
        // The salvaged metadata may have said the contrary.
        engine.write(&lost)?;
        if life_mark::in_engine(engine)? == MarkFound::Nothing
            && let MarkFound::Mark(mark) = self.journal_mark()
        {
            // Otherwise the shard would count as another one at the next start.
            let metadata = vec![life_mark::of_engine(mark)];
            engine.write(&Writes { metadata, ..Writes::default() })?;
        }
        Ok(salvaged)
    }

    /// Moves the old folder away, if it is still there, and the new one into its place. Returns where the old one is
    /// kept.
    fn swap(&self, why: &str, now_s: u64) -> Result<PathBuf, OpenError> {
        let (path, next) = (self.path(), self.next_path());
        let aside = self.root.join(SET_ASIDE);
        let kept = aside.join(format!("shard-{}-{now_s}", self.shard));
        if exists(&path)? {
            make_directory(&aside).map_err(io("making", &aside))?;
            self.forget_older();
            fs::rename(&path, &kept).map_err(io("setting aside", &path))?;
            if let Err(error) =
                fs::write(kept.join("README.txt"), read_me(self.shard, why, &tables_in(&kept)))
            {
                warn!(%error, "the shard that was set aside has no README.txt");
            }
            sync_directory(&aside).map_err(io("syncing", &aside))?;
        }
        fs::rename(&next, &path).map_err(io("putting into its place", &next))?;
        sync_directory(&self.root).map_err(io("syncing", &self.root))?;
        Ok(kept)
    }

    /// Removes what was set aside of this shard as damaged before: a disk that goes bad must not fill itself up.
    fn forget_older(&self) {
        for (path, _) in self.damaged_aside() {
            if let Err(error) = remove(&path) {
                warn!(path = %path.display(), %error, "could not be removed");
            }
        }
    }
}

/// Removes a shard's folder that nobody needs, and the tables that it names, as far as their server answers.
fn remove(path: &Path) -> io::Result<()> {
    #[cfg(feature = "mysql")]
    mysql_store::forget(&path.join(EngineKind::Mysql.file_name()));
    fs::remove_dir_all(path)
}

/// Copies what can be read of a damaged engine, unless an earlier attempt has ended a process.
fn read_out(
    kind: EngineKind,
    damaged: &Path,
    scratch: &Path,
    into: &dyn Store,
) -> Result<Salvaged, StoreError> {
    let note = Arc::new(FaultNote::of_reading_out(damaged));
    if let Some(what) = note.condemns() {
        warn!(path = %damaged.display(), what, "nothing of a damaged engine is read: others give it back");
        return Ok(Salvaged { failures: 1, ..Salvaged::default() });
    }
    note.begin();
    let salvaged = note.during(|| kind.salvage(damaged, scratch, into));
    note.clear();
    salvaged
}

/// Says which tables of a server belong to a folder that was set aside; nothing if there are none.
#[cfg(feature = "mysql")]
fn tables_in(aside: &Path) -> String {
    let tables = MysqlStore::described(&aside.join(EngineKind::Mysql.file_name()));
    let said = |tables| {
        format!(
            "\nThe records themselves are in the tables\n{tables}.\nThey are dropped when this shard is set aside \
             once more; drop them yourself if you remove this folder.\n"
        )
    };
    tables.map(said).unwrap_or_default()
}

/// Says nothing: no tables belong to any folder.
#[cfg(not(feature = "mysql"))]
fn tables_in(_aside: &Path) -> String {
    String::new()
}

fn read_me(shard: u16, why: &str, tables: &str) -> String {
    format!(
        "This was the engine's file of shard {shard} until it was found damaged:\n\n    {why}\n\n\
         All records of it that could be read are in the shard that has taken its place, and the other\n\
         nodes give back the rest. Nothing here is read again: keep it for as long as you want to look\n\
         into what has happened to the disk, then remove the folder. `jedlik-node inspect-set-aside --help`\n\
         says how to list what is in it.\n{tables}"
    )
}

pub(crate) fn exists(path: &Path) -> Result<bool, OpenError> {
    path.try_exists().map_err(io("looking for", path))
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::io(doing, path, source)
}

#[cfg(test)]
mod tests;
