//! Operations that a journal needs of a file system, behind a trait so that tests can bring one that fails.
//!
//! Invariant: nothing is taken to survive a power cut before the call that syncs it has succeeded:
//! bytes by [`JournalFile::sync`], names by [`Disk::sync_names`].

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::is_medium_error;

/// Directory that holds the files of one journal.
pub trait Disk: Send + 'static {
    /// Makes an empty file for appending; fails if there is one of this name.
    ///
    /// # Errors
    /// The operating system's.
    fn create(&self, name: &str) -> io::Result<Box<dyn JournalFile>>;

    /// Reads all bytes of a file, as far as the disk can return them.
    ///
    /// # Errors
    /// The operating system's. A part that can't be read is no error.
    fn read(&self, name: &str) -> io::Result<FileBytes>;

    /// Lists the names of the files, in any order.
    ///
    /// # Errors
    /// The operating system's.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a file.
    ///
    /// # Errors
    /// The operating system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations and removals of files durable.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_names(&self) -> io::Result<()>;

    /// Returns the directory's path, for messages.
    fn path(&self) -> &Path;

    /// Returns a function that reads the room of the file system each time it is called.
    fn space_reader(&self) -> ReadSpace;
}

/// Contents of a file, as far as they can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileBytes {
    /// All bytes of the file, with zeros where they can't be read.
    pub bytes: Vec<u8>,
    /// Ranges of `bytes` that can't be read, in order.
    pub unreadable: Vec<Range<usize>>,
}

impl FileBytes {
    /// Whether some of `part` could not be read.
    pub(crate) fn lacks(&self, part: Range<usize>) -> bool {
        self.unreadable.iter().any(|lost| lost.start < part.end && part.start < lost.end)
    }
}

/// Room of a file system: what is free, and what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Number of bytes that this process may still write.
    pub free_bytes: u64,
    /// Size of the file system, in bytes.
    pub total_bytes: u64,
}

/// Function that reads the room of a directory's file system.
pub type ReadSpace = Box<dyn Fn() -> io::Result<Space> + Send>;

/// File of a journal, which grows at its end.
pub trait JournalFile: Send {
    /// Writes all of `bytes` at the end.
    ///
    /// # Errors
    /// The operating system's; any part of the bytes may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    /// The operating system's; from then on it is unknown what is durable, whatever later syncs return.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `length_bytes`.
    ///
    /// # Errors
    /// The operating system's.
    fn truncate(&mut self, length_bytes: u64) -> io::Result<()>;
}

/// Directory of the real file system.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens the directory at `path`, and makes it if it is not there.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        make_directory(path)?;
        Ok(Self { path: path.into() })
    }
}

impl Disk for Directory {
    fn create(&self, name: &str) -> io::Result<Box<dyn JournalFile>> {
        let path = self.path.join(name);
        Ok(Box::new(OpenOptions::new().append(true).create_new(true).open(path)?))
    }

    fn read(&self, name: &str) -> io::Result<FileBytes> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Err(error) if is_medium_error(&error) => {
                let file = File::open(&path)?;
                let length = file.metadata()?.len();
                Ok(read_around(length as usize, |offset, out| file.read_exact_at(out, offset)))
            }
            read => Ok(FileBytes { bytes: read?, unreadable: Vec::new() }),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_directory(&self.path)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn space_reader(&self) -> ReadSpace {
        let path = self.path.clone();
        Box::new(move || {
            let system = rustix::fs::statvfs(&path)?;
            let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
            Ok(Space { free_bytes: bytes(system.f_bavail), total_bytes: bytes(system.f_blocks) })
        })
    }
}

impl JournalFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length_bytes: u64) -> io::Result<()> {
        self.set_len(length_bytes)
    }
}

/// Reads a file sector by sector, and leaves out the sectors that can't be read.
fn read_around(length: usize, read: impl Fn(u64, &mut [u8]) -> io::Result<()>) -> FileBytes {
    const SECTOR_BYTES: usize = 4096;
    let mut file = FileBytes { bytes: vec![0; length], unreadable: Vec::new() };
    for start in (0..length).step_by(SECTOR_BYTES) {
        let end = length.min(start + SECTOR_BYTES);
        if read(start as u64, &mut file.bytes[start..end]).is_err() {
            file.bytes[start..end].fill(0);
            match file.unreadable.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => file.unreadable.push(start..end),
            }
        }
    }
    file
}

/// Makes a directory, durably, and its parents, not durably.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => Ok(()),
    }
}

/// Replaces `name` in `directory` by a file of these bytes, durably: after a crash either the old file or the new one
/// is there.
pub(crate) fn replace_file(directory: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = directory.join(format!("{name}.new"));
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&unfinished, directory.join(name))?;
    sync_directory(directory)
}

/// Locks a file for this process alone. The lock is tried for a second, since a killed process holds it until it is
/// gone, and a process that this one starts holds it until it runs its own program.
pub(crate) fn lock(file: &File) -> Result<(), TryLockError> {
    const STEP: Duration = Duration::from_millis(20);
    for _ in 0..50 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => thread::park_timeout(STEP),
            locked => return locked,
        }
    }
    file.try_lock()
}

/// Returns the directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::read_around;

    #[test]
    fn what_a_disk_can_not_read_is_left_out_and_named() {
        let content: Vec<u8> = (0..20_000).map(|at| (at % 251) as u8 + 1).collect();
        let bad = [4096..8192, 8192..12_288, 16_384..20_000];
        let file = read_around(content.len(), |offset, out| {
            let start = offset as usize;
            if bad.iter().any(|bad| bad.start == start) {
                out.fill(9);
                return Err(io::Error::from_raw_os_error(5));
            }
            out.copy_from_slice(&content[start..start + out.len()]);
            Ok(())
        });
        assert_eq!(file.unreadable, [4096..12_288, 16_384..20_000]);
        assert_eq!(file.bytes[..4096], content[..4096]);
        assert_eq!(file.bytes[12_288..16_384], content[12_288..16_384]);
        assert!(file.unreadable.iter().all(|bad| file.bytes[bad.clone()].iter().all(|b| *b == 0)));
        assert!(file.lacks(0..4097) && !file.lacks(0..4096) && !file.lacks(12_288..16_384));
    }
}
