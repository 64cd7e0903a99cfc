//! Progress of a life of the node: a number that grows, and for each shard what its files hold at least.
//!
//! Invariant: what is named here was durable before it was written here, so a crash leaves shards that have it. A shard
//! that lacks some of it was replaced by an earlier copy, or its journal was cut, and not by a crash. See
//! `docs/decisions/0042-progress-within-a-life.md`.
//!
//! ```text
//! progress  magic "jedlikP\n", format 1 (4 bytes), CRC-32 of the rest (4)
//!           generation (8), incarnation (8), tick (4), number of shards (2), and for each
//!             its index (2), 1 if the engine holds a generation of the buffer (1), which (8),
//!             the last frame that was synced (8), number of segments (2), and for each
//!               number (8), generation (8), salt (4), first frame (8), length in bytes (8)
//! ```
//!
//! Numbers are little endian. The file is replaced as a whole, on a thread that no request waits for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jedlik_protocol::Incarnation;

use crate::OpenError;
use crate::disk::replace_file;

const NAME: &str = "progress";
const MAGIC: [u8; 8] = *b"jedlikP\n";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 16;
/// Largest number of segments that a shard may name. A journal has the segment that is written and those of the buffer
/// that is flushed; a file that names more is damaged.
const SEGMENTS_MAX: usize = 64;

/// Progress of a shard: what its files hold at least.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardProgress {
    /// Generation of the buffer up to which the engine holds everything.
    pub(crate) engine: Option<u64>,
    /// Number of the last frame up to which the segments are synced.
    pub(crate) synced_through: u64,
    /// Segments of the journal, in order, as far as they are synced.
    pub(crate) segments: Vec<SegmentProgress>,
}

/// Synced part of one segment of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentProgress {
    pub(crate) number: u64,
    /// Generation of the buffer to which all frames belong; the segment goes once the engine holds it.
    pub(crate) generation: u64,
    pub(crate) salt: u32,
    pub(crate) first_lsn: u64,
    pub(crate) length_bytes: u64,
}

/// Watch on the progress of an open shard, which the shard's threads keep up to date. It stays as it was once they have
/// ended.
#[derive(Debug, Clone, Default)]
pub struct ProgressWatch(Arc<Mutex<ShardProgress>>);

impl ProgressWatch {
    pub(crate) fn beginning_at(engine: Option<u64>) -> Self {
        Self(Arc::new(Mutex::new(ShardProgress { engine, ..ShardProgress::default() })))
    }

    /// Returns the progress that is durable now.
    #[must_use]
    pub fn now(&self) -> ShardProgress {
        self.held().clone()
    }

    // Nothing panics with the lock held.
    pub(crate) fn held(&self) -> MutexGuard<'_, ShardProgress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Contents of the progress file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) generation: u64,
    pub(crate) life: Incarnation,
    pub(crate) tick: u32,
    pub(crate) shards: Vec<(u16, ShardProgress)>,
}

/// Outcome of reading the progress file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProgressFound {
    Progress(Progress),
    /// No life of the directory has written the file.
    Nothing,
    /// The file can't be read, which says nothing for or against the directory.
    Unreadable,
}

/// Progress file of one life in an open directory. Another thread than the directory's may write it, one at a time.
#[derive(Debug, Clone)]
pub struct ProgressFile {
    pub(crate) folder: PathBuf,
    pub(crate) generation: u64,
    pub(crate) life: Incarnation,
}

impl ProgressFile {
    /// Saves, durably, that the life has come to `tick`, and what these shards hold at least by then. A shard that is
    /// not named may hold anything.
    ///
    /// # Errors
    /// The operating system's; what was saved before is still there.
    pub fn save(&self, tick: u32, shards: &[(u16, ShardProgress)]) -> Result<(), OpenError> {
        let (generation, life) = (self.generation, self.life);
        let bytes = encode(generation, life, tick, shards);
        replace_file(&self.folder, NAME, &bytes)
            .map_err(|error| OpenError::io("writing", &self.folder.join(NAME), error))
    }
}

/// Reads the progress file of the directory at `path`.
pub(crate) fn read(path: &Path) -> ProgressFound {
    match fs::read(path.join(NAME)) {
        Ok(bytes) => decode(&bytes).map_or(ProgressFound::Unreadable, ProgressFound::Progress),
        Err(error) if error.kind() == io::ErrorKind::NotFound => ProgressFound::Nothing,
        Err(_) => ProgressFound::Unreadable,
    }
}

