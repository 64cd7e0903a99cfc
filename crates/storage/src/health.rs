//! How the disk of a shard's journal does: what it has not finished yet, and what it refuses.
//!
//! Invariant: written by the journal's thread alone, and read without waiting for it, since it may be stuck in a
//! call for as long as the disk likes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::StoreError;

/// No call is under way.
const IDLE: u64 = 0;

/// What the disk refuses, until it takes something again.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The last refusal.
    pub error: StoreError,
    /// When the first one came.
    pub since: SystemTime,
}

/// Shared by the journal's thread and its shard.
#[derive(Debug)]
pub(crate) struct Health {
    started: Instant,
    /// When the call under way began, in microseconds past `started` and at least 1.
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

    /// Makes one call of the disk.
    pub(crate) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        self.busy_since_us.store(self.now_us().max(1), Ordering::Relaxed);
        let outcome = call();
        self.busy_since_us.store(IDLE, Ordering::Relaxed);
        outcome
    }

    /// For how long the call under way has lasted.
    pub(crate) fn busy(&self) -> Option<Duration> {
        match self.busy_since_us.load(Ordering::Relaxed) {
            IDLE => None,
            since_us => Some(Duration::from_micros(self.now_us().saturating_sub(since_us))),
        }
    }

    /// Takes what a write has come to.
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

    /// What the disk refuses now.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
