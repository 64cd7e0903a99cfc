//! Meaning of lsm-tree's errors here.
//!
//! Invariant: an error counts as damage exactly if it tells of bytes that are not those that were written, or of a file
//! that is gone.

use std::io;
use std::path::Path;

use crate::error::is_medium_error;
use crate::trouble_log::{Lines, TroubleLog};
use crate::{OpenError, StoreError};

/// Failure of one operation on the tree.
#[derive(Debug)]
pub(super) enum Failure {
    /// Error of the tree itself.
    Tree(lsm_tree::Error),
    /// Row that can't be as it was written.
    Damaged(String),
}

impl From<lsm_tree::Error> for Failure {
    fn from(error: lsm_tree::Error) -> Self {
        Self::Tree(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Tree(error.into())
    }
}

impl Failure {
    /// Returns the failure of a row that is damaged.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// Converts the failure into that of a call that failed while `doing`.
    pub(super) fn into_store_error(self, doing: &'static str) -> StoreError {
        match self {
            Self::Tree(lsm_tree::Error::Io(error)) if is_of_files(&error) => {
                let what = format!("a file is missing or cut short: {error}");
                StoreError::EngineDamaged { doing, what }
            }
            Self::Tree(lsm_tree::Error::Io(error)) => StoreError::io(doing, error),
            Self::Tree(error) => StoreError::EngineDamaged { doing, what: error.to_string() },
            Self::Damaged(what) => StoreError::EngineDamaged { doing, what },
        }
    }

    /// Converts the failure into that of an engine that can't be opened.
    pub(super) fn into_open_error(self, path: &Path) -> OpenError {
        let path = path.to_path_buf();
        match self {
            Self::Tree(lsm_tree::Error::Io(error))
                if !is_medium_error(&error) && !is_of_files(&error) =>
            {
                OpenError::Io { doing: "opening the engine in", path, source: error }
            }
            Self::Tree(error @ lsm_tree::Error::InvalidVersion(_)) => {
                OpenError::Engine { path, message: error.to_string() }
            }
            Self::Tree(error) => OpenError::EngineDamaged { path, what: error.to_string() },
            Self::Damaged(what) => OpenError::EngineDamaged { path, what },
        }
    }
}

/// Whether the error tells of a file that is gone, or is shorter than lsm-tree believes: it looks for places from a
/// file's end, and before its beginning there are none.
fn is_of_files(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput)
}

/// Whether the error may be one of a single value, which lies apart from its row: bytes that were read and are wrong.
/// The disk's own errors are never taken for that.
pub(super) fn may_be_of_value(error: &lsm_tree::Error) -> bool {
    match error {
        lsm_tree::Error::Io(error) => error.raw_os_error().is_none() && !is_of_files(error),
        _ => true,
    }
}

/// Returns a log of errors after which the tree is opened anew.
pub(super) fn reopenings() -> TroubleLog {
    let lines = Lines {
        begins: "opening the engine's files anew after an error",
        continues: "the engine's files are still opened anew after errors",
        over: "the engine's files are written without errors again",
    };
    TroubleLog::new(None, lines)
}

/// Returns a log of work on the tree that failed in the background.
pub(super) fn compactions() -> TroubleLog {
    let lines = Lines {
        begins: "the engine's tables could not be merged; trying again",
        continues: "the engine's tables still can't be merged",
        over: "the engine's tables are merged again",
    };
    TroubleLog::new(None, lines)
}
