//! Kinds of engines that keep records on disk, and what each calls its files.
//!
//! Invariant: a shard's folder holds the files of one kind: that of the data directory, which is fixed when it is made.

use std::fs;
use std::io;
use std::path::Path;

#[cfg(feature = "lsm")]
use crate::lsm_store::{self, LsmOptions, LsmStore};
#[cfg(feature = "mysql")]
use crate::mysql_store::{self, MysqlStore};
use crate::redb_store::{self, Salvaged};
use crate::{OpenError, RedbOptions, RedbStore, Store, StoreError};

/// Kind of the engine that keeps a shard's records on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineKind {
    /// Engine that keeps all of it in one redb file.
    Redb,
    /// Engine that keeps it in a folder of sorted tables.
    #[cfg(feature = "lsm")]
    Lsm,
    /// Engine that keeps it in tables of a MySQL server, which a file names.
    #[cfg(feature = "mysql")]
    Mysql,
}

impl EngineKind {
    pub(crate) const ALL: &[Self] = &[
        Self::Redb,
        #[cfg(feature = "lsm")]
        Self::Lsm,
        #[cfg(feature = "mysql")]
        Self::Mysql,
    ];

    /// Kinds to which an engine can be migrated: those that need no more than a path.
    pub(crate) const TARGETS: &[Self] = &[
        Self::Redb,
        #[cfg(feature = "lsm")]
        Self::Lsm,
    ];

    /// Returns the kind with this name in the configuration; `None` for an engine without files, and for any other name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Returns the name of the kind in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            #[cfg(feature = "lsm")]
            Self::Lsm => "lsm",
            #[cfg(feature = "mysql")]
            Self::Mysql => "mysql",
        }
    }

    /// Returns the kind of the engine that lies in a shard's folder; `None` if there is none.
    pub(crate) fn found_in(folder: &Path) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| folder.join(kind.file_name()).exists())
    }

    /// Returns the name of the engine's file, or of its folder, in a shard's folder.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::Redb => "records.redb",
            #[cfg(feature = "lsm")]
            Self::Lsm => "records.lsm",
            #[cfg(feature = "mysql")]
            Self::Mysql => "records.mysql",
        }
    }

    /// Opens the engine at `path`, or makes it, if that needs no more than a path.
    pub(crate) fn open(self, path: &Path, cache_bytes: usize) -> Result<Box<dyn Store>, OpenError> {
        Ok(match self {
            Self::Redb => {
                let options = RedbOptions { cache_bytes, ..RedbOptions::default() };
                Box::new(RedbStore::open(path, &options)?)
            }
            #[cfg(feature = "lsm")]
            Self::Lsm => {
                let options = LsmOptions { cache_bytes, ..LsmOptions::default() };
                Box::new(LsmStore::open(path, &options)?)
            }
            #[cfg(feature = "mysql")]
            Self::Mysql => Box::new(MysqlStore::open_again(path)?),
        })
    }

    /// Removes the engine at `path`, which must be closed, if there is one.
    pub(crate) fn remove(self, path: &Path) -> io::Result<()> {
        let removed = match self {
            Self::Redb => fs::remove_file(path),
            #[cfg(feature = "lsm")]
            Self::Lsm => fs::remove_dir_all(path),
            #[cfg(feature = "mysql")]
            Self::Mysql => {
                mysql_store::forget(path);
                fs::remove_file(path)
            }
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens the engine at `path` to be read. What opening it changes is changed in memory, or below `scratch`.
    #[cfg_attr(not(feature = "lsm"), expect(unused_variables, reason = "others need no room"))]
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
            #[cfg(feature = "lsm")]
            Self::Lsm => {
                let options = LsmOptions { cache_bytes, ..LsmOptions::default() };
                Box::new(LsmStore::open_unchanged(path, scratch, &options)?)
            }
            #[cfg(feature = "mysql")]
            Self::Mysql => Box::new(MysqlStore::open_unchanged(path)?),
        })
    }

    /// Copies what can be read of the damaged engine at `path` into `target`.
    #[cfg_attr(not(feature = "lsm"), expect(unused_variables, reason = "others need no room"))]
    pub(crate) fn salvage(
        self,
        path: &Path,
        scratch: &Path,
        target: &dyn Store,
    ) -> Result<Salvaged, StoreError> {
        match self {
            Self::Redb => redb_store::salvage(path, target),
            #[cfg(feature = "lsm")]
            Self::Lsm => lsm_store::salvage(path, scratch, target),
            #[cfg(feature = "mysql")]
            Self::Mysql => mysql_store::salvage(path, target),
        }
    }
}
