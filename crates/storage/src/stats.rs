//! What a shard's storage has done, as counters.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the shard was opened, and sizes as they are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Records applied.
    pub applies: u64,
    /// Records replaced or removed.
    pub revisions: u64,
    /// Partitions dropped.
    pub drops: u64,
    /// Changes written to the journal.
    pub appends: u64,
    /// Writes that carried them: one for each group.
    pub groups: u64,
    /// Syncs of the journal that carried at least one change, whatever became of them.
    pub syncs: u64,
    /// The segments' size now.
    pub journal_bytes: u64,
    /// What waits for the journal's thread now.
    pub queued_bytes: u64,
    /// Journal writes and syncs that failed.
    pub journal_failures: u64,
    /// The buffers' size now, the one being flushed included.
    pub buffer_bytes: u64,
    /// The buffers' entries of records now.
    pub buffer_records: u64,
    /// Loads and pages that met a damaged record.
    pub damaged_records: u64,
    /// Changes refused because of a full buffer or queue.
    pub overloads: u64,
    /// Of the hints.
    pub hints: HintStats,
    /// Of the engine.
    pub engine: EngineStats,
}

/// What became of hints since the shard was opened, and what they amount to now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HintStats {
    /// Those that are kept now, for all targets.
    pub count: u64,
    /// Their size now.
    pub bytes: u64,
    /// Records taken in for other nodes.
    pub holds: u64,
    /// Hints removed because their targets have them.
    pub releases: u64,
    /// Those refused for the sake of the disk's reserve.
    pub refusals: u64,
    /// Loads and pages that met a damaged hint.
    pub damaged: u64,
}

/// What the engine holds and has been given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Its size now.
    pub bytes: u64,
    /// Its records now, those of dropped partitions included until they are swept.
    pub records: u64,
    /// Buffers flushed into it.
    pub flushes: u64,
    /// Flushes that failed and are tried again.
    pub flush_failures: u64,
}

/// A counter that one thread adds to and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the shard's other threads count.
#[derive(Debug, Default)]
pub(crate) struct SharedCounters {
    pub(crate) appends: Counter,
    pub(crate) groups: Counter,
    pub(crate) syncs: Counter,
    pub(crate) journal_bytes: Counter,
    pub(crate) queued_bytes: Counter,
    pub(crate) journal_failures: Counter,
    /// One while the journal lacks frames of what loads see.
    pub(crate) journal_lacks: Counter,
    pub(crate) flush_failures: Counter,
    pub(crate) damaged_records: Counter,
    pub(crate) damaged_hints: Counter,
}
