//! Counters of what a shard's storage has done.

use std::sync::atomic::{AtomicU64, Ordering};

use jedlik_histogram::{SharedSizesBytes, SharedTimesUs, SizesBytes, TimesUs};

use crate::record_cache::CacheStats;
use crate::trouble_log::ShardTroubles;

/// Counters since the shard was opened, and sizes as they are now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Number of records applied.
    pub applies: u64,
    /// Number of records replaced or removed.
    pub revisions: u64,
    /// Number of partitions dropped.
    pub drops: u64,
    /// Counters of the shard's journal.
    pub journal: JournalStats,
    /// Size of the buffers in memory now, the one being flushed included, in bytes.
    pub buffer_bytes: u64,
    /// Number of records' entries in the buffers now.
    pub buffer_records: u64,
    /// Counters of the cache of records.
    pub cache: CacheStats,
    /// Number of damaged records that loads and pages met, repeats included.
    pub damaged_records: u64,
    /// Number of changes refused because of a full buffer or queue.
    pub overloads: u64,
    /// Counters of the shard's hints.
    pub hints: HintStats,
    /// Counters of the shard's engine.
    pub engine: EngineStats,
}

/// Counters of the journal since the shard was opened, and its sizes now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Number of changes written to the journal.
    pub appends: u64,
    /// Number of writes to the journal, one for each group of changes.
    pub groups: u64,
    /// Number of syncs of the journal that carried at least one change, whatever became of them.
    pub syncs: u64,
    /// Time that each of those syncs took.
    pub syncs_us: TimesUs,
    /// Size of each group of changes that was written to the journal.
    pub groups_bytes: SizesBytes,
    /// Size of the journal's segments now, in bytes.
    pub bytes: u64,
    /// Size of the changes that wait for the journal's thread now, in bytes.
    pub queued_bytes: u64,
    /// Number of writes and syncs of the journal that failed.
    pub failures: u64,
}

/// Counters of hints since the shard was opened, and their number and size now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HintStats {
    /// Number of hints that are kept now, for all targets.
    pub count: u64,
    /// Size of the hints that are kept now, in bytes.
    pub bytes: u64,
    /// Number of records taken in for other nodes.
    pub holds: u64,
    /// Number of hints removed because their targets have them.
    pub releases: u64,
    /// Number of hints refused for the sake of the disk's reserve.
    pub refusals: u64,
    /// Number of damaged hints that loads and pages met, repeats included.
    pub damaged: u64,
}

/// Counters of the engine since the shard was opened, and its size now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Room that the engine takes now, in bytes.
    pub bytes: u64,
    /// Number of records in the engine now, those of dropped partitions included until they are swept.
    pub records: u64,
    /// Memory that the filters of absent keys take, in bytes.
    pub filter_bytes: u64,
    /// Number of buffers flushed into the engine.
    pub flushes: u64,
    /// Number of flushes that failed; each is tried again.
    pub flush_failures: u64,
    /// Merges of the engine's tables; `None` for an engine without any.
    pub merges: Option<MergeStats>,
}

/// Merges that an engine of sorted tables has made since it was opened, and what waits for them now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MergeStats {
    /// Whether the engine merges now, or looks for something to merge.
    pub working: bool,
    /// Number of runs of tables that a load may have to look through before it comes to merged ones.
    pub waiting_runs: u64,
    /// Number of merges so far.
    pub merges: u64,
    /// Size of the tables that merges have made, in bytes.
    pub merged_bytes: u64,
    /// Room that is taken besides what the records need, in bytes: by values that nobody needs any more above all.
    pub garbage_bytes: u64,
    /// Time since the end of the last merge, in milliseconds; `None` before the first.
    pub last_age_ms: Option<u64>,
}

/// Counter that one thread adds to and others read.
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

/// Counters that the shard's threads share, and what is logged of the troubles that they count.
#[derive(Debug)]
pub(crate) struct SharedCounters {
    pub(crate) troubles: ShardTroubles,
    pub(crate) appends: Counter,
    pub(crate) groups: Counter,
    pub(crate) syncs: Counter,
    pub(crate) syncs_us: SharedTimesUs,
    pub(crate) groups_bytes: SharedSizesBytes,
    pub(crate) journal_bytes: Counter,
    pub(crate) queued_bytes: Counter,
    pub(crate) journal_failures: Counter,
    /// Flag that is 1 while the journal lacks frames of what loads see.
    pub(crate) journal_lacks: Counter,
    pub(crate) flush_failures: Counter,
    pub(crate) damaged_records: Counter,
    pub(crate) damaged_hints: Counter,
}

impl SharedCounters {
    /// Returns the counters of a shard that has done nothing yet.
    pub(crate) fn of(shard: u16) -> Self {
        Self {
            troubles: ShardTroubles::of(shard),
            appends: Counter::default(),
            groups: Counter::default(),
            syncs: Counter::default(),
            syncs_us: SharedTimesUs::default(),
            groups_bytes: SharedSizesBytes::default(),
            journal_bytes: Counter::default(),
            queued_bytes: Counter::default(),
            journal_failures: Counter::default(),
            journal_lacks: Counter::default(),
            flush_failures: Counter::default(),
            damaged_records: Counter::default(),
            damaged_hints: Counter::default(),
        }
    }
}
