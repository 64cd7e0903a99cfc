//! The segments being written: appending, syncing, rotating, removing.
//!
//! Invariant: a frame's number is used up only once the frame is whole in its file, and nothing is appended
//! or synced after a sync has failed. The operating system may have dropped what it could not write and
//! say that all is well the next time, so what was written since the last sync that succeeded is unknown
//! until the segments have been read again.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use crate::disk::{Disk, JournalFile};
use crate::progress::{SegmentProgress, ShardProgress};
use crate::stats::SharedCounters;
use crate::{ShardIdentity, StoreError};

use super::frame;
use super::segment::{self, Header, SEGMENT_HEADER_BYTES};

/// Segments of a shard's journal, of which at most one is open.
pub(super) struct Appender {
    disk: Box<dyn Disk>,
    identity: ShardIdentity,
    salt: u32,
    open: Option<Segment>,
    closed: Vec<ClosedSegment>,
    next_number: u64,
    next_lsn: u64,
    synced_through: u64,
    /// Generation of the buffer to which frames belong now.
    generation: u64,
    /// Error of the sync that failed, after which nothing is written.
    failed: Option<StoreError>,
    counters: Arc<SharedCounters>,
}

struct Segment {
    name: String,
    file: Box<dyn JournalFile>,
    length_bytes: u64,
    /// Synced part of the segment, as it is told to others.
    synced: SegmentProgress,
    dirty: bool,
}

struct ClosedSegment {
    name: String,
    length_bytes: u64,
    generation: u64,
    /// Synced part of the segment; `None` if the segment was taken over, since that part is not known then.
    synced: Option<SegmentProgress>,
}

impl Appender {
    /// Continues after what a replay found. No file is made before the first append.
    pub(super) fn new(
        disk: Box<dyn Disk>,
        identity: ShardIdentity,
        (next_number, next_lsn, generation): (u64, u64, u64),
        counters: Arc<SharedCounters>,
    ) -> Self {
        Self {
            disk,
            identity,
            // The standard library seeds each of these from the system's randomness.
            salt: RandomState::new().hash_one(next_lsn) as u32,
            open: None,
            closed: Vec::new(),
            next_number,
            next_lsn,
            synced_through: next_lsn - 1,
            generation,
            failed: None,
            counters,
        }
    }

    /// Takes over segments of the generation before the first, to be removed with it.
    pub(super) fn keep(&mut self, names: Vec<String>) {
        let generation = self.generation - 1;
        let kept = names.into_iter().map(|name| ClosedSegment {
            name,
            length_bytes: 0,
            generation,
            synced: None,
        });
        self.closed.extend(kept);
    }

    /// Writes into `progress` which frames of which segments are synced.
    pub(super) fn tell(&self, progress: &mut ShardProgress) {
        progress.synced_through = self.synced_through;
        let closed = self.closed.iter().filter_map(|segment| segment.synced);
        let open = self.open.iter().map(|segment| segment.synced);
        let holds_any =
            |segment: &SegmentProgress| segment.length_bytes > SEGMENT_HEADER_BYTES as u64;
        progress.segments.clear();
        progress.segments.extend(closed.chain(open).filter(holds_any));
    }

    /// Returns the size of all segments, in bytes.
    pub(super) fn length_bytes(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(|segment| segment.length_bytes).sum();
        closed + self.open.as_ref().map_or(0, |segment| segment.length_bytes)
    }

    /// Returns the generation of the buffer to which frames belong now.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether something was appended since the last sync.
    pub(super) fn is_dirty(&self) -> bool {
        self.open.as_ref().is_some_and(|segment| segment.dirty)
    }

