//! One change in the journal: how it is written and how it is recognised.
//!
//! Invariant: a frame is accepted only if its checksums match under its segment's salt, so bytes that
//! a client put into a value never pass for a frame. The header has a checksum of its own, so that what
//! only looks like one costs no more than that: a value full of such bytes is passed in one reading.

use crc32fast::Hasher;
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::limits::{BUCKET_LIMIT_BYTES, KEY_LIMIT_BYTES, RECORD_MAX_BYTES};
use jedlik_protocol::{PlacedKey, StoredRecord};

use crate::format;

/// Format of segments and their frames that is read and written.
pub(super) const FORMAT: u32 = 5;

/// First bytes of every frame, by which a reader that has lost its way finds the next one.
pub(super) const MAGIC: [u8; 4] = *b"\xf1jRF";
/// Length of a frame's header, before the payload, in bytes.
pub(super) const FRAME_HEADER_BYTES: usize = 32;
/// Longest payload in bytes: the largest record, and the longest key with its bucket escaped.
pub(crate) const PAYLOAD_LIMIT_BYTES: usize =
    RECORD_MAX_BYTES + 2 * BUCKET_LIMIT_BYTES + KEY_LIMIT_BYTES + 64;

/// Length of what a frame's payload has besides its names and its record, about, in bytes.
const BESIDE_BYTES: usize = 128;

const HEADER_CHECKSUM: std::ops::Range<usize> = 4..8;
const PAYLOAD_CHECKSUM: std::ops::Range<usize> = 8..12;
const LENGTH: std::ops::Range<usize> = 12..16;
const LSN: std::ops::Range<usize> = 16..24;
const SYNCED_THROUGH: std::ops::Range<usize> = 24..32;

const MERGE: u8 = 1;
const SET: u8 = 2;
const REMOVE: u8 = 3;
const HOLD: u8 = 4;
const RELEASE: u8 = 5;
const DROP: u8 = 6;

/// Change that a frame makes to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Merges into the record.
    Merge(StoredRecord),
    /// Replaces the record, whatever it holds.
    Set(StoredRecord),
    /// Removes the record, if there is one.
    Remove,
    /// Merges into the hint for `target`.
    Hold {
        /// Node for which the hint is kept.
        target: NodeId,
        /// Time of the hint in milliseconds since the Unix epoch; of two times the older stands.
        since_ms: u64,
        /// Record that the target has to merge.
        record: StoredRecord,
    },
    /// Removes the hint for `target`.
    Release {
        /// Node for which the hint was kept.
        target: NodeId,
    },
}

/// Appends a frame whose place in the journal is not known yet: [`seal`] fills that in.
///
/// Returns the frame's length. Past the limit of a payload nothing is appended, and the payload's length is the error.
pub(crate) fn push(out: &mut Vec<u8>, key: &PlacedKey, edit: &Edit) -> Result<usize, usize> {
    let start = out.len();
    out.reserve(usual_bytes(key, edit));
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    out.push(match edit {
        Edit::Merge(_) => MERGE,
        Edit::Set(_) => SET,
        Edit::Remove => REMOVE,
        Edit::Hold { .. } => HOLD,
        Edit::Release { .. } => RELEASE,
    });
    let length_start = out.len();
    out.extend_from_slice(&[0; 2]);
    format::push_key(out, key);
    let key_bytes = out.len() - length_start - 2;
    match edit {
        Edit::Merge(record) | Edit::Set(record) => format::push_body(out, record),
        Edit::Remove => {}
        Edit::Hold { target, since_ms, record } => {
            out.extend_from_slice(&target.0.to_le_bytes());
            out.extend_from_slice(&since_ms.to_le_bytes());
            format::push_body(out, record);
        }
        Edit::Release { target } => out.extend_from_slice(&target.0.to_le_bytes()),
    }
    let payload_bytes = out.len() - start - FRAME_HEADER_BYTES;
    let key_length = u16::try_from(key_bytes).ok().filter(|_| payload_bytes <= PAYLOAD_LIMIT_BYTES);
    let Some(key_length) = key_length else {
        out.truncate(start);
        return Err(payload_bytes);
    };
    out[length_start..length_start + 2].copy_from_slice(&key_length.to_le_bytes());
    Ok(head(&mut out[start..]))
}

/// Returns about how long a frame is, so that room for it is made once.
fn usual_bytes(key: &PlacedKey, edit: &Edit) -> usize {
    let key = key.key.bucket().len() + key.key.key().len();
    let record = match edit {
        Edit::Merge(record) | Edit::Set(record) | Edit::Hold { record, .. } => {
            record.record.bytes().len()
        }
        Edit::Remove | Edit::Release { .. } => 0,
    };
    FRAME_HEADER_BYTES + key + record + BESIDE_BYTES
}

