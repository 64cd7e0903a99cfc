//! The record of what was done to the cluster, and when: printed at once, and kept for the traces of keys.

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Clock of a run, and the events recorded by it.
#[derive(Debug)]
pub(crate) struct Chronicle {
    start: Instant,
    told: Mutex<Told>,
}

/// Events and counts of a run so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// Printed lines, with their times in microseconds since the start.
    pub(crate) lines: Vec<(u64, String)>,
    /// Number of events of each kind.
    pub(crate) counts: BTreeMap<String, u64>,
}

impl Chronicle {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), told: Mutex::default() }
    }

    /// Returns the microseconds since the start of the run.
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Prints a line with the time, and records it.
    pub(crate) fn say(&self, line: impl Into<String>) {
        let (at_us, line) = (self.now_us(), line.into());
        print(&format!("{}  {line}", clock(at_us)));
        self.told.lock().unwrap_or_else(PoisonError::into_inner).lines.push((at_us, line));
    }

    /// Adds one to the count of a kind of event.
    pub(crate) fn count(&self, what: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told.counts.entry(what.into()).or_default() += 1;
    }

    /// Returns a copy of the lines and counts so far.
    pub(crate) fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Prints a line. A closed standard output is no reason to end, least of all before tidying up.
pub(crate) fn print(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// Formats a time of the run for people.
pub(crate) fn clock(at_us: u64) -> String {
    format!("{:>5}.{:03}", at_us / 1_000_000, at_us / 1_000 % 1_000)
}
