//! Reading the journal after a crash.
//!
//! Invariant: every frame past the engine's mark that can be read is replayed, in order, and bytes that
//! can't be read are damage exactly when a later frame, or what is known of the shard's progress, says that the changes
//! missing there had been synced.

use std::fs;
use std::mem;
use std::path::Path;
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::disk::{Disk, FileBytes};
use crate::flusher::write_into;
use crate::layers::{Frozen, Layers};
use crate::mark::{self, MetadataWrite};
use crate::merge::{merged, merged_hint};
use crate::progress::ShardProgress;
use crate::{OpenError, ShardIdentity, Store, StoreError};

use super::frame::{self, Edit, FORMAT, Frame, FrameChange, MAGIC};
use super::required::Required;
use super::segment::{self, Header, HeaderError, SEGMENT_HEADER_BYTES};

/// Findings from a shard's journal at its opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Number of frames that were replayed.
    pub records: u64,
    /// Number of segments that were read, leftovers included.
    pub segments: u64,
    /// Number of bytes cut short by the crash, of writes that were never acknowledged as synced.
    pub torn_bytes: u64,
    /// Regions that had been synced and can't be read any more: the other replicas have to repair them.
    pub damaged: Vec<DamagedRegion>,
}

/// Part of a segment that held synced records and can't be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRegion {
    /// File name of the segment.
    pub segment: String,
    /// Offset in the segment at which the region begins.
    pub offset_bytes: u64,
    /// Length of the region; 0 if whole frames are missing without a trace.
    pub length_bytes: u64,
    /// Number of synced records that the region held; 0 if that is not known.
    pub records: u64,
}

/// Outcome of a replay, from which the next segment continues.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) recovery: Recovery,
    /// Names of all segments, in order, for removal.
    pub(crate) segments: Vec<String>,
    pub(crate) next_number: u64,
    pub(crate) next_lsn: u64,
    /// Mark of the engine before the replay.
    pub(crate) held: Option<u64>,
    /// Mark of the engine now, or once it holds `late`.
    pub(crate) mark: Option<u64>,
    /// Changes that the engine does not hold yet, for want of room. The segments hold them too.
    pub(crate) late: Option<Frozen>,
    /// Number of bytes that should be free on the disk before the engine is given `late`.
    pub(crate) room_bytes: u64,
}

/// Bytes that the engine may take for a byte of the journal: a page that is changed is written anew elsewhere.
const ROOM_FOR_EACH_BYTE: u64 = 2;
/// Bytes that the engine may take for a commit besides: pages of its own, and those by which its file grows. Without
/// that room it breaks its file, which can't be read until there is room.
const ROOM_FOR_A_COMMIT_BYTES: u64 = 1 << 20;

/// Destination of what is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// The engine, in batches of about `batch_bytes`, while there is room for all that was read of the segments.
    Engine { batch_bytes: usize, free_bytes: u64 },
    /// Memory alone, since the disk has no room.
    Memory,
}

/// Reads every segment on `disk` and plays what they hold past the engine's mark into `engine`, in sorted batches. The
/// segments stay where they are. Changes for which the disk turns out to have no room are kept in memory. A journal or
/// an engine that holds less than was reached is refused.
pub(crate) fn replay(
    disk: &dyn Disk,
    identity: ShardIdentity,
    engine: &Arc<dyn Store>,
    (into, progress): (Sink, Option<&ShardProgress>),
) -> Result<Replayed, OpenError> {
    let io = |doing, source| OpenError::io(doing, disk.path(), source);
    let numbers = segment::numbers(disk).map_err(|source| io("listing the journal in", source))?;
    let required = Required::of(progress, &**engine, (disk.path(), &numbers))?;
    let mut reader = Reader::default();
    required.begin(&mut reader);
    let mut batch = Batch { layers: Layers::over(engine.clone(), 0), into };
    let mut room_bytes = ROOM_FOR_A_COMMIT_BYTES;
    let held = mark::load(&**engine)?;
    let mut reached = held;
    for &number in &numbers {
        let name = segment::name(number);
        let read = disk.read(&name).map_err(|source| io("reading a segment in", source))?;
        room_bytes += ROOM_FOR_EACH_BYTE * read.bytes.len() as u64;
        batch.look_at_room(room_bytes);
        let header = Header::parse(&read.bytes);
        required.check(disk.path(), number, (&read, &header))?;
        match header {
            Ok(header) => {
                check_identity(disk, &name, identity, header.identity)?;
                if held.is_some_and(|held| header.generation <= held) {
                    continue;
                }
                reached = reached.max(Some(header.generation));
                reader.segment(&name, &header);
                reader.frames(&name, &read, &header, |frame| batch.add(frame))?;
            }
            Err(HeaderError::Foreign(found)) => {
                let (path, known) = (disk.path().join(name), FORMAT);
                return Err(if found > known {
                    OpenError::NewerFormat { path, found, known }
                } else {
                    OpenError::OlderFormat { path, found, known }
                });
            }
            Err(HeaderError::Unreadable) => reader.headless(&name, &read),
        }
    }
    required.end(&mut reader);
    let next_lsn = reader.expected.unwrap_or(1);
    let mut recovery = reader.judge();
    // To be noted before the segments are removed, which alone tell of it.
    let lost = (!recovery.damaged.is_empty()).then(mark::lost_past);
    if reached != held || lost.is_some() {
        batch.flush(reached.map(mark::reached).into_iter().chain(lost.clone()).collect())?;
    }
    let late = batch.rest().filter(|_| reached != held || lost.is_some()).map(|buffer| Frozen {
        generation: reached.unwrap_or(0),
        buffer,
        metadata: lost.into_iter().collect(),
    });
    recovery.segments = numbers.len() as u64;
    Ok(Replayed {
        recovery,
        next_number: numbers.last().map_or(1, |last| last + 1),
        segments: numbers.into_iter().map(segment::name).collect(),
        next_lsn,
        held,
        mark: reached,
        late,
        room_bytes,
    })
}

