//! Opening of a node's data directory with all of its shards.
//!
//! Invariant: the directory is this node's alone, and every shard has replayed its journal, unless its files
//! are damaged.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use jedlik_hashing::NodeId;
use jedlik_protocol::Incarnation;
use jedlik_protocol::limits::{LARGE_AT_ONCE, LARGE_AT_ONCE_BYTES};
use jedlik_storage::{
    DataDir, Filtered, Guarded, Identity, LifeMark, LyingAside, MarkFound, MemoryStore, OpenError,
    Recovery, RedbOptions, RedbStore, SetAside, Shard, ShardFolder, ShardIdentity, ShardOptions,
    ShardProgress, Store, life_in_engine,
};
#[cfg(feature = "lsm")]
use jedlik_storage::{LsmOptions, LsmStore};
use tracing::{info, warn};

use crate::config::{Config, Engine};
use crate::database;
use crate::error::NodeError;
use crate::inbox::{InboxLimits, InboxReader, Mail, inbox};
use crate::memory;
use crate::pool::{Pool, Share};
use crate::shard::Desk;

/// Largest number of shards that a new directory gets unless its configuration says more.
const SHARDS_DEFAULT_MAX: usize = 16;

/// Number of damaged parts of one journal that are logged each; the rest are counted.
const REGIONS_LOGGED: usize = 8;
/// Size of the burst that a shard takes however many shards there are, in bytes: two of the largest values.
const BURST_LEAST_BYTES: usize = LARGE_AT_ONCE_BYTES / LARGE_AT_ONCE * 2;
/// Number of sizes at which nodes flush their buffers: few nodes have one in common.
const ROOMS: u64 = 61;

/// Data directory that is open, with its shards.
pub(crate) struct Stores {
    pub(crate) dir: DataDir,
    pub(crate) shards: Vec<OpenShard>,
}

/// Shard that has not been given a thread yet.
pub(crate) struct OpenShard {
    /// Storage of the shard; the error if its files are damaged, so that its thread sets them aside.
    pub(crate) storage: Result<Shard, OpenError>,
    pub(crate) source: ShardSource,
    pub(crate) desk: Desk,
    pub(crate) reader: InboxReader,
}

/// Source of one shard's storage: all it takes to open it, as often as need be.
#[derive(Clone)]
pub(crate) struct ShardSource {
    engine: Engine,
    options: ShardOptions,
    cache_bytes: usize,
    folder: ShardFolder,
    /// Mark of the node's life that the shard is to carry; `None` for an engine that keeps nothing.
    mark: Option<LifeMark>,
    /// Desk at which the shard hears of what was done for it, completions of writes above all.
    desk: Desk,
}

impl ShardSource {
    /// Opens the storage that is in the folder.
    pub(crate) fn open(&self) -> Result<Shard, OpenError> {
        self.folder.prepare()?;
        self.open_over(self.open_engine()?)
    }

    /// Opens the storage that is in the folder, which a life of this process has used. If files are gone, the shard has
    /// lost its past.
    pub(crate) fn open_again(&self) -> Result<Shard, OpenError> {
        let is_whole = self.mark.is_none() || self.folder.is_whole()?;
        let mut storage = self.open()?;
        if !is_whole {
            let shard = self.options.identity.shard;
            warn!(shard, "the shard's files are gone: the other nodes refill it");
            storage.lose_past()?;
        }
        Ok(storage)
    }

    /// Returns the folder in which the shard keeps its files, if it keeps any.
    pub(crate) fn kept_in(&self) -> Option<&ShardFolder> {
        self.mark.map(|_| &self.folder)
    }

    fn open_over(&self, engine: Arc<dyn Store>) -> Result<Shard, OpenError> {
        self.open_reached(engine, None)
    }

    /// Opens the storage that is in the folder, which must hold as much as was `reached`.
    fn open_reached(
        &self,
        engine: Arc<dyn Store>,
        reached: Option<ShardProgress>,
    ) -> Result<Shard, OpenError> {
        let desk = self.desk.clone();
        let completed = Box::new(move |done| {
            desk.inbox.leave_order(Mail::Completed(done));
            desk.attend(true);
        });
        let options = ShardOptions { reached, ..self.options.clone() };
        let (storage, recovery) = Shard::open(options, engine, completed)?;
        log_recovery(self.options.identity.shard, &recovery);
        Ok(storage)
    }

