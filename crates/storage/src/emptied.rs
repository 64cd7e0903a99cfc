//! Empties a folder that was taken for a data directory and is not to be one.
//!
//! Invariant: nothing is removed from a directory that a node has served with, nor from a disk that was mounted over it
//! meanwhile.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::datadir::{LOCK, is_at};
use crate::{DataDir, OpenError};

/// Folder of the file system itself, which an empty data directory may hold: see [`DataDir::open`].
const NOT_OURS: &str = "lost+found";

impl DataDir {
    /// Removes everything in the directory and closes it, if no node has ever served with it: it stood in the place of
    /// another one. Everything else must be closed before.
    ///
    /// # Errors
    /// The operating system's; a part may be left, which the next start takes for its own.
    pub fn leave_empty(self) -> Result<(), OpenError> {
        if self.has_served() {
            return Ok(());
        }
        empty(self.path(), self.lock())
            .map_err(|error| OpenError::io("emptying", self.path(), error))
    }
}

/// Removes everything in a directory, its lock last: a process that finds the lock takes the rest for another's.
fn empty(path: &Path, lock: &File) -> io::Result<()> {
    let folder = File::open(path)?;
    // By this path it stays the same folder, whatever is mounted over it from now on.
    let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    if !is_at(lock, &path.join(LOCK)) {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&path)? {
        let name = entry?.file_name();
        if name != NOT_OURS {
            names.push(name);
        }
    }
    names.sort_by_key(|name| name == LOCK);
    for name in names {
        let at = path.join(name);
        match fs::symlink_metadata(&at)?.is_dir() {
            true => fs::remove_dir_all(&at)?,
            false => match fs::remove_file(&at) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
    }
    folder.sync_all()
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::{NodeId, PartitionCount};
    use jedlik_protocol::{ClusterId, Incarnation};

    use super::*;
    use crate::Identity;

    fn open(path: &Path) -> DataDir {
        let identity = Identity {
            cluster: ClusterId(1),
            node: NodeId(2),
            shards: 1,
            engine: "redb".into(),
            partitions: PartitionCount::DEFAULT,
        };
        DataDir::open(path, &identity, Incarnation(7)).unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_directory_that_has_not_served_is_left_as_empty_as_it_was_found() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join(NOT_OURS)).unwrap();
        let directory = open(place.path());
        directory.shard_folder(0).prepare().unwrap();
        directory.save_state(b"state").unwrap();
        directory.leave_empty().unwrap();
        assert_eq!(names(place.path()), [NOT_OURS]);
    }

    #[test]
    fn of_another_directory_that_is_in_its_place_by_then_nothing_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let directory = open(&path);
        fs::rename(&path, place.path().join("covered")).unwrap();
        drop(open(&path));
        let before = names(&path);
        directory.leave_empty().unwrap();
        assert_eq!(names(&path), before);
    }

    #[test]
    fn of_a_directory_that_has_served_nothing_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let mut directory = open(place.path());
        directory.note_serving().unwrap();
        let before = names(place.path());
        directory.leave_empty().unwrap();
        assert_eq!(names(place.path()), before);
    }
}
