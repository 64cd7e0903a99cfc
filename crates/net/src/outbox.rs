//! Send queue of one connection: small frames already side by side, large ones apart.
//!
//! Invariant: at most [`SEND_QUEUE_FRAMES`] frames and the outbox's limit in bytes wait, what a writer holds included
//! in the bytes; all outboxes to clients share one limit more. Senders append straight to the batch that the writer
//! takes next, so frames coalesce for as long as the write before them takes, and never for longer.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use bytes::{BufMut, Bytes, BytesMut};
use jedlik_protocol::limits::{FRAME_LIMIT_BYTES, SMALL_FRAME_BYTES};
use tokio::sync::Notify;

use crate::SendError;
use crate::limits::{
    CLIENT_QUEUE_BYTES, CLIENTS_QUEUE_BYTES, SEND_QUEUE_BYTES, SEND_QUEUE_FRAMES, SMALL_FRAMES_PART,
};

/// Length of the prefix that gives a frame's length: u32, little-endian.
pub(crate) const PREFIX_BYTES: usize = 4;
/// Most room that a batch is given at first.
const BATCH_ROOM_BYTES: usize = 64 << 10;

/// Bytes of large frames that wait in the outboxes of all clients.
static FOR_CLIENTS_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Limit that several outboxes share for the large frames that they hold.
#[derive(Debug, Clone, Copy)]
struct Shared {
    held_bytes: &'static AtomicUsize,
    limit_bytes: usize,
}

/// Send queue of one connection.
pub(crate) struct Outbox {
    limit_bytes: usize,
    shared: Option<Shared>,
    /// Copy of the queue's `large_bytes`, readable without the lock.
    large_bytes: AtomicUsize,
    queue: Mutex<Queue>,
    small_ready: Notify,
    large_ready: Notify,
    shut: AtomicBool,
}

#[derive(Default)]
struct Queue {
    /// Frames with their prefixes, ready to be written.
    small: BytesMut,
    small_frames: usize,
    /// Bytes that the writer of small frames has taken and not yet written.
    small_taken_bytes: usize,
    large: VecDeque<Large>,
    /// Bytes of the frames in `large` and of those being written.
    large_bytes: usize,
    /// Size of the last batch, as a guess at the next.
    room_bytes: usize,
    ending: bool,
}

/// A large frame that waits for its writer.
struct Large {
    /// Identifier of the client's request that the frame answers; `None` for any other frame.
    answers: Option<u64>,
    bytes: Bytes,
}

impl Queue {
    fn bytes(&self) -> usize {
        self.small.len() + self.small_taken_bytes + self.large_bytes
    }

    fn frames(&self) -> usize {
        self.small_frames + self.large.len()
    }

    /// Puts a small frame behind the others and returns whether it is the first of its batch.
    fn append_small(&mut self, bytes: &[u8]) -> bool {
        if self.small.capacity() == 0 {
            let room = self.room_bytes.max(PREFIX_BYTES + bytes.len());
            self.small.reserve(room);
        }
        self.small.put_u32_le(u32::try_from(bytes.len()).expect("a small frame's length"));
        self.small.extend_from_slice(bytes);
        self.small_frames += 1;
        self.small_frames == 1
    }
}

impl Outbox {
    /// Makes an empty outbox to a node.
    pub(crate) fn to_node() -> Self {
        Self::with(SEND_QUEUE_BYTES, None)
    }

    /// Makes an empty outbox to a client or an admin.
    pub(crate) fn to_client() -> Self {
        let shared = Shared { held_bytes: &FOR_CLIENTS_BYTES, limit_bytes: CLIENTS_QUEUE_BYTES };
        Self::with(CLIENT_QUEUE_BYTES, Some(shared))
    }

    fn with(limit_bytes: usize, shared: Option<Shared>) -> Self {
        Self {
            limit_bytes,
            shared,
            large_bytes: AtomicUsize::new(0),
            queue: Mutex::default(),
            small_ready: Notify::new(),
            large_ready: Notify::new(),
            shut: AtomicBool::new(false),
        }
    }

