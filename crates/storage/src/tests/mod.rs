//! Every engine under one suite: what it does, and what it keeps through crashes.

use std::path::Path;
use std::sync::Arc;

use crate::faulty::{Crash, FaultyBackend, Machine};
use crate::{Filtered, MemoryStore, RedbOptions, RedbStore, Store};

mod conformance;
mod costs;
mod crashes;
mod drops;
mod lines;
mod removals;
mod rot;
mod writers;

/// Size from which a record is large here, so that the suites have both kinds, as they have buckets with few keys and
/// with many.
pub(crate) const LARGE_BYTES: usize = 250;

/// Engine under test, and the disk that it stands on.
#[derive(Clone)]
pub(crate) enum Engine {
    Memory,
    Redb(FaultyBackend),
}

impl Engine {
    pub(crate) fn all(machine: &Machine) -> [Self; 2] {
        [Self::Memory, Self::redb(machine)]
    }

    pub(crate) fn redb(machine: &Machine) -> Self {
        Self::Redb(FaultyBackend::new(machine))
    }

    /// Whether what was stored is there again after a restart.
    pub(crate) fn survives_restart(&self) -> bool {
        matches!(self, Self::Redb(_))
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
                };
                let path = Path::new("/faulty/records.redb");
                let store =
                    RedbStore::open_backend(path, &options, move || backend.clone()).ok()?;
                Some(Arc::new(Filtered::over(store)))
            }
        }
    }

    pub(crate) fn after(&self, crash: Crash, machine: &Machine) -> Self {
        match self {
            Self::Memory => Self::Memory,
            Self::Redb(backend) => Self::Redb(backend.after(crash, machine)),
        }
    }
}