/// Returns the identity of the journal on `disk`, by the first of its segments that can be read; `None` if none can.
pub(crate) fn identity(disk: &dyn Disk) -> Result<Option<ShardIdentity>, OpenError> {
    let io = |doing, source| OpenError::io(doing, disk.path(), source);
    let names = disk.list().map_err(|source| io("listing the journal in", source))?;
    for name in names.iter().filter(|name| segment::number(name).is_some()) {
        let read = disk.read(name).map_err(|source| io("reading a segment in", source))?;
        if let Ok(header) = Header::parse(&read.bytes) {
            return Ok(Some(header.identity));
        }
    }
    Ok(None)
}

/// Whether a directory holds any segment.
pub(crate) fn has_segments(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name())
        .any(|name| name.to_str().is_some_and(|name| segment::number(name).is_some()))
}

fn check_identity(
    disk: &dyn Disk,
    name: &str,
    expected: ShardIdentity,
    found: ShardIdentity,
) -> Result<(), OpenError> {
    if found == expected {
        return Ok(());
    }
    let show = |identity: ShardIdentity| {
        format!(
            "shard {} of node {} in cluster {}",
            identity.shard, identity.node, identity.cluster
        )
    };
    Err(OpenError::Mismatch {
        path: disk.path().join(name),
        what: "the journal of",
        found: show(found),
        expected: show(expected),
        remedy: "put each shard's journal back into its own directory",
    })
}

/// Changes on their way into the engine.
struct Batch {
    layers: Layers,
    into: Sink,
}

impl Batch {
    fn add(&mut self, frame: Frame) -> Result<(), OpenError> {
        self.play(frame)?;
        if let Sink::Engine { batch_bytes, .. } = self.into
            && self.layers.active.journal_bytes() >= batch_bytes
        {
            self.flush(Vec::new())?;
        }
        Ok(())
    }

    fn play(&mut self, frame: Frame) -> Result<(), StoreError> {
        let Frame { change, length_bytes, .. } = frame;
        let layers = &mut self.layers;
        let (key, edit) = match change {
            FrameChange::Edit(key, edit) => (key, edit),
            FrameChange::Drop(partition) => {
                layers.active.drop_partition(partition, length_bytes);
                return Ok(());
            }
        };
        match edit {
            Edit::Merge(record) => {
                let record = merged(layers.current(&key)?.as_ref(), record)?;
                layers.active.put(key, Some(record), length_bytes);
            }
            Edit::Set(record) => layers.active.put(key, Some(record), length_bytes),
            Edit::Remove => layers.active.put(key, None, length_bytes),
            Edit::Hold { target, since_ms, record } => {
                let current = layers.hint(target, &key)?;
                let held = merged_hint(current.as_ref(), since_ms, record)?;
                layers.active.put_hint(target, key, Some(held), length_bytes);
            }
            Edit::Release { target } => layers.active.put_hint(target, key, None, length_bytes),
        }
        Ok(())
    }

