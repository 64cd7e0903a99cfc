//! How one shard is set up: whose it is, where its journal lies, and every bound on its memory.

use std::path::PathBuf;
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;

use crate::ShardProgress;

/// Whose shard a journal belongs to; every segment names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardIdentity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The shard's index in its node.
    pub shard: u16,
}

/// The settings of one shard.
#[derive(Debug, Clone)]
pub struct ShardOptions {
    /// Whose it is.
    pub identity: ShardIdentity,
    /// A directory for the journal's segments alone; made if it is not there.
    pub journal_dir: PathBuf,
    /// The buffer is handed to the engine when it passes this size. Up to twice as much is held, since
    /// one buffer fills while the other is flushed.
    pub buffer_limit_bytes: usize,
    /// The buffer is handed to the engine when its part of the journal passes this size, which many
    /// writes to few keys bring about.
    pub segment_limit_bytes: usize,
    /// The most that may wait for the journal's thread.
    pub queue_limit_bytes: usize,
    /// While one buffer is being flushed, the other may fill up to this size, if that is more than
    /// `buffer_limit_bytes`, before writes are refused; so may its part of the journal and the journal's queue. It
    /// holds a few of the largest records, which else would be refused by a shard that has hardly anything to do.
    pub burst_limit_bytes: usize,
    /// How long a write that asked for less than `Synced` may stay unsynced.
    pub sync_interval: Duration,
    /// How long to wait before a failed flush is tried again.
    pub flush_retry: Duration,
    /// How many records of dropped partitions one commit takes off the engine's disk, which a flush has
    /// to wait for.
    pub sweep_limit_records: usize,
    /// Hints are refused while the journal's file system has less room than this and what records leave. Nodes that
    /// stay away then leave room for records.
    pub disk_reserve_bytes: u64,
    /// Records are refused while the file system has less room than this, or than a twentieth of it: what is
    /// journalled can then still be moved into the engine, also after a crash.
    pub flush_reserve_bytes: u64,
    /// How often the file system is asked for its room, at most.
    pub disk_check_interval: Duration,
    /// What the shard's files hold at least, unless they were put back from before or cut.
    pub reached: Option<ShardProgress>,
}

impl ShardOptions {
    /// The defaults: 8 MiB of buffer, 32 MiB of journal, 16 MiB of queue and no more than that in a burst, a sync
    /// each second, sweeps of 4,096 records, 1 GiB of the disk without hints, none without records, files that may hold anything.
    #[must_use]
    pub fn new(identity: ShardIdentity, journal_dir: PathBuf) -> Self {
        Self {
            identity,
            journal_dir,
            buffer_limit_bytes: 8 << 20,
            segment_limit_bytes: 32 << 20,
            queue_limit_bytes: 16 << 20,
            burst_limit_bytes: 0,
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
