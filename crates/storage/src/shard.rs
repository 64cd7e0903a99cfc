//! One shard's storage: the buffer before the engine, the journal beside it (design 3).
//!
//! Invariant: a load sees every apply before it, whatever has become of it on disk, and memory is
//! bounded by the limits of [`ShardOptions`].

use std::sync::Arc;

use jedlik_protocol::{Durability, PlacedKey, StoredRecord};
use tracing::warn;

use crate::buffer::Buffer;
use crate::disk::{Directory, Disk};
use crate::flusher::{FlushReport, Flusher, FlusherSettings, Frozen, merge_into};
use crate::journal::{
    Batch, Journal, JournalSettings, Message, PAYLOAD_LIMIT_BYTES, Recovery, Replayed, Waiting,
    push_frame, replay,
};
use crate::merge::merged;
use crate::overlay::overlay;
use crate::stats::SharedCounters;
use crate::{OpenError, RangePage, RangeQuery, ShardOptions, ShardStats, Store, StoreError};

/// What became of one applied record.
#[derive(Debug, Clone)]
pub struct Completion {
    /// As given to [`Shard::apply`].
    pub ticket: u64,
    /// `Ok` once the record is as durable as was asked. After an error loads may still show it, and it
    /// may survive.
    pub result: Result<(), StoreError>,
}

/// Takes completions: called on the journal's thread, and for [`Durability::Buffered`] within
/// [`Shard::submit`] on the caller's. It must not block.
pub type Completed = Box<dyn Fn(Vec<Completion>) + Send + Sync>;

/// The journal, the buffer and the engine of one shard, driven by one thread.
///
/// Dropped without [`Self::close`] it leaves the journal as a crash would: the next open replays it.
pub struct Shard {
    options: ShardOptions,
    engine: Arc<dyn Store>,
    completed: Arc<dyn Fn(Vec<Completion>) + Send + Sync>,
    counters: Arc<SharedCounters>,
    /// `None` only once the threads are being ended.
    threads: Option<Threads>,
    active: Buffer,
    generation: u64,
    frozen: Option<Arc<Frozen>>,
    /// Why the frozen buffer is still there, if its flush has failed.
    flush_failure: Option<StoreError>,
    unsent: Unsent,
    tally: Tally,
}

struct Threads {
    journal: Journal,
    flusher: Flusher,
}

/// What was applied since the last submit.
#[derive(Default)]
struct Unsent {
    batch: Batch,
    buffered: Vec<Completion>,
}

/// What only the shard's own thread counts.
#[derive(Default)]
struct Tally {
    applies: u64,
    flushes: u64,
    overloads: u64,
}

impl Shard {
    /// Opens the journal in `options.journal_dir` and replays what it holds into `engine`.
    ///
    /// # Errors
    /// The journal can't be read, is another shard's or of a newer format, or the engine refuses. The
    /// journal still holds everything then.
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

