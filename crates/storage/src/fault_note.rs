//! Note beside an engine's file that outlives a process which the engine has ended.
//!
//! Invariant: an engine ends a process at most once by a panic, and at most so many times in a row in another way
//! between its opening and the end of its first write. The note needs no sync: it is about ends of processes, and
//! those leave the page cache alone. One that can't be written costs nothing but itself.
//!
//! A panic that a guard catches is forgiven. One inside a destructor that runs because of another panic can't be
//! caught: the process ends, and the note stays.
//!
//! ```text
//! records.fault       lines: "began" for each time that the engine was opened, until a write has returned;
//!                     "panicked: " and what was said, for each panic that was not caught
//! records.unreadable  the same of reading it out, when its shard is set aside
//! ```

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BEGAN: &str = "began";
const PANICKED: &str = "panicked: ";
/// Number of processes in a row that ended between opening and first write, past which that is no accident: a kill
/// would have to meet some milliseconds of each start.
const BEGAN_MAX: usize = 3;

thread_local! {
    /// The note of the engine that this thread is in.
    static CURRENT: RefCell<Option<Arc<FaultNote>>> = const { RefCell::new(None) };
}

/// Note beside an engine's file, at its path. No file means that there is nothing to note.
#[derive(Debug)]
pub(crate) struct FaultNote {
    path: PathBuf,
}

impl FaultNote {
    /// Returns the note for the use of an engine's file.
    pub(crate) fn of_use(engine: &Path) -> Self {
        Self { path: engine.with_extension("fault") }
    }

    /// Returns the note for reading out an engine's file that was set aside.
    pub(crate) fn of_reading_out(engine: &Path) -> Self {
        Self { path: engine.with_extension("unreadable") }
    }

    /// Returns why the engine must not be tried again; `None` if it may be.
    pub(crate) fn condemns(&self) -> Option<String> {
        let said = fs::read_to_string(&self.path).ok()?;
        let panics: Vec<&str> =
            said.lines().filter_map(|line| line.strip_prefix(PANICKED)).collect();
        if let Some(first) = panics.first() {
            return Some(format!("it has ended the process: {first}"));
        }
        let began = said.lines().filter(|line| *line == BEGAN).count();
        let ended = || format!("{began} processes in a row ended just after they had opened it");
        (began >= BEGAN_MAX).then(ended)
    }

    /// Notes that the engine is being tried.
    pub(crate) fn begin(&self) {
        self.add(BEGAN);
    }

    /// Removes the note, since all is well.
    pub(crate) fn clear(&self) {
        // Without a note there is nothing to remove; one that stays is counted at the next start.
        let _ = fs::remove_file(&self.path);
    }

    /// Removes what was noted of panics, since the process goes on.
    pub(crate) fn forgive(&self) {
        let Ok(said) = fs::read_to_string(&self.path) else { return };
        let began = said.lines().filter(|line| *line == BEGAN).count();
        if began == 0 {
            return self.clear();
        }
        // A note that can't be written condemns an engine that was found damaged anyway.
        let _ = fs::write(&self.path, format!("{BEGAN}\n").repeat(began));
    }

    /// Runs `act`, whose panics are noted here.
    pub(crate) fn during<T>(self: &Arc<Self>, act: impl FnOnce() -> T) -> T {
        struct Restored(Option<Arc<FaultNote>>);
        impl Drop for Restored {
            fn drop(&mut self) {
                let before = self.0.take();
                CURRENT.with(|current| *current.borrow_mut() = before);
            }
        }
        let before = CURRENT.with(|current| current.replace(Some(Arc::clone(self))));
        let _restored = Restored(before);
        act()
    }

    fn add(&self, line: &str) {
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        let _ = file.and_then(|mut file: File| file.write_all(format!("{line}\n").as_bytes()));
    }
}

/// The note of the engine that this thread is in.
pub(crate) fn current() -> Option<Arc<FaultNote>> {
    CURRENT.with(|current| current.borrow().clone())
}

/// Notes a panic in an engine's call, which may turn out to end the process. For the panic hook that asks
/// [`crate::engine_at_work`].
pub fn note_engine_panic(what: &str) {
    if let Some(note) = current() {
        note.add(&format!("{PANICKED}{}", what.replace('\n', " ")));
    }
}

#[cfg(test)]
mod tests;
