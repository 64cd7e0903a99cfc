//! Configuration of the node: settings from four sources, checked into one typed value.
//!
//! Invariant: a [`Config`] that exists can be started with, as far as can be told without starting.

mod check;
mod doors;
mod error;
mod file;
mod mysql;
mod option;
mod otlp;
mod place;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use jedlik_hashing::PartitionCount;

pub use doors::{Door, Doors};
pub use error::{InvalidConfig, Mistake};
pub use mysql::{Mysql, MysqlPlace};
pub use option::{ConfigOption, OPTIONS};
pub use place::{NotAPlace, Place};
pub use source::{CONFIG_VARIABLE, Setting, Settings, Snapshot, Source};

/// Engine that holds the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Engine that keeps records in redb files.
    Redb,
    /// Engine that keeps records in folders of sorted tables.
    Lsm,
    /// Engine that keeps records in tables of a MySQL or MariaDB server.
    Mysql,
    /// Engine that keeps records in memory, for tests and caches; a start finds only what the journal still has.
    Memory,
}

impl Engine {
    /// Returns the engine's name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Lsm => "lsm",
            Self::Mysql => "mysql",
            Self::Memory => "memory",
        }
    }

    /// Whether a start finds what the engine held.
    #[must_use]
    pub fn keeps_records(self) -> bool {
        self != Self::Memory
    }
}

/// Settings of where the records are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    /// Engine that holds the records.
    pub engine: Engine,
    /// Way to the server that has the records; `None` for every other engine.
    pub mysql: Option<Mysql>,
}

/// Format in which log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text lines for people to read.
    Text,
    /// One JSON object for each line.
    Json,
}

/// Settings of the log: format and filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Format in which lines are written.
    pub format: LogFormat,
    /// Filter of `tracing_subscriber` that says which lines are written; it is valid.
    pub filter: String,
}

/// Settings of what the node tells of its work: its log, and traces of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Format and filter of the log.
    pub log: Log,
    /// Collector of traces, and which requests are traced; `None` if none is.
    pub traces: Option<jedlik_traces::Settings>,
}

/// Credentials of this node, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Path of the authority's certificate.
    pub ca: PathBuf,
    /// Path of the node's certificate.
    pub cert: PathBuf,
    /// Path of the node's private key.
    pub key: PathBuf,
}

/// Limits on memory and files of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageLimits {
    /// Memory for data, all shards together: caches, buffers, filters and records; `None` for a share of the machine's.
    pub memory_bytes: Option<u64>,
    /// Size of the engines' caches, all shards together.
    pub cache_bytes: usize,
    /// Size of the buffers, all shards together.
    pub buffer_bytes: usize,
    /// Size of the journals, all shards together.
    pub journal_bytes: usize,
    /// Size of writes that wait for the journals, all shards together.
    pub queue_bytes: usize,
    /// Longest time that a write which asked for less than a sync may stay unsynced.
    pub sync_interval: Duration,
    /// Room on the disk that hints leave free, beyond `flush_reserve_bytes`.
    pub disk_reserve_bytes: u64,
    /// Room on the disk that records leave free, unless a twentieth of the disk is less.
    pub flush_reserve_bytes: u64,
    /// Time after which a disk that has not finished a write or a sync counts as stalled.
    pub stall_after: Duration,
}

impl StorageLimits {
    /// Returns the memory that caches and buffers take whatever is read, in bytes.
    #[must_use]
    pub fn fixed_bytes(&self) -> u64 {
        // While one buffer is moved into the engine, another fills.
        (self.cache_bytes + 2 * self.buffer_bytes) as u64
    }
}

/// Bounds on what waits, and on how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Number of inputs that may wait for one shard.
    pub queue_inputs: usize,
    /// Size of the values and records that may wait for the shards, all of them together; as much again may be under
    /// way.
    pub queue_bytes: usize,
    /// Time that a stopping node gives the requests that it has accepted.
    pub stop: Duration,
    /// Age up to which a message may change something.
    pub message_life: Duration,
    /// Time that others have to say what they remember of this node, before it serves without knowing.
    pub confirm: Duration,
}

/// Settings of what the node does of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background {
    /// Limit of messages and pages a second, all shards together.
    pub limit_per_s: u32,
    /// Latency that clients' requests may reach while background work runs, in hundredths of what it is without.
    pub slowdown_percent: u32,
    /// Time between two rounds of exchanges.
    pub exchange_interval: Duration,
    /// Time between two scrubs, readings of all records.
    pub scrub_interval: Duration,
}

/// Settings of the cluster's first layout, the same on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstLayout {
    /// Number of partitions of the layout.
    pub partitions: PartitionCount,
    /// Number of replicas that the layout is planned for.
    pub n: u8,
}

/// Configuration with which a node starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Path of the data directory.
    pub data_dir: PathBuf,
    /// Place at which the node listens; port 0 takes any free one.
    pub listen: Place,
    /// Place that others are told; `None` for the address that the node listens at.
    pub advertise: Option<Place>,
    /// Places of nodes through which this one finds the cluster.
    pub seeds: Vec<Place>,
    /// Failure domain of the node.
    pub zone: String,
    /// Share of the data, relative to the other nodes' weights.
    pub weight: u32,
    /// Engine that holds the records, and where.
    pub records: Records,
    /// Number of shards; `None` for the data directory's own, or for a new one as many as there are cores, up to 16.
    pub shards: Option<u16>,
    /// Settings of the cluster's first layout.
    pub first_layout: FirstLayout,
    /// Files of the node's credentials.
    pub tls: Tls,
    /// Places of the doors for programs that don't speak Jedlik's own protocol.
    pub doors: Doors,
    /// Settings of what the node tells of its work.
    pub telemetry: Telemetry,
    /// Limits on the storage's memory and files.
    pub storage: StorageLimits,
    /// Bounds on what waits, and on how long.
    pub limits: Limits,
    /// Settings of what the node does of its own accord.
    pub background: Background,
}
