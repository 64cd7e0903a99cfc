//! Every engine under one suite: what it does, and what it keeps through crashes.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::faulty::{Crash, FaultyBackend, Machine};
use crate::mysql_store::tests::Place;
use crate::{
    Filtered, LsmOptions, LsmStore, MemoryStore, MysqlStore, RedbOptions, RedbStore, Store,
};

mod conformance;
mod costs;
mod crashes;
mod drops;
mod engine_costs;
mod lines;
mod removals;
mod rot;
mod space;
mod writers;

/// Size from which a record is large here, so that the suites have both kinds, as they have buckets with few keys and
/// with many.
pub(crate) const LARGE_BYTES: usize = 250;

/// Engine under test, and the disk that it stands on.
#[derive(Clone)]
pub(crate) enum Engine {
    Memory,
    Redb(FaultyBackend),
    /// Folder of its own on the machine's real disk, which no crash of a simulated one touches.
    Lsm(Arc<TempDir>),
    /// Tables of its own on the test server.
    Mysql(Arc<Place>),
}

impl Engine {
    pub(crate) fn all(machine: &Machine) -> [Self; 4] {
        [Self::Memory, Self::redb(machine), Self::lsm(), Self::mysql()]
    }

    pub(crate) fn lsm() -> Self {
        Self::Lsm(Arc::new(memory_folder()))
    }

    pub(crate) fn mysql() -> Self {
        Self::Mysql(Arc::new(Place::new()))
    }

    pub(crate) fn redb(machine: &Machine) -> Self {
        Self::Redb(FaultyBackend::new(machine))
    }

    /// Whether what was stored is there again after a restart.
    pub(crate) fn survives_restart(&self) -> bool {
        matches!(self, Self::Redb(_) | Self::Lsm(_) | Self::Mysql(_))
    }

    /// Opens the engine; `None` if its machine is dead.
    pub(crate) fn open(&self) -> Option<Arc<dyn Store>> {
        match self {
            Self::Memory => Some(Arc::new(Filtered::over(MemoryStore::new()))),
            Self::Redb(backend) => {
                let backend = backend.clone();
                let options = RedbOptions {
                    cache_bytes: 1 << 20,
                    large_record_bytes: LARGE_BYTES,
                    marked_keys: 3,
                    ..RedbOptions::default()
                };
                let path = Path::new("/faulty/records.redb");
                let store =
                    RedbStore::open_backend(path, &options, move || backend.clone()).ok()?;
                Some(Arc::new(Filtered::over(store)))
            }
            Self::Lsm(folder) => {
                let options = LsmOptions { cache_bytes: 1 << 20, garbage_bytes: 64 << 10 };
                let store = LsmStore::open(&folder.path().join("records.lsm"), &options).unwrap();
                Some(Arc::new(Filtered::over(store)))
            }
            Self::Mysql(place) => {
                let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
                Some(Arc::new(Filtered::over(store)))
            }
        }
    }

    /// Whether a page of one bucket counts the values of others as read.
    pub(crate) fn reads_values_of_others(&self) -> bool {
        !matches!(self, Self::Lsm(_) | Self::Mysql(_))
    }

    pub(crate) fn after(&self, crash: Crash, machine: &Machine) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::Redb(backend) => Self::Redb(backend.after(crash, machine)),
            Self::Lsm(folder) => {
                let Self::Lsm(copy) = Self::lsm() else { unreachable!("it was just made") };
                copy_opened(&folder.path().join("records.lsm"), &copy.path().join("records.lsm"));
                Self::Lsm(copy)
            }
            Self::Mysql(place) => {
                place.disconnect();
                Self::Mysql(Arc::clone(place))
            }
        }
    }
}

/// Makes a folder on a file system in memory, if there is one: syncs of a real disk take most of these tests' time.
pub(crate) fn memory_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies the folder of an engine that is open and merges. While the file `current` stays as it is, so do the others
/// that count.
pub(crate) fn copy_opened(from: &Path, to: &Path) {
    loop {
        let before = fs::read(from.join("current")).unwrap();
        let copied = copy_folder(from, to);
        if copied.is_ok() && fs::read(from.join("current")).unwrap() == before {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            match fs::copy(entry.path(), to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
