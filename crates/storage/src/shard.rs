//! Storage of one shard: the buffer before the engine, the journal beside it
//! ([design 3](../../../docs/design.md#3-requests)).
//!
//! Invariant: a load sees every apply before it, whatever has become of it on disk, and memory is bounded by the limits
//! of [`ShardOptions`].

use std::sync::{Arc, OnceLock};
use std::{io, mem};

use jedlik_protocol::{Durability, PlacedKey, StoredRecord};
use jedlik_storage_port::{RangePage, RecordChange, RecordMeta};

use crate::disk::{Directory, Disk};
use crate::flusher::write_into;
use crate::health::{Health, Refused};
use crate::journal::{Edit, JournalSettings, Message, Recovery, Replayed, Sink, replay};
use crate::layers::{Frozen, Layers};
use crate::ledger::Ledger;
use crate::life_mark::{self, LifeMark};
use crate::mark;
use crate::merge::merged;
use crate::progress::ProgressWatch;
use crate::room::{Reserves, Room};
use crate::stats::SharedCounters;
use crate::{
    EngineStats, HintStats, JournalStats, OpenError, RangeQuery, ShardOptions, ShardStats, Store,
    StoreError,
};

mod condition;
mod drops;
mod hints;
mod kept;
mod queue;
mod revise;
mod scan;
mod threads;

use queue::Unsent;
use threads::Threads;

/// Outcome of one change, which answers its ticket.
#[derive(Debug, Clone)]
pub struct Completion {
    /// Ticket of the change, as given to [`Shard::apply`] and the like.
    pub ticket: u64,
    /// Result of the change: `Ok` once it is as durable as was asked. After an error loads may still show it, and it
    /// may survive.
    pub result: Result<(), StoreError>,
}

/// Callback that takes completions. It is called on the threads of the journal and the keeper, and within calls such as
/// [`Shard::submit`] on the caller's. It must not block.
pub type Completed = Box<dyn Fn(Vec<Completion>) + Send + Sync>;

/// Journal, buffer and engine of one shard, driven by one thread.
///
/// A shard dropped without [`Self::close`] leaves the journal as a crash would: the next open replays it.
pub struct Shard {
    options: ShardOptions,
    layers: Layers,
    ledger: Ledger,
    room: Room,
    completed: Arc<dyn Fn(Vec<Completion>) + Send + Sync>,
    counters: Arc<SharedCounters>,
    /// Threads of the shard; `None` only once they are being ended.
    threads: Option<Threads>,
    /// Generation of the active buffer.
    generation: u64,
    /// Mark of the engine when the shard was opened.
    opened_at: Option<u64>,
    lost_past: bool,
    /// Mark of the node's life that uses the shard, or did at the last start.
    life: Option<LifeMark>,
    progress: ProgressWatch,
    /// Error that ended this life of the shard, set by the first thread to find it.
    failure: Arc<OnceLock<StoreError>>,
    health: Arc<Health>,
    /// Free room that the frozen buffer waits for, if it holds what was replayed at the start, in bytes.
    late_room_bytes: Option<u64>,
    /// Refusal for which the frozen buffer is still there, if its flush has failed.
    flush_failure: Option<Refused>,
    unsent: Unsent,
    /// Whether changes wait, as [`Self::hold_back`] says.
    held_back: bool,
    tally: Tally,
}

/// Counters that only the shard's own thread adds to.
#[derive(Default)]
struct Tally {
    applies: u64,
    revisions: u64,
    holds: u64,
    releases: u64,
    drops: u64,
    refused_hints: u64,
    flushes: u64,
    overloads: u64,
}

impl Shard {
    /// Opens the journal in `options.journal_dir` and replays what it holds into `engine`.
    ///
    /// # Errors
    /// The journal can't be read, is another shard's, has another format, or holds less than it must; or the engine
    /// refuses. The journal still holds everything then.
    pub fn open(
        options: ShardOptions,
        engine: Arc<dyn Store>,
        completed: Completed,
    ) -> Result<(Self, Recovery), OpenError> {
        let path = &options.journal_dir;
        let directory = Directory::open(path)
            .map_err(|source| OpenError::io("opening the journal's directory", path, source))?;
        Self::open_on(Box::new(directory), options, engine, completed)
    }

