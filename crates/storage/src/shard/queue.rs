//! Path from a change to the journal's thread and the flusher's, and what holds it up.
//!
//! Invariant: frames reach the journal's thread in the order in which they were staged, and all frames of
//! a buffer before the message that begins the next generation.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::SendError;
use std::time::SystemTime;

use jedlik_hashing::Partition;
use jedlik_protocol::{Durability, PlacedKey};

use crate::StoreError;
use crate::flusher::FlushReport;
use crate::health::Refused;
use crate::journal::{Batch, Edit, Message, PAYLOAD_LIMIT_BYTES, Waiting, push_drop, push_frame};
use crate::layers::Frozen;

use super::{Completion, Shard};

/// Frames and completions that were staged since the last submit.
#[derive(Default)]
pub(super) struct Unsent {
    batch: Batch,
    buffered: Vec<Completion>,
}

impl Shard {
    /// Hands everything that was changed since the last call to the journal's thread, in one message. To be called once
    /// in each turn of the shard's loop.
    pub fn submit(&mut self) {
        self.hear_flusher();
        if self.held_back {
            return;
        }
        let Unsent { batch, buffered } = mem::take(&mut self.unsent);
        if !buffered.is_empty() {
            (self.completed)(buffered);
        }
        if batch.frames.is_empty() && batch.waiting.is_empty() {
            return;
        }
        let Some(threads) = &self.threads else { return };
        let sent = threads.journal.sender.send(Message::Submit(batch));
        if let Err(SendError(Message::Submit(batch))) = sent {
            let closed =
                |w: Waiting| Completion { ticket: w.ticket, result: Err(StoreError::Closed) };
            (self.completed)(batch.waiting.into_iter().map(closed).collect());
        }
    }

    /// Sets whether changes wait, those since the last [`Self::submit`] included: none of them reaches the journal or
    /// the engine, and nobody is answered, before this is called with `false` and then [`Self::submit`].
    pub fn hold_back(&mut self, held: bool) {
        self.held_back = held;
    }

    /// Checks that the next change will find room, and makes room if that is possible at once.
    ///
    /// To be called before a dot is issued: a dot that was sent to others and not stored here ends the incarnation.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`], [`StoreError::NearlyFull`] or [`StoreError::DiskFull`]: nothing can be applied now.
    pub fn admit(&mut self) -> Result<(), StoreError> {
        self.room.admit_record()?;
        self.admit_smaller()
    }

    /// Checks as [`Self::admit`] does, for a change after which less is held: it may take what records leave of the
    /// disk.
    pub(super) fn admit_smaller(&mut self) -> Result<(), StoreError> {
        let burst = self.options.burst_limit_bytes;
        let queued = self.counters.queued_bytes.value() as usize;
        let queue_limit = self.options.queue_limit_bytes.max(burst);
        if queued >= queue_limit {
            return Err(self.overloaded(
                "the journal's queue (storage.queue_bytes)",
                queued,
                queue_limit,
            ));
        }
        let active = &self.layers.active;
        let (held, limit) = (active.bytes(), self.options.buffer_limit_bytes);
        let (segment, segment_limit) = (active.journal_bytes(), self.options.segment_limit_bytes);
        if held < limit && segment < segment_limit {
            return Ok(());
        }
        self.hear_flusher();
        if self.may_freeze() {
            self.freeze();
            return Ok(());
        }
        let (limit, segment_limit) = (limit.max(burst), segment_limit.max(burst));
        match &self.flush_failure {
            Some(Refused { error: full @ StoreError::DiskFull { .. }, .. }) => Err(full.clone()),
            _ if held < limit && segment < segment_limit => Ok(()),
            _ if held < limit => Err(self.overloaded(
                "the journal's segment (storage.journal_bytes)",
                segment,
                segment_limit,
            )),
            _ => Err(self.overloaded("the buffer (storage.buffer_bytes)", held, limit)),
        }
    }

