//! Files of a shard that a process has open, and whether they are still in their places.
//!
//! Invariant: a file counts as in its place only if it is the very one: a removed file goes on taking writes, and
//! another one of its name holds none of them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{OpenError, ShardFolder};

/// Identity of the file that an engine itself has put into the place of the one that it was opened with; clones share
/// it.
#[derive(Debug, Clone, Default)]
pub struct EngineFile(Arc<Mutex<Option<FileId>>>);

impl EngineFile {
    /// Notes that the file at `path` is about to take the place of the engine's.
    pub(crate) fn note(&self, path: &Path) {
        *self.known() = FileId::at(path);
    }

    fn is(&self, found: FileId) -> bool {
        *self.known() == Some(found)
    }

    // Nothing panics with the lock held.
    fn known(&self) -> MutexGuard<'_, Option<FileId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Files of a shard as they were when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenFiles {
    found: Vec<(PathBuf, FileId)>,
}

/// Identity of one file of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn at(path: &Path) -> Option<Self> {
        let file = fs::metadata(path).ok()?;
        Some(Self { device: file.dev(), inode: file.ino() })
    }
}

impl ShardFolder {
    /// Returns the files that are there now. To be called when the shard has just been opened.
    #[must_use]
    pub fn open_files(&self) -> OpenFiles {
        let found = |path: PathBuf| FileId::at(&path).map(|id| (path, id));
        OpenFiles {
            found: [self.engine_path(), self.journal_dir()].into_iter().filter_map(found).collect(),
        }
    }

    /// Returns one of the open files that is not in its place any more, or that another file has replaced; `None` if
    /// all are there.
    #[must_use]
    pub fn missing<'a>(&self, open: &'a OpenFiles) -> Option<&'a Path> {
        let mut files = open.found.iter();
        let replaced = self.replaced();
        let is_there = |path: &Path, id: &FileId| {
            FileId::at(path).is_some_and(|it| it == *id || replaced.is(it))
        };
        files.find(|(path, id)| !is_there(path, id)).map(|(path, _)| path.as_path())
    }

    /// Whether engine and journal are there. To be asked of a shard that a life of this process has used.
    ///
    /// # Errors
    /// The data directory itself is gone: nothing may be put in its place.
    pub fn is_whole(&self) -> Result<bool, OpenError> {
        let node = self.node_file();
        fs::metadata(&node).map_err(|error| OpenError::io("looking for", &node, error))?;
        Ok(self.engine_path().exists() && self.journal_dir().exists())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(root: &Path) -> ShardFolder {
        let folder = ShardFolder::new(root, 0);
        fs::create_dir_all(folder.journal_dir()).unwrap();
        fs::write(folder.engine_path(), "engine").unwrap();
        fs::write(folder.node_file(), "node").unwrap();
        folder
    }

    #[test]
    fn a_file_that_is_removed_moved_or_replaced_is_missing_and_one_that_changes_is_not() {
        type Act = fn(&Path);
        let engine = |root: &Path| root.join("shard-0/records.redb");
        let acts: [(Act, bool); 5] = [
            (|root| fs::write(root.join("shard-0/records.redb"), "more").unwrap(), false),
            (|root| fs::remove_file(root.join("shard-0/records.redb")).unwrap(), true),
            (
                |root| {
                    let path = root.join("shard-0/records.redb");
                    fs::write(root.join("copy"), "engine").unwrap();
                    fs::rename(root.join("copy"), path).unwrap();
                },
                true,
            ),
            (|root| fs::remove_dir_all(root.join("shard-0/journal")).unwrap(), true),
            (|root| fs::rename(root.join("shard-0"), root.join("elsewhere")).unwrap(), true),
        ];
        for (number, (act, is_missing)) in acts.into_iter().enumerate() {
            let root = tempfile::tempdir().unwrap();
            let folder = folder(root.path());
            let open = folder.open_files();
            assert!(engine(root.path()).exists() && folder.missing(&open).is_none());
            act(root.path());
            assert_eq!(folder.missing(&open).is_some(), is_missing, "act {number}");
        }
    }

    #[test]
    fn a_shard_without_its_engine_or_journal_is_not_whole_and_without_the_directory_nothing_is() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        assert!(folder.is_whole().unwrap());
        fs::remove_file(folder.engine_path()).unwrap();
        assert!(!folder.is_whole().unwrap());
        fs::remove_file(folder.node_file()).unwrap();
        assert!(folder.is_whole().is_err());
    }
}