    /// Opens the shard as [`Self::open`] does, with the journal on `disk`.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_on(
        disk: Box<dyn Disk>,
        options: ShardOptions,
        engine: Arc<dyn Store>,
        completed: Completed,
    ) -> Result<(Self, Recovery), OpenError> {
        let (room, replayed) = replay_as_fits(&*disk, &options, &engine)?;
        let Replayed { recovery, segments, next_number, next_lsn, held, mark, late, room_bytes } =
            replayed;
        let progress = ProgressWatch::beginning_at(if late.is_some() { held } else { mark });
        let generation = mark.map_or(1, |mark| mark + 1);
        let ledger = ledger(&*engine, late.as_ref())?;
        let path = disk.path().to_path_buf();
        let failed = |doing| move |source| OpenError::Io { doing, path, source };
        // Segments that hold what the engine lacks go when it has it.
        let (kept, removed) = if late.is_some() { (segments, vec![]) } else { (vec![], segments) };
        remove(&*disk, &removed).map_err(failed.clone()("removing replayed segments from"))?;
        let completed: Arc<dyn Fn(Vec<Completion>) + Send + Sync> = Arc::from(completed);
        let (failure, health) = (Arc::new(OnceLock::new()), Arc::new(Health::new()));
        let counters = Arc::new(SharedCounters::of(options.identity.shard));
        let journal = JournalSettings {
            disk,
            identity: options.identity,
            next_number,
            next_lsn,
            kept,
            generation,
            sync_interval: options.sync_interval,
            completed: completed.clone(),
            counters: counters.clone(),
            health: health.clone(),
            failure: failure.clone(),
            progress: progress.clone(),
        };
        let threads = Threads::start(journal, &options, &engine)
            .map_err(failed("starting the threads of the journal in"))?;
        let mut shard = Self {
            lost_past: mark::has_lost_past(&*engine)? || !recovery.damaged.is_empty(),
            life: life_mark::in_engine(&*engine)?.mark(),
            progress,
            late_room_bytes: late.is_some().then_some(room_bytes),
            layers: Layers {
                frozen: late.map(Arc::new),
                ..Layers::over(engine, options.records_bytes)
            },
            options,
            ledger,
            room,
            completed,
            counters,
            threads: Some(threads),
            generation,
            opened_at: mark,
            failure,
            health,
            flush_failure: None,
            unsent: Unsent::default(),
            held_back: false,
            tally: Tally::default(),
        };
        shard.restore_filters();
        Ok((shard, recovery))
    }

    /// Returns why this life of the shard is over ([`StoreError::ends_shard`]); `None` if it is not. The shard has to
    /// be dropped and opened again, and set aside before if [`StoreError::is_damage`].
    #[must_use]
    pub fn failure(&self) -> Option<StoreError> {
        self.failure.get().cloned().or_else(|| self.layers.engine.damage())
    }

    /// Returns the record of `key`, as the last change left it; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the record fails its checksum: treat it as missing. Otherwise the engine's own.
    pub fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        let loaded = self.layers.load(key);
        if let Err(error @ StoreError::Damaged { .. }) = &loaded {
            self.counters.damaged_records.add(1);
            self.counters.troubles.records.happened(error);
        }
        loaded
    }

    /// Merges `record` over what is there; loads see it at once. A [`Completion`] with `ticket` follows
    /// the next [`Self::submit`], unless this call fails.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`], [`StoreError::NearlyFull`] or [`StoreError::DiskFull`] if there is no room,
    /// [`StoreError::TooLarge`], [`StoreError::RecordOverLimit`], [`StoreError::Malformed`], or the engine's own.
    /// Nothing changed.
    pub fn apply(
        &mut self,
        ticket: u64,
        key: PlacedKey,
        record: StoredRecord,
        level: Durability,
    ) -> Result<RecordChange, StoreError> {
        self.admit()?;
        let (current, mended) = match self.layers.load(&key) {
            Err(StoreError::Damaged { .. }) => (None, true),
            loaded => (loaded?, false),
        };
        let stored = merged(current.as_ref(), record)?;
        let before = current.as_ref().map(meta);
        let after = Some(meta(&stored));
        let frame_bytes = self.stage(ticket, &key, &Edit::Merge(stored.clone()), level)?;
        self.layers.put(key, Some(stored), frame_bytes);
        self.tally.applies += 1;
        Ok(RecordChange { before, after, mended })
    }

    /// Returns a page of records, buffer and engine together.
    ///
    /// # Errors
    /// The engine's own; damaged records are listed in the page.
    pub fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let page = self.layers.range(query)?;
        self.counters.damaged_records.add(page.damaged.len() as u64);
        for key in &page.damaged {
            // What is done about it begins with what the engine holds.
            self.layers.cache.forget(key);
            self.counters.troubles.records.happened(&format_args!("{:?}", key.key));
        }
        Ok(page)
    }

    /// Returns the counters and sizes of the shard.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let (counters, tally, engine) = (&self.counters, &self.tally, &self.layers.engine);
        ShardStats {
            applies: tally.applies,
            revisions: tally.revisions,
            drops: tally.drops,
            journal: JournalStats {
                appends: counters.appends.value(),
                groups: counters.groups.value(),
                syncs: counters.syncs.value(),
                syncs_us: counters.syncs_us.read(),
                groups_bytes: counters.groups_bytes.read(),
                bytes: counters.journal_bytes.value(),
                queued_bytes: counters.queued_bytes.value(),
                failures: counters.journal_failures.value(),
            },
            buffer_bytes: self.layers.buffers().map(|buffer| buffer.bytes() as u64).sum(),
            buffer_records: self.layers.buffers().map(|buffer| buffer.records().len() as u64).sum(),
            cache: self.layers.cache.stats(),
            damaged_records: counters.damaged_records.value(),
            overloads: tally.overloads,
            hints: HintStats {
                count: self.ledger.count(),
                bytes: self.ledger.bytes(),
                holds: tally.holds,
                releases: tally.releases,
                refusals: tally.refused_hints,
                damaged: counters.damaged_hints.value(),
            },
            engine: EngineStats {
                // An engine that can't say has told why to those who load from it.
                bytes: engine.size_bytes().unwrap_or(0),
                records: engine.record_count().unwrap_or(0),
                filter_bytes: engine.filter_bytes(),
                flushes: tally.flushes,
                flush_failures: counters.flush_failures.value(),
                merges: engine.merges(),
            },
        }
    }

    /// Moves everything into the engine, durably, and leaves the journal empty. Changes that are held back
    /// ([`Self::hold_back`]) wait for the last value that is to be kept; if the engine refuses that one, they are left
    /// out, since nobody was told of them.
    ///
    /// # Errors
    /// The engine's own, or those of the journal's directory; the journal still holds everything else then.
    pub fn close(self) -> Result<(), StoreError> {
        self.close_with(&[])
    }

    /// Closes the shard as [`Self::close`] does, and keeps `metadata`, names and values, for [`Self::take_metadata`].
    ///
    /// # Errors
    /// As for [`Self::close`]; nothing is kept then.
    pub fn close_with(mut self, metadata: &[(&str, &[u8])]) -> Result<(), StoreError> {
        if mem::take(&mut self.held_back)
            && let Some(Threads { keeper, .. }) = &self.threads
        {
            keeper.last()?;
        }
        self.submit();
        let Some(Threads { journal, flusher, keeper }) = self.threads.take() else { return Ok(()) };
        keeper.join();
        // Writing a buffer again that has just been flushed is harmless.
        flusher.join();
        let flushed = self.flush_all(metadata);
        if flushed.is_ok() && journal.sender.send(Message::Clear).is_err() {
            return Err(StoreError::Closed);
        }
        let ended = journal.join();
        flushed.and(ended)?;
        self.keep_filters();
        self.mark_closed()
    }

    fn flush_all(&self, metadata: &[(&str, &[u8])]) -> Result<(), StoreError> {
        let Layers { engine, frozen, active, .. } = &self.layers;
        if let Some(frozen) = frozen {
            write_into(&**engine, &frozen.buffer, frozen.all_metadata())?;
        }
        if active.is_empty() && metadata.is_empty() {
            return Ok(());
        }
        let kept = metadata.iter().map(|(name, value)| mark::kept(name, self.generation, value));
        let metadata = [mark::reached(self.generation)].into_iter().chain(kept).collect();
        write_into(&**engine, active, metadata)
    }
}

