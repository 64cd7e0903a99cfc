//! File of a redb engine: opened, opened anew after errors, and changed by one durable commit at a time.
//!
//! Invariant: after an input or output error redb refuses everything until its file has been opened anew, so the next
//! call does that.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Database, DatabaseError, WriteTransaction};

use crate::disk::{directory_of, sync_directory};
use crate::hint_rows::damage_log;
use crate::trouble_log::TroubleLog;
use crate::{OpenError, StoreError};

use super::failures::{engine_error, reopenings, store_error};
use super::tables::{FORMAT, Tables, prepare};

/// Function that opens the file, each time that it has to be opened.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send + Sync>;

/// File of an engine.
pub(super) struct RedbFile {
    pub(super) path: PathBuf,
    opener: Opener,
    /// The open file; `None` after a failure, until the next call.
    opened: RwLock<Option<Opened>>,
    /// Lock for one commit at a time, with what commits have to do; a wait for it holds up nobody who reads.
    writer: Mutex<Writer>,
    pub(super) reopenings: TroubleLog,
    pub(super) damaged_hints: Arc<TroubleLog>,
}

/// Duties of the next commit.
#[derive(Default)]
struct Writer {
    /// Whether the file has taken the place of another one, and its name may not be durable yet.
    renamed: bool,
}

/// Guard over a file's commits: while it is held there is none.
pub(super) struct Writing<'a> {
    file: &'a RedbFile,
    writer: MutexGuard<'a, Writer>,
}

impl Writing<'_> {
    /// Makes another file, which has taken the name of this one, the open one. Returns the one that was.
    pub(super) fn replace(mut self, opened: Opened) -> Option<Opened> {
        self.writer.renamed = true;
        let old = self.file.write().replace(opened);
        // If the name can't be made durable now, nothing is committed until it is.
        let _ = self.file.settle_name(&mut self.writer, "naming the rewritten file");
        old
    }
}

/// The open file. Fields are dropped in order: the tables before the database that they read.
pub(super) struct Opened {
    /// Tables as of the last commit; kept open because opening one costs more than a load.
    pub(super) tables: Tables,
    pub(super) database: Database,
}

impl RedbFile {
    /// Opens the file at `path`, by `opener`, and makes the tables in a new one.
    pub(super) fn open(path: &Path, opener: Opener) -> Result<Self, OpenError> {
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
            opener,
            opened: RwLock::new(Some(opened)),
            writer: Mutex::default(),
            reopenings: reopenings(),
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
    pub(super) fn with<T>(
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

    /// Waits for the commit under way, and holds up others.
    pub(super) fn writing(&self) -> Writing<'_> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Writing { file: self, writer }
    }

    /// Gives up the file as it is open; `None` if it was broken.
    pub(super) fn take_opened(&self) -> Option<Opened> {
        self.write().take()
    }

    /// Makes the file's name durable, if it has taken that of another one.
    fn settle_name(&self, writer: &mut Writer, doing: &'static str) -> Result<(), StoreError> {
        if writer.renamed {
            sync_directory(directory_of(&self.path))
                .map_err(|error| StoreError::io(doing, error))?;
            writer.renamed = false;
        }
        Ok(())
    }

    /// Makes one durable commit of what `act` does; loads see it from then on. `note` is called after that
    /// and before the next commit, whatever came of this one.
    pub(super) fn commit<T>(
        &self,
        doing: &'static str,
        note: impl FnOnce(),
        act: impl Fn(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.settle_name(&mut writer, doing)?;
        let outcome = self.transact(doing, act).and_then(|outcome| {
            self.reopenings.works();
            self.refresh(doing)?;
            Ok(outcome)
        });
        // Loads see the commit by now: whoever is told of a key reads what was written.
        note();
        outcome
    }

    fn transact<T>(
        &self,
        doing: &'static str,
        act: impl Fn(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        self.with(doing, |opened| {
            let mut transaction = opened.database.begin_write()?;
            // Without it the whole file would be read after a crash.
            transaction.set_quick_repair(true);
            let outcome = act(&transaction)?;
            transaction.commit()?;
            Ok(outcome)
        })
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