    /// As [`Self::open`], with the journal on `disk`.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_on(
        disk: Box<dyn Disk>,
        options: ShardOptions,
        engine: Arc<dyn Store>,
        completed: Completed,
    ) -> Result<(Self, Recovery), OpenError> {
        let replayed = replay(&*disk, options.identity, &*engine, options.buffer_limit_bytes)?;
        let Replayed { recovery, segments, next_number, next_lsn } = replayed;
        let path = disk.path().to_path_buf();
        let io = |doing| move |source| OpenError::Io { doing, path, source };
        segments
            .iter()
            .try_for_each(|name| disk.remove(name))
            .and_then(|()| disk.sync_names())
            .map_err(io.clone()("removing replayed segments from"))?;
        let completed: Arc<dyn Fn(Vec<Completion>) + Send + Sync> = Arc::from(completed);
        let counters = Arc::new(SharedCounters::default());
        let journal = Journal::start(JournalSettings {
            disk,
            identity: options.identity,
            next_number,
            next_lsn,
            sync_interval: options.sync_interval,
            completed: completed.clone(),
            counters: counters.clone(),
        })
        .map_err(io.clone()("starting the thread of the journal in"))?;
        let flusher = Flusher::start(FlusherSettings {
            shard: options.identity.shard,
            engine: engine.clone(),
            journal: journal.sender.clone(),
            retry: options.flush_retry,
            counters: counters.clone(),
        })
        .map_err(io("starting the flusher's thread of the journal in"))?;
        let shard = Self {
            options,
            engine,
            completed,
            counters,
            threads: Some(Threads { journal, flusher }),
            active: Buffer::default(),
            generation: 0,
            frozen: None,
            flush_failure: None,
            unsent: Unsent::default(),
            tally: Tally::default(),
        };
        Ok((shard, recovery))
    }

    /// The record of `key`, as the last apply left it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it fails its checksum: take it as missing. Otherwise the engine's own.
    pub fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.buffer.load(key));
        if let Some(record) = self.active.load(key).or_else(frozen) {
            return Ok(Some(record.clone()));
        }
        let loaded = self.engine.load(key);
        if let Err(error @ StoreError::Damaged { .. }) = &loaded {
            self.counters.damaged_records.add(1);
            warn!(shard = self.options.identity.shard, %error, "a stored record can't be read");
        }
        loaded
    }

    /// Merges `record` over what is there; loads see it at once. A [`Completion`] with `ticket` follows
    /// the next [`Self::submit`], unless this call fails.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] or [`StoreError::DiskFull`] if the buffer or the queue is full,
    /// [`StoreError::TooLarge`], [`StoreError::Malformed`], or the engine's own. Nothing changed.
    pub fn apply(
        &mut self,
        ticket: u64,
        key: PlacedKey,
        record: StoredRecord,
        level: Durability,
    ) -> Result<(), StoreError> {
        self.admit()?;
        let current = match self.load(&key) {
            Ok(current) => current,
            // What is damaged counts as missing, and is replaced.
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
        let arrived = record.record.bytes().as_ptr();
        let mut stored = merged(current.as_ref(), record)?;
        if stored.record.bytes().as_ptr() == arrived {
            // Else the buffer would keep the whole message in memory that the record came in.
            stored.record = stored.record.detached();
        }
        let frame_bytes =
            push_frame(&mut self.unsent.batch.frames, &key, &stored).map_err(|length_bytes| {
                StoreError::TooLarge { length_bytes, limit_bytes: PAYLOAD_LIMIT_BYTES }
            })?;
        self.counters.queued_bytes.add(frame_bytes as u64);
        match level {
            Durability::Buffered => {
                self.unsent.buffered.push(Completion { ticket, result: Ok(()) });
            }
            Durability::Written | Durability::Synced => {
                self.unsent.batch.waiting.push(Waiting { ticket, level });
            }
        }
        self.active.put(key, stored, frame_bytes);
        self.tally.applies += 1;
        Ok(())
    }

    /// Hands everything applied since the last call to the journal's thread, in one message; to be
    /// called once a turn of the shard's loop.
    pub fn submit(&mut self) {
        self.hear_flusher();
        let Unsent { batch, buffered } = std::mem::take(&mut self.unsent);
        if !buffered.is_empty() {
            (self.completed)(buffered);
        }
        if batch.frames.is_empty() {
            return;
        }
        let Some(threads) = &self.threads else { return };
        let sent = threads.journal.sender.send(Message::Submit(batch));
        if let Err(std::sync::mpsc::SendError(Message::Submit(batch))) = sent {
            let closed =
                |w: Waiting| Completion { ticket: w.ticket, result: Err(StoreError::Closed) };
            (self.completed)(batch.waiting.into_iter().map(closed).collect());
        }
    }

    /// A page of records, buffer and engine together.
    ///
    /// # Errors
    /// The engine's own; damaged records are listed in the page.
    pub fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let page = self.engine.range(query)?;
        let frozen = self.frozen.as_ref().map(|frozen| &frozen.buffer);
        let page = overlay(query, page, frozen, &self.active);
        self.counters.damaged_records.add(page.damaged.len() as u64);
        for key in &page.damaged {
            warn!(shard = self.options.identity.shard, key = ?key.key, "a stored record can't be read");
        }
        Ok(page)
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        let frozen = self.frozen.as_ref().map(|frozen| &frozen.buffer);
        let buffers = || [Some(&self.active), frozen].into_iter().flatten();
        let counters = &self.counters;
        ShardStats {
            applies: self.tally.applies,
            appends: counters.appends.value(),
            groups: counters.groups.value(),
            syncs: counters.syncs.value(),
            journal_bytes: counters.journal_bytes.value(),
            queued_bytes: counters.queued_bytes.value(),
            journal_failures: counters.journal_failures.value(),
            buffer_bytes: buffers().map(|buffer| buffer.bytes() as u64).sum(),
            buffer_records: buffers().map(|buffer| buffer.records().len() as u64).sum(),
            flushes: self.tally.flushes,
            flush_failures: counters.flush_failures.value(),
            damaged_records: counters.damaged_records.value(),
            overloads: self.tally.overloads,
            // An engine that can't say has said why to whoever loads from it.
            engine_bytes: self.engine.size_bytes().unwrap_or(0),
            engine_records: self.engine.record_count().unwrap_or(0),
        }
    }

    /// Moves everything into the engine, durably, and leaves the journal empty.
    ///
    /// # Errors
    /// What the engine or the journal's directory said; the journal still holds everything then.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.submit();
        let Some(Threads { journal, flusher }) = self.threads.take() else { return Ok(()) };
        // Merging a buffer again that has just been flushed is harmless.
        flusher.join();
        let flushed = self
            .frozen
            .as_ref()
            .map_or(Ok(()), |frozen| merge_into(&*self.engine, &frozen.buffer))
            .and_then(|()| merge_into(&*self.engine, &self.active));
        if flushed.is_ok() && journal.sender.send(Message::Clear).is_err() {
            return Err(StoreError::Closed);
        }
        let ended = journal.join();
        flushed.and(ended)
    }

    /// Whether the next apply will find room, made now if that is possible at once.
    ///
    /// Who is about to issue a dot asks first: one that was sent to others and not stored here ends
    /// the incarnation.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] or [`StoreError::DiskFull`]: nothing can be applied now.
    pub fn admit(&mut self) -> Result<(), StoreError> {
        let queued = self.counters.queued_bytes.value() as usize;
        if queued >= self.options.queue_limit_bytes {
            return Err(self.overloaded(
                "the journal's queue",
                queued,
                self.options.queue_limit_bytes,
            ));
        }
        let (held, limit) = (self.active.bytes(), self.options.buffer_limit_bytes);
        if held < limit && self.active.journal_bytes() < self.options.segment_limit_bytes {
            return Ok(());
        }
        self.hear_flusher();
        if self.frozen.is_none() {
            self.freeze();
            return Ok(());
        }
        match &self.flush_failure {
            Some(full @ StoreError::DiskFull { .. }) => Err(full.clone()),
            _ if held < limit => {
                let (held, limit) = (self.active.journal_bytes(), self.options.segment_limit_bytes);
                Err(self.overloaded("the journal's segment", held, limit))
            }
            _ => Err(self.overloaded("the buffer", held, limit)),
        }
    }

    fn overloaded(&mut self, what: &'static str, held: usize, limit: usize) -> StoreError {
        self.tally.overloads += 1;
        StoreError::Overloaded { what, held_bytes: held, limit_bytes: limit }
    }

    /// Hands the active buffer to the flusher and begins another, with a segment of its own.
    fn freeze(&mut self) {
        // Its frames must all be in segments that go with it.
        self.submit();
        let Some(threads) = &self.threads else { return };
        let frozen = Arc::new(Frozen {
            generation: self.generation,
            buffer: std::mem::take(&mut self.active),
        });
        self.generation += 1;
        // If the journal's thread is gone, the next submit says so.
        let _ = threads.journal.sender.send(Message::Rotate(self.generation));
        threads.flusher.flush(frozen.clone());
        self.frozen = Some(frozen);
    }

    fn hear_flusher(&mut self) {
        if self.frozen.is_none() {
            return;
        }
        let Some(threads) = &self.threads else { return };
        while let Ok(report) = threads.flusher.reports.try_recv() {
            match report {
                FlushReport::Flushed => {
                    self.frozen = None;
                    self.flush_failure = None;
                    self.tally.flushes += 1;
                }
                FlushReport::Failed(error) => self.flush_failure = Some(error),
            }
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        if let Some(Threads { journal, flusher }) = self.threads.take() {
            flusher.join();
            // Whatever it says was said to the writers already.
            let _ = journal.join();
        }
    }
}

#[cfg(test)]
mod tests;
