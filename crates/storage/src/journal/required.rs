//! Frames that a journal has to hold, since its shard has come so far already.
//!
//! Invariant: only frames that were synced, in segments that the engine does not hold, are required. A segment of
//! those that is gone, shorter than it was or another one was not left so by a crash; what is there and can't be read
//! is damage, as anywhere in the journal.

use std::path::Path;

use crate::disk::FileBytes;
use crate::progress::{SegmentProgress, ShardProgress};
use crate::{OpenError, Store, mark};

use super::replay::Reader;
use super::segment::{self, Header, HeaderError};

/// Frames that are required of a journal.
pub(super) struct Required<'a> {
    segments: Vec<&'a SegmentProgress>,
    synced_through: u64,
}

impl<'a> Required<'a> {
    /// Returns the frames that are required of a shard that has come to `reached`, beyond what `engine` holds.
    /// `numbers` names the segments that there are.
    pub(super) fn of(
        reached: Option<&'a ShardProgress>,
        engine: &dyn Store,
        (path, numbers): (&Path, &[u64]),
    ) -> Result<Self, OpenError> {
        let Some(reached) = reached else {
            return Ok(Self { segments: Vec::new(), synced_through: 0 });
        };
        let held = mark::load(engine)?;
        if held < reached.engine {
            let what = "the engine holds less than it did".into();
            return Err(OpenError::Behind { path: path.into(), what });
        }
        let is_needed = |segment: &&SegmentProgress| Some(segment.generation) > held;
        let segments: Vec<_> = reached.segments.iter().filter(is_needed).collect();
        if let Some(gone) = segments.iter().find(|segment| !numbers.contains(&segment.number)) {
            let what = format!("{} is gone", segment::name(gone.number));
            return Err(OpenError::Behind { path: path.into(), what });
        }
        Ok(Self { segments, synced_through: reached.synced_through })
    }

    /// Refuses a segment that is not the one that was synced, or not all of it.
    pub(super) fn check(
        &self,
        path: &Path,
        number: u64,
        (read, header): (&FileBytes, &Result<Header, HeaderError>),
    ) -> Result<(), OpenError> {
        let Some(wanted) = self.segments.iter().find(|segment| segment.number == number) else {
            return Ok(());
        };
        let (name, length_bytes) = (segment::name(number), read.bytes.len() as u64);
        let what = if length_bytes < wanted.length_bytes {
            format!("{name} has {length_bytes} bytes, of which {} were synced", wanted.length_bytes)
        } else if header.is_ok_and(|header| {
            (header.generation, header.salt) != (wanted.generation, wanted.salt)
        }) {
            format!("{name} is another one than it was")
        } else {
            return Ok(());
        };
        Err(OpenError::Behind { path: path.into(), what })
    }

    /// Makes the reader count what can't be read at the beginning as missing.
    pub(super) fn begin(&self, reader: &mut Reader) {
        if let Some(first) = self.segments.first() {
            reader.expect(first.first_lsn);
        }
    }

    /// Makes the reader count what can't be read at the end as missing.
    pub(super) fn end(&self, reader: &mut Reader) {
        if let Some(last) = self.segments.last() {
            reader.end_after(&segment::name(last.number), last.length_bytes, self.synced_through);
        }
    }
}

#[cfg(test)]
mod tests;
