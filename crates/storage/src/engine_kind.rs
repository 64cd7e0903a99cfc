//! Kinds of engines that keep records on disk, and what each calls its files.
//!
//! Invariant: a shard's folder holds the files of one kind: that of the data directory, which is fixed when it is made.

use std::path::Path;

use crate::lsm_store;
use crate::redb_store::{self, Salvaged};
use crate::{LsmOptions, LsmStore, OpenError, RedbOptions, RedbStore, Store, StoreError};

/// Kind of the engine that keeps a shard's records on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineKind {
    /// Engine that keeps all of it in one redb file.
    Redb,
    /// Engine that keeps it in a folder of sorted tables.
    Lsm,
}

impl EngineKind {
    const ALL: [Self; 2] = [Self::Redb, Self::Lsm];

    /// Returns the kind with this name in the configuration. An engine without files has no kind: any will do.
    pub(crate) fn named(name: &str) -> Self {
        if name == "lsm" { Self::Lsm } else { Self::Redb }
    }

    /// Returns the kind of the engine that lies in a shard's folder; `None` if there is none.
    pub(crate) fn found_in(folder: &Path) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| folder.join(kind.file_name()).exists())
    }

    /// Returns the name of the engine's file, or of its folder, in a shard's folder.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Redb => "records.redb",
            Self::Lsm => "records.lsm",
        }
    }

    /// Opens the engine at `path` to be read. What opening it changes is changed in memory, or below `scratch`.
    pub(crate) fn open_unchanged(
        self,
        path: &Path,
        scratch: &Path,
        cache_bytes: usize,
    ) -> Result<Box<dyn Store>, OpenError> {
        Ok(match self {
            Self::Redb => {
                let options = RedbOptions { cache_bytes, ..RedbOptions::default() };
                Box::new(RedbStore::open_unchanged(path, &options)?)
            }
            Self::Lsm => {
                let options = LsmOptions { cache_bytes, ..LsmOptions::default() };
                Box::new(LsmStore::open_unchanged(path, scratch, &options)?)
            }
        })
    }

    /// Copies what can be read of the damaged engine at `path` into `target`.
    pub(crate) fn salvage(
        self,
        path: &Path,
        scratch: &Path,
        target: &dyn Store,
    ) -> Result<Salvaged, StoreError> {
        match self {
            Self::Redb => redb_store::salvage(path, target),
            Self::Lsm => lsm_store::salvage(path, scratch, target),
        }
    }
}
