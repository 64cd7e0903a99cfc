//! Account of the merges since the engine was opened, for those who ask what it does by itself.
//!
//! Invariant: nothing is decided by what is counted here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::stats::Counter;
use crate::{MergeStats, StoreError};

use super::engine::Engine;
use super::garbage;
use super::tree::Merged;

/// Counts of merges, and the time of the last one.
#[derive(Debug, Default)]
pub(super) struct Merges {
    working: AtomicBool,
    count: Counter,
    bytes: Counter,
    last: Mutex<Option<Instant>>,
}

impl Merges {
    /// Says whether the engine's thread is at work.
    pub(super) fn works(&self, working: bool) {
        self.working.store(working, Ordering::Relaxed);
    }

    /// Counts a merge, if anything was merged. Returns whether it was.
    pub(super) fn add(&self, merged: Option<Merged>) -> bool {
        if let Some(Merged { bytes }) = merged {
            self.count.add(1);
            self.bytes.add(bytes);
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        merged.is_some()
    }

    /// Returns the counts, with what waits in the engine now.
    pub(super) fn stats(&self, engine: &Engine) -> Result<MergeStats, StoreError> {
        engine.with("counting what waits to be merged", |opened| {
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(MergeStats {
                working: self.working.load(Ordering::Relaxed),
                waiting_runs: opened.waiting_runs() as u64,
                merges: self.count.value(),
                merged_bytes: self.bytes.value(),
                garbage_bytes: opened.used_bytes().saturating_sub(garbage::needed(opened)),
                last_age_ms: last.map(|last| last.elapsed().as_millis() as u64),
            })
        })
    }
}