    fn flush(&mut self, metadata: Vec<MetadataWrite>) -> Result<(), StoreError> {
        if self.into == Sink::Memory {
            return Ok(());
        }
        match write_into(&*self.layers.engine, &self.layers.active, metadata) {
            Ok(()) => self.layers.active = Buffer::default(),
            // The engine may be given again what it holds of the batch by now.
            Err(StoreError::DiskFull { .. }) => self.into = Sink::Memory,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Chooses memory if the disk lacks the room: an engine that meets a full disk may not even be read from any more.
    fn look_at_room(&mut self, room_bytes: u64) {
        if matches!(self.into, Sink::Engine { free_bytes, .. } if free_bytes < room_bytes) {
            self.into = Sink::Memory;
        }
    }

    /// Returns the changes that the engine was not given, if there are any.
    fn rest(self) -> Option<Buffer> {
        (self.into == Sink::Memory).then_some(self.layers.active)
    }
}

/// Stretch of a segment's bytes that can't be read.
struct Region {
    segment: String,
    offset: usize,
    length: usize,
    /// Whether the region can't be torn: see `segment.rs`, or the disk could not read it.
    certain: bool,
}

/// Reader that walks over segments and keeps what it takes to judge the gaps, once all is known.
#[derive(Default)]
pub(super) struct Reader {
    recovery: Recovery,
    /// Number that the next frame should have.
    expected: Option<u64>,
    /// Unreadable bytes since the last frame or header.
    unread: Vec<Region>,
    /// Unreadable bytes, and the numbers from and to (exclusive) of the frames missing there.
    gaps: Vec<(Region, u64, u64)>,
    synced_through: u64,
}

impl Reader {
    /// Requires that the first frame have the number `lsn`.
    pub(super) fn expect(&mut self, lsn: u64) {
        self.expected = Some(lsn);
    }

    /// Notes that frames up to `synced_through` were synced, in the segment `name` or before it.
    pub(super) fn end_after(&mut self, name: &str, length_bytes: u64, synced_through: u64) {
        self.synced_through = self.synced_through.max(synced_through);
        self.arrive(name, length_bytes as usize, synced_through + 1);
    }

    fn segment(&mut self, name: &str, header: &Header) {
        self.synced_through = self.synced_through.max(header.synced_through);
        self.arrive(name, 0, header.first_lsn);
    }

    fn headless(&mut self, name: &str, read: &FileBytes) {
        let length = read.bytes.len();
        let certain = length > SEGMENT_HEADER_BYTES || !read.unreadable.is_empty();
        self.unread.push(Region { segment: name.into(), offset: 0, length, certain });
    }

    fn frames(
        &mut self,
        name: &str,
        read: &FileBytes,
        header: &Header,
        mut replay: impl FnMut(Frame) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let bytes = &read.bytes;
        let mut offset = SEGMENT_HEADER_BYTES;
        while offset < bytes.len() {
            let expected = self.expected.unwrap_or(0);
            let found = frame::parse(&bytes[offset..], header.salt);
            let found = found.filter(|frame| frame.lsn >= expected);
            let Some(frame) = found else {
                let next = next_candidate(bytes, offset + 1);
                self.skip(name, offset, next - offset, read.lacks(offset..next));
                offset = next;
                continue;
            };
            self.arrive(name, offset, frame.lsn);
            self.expected = Some(frame.lsn + 1);
            self.synced_through = self.synced_through.max(frame.synced_through);
            self.recovery.records += 1;
            offset += frame.length_bytes;
            replay(frame)?;
        }
        Ok(())
    }

    /// Notes unreadable bytes; neighbours make one region.
    fn skip(&mut self, name: &str, offset: usize, length: usize, certain: bool) {
        match self.unread.last_mut() {
            Some(last) if last.segment == name && last.offset + last.length == offset => {
                last.length += length;
                last.certain |= certain;
            }
            _ => {
                let segment = name.into();
                self.unread.push(Region { segment, offset, length, certain });
            }
        }
    }

    /// Settles what went before, since something that can be read says that `lsn` comes next.
    fn arrive(&mut self, name: &str, offset: usize, lsn: u64) {
        let expected = self.expected.unwrap_or(lsn);
        let mut regions = mem::take(&mut self.unread);
        if regions.is_empty() && lsn > expected {
            regions.push(Region { segment: name.into(), offset, length: 0, certain: false });
        }
        // It is not known which of several regions held which frames, so the first answers for all.
        for (index, region) in regions.into_iter().enumerate() {
            let until = if index == 0 { lsn.max(expected) } else { expected };
            self.gaps.push((region, expected, until));
        }
        self.expected = Some(expected.max(lsn));
    }

    fn judge(mut self) -> Recovery {
        let next = self.expected.unwrap_or(1);
        let ending = mem::take(&mut self.unread).into_iter().map(|region| (region, next, next));
        for (region, from, until) in self.gaps.into_iter().chain(ending) {
            let lost = until.min(self.synced_through + 1).saturating_sub(from);
            if lost > 0 || region.certain {
                self.recovery.damaged.push(DamagedRegion {
                    segment: region.segment,
                    offset_bytes: region.offset as u64,
                    length_bytes: region.length as u64,
                    records: lost,
                });
            } else {
                self.recovery.torn_bytes += region.length as u64;
            }
        }
        self.recovery
    }
}

/// Returns the place where the next frame could begin, or the end.
fn next_candidate(bytes: &[u8], from: usize) -> usize {
    let rest = &bytes[from..];
    rest.windows(MAGIC.len()).position(|w| w == MAGIC).map_or(bytes.len(), |at| from + at)
}
