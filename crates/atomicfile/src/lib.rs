//! File that is whole or not there: written beside its place, synced, and renamed into it.
//!
//! Invariants: until [`AtomicFile::commit`] the file at the path is as it was; whatever ends the writing
//! before that leaves no file behind, except a killed process: what that left is taken over by the next
//! writer of the same path. Two writers of one path never write into one file.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Readers that a new file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Those who could read the file that was there, or else those whom the process's umask lets.
    AsBefore,
    /// The file's owner alone, mode 0600, whatever was there.
    Owner,
}

/// File that is being written. Dropping it without [`Self::commit`] removes what was written.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    /// Path at which the file is written, and the one that it gets in the end; `None` for something that is not a
    /// regular file, such as a terminal or a pipe, which is written directly.
    paths: Option<Paths>,
}

#[derive(Debug)]
struct Paths {
    unfinished: PathBuf,
    target: PathBuf,
}

/// Writes a whole file at once.
///
/// # Errors
/// The file can't be written, synced or renamed; then the one at `path` is as it was.
pub fn write(path: &Path, readers: Readers, bytes: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path, readers)?;
    file.write_all(bytes)?;
    file.commit()
}

impl AtomicFile {
    /// Begins a file that will replace the one at `path`, or be made there.
    ///
    /// # Errors
    /// The folder can't be written, or another process is writing the same file right now.
    pub fn create(path: &Path, readers: Readers) -> io::Result<Self> {
        // The file that a symbolic link leads to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let before = fs::metadata(&target).ok();
        if before.as_ref().is_some_and(|before| !before.is_file()) {
            return Ok(Self { file: OpenOptions::new().write(true).open(&target)?, paths: None });
        }
        let unfinished = beside(&target)?;
        let file = open_locked(&unfinished, readers)?;
        let this = Self { file, paths: Some(Paths { unfinished, target }) };
        this.file.set_len(0)?;
        match (readers, before) {
            (Readers::AsBefore, Some(before)) => this.file.set_permissions(before.permissions())?,
            (Readers::AsBefore, None) => {}
            (Readers::Owner, _) => set_owner_only(&this.file)?,
        }
        Ok(this)
    }

    /// Syncs the file and puts it in its place, durably.
    ///
    /// # Errors
    /// The file can't be synced or renamed; then the one that was there is as it was. An error of the last step, the
    /// sync of the folder, leaves the new file in place, though perhaps not across a power cut.
    pub fn commit(mut self) -> io::Result<()> {
        let Some(paths) = &self.paths else { return self.file.flush() };
        self.file.sync_all()?;
        fs::rename(&paths.unfinished, &paths.target)?;
        let target = self.paths.take().map(|paths| paths.target).unwrap_or_default();
        File::open(folder_of(&target))?.sync_all()
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(paths) = &self.paths {
            // The lock is still held, so this is no other writer's file. A file that can't be removed is taken over by
            // the next writer.
            let _ = fs::remove_file(&paths.unfinished);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn beside(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut unfinished = OsString::from(".");
    unfinished.push(name);
    unfinished.push(".unfinished");
    Ok(target.with_file_name(unfinished))
}

/// Opens the unfinished file, perhaps one that a killed process left, for this process alone.
fn open_locked(path: &Path, readers: Readers) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        if readers == Readers::Owner {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another process is writing {} now", path.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, text));
            }
            // A file system without locks: two writers at once are then the caller's risk.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The former holder of the lock may have renamed or removed the file meanwhile.
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (open, there) = (file.metadata()?, fs::metadata(path));
    Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino())))
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
}

#[cfg(unix)]
fn set_owner_only(file: &File) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

#[cfg(not(unix))]
fn set_owner_only(_: &File) -> io::Result<()> {
    Ok(())
}