/// Replays the journal into the engine, or into memory if the disk has no room for it.
fn replay_as_fits(
    disk: &dyn Disk,
    options: &ShardOptions,
    engine: &Arc<dyn Store>,
) -> Result<(Room, Replayed), OpenError> {
    let reserves = Reserves {
        hints_bytes: options.disk_reserve_bytes,
        flush_bytes: options.flush_reserve_bytes,
    };
    let mut room = Room::new(disk.space_reader(), reserves, options.disk_check_interval);
    let into = match room.admit_record() {
        Ok(()) => Sink::Engine {
            batch_bytes: options.buffer_limit_bytes,
            free_bytes: room.space().free_bytes,
        },
        Err(_) => Sink::Memory,
    };
    let replayed = replay(disk, options.identity, engine, (into, options.reached.as_ref()))?;
    Ok((room, replayed))
}

/// Counts the hints that the engine holds, with those of the buffer over it.
fn ledger(engine: &dyn Store, late: Option<&Frozen>) -> Result<Ledger, StoreError> {
    let mut ledger = Ledger::of(&engine.hint_totals()?);
    if let Some(late) = late {
        ledger.add_buffer(engine, &late.buffer)?;
    }
    Ok(ledger)
}

/// Removes segments of which the engine holds everything, durably.
fn remove(disk: &dyn Disk, segments: &[String]) -> io::Result<()> {
    segments.iter().try_for_each(|name| disk.remove(name))?;
    disk.sync_names()
}

impl Drop for Shard {
    fn drop(&mut self) {
        if let Some(Threads { journal, flusher, keeper }) = self.threads.take() {
            keeper.join();
            flusher.join();
            // The writers were told of its error already.
            let _ = journal.join();
        }
    }
}

/// Returns digest and size of a record, to which its local actor adds nothing.
fn meta(stored: &StoredRecord) -> RecordMeta {
    RecordMeta::of(&stored.record)
}

#[cfg(test)]
mod tests;