/// Appends a frame as [`push`] does, for the drop of a partition. Returns the frame's length.
pub(crate) fn push_drop(out: &mut Vec<u8>, partition: Partition) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    out.push(DROP);
    out.extend_from_slice(&partition.0.to_le_bytes());
    head(&mut out[start..])
}

/// Fills in the part of a frame's header that does not depend on the frame's place. Returns the frame's length.
fn head(frame: &mut [u8]) -> usize {
    let payload_bytes = frame.len() - FRAME_HEADER_BYTES;
    frame[..4].copy_from_slice(&MAGIC);
    frame[LENGTH].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
    frame.len()
}

/// Gives each frame in `frames` its number, counting from `lsn`, and its checksum. Returns how many there are.
pub(super) fn seal(frames: &mut [u8], salt: u32, lsn: u64, synced_through: u64) -> u64 {
    let (mut offset, mut count) = (0, 0);
    while offset < frames.len() {
        let length = FRAME_HEADER_BYTES + payload_length(&frames[offset..]);
        let frame = &mut frames[offset..offset + length];
        frame[LSN].copy_from_slice(&(lsn + count).to_le_bytes());
        frame[SYNCED_THROUGH].copy_from_slice(&synced_through.to_le_bytes());
        let payload = checksum(&frame[FRAME_HEADER_BYTES..], salt);
        frame[PAYLOAD_CHECKSUM].copy_from_slice(&payload);
        let header = checksum(&frame[PAYLOAD_CHECKSUM.start..FRAME_HEADER_BYTES], salt);
        frame[HEADER_CHECKSUM].copy_from_slice(&header);
        offset += length;
        count += 1;
    }
    count
}

/// Frame as it was read from a segment.
pub(super) struct Frame {
    pub(super) lsn: u64,
    pub(super) synced_through: u64,
    pub(super) change: FrameChange,
    /// Length of the whole frame in its segment, in bytes.
    pub(super) length_bytes: usize,
}

/// Change that a frame makes, to one key or to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FrameChange {
    /// Changes the record or a hint of one key.
    Edit(PlacedKey, Edit),
    /// Removes every record of a partition.
    Drop(Partition),
}

/// Reads the frame at the start of `bytes`; `None` if there is none that can be read.
pub(super) fn parse(bytes: &[u8], salt: u32) -> Option<Frame> {
    if bytes.len() < FRAME_HEADER_BYTES || bytes[..4] != MAGIC {
        return None;
    }
    let header = &bytes[PAYLOAD_CHECKSUM.start..FRAME_HEADER_BYTES];
    if checksum(header, salt) != bytes[HEADER_CHECKSUM] {
        return None;
    }
    let payload_bytes = payload_length(bytes);
    if payload_bytes > PAYLOAD_LIMIT_BYTES {
        return None;
    }
    let frame = bytes.get(..FRAME_HEADER_BYTES + payload_bytes)?;
    let payload = &frame[FRAME_HEADER_BYTES..];
    if checksum(payload, salt) != frame[PAYLOAD_CHECKSUM] {
        return None;
    }
    let (&kind, payload) = payload.split_first()?;
    Some(Frame {
        lsn: number(&frame[LSN]),
        synced_through: number(&frame[SYNCED_THROUGH]),
        change: parse_change(kind, payload)?,
        length_bytes: frame.len(),
    })
}

fn parse_change(kind: u8, payload: &[u8]) -> Option<FrameChange> {
    if kind == DROP {
        return Some(FrameChange::Drop(Partition(u32::from_le_bytes(payload.try_into().ok()?))));
    }
    let (key_length, rest) = payload.split_first_chunk::<2>()?;
    let (key, body) = rest.split_at_checked(u16::from_le_bytes(*key_length).into())?;
    Some(FrameChange::Edit(format::parse_key(key)?, parse_edit(kind, body)?))
}

fn parse_edit(kind: u8, body: &[u8]) -> Option<Edit> {
    match kind {
        MERGE => format::parse_body(body).map(Edit::Merge),
        SET => format::parse_body(body).map(Edit::Set),
        REMOVE => body.is_empty().then_some(Edit::Remove),
        HOLD => {
            let (target, rest) = body.split_first_chunk()?;
            let (since_ms, rest) = rest.split_first_chunk()?;
            Some(Edit::Hold {
                target: NodeId(u64::from_le_bytes(*target)),
                since_ms: u64::from_le_bytes(*since_ms),
                record: format::parse_body(rest)?,
            })
        }
        RELEASE => {
            let target = u64::from_le_bytes(body.try_into().ok()?);
            Some(Edit::Release { target: NodeId(target) })
        }
        _ => None,
    }
}

fn payload_length(frame: &[u8]) -> usize {
    frame[LENGTH].iter().rev().fold(0, |length, &byte| length << 8 | usize::from(byte))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Returns the CRC-32 of `bytes`, started from the segment's salt.
fn checksum(bytes: &[u8], salt: u32) -> [u8; 4] {
    let mut hasher = Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize().to_le_bytes()
}
