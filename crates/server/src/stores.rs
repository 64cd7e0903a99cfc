//! Opens a node's data directory with all of its shards.
//!
//! Invariant: the directory is this node's alone, and every shard has replayed its journal.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;

use jedlik_protocol::Incarnation;
use jedlik_storage::{
    DataDir, Identity, MemoryStore, OpenError, Recovery, RedbOptions, RedbStore, Shard,
    ShardIdentity, ShardOptions, Store,
};
use tracing::{info, warn};

use crate::config::{Config, Engine};
use crate::error::NodeError;
use crate::inbox::{Inbox, InboxLimits, InboxReader, Mail, inbox};

/// The most shards that a new directory gets unless its configuration says more.
const SHARDS_DEFAULT_MAX: usize = 16;

/// An open data directory.
pub(crate) struct Stores {
    pub(crate) dir: DataDir,
    pub(crate) shards: Vec<OpenShard>,
}

/// One shard that has not been given a thread yet.
pub(crate) struct OpenShard {
    pub(crate) storage: Shard,
    pub(crate) inbox: Inbox,
    pub(crate) reader: InboxReader,
}

/// Opens everything; blocks while journals are replayed.
pub(crate) fn open(config: &Config, first: ShardIdentity) -> Result<Stores, NodeError> {
    let shards = match config.shards {
        Some(shards) => shards,
        None => DataDir::shards_at(&config.data_dir)?.unwrap_or_else(shards_by_cores),
    };
    let owner = Identity {
        cluster: first.cluster,
        node: first.node,
        shards,
        engine: config.engine.name().into(),
        partitions: config.partitions,
    };
    let fresh = Incarnation(random_u64()?);
    let dir = DataDir::open(&config.data_dir, &owner, fresh)?;
    info!(
        path = %config.data_dir.display(),
        shards,
        engine = config.engine.name(),
        generation = dir.generation(),
        clean = dir.was_clean(),
        "opened the data directory"
    );
    let opened: Result<Vec<OpenShard>, OpenError> = (0..shards)
        .map(|shard| open_shard(config, &dir, ShardIdentity { shard, ..first }, shards))
        .collect();
    match opened {
        Ok(shards) => Ok(Stores { dir, shards }),
        Err(error) => {
            give_up(dir);
            Err(error.into())
        }
    }
}

/// Ends a start that failed before anything was issued in its life.
pub(crate) fn give_up(dir: DataDir) {
    if let Err(error) = dir.give_up() {
        warn!(%error, "the next start will take the last stop for an unclean one");
    }
}

fn open_shard(
    config: &Config,
    dir: &DataDir,
    identity: ShardIdentity,
    shards: u16,
) -> Result<OpenShard, OpenError> {
    let folder = dir.shard_dir(identity.shard)?;
    let share = |bytes: usize| bytes / usize::from(shards);
    let options = ShardOptions {
        buffer_limit_bytes: share(config.storage.buffer_bytes),
        segment_limit_bytes: share(config.storage.journal_bytes),
        queue_limit_bytes: share(config.storage.queue_bytes),
        sync_interval: config.storage.sync_interval,
        disk_reserve_bytes: config.storage.disk_reserve_bytes,
        ..ShardOptions::new(identity, folder.join("journal"))
    };
    let engine = open_engine(config, &folder, share(config.storage.cache_bytes))?;
    let (inputs, bytes) = (config.limits.queue_inputs, share(config.limits.queue_bytes));
    let (inbox, reader) = inbox(InboxLimits { inputs, bytes });
    let completions = inbox.clone();
    let completed = Box::new(move |done| completions.push(Mail::Completed(done)));
    let (storage, recovery) = Shard::open(options, engine, completed)?;
    log_recovery(identity.shard, &recovery);
    Ok(OpenShard { storage, inbox, reader })
}

fn open_engine(
    config: &Config,
    folder: &Path,
    cache_bytes: usize,
) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match config.engine {
        Engine::Redb => {
            Arc::new(RedbStore::open(&folder.join("records.redb"), &RedbOptions { cache_bytes })?)
        }
        Engine::Memory => Arc::new(MemoryStore::new()),
    })
}

fn log_recovery(shard: u16, recovery: &Recovery) {
    let Recovery { records, segments, torn_bytes, damaged } = recovery;
    if *records > 0 || *torn_bytes > 0 {
        info!(shard, records, segments, torn_bytes, "replayed the journal");
    }
    for region in damaged {
        warn!(
            shard,
            segment = region.segment,
            offset_bytes = region.offset_bytes,
            length_bytes = region.length_bytes,
            records = region.records,
            "a part of the journal is damaged; its records come back from the other replicas"
        );
    }
}

fn shards_by_cores() -> u16 {
    available_parallelism().map_or(1, NonZero::get).min(SHARDS_DEFAULT_MAX) as u16
}

/// Random bytes from the system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| NodeError::Entropy { message: error.to_string() })?;
    Ok(bytes)
}

fn random_u64() -> Result<u64, NodeError> {
    random_bytes().map(u64::from_le_bytes)
}
