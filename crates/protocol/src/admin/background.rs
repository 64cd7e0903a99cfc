//! What a node does in the background, and how fast it may.

use alloc::string::String;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

/// State and bounds of a node's background work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BackgroundReport {
    /// Whether an admin has paused all background work.
    pub paused: bool,
    /// Kinds of work that an admin has paused.
    pub paused_kinds: Vec<WorkKind>,
    /// Bound that an admin has set, in steps a second; a step is a message, or four records or
    /// 16 KiB of a page.
    pub limit_per_s: u32,
    /// Latency up to which background work may slow the foreground, in percent of its quiet 99th percentile.
    pub slowdown_percent: u32,
    /// Present pace in steps a second.
    pub pace_per_s: u32,
    /// Recent 99th percentile of the foreground's latency, in microseconds.
    pub foreground_p99_us: u64,
    /// 99th percentile of the foreground's latency while nothing runs in the background, in microseconds.
    pub quiet_p99_us: u64,
    /// Number of steps taken since the node started, by kind of work.
    pub steps: Vec<(String, u64)>,
    /// Merges of the engines of sorted tables, which are no steps; `None` on a node whose engines merge nothing.
    pub merges: Option<MergeReport>,
}

/// Merges that the engines of a node's shards make by themselves, and what waits for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct MergeReport {
    /// Number of shards whose engine is at work now.
    pub working: u32,
    /// Number of runs of tables that wait to be merged, of the shard with most.
    pub waiting_runs: u64,
    /// Number of merges since each shard was opened.
    pub merges: u64,
    /// Size of the tables that those merges have made, in bytes.
    pub merged_bytes: u64,
    /// Room that is taken besides what the records need, in bytes.
    pub garbage_bytes: u64,
    /// Time since the end of the last merge, in milliseconds; `None` before the first.
    pub last_age_ms: Option<u64>,
}

/// A kind of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum WorkKind {
    /// Delivery of hints to their targets.
    Handoff,
    /// Comparison of replicas, and repair of what differs.
    Repair,
    /// Collection of tombstones, expired records and clock entries.
    Collection,
    /// Transfer of partitions to their new owners.
    Transfer,
}

/// A change to background work; a field that is `None` leaves its setting as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct BackgroundChange {
    /// Kind of work that `paused` applies to; `None` for all.
    pub work: Option<WorkKind>,
    /// Whether the work is paused; `false` resumes it.
    pub paused: Option<bool>,
    /// Bound in steps a second, at least 1; see [`BackgroundReport::limit_per_s`].
    pub limit_per_s: Option<u32>,
    /// Bound in percent, at least 101; see [`BackgroundReport::slowdown_percent`].
    pub slowdown_percent: Option<u32>,
}