    /// Opens the storage that is in the folder, if it is what the directory's last life has left there; otherwise it is
    /// set aside first.
    fn open_expected(&self, dir: &mut DataDir) -> Result<Shard, OpenError> {
        let shard = self.options.identity.shard;
        if self.mark.is_none() {
            return self.open();
        }
        self.folder.prepare()?;
        if !exists(&self.folder.engine_path())?
            && dir.expects(shard, MarkFound::Nothing, MarkFound::Nothing)
        {
            return self.open();
        }
        let engine = match exists(&self.folder.engine_path())? {
            true => Some(self.open_engine()?),
            false => None,
        };
        let found =
            engine.as_ref().map_or(Ok(MarkFound::Nothing), |engine| life_in_engine(&**engine))?;
        if let Some(engine) =
            engine.filter(|_| dir.expects(shard, found, self.folder.journal_mark()))
        {
            match self.open_reached(engine, dir.shard_progress(shard)) {
                Err(OpenError::Behind { what, .. }) => {
                    warn!(shard, what, "the shard's files hold less than they did");
                }
                opened => return opened,
            }
        }
        let knew = dir.lost_shards().contains(&shard);
        match dir.set_shard_aside(shard)? {
            Some(path) => warn!(
                shard, path = %path.display(),
                "the shard's files are an earlier copy, or a part of them is: they are set aside, and \
                 the other nodes refill an empty shard"
            ),
            None if knew => {}
            None => warn!(shard, "the shard's files are gone: the other nodes refill it"),
        }
        self.open()
    }

    /// Marks an open shard with the life of the node that uses it.
    pub(crate) fn mark(&self, storage: &mut Shard) -> Result<(), OpenError> {
        self.mark.map_or(Ok(()), |mark| storage.mark_life(mark))
    }

    fn open_engine(&self) -> Result<Arc<dyn Store>, OpenError> {
        Ok(match self.engine {
            Engine::Redb => {
                let path = self.folder.engine_path();
                let (cache_bytes, replaced) = (self.cache_bytes, self.folder.replaced());
                let options = RedbOptions { cache_bytes, replaced, ..RedbOptions::default() };
                let open = || RedbStore::open(&path, &options).map(Filtered::over);
                Arc::new(Guarded::open(&path, open)?)
            }
            Engine::Lsm => self.open_sorted_tables()?,
            Engine::Mysql => database::open(&self.folder)?,
            Engine::Memory => Arc::new(MemoryStore::new()),
        })
    }

    #[cfg(feature = "lsm")]
    fn open_sorted_tables(&self) -> Result<Arc<dyn Store>, OpenError> {
        let path = self.folder.engine_path();
        let options = LsmOptions { cache_bytes: self.cache_bytes, ..LsmOptions::default() };
        let open = || LsmStore::open(&path, &options).map(Filtered::over);
        Ok(Arc::new(Guarded::open(&path, open)?))
    }

    /// Refuses an engine that this build is without; the configuration does so before.
    #[cfg(not(feature = "lsm"))]
    fn open_sorted_tables(&self) -> Result<Arc<dyn Store>, OpenError> {
        let message = "this program was built without the feature `lsm`".into();
        Err(OpenError::Engine { path: self.folder.engine_path(), message })
    }

    /// Puts an undamaged folder in the place of the shard's, which must be closed.
    pub(crate) fn set_aside(&self, why: &str) -> Result<SetAside, OpenError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.folder.rebuild(why, now.as_secs())
    }

    /// Returns the folder of the newest earlier copy of this shard that was set aside; `None` if there is none.
    pub(crate) fn earlier_copy(&self) -> Option<PathBuf> {
        let lying = self.folder.lying_aside().into_iter().filter(|lying| !lying.damaged);
        lying.max_by_key(|lying| lying.since_s).map(|lying| lying.path)
    }

    /// Returns the shard's desk.
    pub(crate) fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Lists the shard's files that were set aside.
    pub(crate) fn lying_aside(&self) -> Vec<LyingAside> {
        self.folder.lying_aside()
    }
}

/// Makes the next start use the configured data directory as it is, whatever the cluster remembers of lives that the
/// directory does not. Returns the folder of shards that were set aside already, if there is one.
///
/// # Errors
/// The directory is in use, is none, or can't be used.
pub fn believe_copy(config: &Config) -> Result<Option<PathBuf>, NodeError> {
    Ok(DataDir::believe(&config.data_dir)?)
}

/// Opens the directory and all its shards; blocks while journals are replayed.
pub(crate) fn open(config: &Config, first: ShardIdentity) -> Result<Stores, NodeError> {
    let shards = match config.shards {
        Some(shards) => shards,
        None => DataDir::shards_at(&config.data_dir)?.unwrap_or_else(shards_by_cores),
    };
    let owner = Identity {
        cluster: first.cluster,
        node: first.node,
        shards,
        engine: config.records.engine.name().into(),
        partitions: config.first_layout.partitions,
    };
    let fresh = Incarnation(random_u64()?);
    let mut dir = DataDir::open(&config.data_dir, &owner, fresh)?;
    info!(
        path = %config.data_dir.display(),
        shards,
        engine = config.records.engine.name(),
        generation = dir.generation(),
        clean = dir.was_clean(),
        "opened the data directory"
    );
    // This comes before journals are replayed, which need no room: the next start may find as little.
    if let Err(error) = dir.keep_room() {
        warn!(%error, "no room is kept for a start on a full disk");
    }
    let waiting = Pool::new(config.limits.queue_bytes, usize::from(shards));
    let opened: Result<Vec<OpenShard>, OpenError> = (0..shards)
        .map(|shard| {
            let identity = ShardIdentity { shard, ..first };
            open_shard(config, &mut dir, identity, shards, waiting.share())
        })
        .collect();
    match opened {
        Ok(shards) => Ok(Stores { dir, shards }),
        Err(error) => {
            give_up(dir);
            Err(error.into())
        }
    }
}

