//! Condition of the disk of a shard's journal: what it has not finished yet, and what it refuses.
//!
//! Invariant: it is written by the journal's thread alone, and read without waiting for that thread, which may be stuck
//! in a call for as long as the disk likes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::StoreError;

/// Value of `busy_since_us` while no call is under way.
const IDLE: u64 = 0;

/// Refusal that lasts until the disk takes something again.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Error of the last refusal.
    pub error: StoreError,
    /// Time at which the first refusal came.
    pub since: SystemTime,
}

/// Condition of a disk, shared by the journal's thread and its shard.
#[derive(Debug)]
pub(crate) struct Health {
    started: Instant,
    /// Time at which the call under way began, in microseconds past `started` and at least 1.
    busy_since_us: AtomicU64,
    refused: Mutex<Option<Refused>>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            busy_since_us: AtomicU64::new(IDLE),
            refused: Mutex::new(None),
        }
    }

    fn now_us(&self) -> u64 {
        self.started.elapsed().as_micros() as u64
    }

    /// Makes one call of the disk, and notes how long it is under way.
    pub(crate) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        self.busy_since_us.store(self.now_us().max(1), Ordering::Relaxed);
        let outcome = call();
        self.busy_since_us.store(IDLE, Ordering::Relaxed);
        outcome
    }

    /// Returns how long the call under way has lasted; `None` if there is none.
    pub(crate) fn busy(&self) -> Option<Duration> {
        match self.busy_since_us.load(Ordering::Relaxed) {
            IDLE => None,
            since_us => Some(Duration::from_micros(self.now_us().saturating_sub(since_us))),
        }
    }

    /// Takes note of the outcome of a write.
    pub(crate) fn note(&self, written: Result<(), &StoreError>) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = match (written, refused.take()) {
            (Ok(()), _) => None,
            (Err(error), before) => Some(Refused {
                error: error.clone(),
                since: before.map_or_else(SystemTime::now, |before| before.since),
            }),
        };
    }

    /// Returns the refusal that lasts; `None` if the disk takes what it is given.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