    /// Numbers the frames and writes them. Returns how many there were.
    pub(super) fn append(&mut self, frames: &mut [u8]) -> Result<u64, StoreError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.open.is_none() {
            self.open = Some(self.create()?);
        }
        let count = frame::seal(frames, self.salt, self.next_lsn, self.synced_through);
        let segment = self.open.as_mut().expect("it was made above");
        if let Err(source) = segment.file.append(frames) {
            let error = StoreError::io("appending to the journal", source);
            self.cut_back();
            return Err(error);
        }
        segment.length_bytes += frames.len() as u64;
        segment.dirty = true;
        self.next_lsn += count;
        Ok(count)
    }

    /// Makes everything appended so far durable.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let Some(segment) = self.open.as_mut().filter(|segment| segment.dirty) else {
            return Ok(());
        };
        if let Err(source) = segment.file.sync() {
            return Err(self.fail(source));
        }
        segment.dirty = false;
        segment.synced.length_bytes = segment.length_bytes;
        self.synced_through = self.next_lsn - 1;
        Ok(())
    }

    /// Ends the journal's life, since a sync has failed.
    fn fail(&mut self, source: io::Error) -> StoreError {
        let error = StoreError::SyncFailed { source: Arc::new(source) };
        self.failed = Some(error.clone());
        self.seal();
        error
    }

    /// Begins `generation`: frames from now on belong to it, in a segment of their own, which is made with the next
    /// append.
    pub(super) fn rotate(&mut self, generation: u64) -> Result<(), StoreError> {
        self.generation = generation;
        let synced = self.sync();
        self.seal();
        synced
    }

    /// Removes the closed segments of generations up to `generation`.
    pub(super) fn remove_through(&mut self, generation: u64) -> Result<(), StoreError> {
        let count = self.closed.iter().take_while(|s| s.generation <= generation).count();
        if count == 0 {
            return Ok(());
        }
        for segment in &self.closed[..count] {
            match self.disk.remove(&segment.name) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::io("removing a segment of the journal", source));
                }
                _ => {}
            }
        }
        self.closed.drain(..count);
        self.disk.sync_names().map_err(|e| StoreError::io("syncing the journal's directory", e))
    }

    /// Removes every segment: the engine holds everything.
    pub(super) fn clear(&mut self) -> Result<(), StoreError> {
        self.seal();
        self.remove_through(u64::MAX)
    }

    fn create(&mut self) -> Result<Segment, StoreError> {
        let number = self.next_number;
        let header = Header {
            identity: self.identity,
            number,
            first_lsn: self.next_lsn,
            synced_through: self.synced_through,
            generation: self.generation,
            salt: self.salt,
        };
        let name = segment::name(number);
        let doing = "beginning a segment of the journal";
        let mut file = self.disk.create(&name).map_err(|source| StoreError::io(doing, source))?;
        // A leftover keeps its number, so that it is never taken for the next one.
        self.next_number += 1;
        let appended = file.append(&header.encode()).map_err(|e| StoreError::io(doing, e));
        let written = appended.and_then(|()| {
            file.sync().and_then(|()| self.disk.sync_names()).map_err(|source| self.fail(source))
        });
        if let Err(error) = written {
            if let Err(error) = self.disk.remove(&name) {
                self.counters.troubles.remains.happened(&format_args!("{name}: {error}"));
            }
            return Err(error);
        }
        Ok(Segment {
            name,
            file,
            length_bytes: SEGMENT_HEADER_BYTES as u64,
            synced: SegmentProgress {
                number,
                generation: header.generation,
                salt: header.salt,
                first_lsn: header.first_lsn,
                length_bytes: SEGMENT_HEADER_BYTES as u64,
            },
            dirty: false,
        })
    }

    /// Cuts off what a failed append has left, or else gives the segment up.
    fn cut_back(&mut self) {
        let Some(segment) = &mut self.open else { return };
        if let Err(error) = segment.file.truncate(segment.length_bytes) {
            self.counters.troubles.remains.happened(&format_args!("{}: {error}", segment.name));
            if segment.dirty {
                // Nothing would sync the frames before it any more.
                self.fail(error);
            }
            self.seal();
        }
    }

    /// Closes the open segment; the next append begins another.
    fn seal(&mut self) {
        if let Some(Segment { name, length_bytes, synced, .. }) = self.open.take() {
            let generation = synced.generation;
            self.closed.push(ClosedSegment {
                name,
                length_bytes,
                generation,
                synced: Some(synced),
            });
        }
    }
}
