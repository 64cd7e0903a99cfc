//! Values that a shard keeps besides records and hints: whether it has lost its past, whose life uses it, and what its
//! owner wants kept.
//!
//! Invariant: a value kept here is durable when the call returns, or when its completion says so, and has a row of its
//! own in the engine: the journal knows nothing of it.

use tracing::warn;

use crate::keeper::Keep;
use crate::life_mark::{self, LifeMark};
use crate::mark::MetadataWrite;
use crate::progress::ProgressWatch;
use crate::{OpenError, StoreError, Writes, mark};

use super::{Completion, Shard};

/// Name under which the engine's filters of absent keys are kept.
const FILTERS: &str = "filters";

impl Shard {
    /// Whether the shard has lost a part of its past, when it was opened or before an earlier start: what it does not
    /// hold, it may have held.
    #[must_use]
    pub fn has_lost_past(&self) -> bool {
        self.lost_past
    }

    /// Notes, durably, that the shard has lost its past.
    ///
    /// # Errors
    /// The engine's own.
    pub fn lose_past(&mut self) -> Result<(), OpenError> {
        let metadata = vec![mark::lost_past()];
        self.layers.engine.write(&Writes { metadata, ..Writes::default() })?;
        self.lost_past = true;
        Ok(())
    }

    /// Notes, durably, in the engine and beside the journal, that a life of the node uses the shard.
    ///
    /// # Errors
    /// The engine's own, or the operating system's; only one of the two may have the mark then.
    pub fn mark_life(&mut self, mark: LifeMark) -> Result<(), OpenError> {
        let metadata = vec![life_mark::of_engine(mark)];
        self.layers.engine.write(&Writes { metadata, ..Writes::default() })?;
        life_mark::write_beside_journal(&self.options.journal_dir, mark)?;
        self.life = Some(mark);
        Ok(())
    }

    /// Returns a watch on what of the shard is durable, for as long as the shard is open.
    #[must_use]
    pub fn progress(&self) -> ProgressWatch {
        self.progress.clone()
    }

    /// Notes, durably, in the engine and beside the journal, that the life has closed the shard.
    pub(super) fn mark_closed(&mut self) -> Result<(), StoreError> {
        let Some(mark) = self.life else { return Ok(()) };
        let closed = self.mark_life(LifeMark { stopped: true, ..mark });
        closed.map_err(|error| StoreError::Engine {
            doing: "marking the shard as closed",
            message: error.to_string(),
        })
    }

    /// Removes and returns what [`Self::close_with`] kept under `name` at the last stop; `None` unless that stop was
    /// clean and everything is as it was then. To be called before the first change.
    ///
    /// # Errors
    /// The engine's own; the value may be there still.
    pub fn take_metadata(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = mark::kept_name(name);
        let engine = &self.layers.engine;
        let Some(kept) = engine.metadata(&name)? else { return Ok(None) };
        engine.write(&Writes { metadata: vec![(name, None)], ..Writes::default() })?;
        Ok(self.opened_at.and_then(|mark| mark::parse_kept(&kept, mark)))
    }

    /// Keeps the engine's filters of absent keys; everything else is in the engine by now. Without them the engine is
    /// asked for every key until its partition has been read.
    pub(super) fn keep_filters(&self) {
        let engine = &self.layers.engine;
        let Some(filters) = engine.filters() else { return };
        let kept = mark::kept(FILTERS, self.generation, &filters);
        let metadata = vec![mark::reached(self.generation), kept];
        if let Err(error) = engine.write(&Writes { metadata, ..Writes::default() }) {
            let shard = self.options.identity.shard;
            warn!(shard, %error, "which keys are absent is not kept over this stop");
        }
    }

    /// Gives the engine the filters that were kept at the last stop, before anything is changed.
    pub(super) fn restore_filters(&mut self) {
        let shard = self.options.identity.shard;
        match self.take_metadata(FILTERS) {
            Ok(Some(filters)) => self.layers.engine.restore_filters(&filters),
            Ok(None) => {}
            Err(error) => {
                warn!(shard, %error, "which keys are absent can't be taken over from the last stop");
            }
        }
    }

    /// Returns what [`Self::keep`] last kept under `name`; `None` if there is nothing.
    ///
    /// # Errors
    /// The engine's own.
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.layers.engine.metadata(&mark::lasting_name(name))
    }

    /// Keeps `value` under `name` in the place of what was kept there, and returns once that is durable: it is there
    /// after any stop. From then on the value tells what the shard has lost of its past.
    ///
    /// # Errors
    /// The engine's own; what was kept before may be there still.
    pub fn keep(&self, name: &str, value: Vec<u8>) -> Result<(), StoreError> {
        let metadata = self.row(name, value);
        self.layers.engine.write(&Writes { metadata, ..Writes::default() })
    }

    /// Keeps `value` as [`Self::keep`] does, on another thread: a [`Completion`] with `ticket` follows. Values are
    /// written one after the other.
    pub fn keep_soon(&self, ticket: u64, name: &str, value: Vec<u8>) {
        let metadata = self.row(name, value);
        let keeper = self.threads.as_ref().map(|threads| &threads.keeper);
        if !keeper.is_some_and(|keeper| keeper.keep(Keep { ticket, metadata })) {
            (self.completed)(vec![Completion { ticket, result: Err(StoreError::Closed) }]);
        }
    }

    fn row(&self, name: &str, value: Vec<u8>) -> Vec<MetadataWrite> {
        let row = (mark::lasting_name(name), Some(value));
        let settled = self.lost_past.then(mark::settled_past);
        [row].into_iter().chain(settled).collect()
    }
}
