//! Meaning of redb's errors here.
//!
//! Invariant: an error counts as damage exactly if it tells of bytes that are not those that were written.

use std::path::Path;

use crate::error::is_medium_error;
use crate::trouble_log::{Lines, TroubleLog};
use crate::{OpenError, StoreError};

/// Returns a log of errors after which the engine's file is opened anew.
pub(super) fn reopenings() -> TroubleLog {
    let lines = Lines {
        begins: "opening the engine's file anew after an error",
        continues: "the engine's file is still opened anew after errors",
        over: "the engine's file is written without errors again",
    };
    TroubleLog::new(None, lines)
}

/// Converts redb's error into that of a file that can't be opened.
pub(super) fn engine_error(path: &Path, failure: redb::Error) -> OpenError {
    let path = path.to_path_buf();
    match failure {
        redb::Error::Io(source) if is_medium_error(&source) => {
            OpenError::EngineDamaged { path, what: source.to_string() }
        }
        redb::Error::Corrupted(what) => OpenError::EngineDamaged { path, what },
        other if is_of_damaged_table(&other) => {
            OpenError::EngineDamaged { path, what: other.to_string() }
        }
        other => OpenError::Engine { path, message: other.to_string() },
    }
}

/// Whether a table is of another kind than it was made as. Files of other formats are refused before tables are opened.
fn is_of_damaged_table(failure: &redb::Error) -> bool {
    matches!(
        failure,
        redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableDoesNotExist(_)
    )
}

/// Converts redb's error into that of a call that failed while `doing`.
pub(super) fn store_error(doing: &'static str, failure: redb::Error) -> StoreError {
    match failure {
        redb::Error::Io(source) => StoreError::io(doing, source),
        redb::Error::Corrupted(what) => StoreError::EngineDamaged { doing, what },
        other if is_of_damaged_table(&other) => {
            StoreError::EngineDamaged { doing, what: other.to_string() }
        }
        other => StoreError::Engine { doing, message: other.to_string() },
    }
}
