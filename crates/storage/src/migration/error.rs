//! Why a migration did not come to its end, and what to do about it.
//!
//! Invariant: whatever is said here, the old engine is as it was.

use std::path::PathBuf;

use thiserror::Error;

use crate::engine_kind::EngineKind;
use crate::{ContentsDigest, OpenError, StoreError};

/// Migration that did not come to its end. The old engine is as it was, and is the node's engine still.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// Data directory or engine that can't be opened or changed.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Engine that does not exist, or keeps nothing.
    #[error("the engine can't be {named:?}: migration is to one of {}", names())]
    NoEngine {
        /// Name of the engine that was asked for.
        named: String,
    },
    /// Directory whose engine keeps nothing that could be copied, or is not in this build.
    #[error(
        "the data directory {} has the engine {engine}, which keeps nothing on disk, or which this program was built without",
        path.display()
    )]
    NothingKept {
        /// Path of the data directory.
        path: PathBuf,
        /// Name of its engine.
        engine: String,
    },
    /// Directory that has the engine already.
    #[error("the data directory {} has the engine {engine} already", path.display())]
    Already {
        /// Path of the data directory.
        path: PathBuf,
        /// Name of its engine.
        engine: &'static str,
    },
    /// Record that can't be read, so that the copy would lack it.
    #[error(
        "{error}: start the node, which repairs it from the other replicas, stop it once \
         `jedlik-admin doctor` finds nothing, and run this again"
    )]
    Damaged {
        /// Error that names the record.
        error: StoreError,
    },
    /// Engine that can't be read, so that the copy would lack a part of it.
    #[error(
        "the engine of shard {shard} can't be read: {error}; start the node, which sets a damaged shard aside and \
         refills it from the other replicas"
    )]
    Unreadable {
        /// Index of the shard.
        shard: u16,
        /// Error that the old engine returned.
        error: StoreError,
    },
    /// New engine that can't be written.
    #[error(
        "the new engine of shard {shard} can't be written: {error}; run this again, and it goes on from there"
    )]
    Unwritable {
        /// Index of the shard.
        shard: u16,
        /// Error that the new engine returned.
        error: StoreError,
    },
    /// Copy that holds something else than the original. It was removed.
    #[error(
        "the copy of shard {shard} is not what the original is: {copy:?} instead of {original:?}; run this again, \
         which makes a new copy"
    )]
    Differs {
        /// Index of the shard.
        shard: u16,
        /// Digest of the original.
        original: ContentsDigest,
        /// Digest of the copy.
        copy: ContentsDigest,
    },
    /// Migration that its caller has stopped.
    #[error("interrupted; run this again, and it goes on from there")]
    Interrupted,
}

fn names() -> String {
    EngineKind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}
