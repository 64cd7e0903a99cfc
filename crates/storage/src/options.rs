//! Settings of one shard: whose it is, where its journal lies, and every bound on its memory.

use std::path::PathBuf;
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;

use crate::ShardProgress;

/// Identity of the shard that a journal belongs to; every segment names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardIdentity {
    /// Cluster that the node belongs to.
    pub cluster: ClusterId,
    /// Node that the shard belongs to.
    pub node: NodeId,
    /// Index of the shard in its node.
    pub shard: u16,
}

/// Settings with which one shard is opened.
#[derive(Debug, Clone)]
pub struct ShardOptions {
    /// Identity that every segment of the journal has to name.
    pub identity: ShardIdentity,
    /// Directory for the journal's segments alone, made if it is not there.
    pub journal_dir: PathBuf,
    /// Size past which the buffer is handed to the engine, in bytes. Up to twice as much is held, since one buffer
    /// fills while the other is flushed.
    pub buffer_limit_bytes: usize,
    /// Size of the buffer's part of the journal past which the buffer is handed to the engine, in bytes; many writes to
    /// few keys bring that about.
    pub segment_limit_bytes: usize,
    /// Largest size of the changes that wait for the journal's thread, in bytes.
    pub queue_limit_bytes: usize,
    /// Size up to which a buffer may fill while the other is being flushed, if that is more than `buffer_limit_bytes`,
    /// before writes are refused; so may its part of the journal, and the journal's queue. It holds a few of the
    /// largest records, which would otherwise be refused by a shard that has hardly anything to do.
    pub burst_limit_bytes: usize,
    /// Size of the cache of records, in bytes; the engine's filters take a part of it.
    pub records_bytes: u64,
    /// Longest time that a write which asked for less than `Synced` stays unsynced.
    pub sync_interval: Duration,
    /// Time to wait before a failed flush is tried again.
    pub flush_retry: Duration,
    /// Number of records of dropped partitions that one commit takes off the engine's disk; a flush has to wait for
    /// that commit.
    pub sweep_limit_records: usize,
    /// Free room below which hints are refused, in bytes beyond what records leave free. Nodes that stay away thus
    /// leave room for records.
    pub disk_reserve_bytes: u64,
    /// Free room below which records are refused, in bytes, unless a twentieth of the file system is less. What is
    /// journalled can then still be moved into the engine, also after a crash.
    pub flush_reserve_bytes: u64,
    /// Time between two readings of the file system's free room; a twentieth of it while room is short.
    pub disk_check_interval: Duration,
    /// Progress that the shard's files hold at least, unless they were replaced by an earlier copy or cut; `None` if
    /// they may hold anything.
    pub reached: Option<ShardProgress>,
}

impl ShardOptions {
    /// Returns the defaults: 8 MiB of buffer, 32 MiB of journal, 16 MiB of queue and no more than that in a burst, no
    /// cache of records, a sync each second, sweeps of 4,096 records, 1 GiB of the disk kept free of hints, none kept free of records, and
    /// files that may hold anything.
    #[must_use]
    pub fn new(identity: ShardIdentity, journal_dir: PathBuf) -> Self {
        Self {
            identity,
            journal_dir,
            buffer_limit_bytes: 8 << 20,
            segment_limit_bytes: 32 << 20,
            queue_limit_bytes: 16 << 20,
            burst_limit_bytes: 0,
            records_bytes: 0,
            sync_interval: Duration::from_secs(1),
            flush_retry: Duration::from_secs(1),
            sweep_limit_records: 4096,
            disk_reserve_bytes: 1 << 30,
            flush_reserve_bytes: 0,
            disk_check_interval: Duration::from_secs(1),
            reached: None,
        }
    }
}
