//! Copies and engines that a migration has left in the folders of shards.
//!
//! Invariant: the engine that counts is never removed, nor is any other one where it is missing.

use std::path::{Path, PathBuf};

use crate::engine_kind::EngineKind;
use crate::folder::exists;
use crate::{DataDir, OpenError, ShardFolder};

use super::trail::Trail;

/// Removes from all shards what a migration has left: copies, and an engine that is not the node's any more.
pub(crate) fn forget_others(dir: &DataDir) -> Result<(), OpenError> {
    (0..dir.shards()).try_for_each(|shard| {
        let folder = dir.shard_folder(shard);
        // Without its own engine, the shard may have been put there by somebody who knows more.
        let own = exists(&folder.engine_path())?.then(|| folder.engine());
        forget(&folder, own)
    })
}

/// Removes all copies from a shard's folder, and, if the shard's `own` engine is there, every other one.
pub(super) fn forget(folder: &ShardFolder, own: Option<EngineKind>) -> Result<(), OpenError> {
    let path = folder.path();
    let io = |path: &Path, error| OpenError::io("removing", path, error);
    for kind in EngineKind::ALL.iter().copied() {
        let copy = copy_path(folder, kind);
        kind.remove(&copy).map_err(|error| io(&copy, error))?;
        if own.is_some_and(|own| own != kind) {
            let other = path.join(kind.file_name());
            kind.remove(&other).map_err(|error| io(&other, error))?;
        }
    }
    Trail::remove(&path)
}

/// Returns the path of the copy in an engine of this kind, while it is made.
pub(super) fn copy_path(folder: &ShardFolder, kind: EngineKind) -> PathBuf {
    folder.path().join(format!("{}.copy", kind.file_name()))
}
