//! The node's configuration: settings from four sources, checked into one typed value.
//!
//! Invariant: a [`Config`] that exists can be started with, as far as can be told without starting.

mod check;
mod error;
mod file;
mod option;
mod place;
mod source;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use jedlik_hashing::PartitionCount;

pub use error::{InvalidConfig, Mistake};
pub use option::{ConfigOption, OPTIONS};
pub use place::{NotAPlace, Place};
pub use source::{CONFIG_VARIABLE, Setting, Settings, Snapshot, Source};

/// What holds the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Files.
    Redb,
    /// Memory, filled from the journal at a start; for tests and caches.
    Memory,
}

impl Engine {
    /// Its name in configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Memory => "memory",
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// See [`LogFormat`].
    pub format: LogFormat,
    /// A valid filter of `tracing_subscriber`.
    pub filter: String,
}

/// This node's credentials: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The node's certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Memory and files of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageLimits {
    /// Of the engines' caches, all shards together.
    pub cache_bytes: usize,
    /// Of the buffers, all shards together.
    pub buffer_bytes: usize,
    /// Of the journals, all shards together.
    pub journal_bytes: usize,
    /// Of writes that wait for the journals, all shards together.
    pub queue_bytes: usize,
    /// How long a write may stay unsynced that asked for no more.
    pub sync_interval: Duration,
    /// What hints leave of the disk.
    pub disk_reserve_bytes: u64,
    /// What records leave of the disk, unless a twentieth of it is less.
    pub flush_reserve_bytes: u64,
    /// A disk that does not finish what it is asked for so long is stalled.
    pub stall_after: Duration,
}

/// Bounds on what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Inputs waiting for one shard.
    pub queue_inputs: usize,
    /// Bytes of values and records that wait for the shards, all of them together; and as much again
    /// may be under way.
    pub queue_bytes: usize,
    /// How long accepted requests may go on in a stopping node.
    pub stop: Duration,
    /// How old a message may be that changes something.
    pub message_life: Duration,
    /// How long others may take to say what they remember of this node, before it serves without knowing.
    pub confirm: Duration,
}

/// What the node does of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Background {
    /// Messages and pages a second, all shards together.
    pub limit_per_s: u32,
    /// How slow the foreground may become, in hundredths.
    pub slowdown_percent: u32,
    /// Between two rounds of exchanges.
    pub exchange_interval: Duration,
    /// Between two readings of all records.
    pub scrub_interval: Duration,
}

/// Everything a node is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the records are.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 for any.
    pub listen: Place,
    /// What to tell others, if not the address listened on.
    pub advertise: Option<Place>,
    /// Through whom to find the cluster.
    pub seeds: Vec<Place>,
    /// The failure domain.
    pub zone: String,
    /// The share of the data.
    pub weight: u32,
    /// What holds the records.
    pub engine: Engine,
    /// `None`: as the data directory has it, or by the cores for a new one.
    pub shards: Option<u16>,
    /// For the first layout.
    pub partitions: PartitionCount,
    /// Replicas that the first layout is planned for.
    pub n: u8,
    /// Credentials.
    pub tls: Tls,
    /// Logs.
    pub log: Log,
    /// Memory and files.
    pub storage: StorageLimits,
    /// Bounds on what waits.
    pub limits: Limits,
    /// What the node does of its own accord.
    pub background: Background,
}
