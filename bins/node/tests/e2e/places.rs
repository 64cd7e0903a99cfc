//! The limit on clusters that run at the same time: most of a test is waiting, so several share the processors.
//!
//! Invariant: a test that a loaded machine would distort has the machine to itself.

use std::env;
use std::fs::File;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::requests::size;

static TAKEN: Mutex<Taken> = Mutex::new(Taken { places: 0, waiting_alone: 0 });
static FREED: Condvar = Condvar::new();

/// Use of the places, under the lock.
struct Taken {
    places: usize,
    /// Number of tests that wait for all places; no other test begins before them, or they would wait for ever.
    waiting_alone: usize,
}

/// Places that one cluster has taken, which are free again when this is dropped.
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

/// Appends the time since this test got its places to the file named by the environment, for a search for slow tests.
/// Time spent waiting for places doesn't count.
fn note(since: Instant) {
    let Some(path) = env::var_os("JEDLIK_TEST_TIMES") else { return };
    let (seconds, thread) = (since.elapsed().as_secs_f64(), thread::current());
    let line = format!("{seconds:.1} {}\n", thread.name().unwrap_or("?"));
    let file = File::options().create(true).append(true).open(path);
    // A time that can't be written is no reason to fail a test.
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}

/// Returns the number of places: as many as the test harness has threads, by default as many as processors.
fn all() -> usize {
    size("JEDLIK_CLUSTERS", 4).max(1)
}

fn lock() -> MutexGuard<'static, Taken> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}
