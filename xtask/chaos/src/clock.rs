//! A process's own calendar clock, by Debian's `faketime`; the monotonic clock stays the machine's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::process::Command;

/// Returns the path of the library that replaces a process's calendar clock; `None` if it is not installed.
pub(crate) fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|path| path.exists())
}

/// Makes the program's calendar clock follow `file`, if the library is installed.
pub(crate) fn give(program: &mut Command, file: &Path) {
    if let Some(library) = library() {
        program
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", file)
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
}

/// Sets the clock in `file` this many seconds ahead of the machine's.
pub(crate) fn set(file: &Path, ahead_s: i32) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, format!("{ahead_s:+}\n"))
        .and_then(|()| fs::rename(&new, file))
        .with_context(|| format!("can't set the clock in {}", file.display()))
}

/// Shared memory in which the library keeps a process's clock, and which it removes only where the process ends by itself.
/// Dropping this removes it; a process that still runs has no need of its name.
#[derive(Debug)]
pub(crate) struct Shared([PathBuf; 2]);

impl Shared {
    /// Returns the shared memory of the process with this id, whether there is any or not.
    pub(crate) fn of(pid: u32) -> Self {
        let path = |name| Path::new("/dev/shm").join(format!("{name}_{pid}"));
        Self([path("faketime_shm"), path("sem.faketime_sem")])
    }

    /// Whether all of it is there.
    #[cfg(test)]
    pub(crate) fn exists(&self) -> bool {
        self.0.iter().all(|path| path.exists())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for path in &self.0 {
            // There is none where the process has the machine's clock, or has ended by itself.
            let _none = fs::remove_file(path);
        }
    }
}