/// Marks every open shard with the life of the node that uses it, before anything is issued in that life. A disk that
/// takes nothing now does not keep the node from starting: the marks of the life before stay expected.
pub(crate) fn mark(dir: &mut DataDir, shards: &mut [OpenShard]) {
    let mut marked = Vec::with_capacity(shards.len());
    for (index, shard) in shards.iter_mut().enumerate() {
        let Ok(storage) = &mut shard.storage else { continue };
        match shard.source.mark(storage) {
            Ok(()) if shard.source.mark.is_some() => marked.push(index as u16),
            Ok(()) => {}
            Err(error) => warn!(shard = index, %error, "the shard can't be marked as used"),
        }
    }
    if let Err(error) = dir.note_life_marks(&marked) {
        warn!(%error, "which shards this life uses can't be written down");
    }
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    path.try_exists().map_err(|source| OpenError::Io {
        doing: "looking for",
        path: path.into(),
        source,
    })
}

/// Ends a start that failed before anything was issued in its life.
pub(crate) fn give_up(dir: DataDir) {
    if let Err(error) = dir.give_up() {
        warn!(%error, "the next start will take the last stop for an unclean one");
    }
}

/// Returns the part of a buffer's room, three quarters of it to all, that is filled on a node before it is flushed. The
/// replicas of a record take in the same bytes: with the same room all would flush at the same moments, and no quorum
/// could go round those that do.
fn room(bytes: usize, node: NodeId) -> usize {
    bytes - bytes / 4 / ROOMS as usize * (node.0 % ROOMS) as usize
}

fn open_shard(
    config: &Config,
    dir: &mut DataDir,
    identity: ShardIdentity,
    shards: u16,
    waiting: Share,
) -> Result<OpenShard, OpenError> {
    let folder = database::equipped(dir.shard_folder(identity.shard), config, identity.node);
    let share = |bytes: usize| bytes / usize::from(shards);
    let options = ShardOptions {
        buffer_limit_bytes: room(share(config.storage.buffer_bytes), identity.node),
        segment_limit_bytes: share(config.storage.journal_bytes),
        queue_limit_bytes: share(config.storage.queue_bytes),
        records_bytes: memory::for_records(&config.storage) / u64::from(shards),
        burst_limit_bytes: share(LARGE_AT_ONCE_BYTES).max(BURST_LEAST_BYTES),
        sync_interval: config.storage.sync_interval,
        disk_reserve_bytes: config.storage.disk_reserve_bytes,
        flush_reserve_bytes: config.storage.flush_reserve_bytes,
        ..ShardOptions::new(identity, folder.journal_dir())
    };
    let (inputs, stall_after) = (config.limits.queue_inputs, config.storage.stall_after);
    let (inbox, reader) = inbox(InboxLimits { inputs, stall_after }, waiting);
    let desk = Desk::new(inbox);
    let source = ShardSource {
        engine: config.records.engine,
        options,
        cache_bytes: share(config.storage.cache_bytes),
        folder,
        mark: config.records.engine.keeps_records().then(|| dir.life_mark()),
        desk: desk.clone(),
    };
    let mut storage = source.open_expected(dir);
    if dir.lost_shards().contains(&identity.shard)
        && let Ok(storage) = &mut storage
    {
        storage.lose_past()?;
    }
    match storage {
        Err(error) if !error.is_damage() => Err(error),
        storage => Ok(OpenShard { storage, source, desk, reader }),
    }
}

fn log_recovery(shard: u16, recovery: &Recovery) {
    let Recovery { records, segments, torn_bytes, damaged } = recovery;
    if *records > 0 || *torn_bytes > 0 {
        info!(shard, records, segments, torn_bytes, "replayed the journal");
    }
    for region in damaged.iter().take(REGIONS_LOGGED) {
        warn!(
            shard,
            segment = region.segment,
            offset_bytes = region.offset_bytes,
            length_bytes = region.length_bytes,
            records = region.records,
            "a part of the journal is damaged; its records come back from the other replicas"
        );
    }
    let others = damaged.get(REGIONS_LOGGED..).unwrap_or_default();
    if !others.is_empty() {
        let records: u64 = others.iter().map(|region| region.records).sum();
        warn!(shard, parts = others.len(), records, "so are other parts of the journal");
    }
}

fn shards_by_cores() -> u16 {
    available_parallelism().map_or(1, NonZero::get).min(SHARDS_DEFAULT_MAX) as u16
}

/// Returns random bytes from the system.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], NodeError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| NodeError::Entropy { message: error.to_string() })?;
    Ok(bytes)
}

fn random_u64() -> Result<u64, NodeError> {
    random_bytes().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