    /// Queues the frame of a change, and its completion. Returns the frame's length.
    pub(super) fn stage(
        &mut self,
        ticket: u64,
        key: &PlacedKey,
        edit: &Edit,
        level: Durability,
    ) -> Result<usize, StoreError> {
        let frame_bytes = self.stage_unanswered(key, edit)?;
        match level {
            Durability::Buffered => {
                self.unsent.buffered.push(Completion { ticket, result: Ok(()) });
            }
            Durability::Written | Durability::Synced => self.answer_after(ticket, level),
        }
        Ok(frame_bytes)
    }

    /// Queues the frame of a change that nobody waits for. Returns the frame's length.
    pub(super) fn stage_unanswered(
        &mut self,
        key: &PlacedKey,
        edit: &Edit,
    ) -> Result<usize, StoreError> {
        let frame_bytes =
            push_frame(&mut self.unsent.batch.frames, key, edit).map_err(|length_bytes| {
                StoreError::TooLarge { length_bytes, limit_bytes: PAYLOAD_LIMIT_BYTES }
            })?;
        self.counters.queued_bytes.add(frame_bytes as u64);
        Ok(frame_bytes)
    }

    /// Queues the frame of a partition's drop, without a completion. Returns the frame's length.
    pub(super) fn stage_drop(&mut self, partition: Partition) -> usize {
        let frame_bytes = push_drop(&mut self.unsent.batch.frames, partition);
        self.counters.queued_bytes.add(frame_bytes as u64);
        frame_bytes
    }

    /// Completes `ticket` once everything staged so far has reached `level`.
    pub(super) fn answer_after(&mut self, ticket: u64, level: Durability) {
        self.unsent.batch.waiting.push(Waiting { ticket, level, of_all: false });
    }

    fn overloaded(&mut self, what: &'static str, held: usize, limit: usize) -> StoreError {
        self.tally.overloads += 1;
        StoreError::Overloaded { what, held_bytes: held, limit_bytes: limit }
    }

    /// Completes `ticket` once all that loads see is synced. Changes that the journal lacks are given to the engine;
    /// until it has them, the answer is the error that kept them from the journal.
    pub(super) fn answer_after_all(&mut self, ticket: u64) {
        if self.counters.journal_lacks.value() > 0 {
            self.hear_flusher();
            if self.may_freeze() {
                self.freeze();
            }
        }
        let level = Durability::Synced;
        self.unsent.batch.waiting.push(Waiting { ticket, level, of_all: true });
    }

    /// Whether the active buffer may go to the flusher. What is held back must not be in the engine before the journal
    /// has it.
    fn may_freeze(&self) -> bool {
        self.layers.frozen.is_none() && !self.held_back
    }

    /// Hands the active buffer to the flusher and begins another, with a segment of its own.
    fn freeze(&mut self) {
        // Its frames must all be in segments that go with it.
        self.submit();
        let Some(threads) = &self.threads else { return };
        let frozen = Arc::new(Frozen {
            generation: self.generation,
            buffer: mem::take(&mut self.layers.active),
            metadata: Vec::new(),
        });
        self.generation += 1;
        // If the journal's thread is gone, the next submit says so.
        let _ = threads.journal.sender.send(Message::Rotate(self.generation));
        threads.flusher.flush(frozen.clone());
        self.layers.frozen = Some(frozen);
    }

    /// Moves what was replayed into memory alone into the engine, since there is room now.
    fn flush_replayed(&mut self) {
        self.late_room_bytes = None;
        if let (Some(threads), Some(frozen)) = (&self.threads, &self.layers.frozen) {
            threads.flusher.flush(frozen.clone());
        }
    }

    pub(super) fn hear_flusher(&mut self) {
        if self.layers.frozen.is_none() {
            return;
        }
        if self.late_room_bytes.is_some_and(|least| self.room.has(least)) {
            self.flush_replayed();
        }
        let Some(threads) = &self.threads else { return };
        while let Ok(report) = threads.flusher.reports.try_recv() {
            match report {
                FlushReport::Flushed => {
                    self.layers.frozen = None;
                    self.layers.cache.leave(self.layers.engine.filter_bytes());
                    self.flush_failure = None;
                    self.tally.flushes += 1;
                }
                FlushReport::Failed(error) => {
                    let before = self.flush_failure.take();
                    let since = before.map_or_else(SystemTime::now, |before| before.since);
                    self.flush_failure = Some(Refused { error, since });
                }
            }
        }
    }
}
