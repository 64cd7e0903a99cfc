//! How many clusters run at a time: most of a test is waiting, so several share the processors.
//!
//! Invariant: a test that measures what a loaded machine would change has the machine to itself.

use std::env;
use std::fs::File;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::requests::size;

static TAKEN: Mutex<Taken> = Mutex::new(Taken { places: 0, waiting_alone: 0 });
static FREED: Condvar = Condvar::new();

/// How the places are used.
struct Taken {
    places: usize,
    /// Tests that want all places; nobody else begins before them, or they would wait for ever.
    waiting_alone: usize,
}

/// The places of one cluster, free again when it is gone.
pub(crate) struct Places {
    count: usize,
    since: Instant,
}

impl Places {
    /// Waits for one place.
    pub(crate) fn one() -> Self {
        let all = all();
        let mut taken = lock();
        while taken.waiting_alone > 0 || taken.places >= all {
            taken = FREED.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        taken.places += 1;
        Self { count: 1, since: Instant::now() }
    }

    /// Waits for all places.
    pub(crate) fn all() -> Self {
        let all = all();
        let mut taken = lock();
        taken.waiting_alone += 1;
        while taken.places > 0 {
            taken = FREED.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        taken.waiting_alone -= 1;
        taken.places = all;
        Self { count: all, since: Instant::now() }
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        lock().places -= self.count;
        FREED.notify_all();
        note(self.since);
    }
}

/// Writes how long this test had its places into the file that the environment names, for who looks for
/// slow ones: the time that it waited for them doesn't count.
fn note(since: Instant) {
    let Some(path) = env::var_os("JEDLIK_TEST_TIMES") else { return };
    let (seconds, thread) = (since.elapsed().as_secs_f64(), thread::current());
    let line = format!("{seconds:.1} {}\n", thread.name().unwrap_or("?"));
    let file = File::options().create(true).append(true).open(path);
    // A time that can't be kept is no reason to fail a test.
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}

/// No more than the test harness has threads, which is as many as processors unless it is told.
fn all() -> usize {
    size("JEDLIK_CLUSTERS", 4).max(1)
}

fn lock() -> MutexGuard<'static, Taken> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}