fn encode(
    generation: u64,
    life: Incarnation,
    tick: u32,
    shards: &[(u16, ShardProgress)],
) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&generation.to_le_bytes());
    body.extend_from_slice(&life.0.to_le_bytes());
    body.extend_from_slice(&tick.to_le_bytes());
    body.extend_from_slice(&(shards.len() as u16).to_le_bytes());
    for (index, ShardProgress { engine, synced_through, segments }) in shards {
        body.extend_from_slice(&index.to_le_bytes());
        body.push(engine.is_some().into());
        body.extend_from_slice(&engine.unwrap_or(0).to_le_bytes());
        body.extend_from_slice(&synced_through.to_le_bytes());
        body.extend_from_slice(&(segments.len() as u16).to_le_bytes());
        for segment in segments {
            let SegmentProgress { number, generation, salt, first_lsn, length_bytes } = segment;
            body.extend_from_slice(&number.to_le_bytes());
            body.extend_from_slice(&generation.to_le_bytes());
            body.extend_from_slice(&salt.to_le_bytes());
            body.extend_from_slice(&first_lsn.to_le_bytes());
            body.extend_from_slice(&length_bytes.to_le_bytes());
        }
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
    out
}

/// Parses what [`encode`] has made; `None` if it is anything else.
fn decode(bytes: &[u8]) -> Option<Progress> {
    let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let expected = [&MAGIC[..], &FORMAT.to_le_bytes(), &crc32fast::hash(body).to_le_bytes()];
    if header[..] != expected.concat() {
        return None;
    }
    let mut rest = Rest(body);
    let generation = rest.eight()?;
    let life = Incarnation(rest.eight()?);
    let tick = rest.four()?;
    let count = rest.two()?;
    let shards = (0..count).map(|_| Some((rest.two()?, rest.shard()?))).collect::<Option<_>>()?;
    rest.0.is_empty().then_some(Progress { generation, life, tick, shards })
}

/// Bytes that are still to be parsed.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn two(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn four(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn eight(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn shard(&mut self) -> Option<ShardProgress> {
        let [holds] = self.take()?;
        let generation = self.eight()?;
        let synced_through = self.eight()?;
        let count = usize::from(self.two()?);
        if count > SEGMENTS_MAX {
            return None;
        }
        let segments = (0..count).map(|_| self.segment()).collect::<Option<_>>()?;
        let engine = (holds == 1).then_some(generation);
        Some(ShardProgress { engine, synced_through, segments })
    }

    fn segment(&mut self) -> Option<SegmentProgress> {
        Some(SegmentProgress {
            number: self.eight()?,
            generation: self.eight()?,
            salt: self.four()?,
            first_lsn: self.eight()?,
            length_bytes: self.eight()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Incarnation, Progress, ProgressFile, ProgressFound, SegmentProgress, ShardProgress, decode,
        encode, fs, read,
    };

    fn shards() -> Vec<(u16, ShardProgress)> {
        let segment = |number| SegmentProgress {
            number,
            generation: number + 3,
            salt: 77,
            first_lsn: 10 * number,
            length_bytes: 1 << 33,
        };
        let segments = vec![segment(1), segment(2)];
        let busy = ShardProgress { engine: Some(3), synced_through: 25, segments };
        vec![(0, busy), (2, ShardProgress::default())]
    }

    #[test]
    fn what_is_saved_is_read_again_and_the_last_one_counts() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(read(place.path()), ProgressFound::Nothing);
        let life = Incarnation(9);
        let file = ProgressFile { folder: place.path().into(), generation: 4, life };
        file.save(1, &[]).unwrap();
        file.save(2, &shards()).unwrap();
        let expected = Progress { generation: 4, life, tick: 2, shards: shards() };
        assert_eq!(read(place.path()), ProgressFound::Progress(expected));
    }

    #[test]
    fn a_file_with_any_bit_flipped_or_any_byte_cut_off_says_nothing() {
        let bytes = encode(4, Incarnation(9), 2, &shards());
        assert!(decode(&bytes).is_some());
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "cut to {length} bytes");
        }
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&flipped), None, "bit {bit}");
        }
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(super::NAME), &bytes[1..]).unwrap();
        assert_eq!(read(place.path()), ProgressFound::Unreadable);
    }
}