    /// Queues an encoded frame, small or large.
    pub(crate) fn push<B>(&self, frame: B) -> Result<(), SendError>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        let bytes = frame.as_ref();
        check_length(bytes.len())?;
        if bytes.len() > SMALL_FRAME_BYTES {
            return self.push_large(Large { answers: None, bytes: Bytes::from_owner(frame) }, &[]);
        }
        let mut queue = self.queue();
        self.check_room(&queue, bytes.len())?;
        let first = queue.append_small(bytes);
        drop(queue);
        if first {
            self.small_ready.notify_one();
        }
        Ok(())
    }

    /// Queues the large encoded answer to a client's request `id`, and the small frame that announces it.
    pub(crate) fn push_announced<B>(
        &self,
        id: u64,
        answer: B,
        announcement: &[u8],
    ) -> Result<(), SendError>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        check_length(answer.as_ref().len())?;
        let large = Large { answers: Some(id), bytes: Bytes::from_owner(answer) };
        self.push_large(large, announcement)
    }

    fn push_large(&self, frame: Large, announcement: &[u8]) -> Result<(), SendError> {
        let length = frame.bytes.len();
        let mut queue = self.queue();
        self.check_room(&queue, length)?;
        self.hold_large(&mut queue, length);
        queue.large.push_back(frame);
        let first = !announcement.is_empty() && queue.append_small(announcement);
        drop(queue);
        self.large_ready.notify_one();
        if first {
            self.small_ready.notify_one();
        }
        Ok(())
    }

    /// Checks that another frame of this length may wait.
    fn check_room(&self, queue: &Queue, length: usize) -> Result<(), SendError> {
        if queue.ending {
            return Err(SendError::Closed);
        }
        let (frames, waiting) = (queue.frames(), queue.bytes());
        let full = if length <= SMALL_FRAME_BYTES {
            waiting + length > self.limit_bytes + self.limit_bytes / SMALL_FRAMES_PART
        } else {
            waiting + length > self.limit_bytes || self.shared_is_full(length)
        };
        // One frame always fits, so that a limit can't keep a legal frame from ever being sent.
        if frames >= SEND_QUEUE_FRAMES || (waiting > 0 && full) {
            return Err(SendError::Full { frames, bytes: waiting });
        }
        Ok(())
    }

    /// Whether a frame of this length would find room beside the large ones that wait; otherwise it need not be made.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        // Small frames alone hardly fill the outbox, and each request asks.
        self.large_bytes.load(Ordering::Relaxed) == 0
            || self.check_room(&self.queue(), length).is_ok()
    }

    /// Drops the answer to that request unless its writing has begun: the client no longer waits for it.
    pub(crate) fn withdraw(&self, id: u64) {
        let mut queue = self.queue();
        let Some(index) = queue.large.iter().position(|large| large.answers == Some(id)) else {
            return;
        };
        let withdrawn = queue.large.remove(index).map_or(0, |large| large.bytes.len());
        self.release_large(&mut queue, withdrawn);
    }

    fn shared_is_full(&self, length: usize) -> bool {
        self.shared.is_some_and(|shared| {
            shared.held_bytes.load(Ordering::Relaxed) + length > shared.limit_bytes
        })
    }

    fn hold_large(&self, queue: &mut Queue, length: usize) {
        queue.large_bytes += length;
        self.large_bytes.store(queue.large_bytes, Ordering::Relaxed);
        if let Some(shared) = self.shared {
            shared.held_bytes.fetch_add(length, Ordering::Relaxed);
        }
    }

    fn release_large(&self, queue: &mut Queue, length: usize) {
        queue.large_bytes -= length;
        self.large_bytes.store(queue.large_bytes, Ordering::Relaxed);
        if let Some(shared) = self.shared {
            shared.held_bytes.fetch_sub(length, Ordering::Relaxed);
        }
    }

    /// Returns the next batch of small frames, once the one before is written; `None` at the end.
    pub(crate) async fn next_small(&self) -> Option<Bytes> {
        loop {
            {
                let mut queue = self.queue();
                queue.small_taken_bytes = 0;
                if !queue.small.is_empty() {
                    let batch = mem::take(&mut queue.small).freeze();
                    queue.small_frames = 0;
                    queue.small_taken_bytes = batch.len();
                    queue.room_bytes = batch.len().min(BATCH_ROOM_BYTES);
                    return Some(batch);
                }
                if queue.ending {
                    return None;
                }
            }
            self.small_ready.notified().await;
        }
    }

    /// Waits for the next large frame; `None` at the end.
    pub(crate) async fn next_large(&self) -> Option<Bytes> {
        loop {
            {
                let mut queue = self.queue();
                if let Some(frame) = queue.large.pop_front() {
                    if !queue.large.is_empty() {
                        self.large_ready.notify_one();
                    }
                    return Some(frame.bytes);
                }
                if queue.ending {
                    // Every writer of large frames has to hear of the end: each wakes the next.
                    self.large_ready.notify_one();
                    return None;
                }
            }
            self.large_ready.notified().await;
        }
    }

    /// Gives back the room of a large frame that was written.
    pub(crate) fn large_written(&self, length: usize) {
        self.release_large(&mut self.queue(), length);
    }

    /// Accepts no more frames; queued ones are still written.
    pub(crate) fn finish(&self) {
        self.queue().ending = true;
        self.shut.store(true, Ordering::Release);
        self.small_ready.notify_one();
        self.large_ready.notify_one();
    }

    /// Accepts no more frames and drops the queued ones.
    pub(crate) fn discard(&self) {
        let mut queue = self.queue();
        queue.small = BytesMut::new();
        queue.small_frames = 0;
        for frame in mem::take(&mut queue.large) {
            self.release_large(&mut queue, frame.bytes.len());
        }
        drop(queue);
        self.finish();
    }

    /// Whether it accepts no more frames.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics with the queue locked")
    }
}

impl Drop for Outbox {
    /// Gives back the shared room of frames that a writer held when its connection ended.
    fn drop(&mut self) {
        let mut queue = self.queue();
        let held = queue.large_bytes;
        self.release_large(&mut queue, held);
    }
}

/// Checks that the receiver would take a frame of this length.
pub(crate) fn check_length(length: usize) -> Result<(), SendError> {
    if length > FRAME_LIMIT_BYTES {
        Err(SendError::TooLong { length, limit: FRAME_LIMIT_BYTES })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
