//! What waits to be written on one connection: small frames already side by side, large ones apart.
//!
//! Invariant: at most [`SEND_QUEUE_FRAMES`] frames and its limit in bytes wait, what a writer holds
//! included in the bytes. Senders append straight to the batch that the writer takes next, so frames
//! coalesce for as long as the write before them takes, and never for longer.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use bytes::{BufMut, Bytes, BytesMut};
use jedlik_protocol::limits::{FRAME_LIMIT_BYTES, SMALL_FRAME_BYTES};
use tokio::sync::Notify;

use crate::SendError;
use crate::limits::SEND_QUEUE_FRAMES;

/// A length before each frame: u32, little-endian.
pub(crate) const PREFIX_BYTES: usize = 4;
/// How much room a batch is given at first, at most.
const BATCH_ROOM_BYTES: usize = 64 << 10;

/// The queue of one connection.
pub(crate) struct Outbox {
    limit_bytes: usize,
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
    /// What the writer of small frames has taken and not written yet.
    small_taken_bytes: usize,
    large: VecDeque<Bytes>,
    /// Of those in `large` and of those being written.
    large_bytes: usize,
    /// The size of the last batch, as a guess at the next.
    room_bytes: usize,
    ending: bool,
}

impl Queue {
    fn bytes(&self) -> usize {
        self.small.len() + self.small_taken_bytes + self.large_bytes
    }

    fn frames(&self) -> usize {
        self.small_frames + self.large.len()
    }
}

impl Outbox {
    /// An empty one, which takes so many bytes.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            queue: Mutex::default(),
            small_ready: Notify::new(),
            large_ready: Notify::new(),
            shut: AtomicBool::new(false),
        }
    }

    /// Queues an encoded frame.
    pub(crate) fn push<B>(&self, frame: B) -> Result<(), SendError>
    where
        B: AsRef<[u8]> + Send + 'static,
    {
        let bytes = frame.as_ref();
        let length = bytes.len();
        check_length(length)?;
        let mut queue = self.queue();
        if queue.ending {
            return Err(SendError::Closed);
        }
        let (frames, waiting) = (queue.frames(), queue.bytes());
        // One frame always fits, so that a limit can't keep a legal frame from ever being sent.
        if frames >= SEND_QUEUE_FRAMES || (waiting > 0 && waiting + length > self.limit_bytes) {
            return Err(SendError::Full { frames, bytes: waiting });
        }
        if length > SMALL_FRAME_BYTES {
            queue.large_bytes += length;
            queue.large.push_back(Bytes::from_owner(frame));
            drop(queue);
            self.large_ready.notify_one();
            return Ok(());
        }
        if queue.small.capacity() == 0 {
            let room = queue.room_bytes.max(PREFIX_BYTES + length);
            queue.small.reserve(room);
        }
        queue.small.put_u32_le(u32::try_from(length).expect("a small frame's length"));
        queue.small.extend_from_slice(bytes);
        queue.small_frames += 1;
        let first = queue.small_frames == 1;
        drop(queue);
        if first {
            self.small_ready.notify_one();
        }
        Ok(())
    }

    /// The next batch of small frames, once there is one and the one before is written; `None` at the end.
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

    /// The next large frame; `None` at the end.
    pub(crate) async fn next_large(&self) -> Option<Bytes> {
        loop {
            {
                let mut queue = self.queue();
                if let Some(frame) = queue.large.pop_front() {
                    if !queue.large.is_empty() {
                        self.large_ready.notify_one();
                    }
                    return Some(frame);
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

    /// A large frame has left.
    pub(crate) fn large_written(&self, length: usize) {
        self.queue().large_bytes -= length;
    }

    /// Takes no more; what waits is still written.
    pub(crate) fn finish(&self) {
        self.queue().ending = true;
        self.shut.store(true, Ordering::Release);
        self.small_ready.notify_one();
        self.large_ready.notify_one();
    }

    /// Takes no more and drops what waits.
    pub(crate) fn discard(&self) {
        let mut queue = self.queue();
        queue.small = BytesMut::new();
        queue.small_frames = 0;
        for frame in mem::take(&mut queue.large) {
            queue.large_bytes -= frame.len();
        }
        drop(queue);
        self.finish();
    }

    /// Whether it takes no more.
    pub(crate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("nothing panics with the queue locked")
    }
}

/// Whether the receiver would take a frame of this length.
pub(crate) fn check_length(length: usize) -> Result<(), SendError> {
    if length > FRAME_LIMIT_BYTES {
        Err(SendError::TooLong { length, limit: FRAME_LIMIT_BYTES })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
