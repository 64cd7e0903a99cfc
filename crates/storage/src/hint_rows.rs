//! Rows of hints as engines on disk write them: one by age, and one by key that names the age of the first.
//!
//! Invariant: the place of a hint is believed only if its checksum, which covers its key, matches.
//!
//! ```text
//! by age  target (8), since_ms (8), key bytes, both numbers big endian, so that rows sort by age
//! by key  target (8, big endian), key bytes
//! place   since_ms (8), size (8), CRC-32 (4) of the bytes by key, then of both numbers; little endian
//! ```

use crc32fast::Hasher;
use jedlik_hashing::NodeId;
use jedlik_protocol::PlacedKey;
use jedlik_storage_port::{Hint, HintMark};

use crate::format::{parse_key, push_key};
use crate::trouble_log::{Lines, TroubleLog};

/// Length of target and time, before the key, in bytes.
const AGE_BYTES: usize = 16;
/// Length of the target, before the key, in bytes.
const TARGET_BYTES: usize = 8;
const PLACE_BYTES: usize = 20;

/// Row by key: time and size of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HintPlace {
    pub(crate) since_ms: u64,
    pub(crate) size_bytes: u64,
}

impl HintPlace {
    /// Returns the bytes of the place of `hint`.
    pub(crate) fn bytes_of(by_key: &[u8], hint: &Hint) -> [u8; PLACE_BYTES] {
        let mut out = [0; PLACE_BYTES];
        out[..8].copy_from_slice(&hint.since_ms.to_le_bytes());
        out[8..16].copy_from_slice(&hint.size_bytes().to_le_bytes());
        let checksum = checksum(by_key, &out[..16]);
        out[16..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Returns the place that `bytes` are; `None` if they are damaged.
    pub(crate) fn parse(by_key: &[u8], bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; PLACE_BYTES] = bytes.try_into().ok()?;
        let eight = |at: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]));
        let right = bytes[16..] == checksum(by_key, &bytes[..16]).to_le_bytes();
        right.then(|| Self { since_ms: eight(0), size_bytes: eight(8) })
    }
}

/// Returns the bytes of the row by key.
pub(crate) fn bytes_by_key(target: NodeId, key: &PlacedKey) -> Vec<u8> {
    let mut out = target.0.to_be_bytes().to_vec();
    push_key(&mut out, key);
    out
}

/// Returns the bytes of the row by age.
pub(crate) fn bytes_by_age(target: NodeId, mark: &HintMark) -> Vec<u8> {
    let mut out = target.0.to_be_bytes().to_vec();
    out.extend_from_slice(&mark.since_ms.to_be_bytes());
    push_key(&mut out, &mark.key);
    out
}

/// Returns the mark of a row by age; `None` if the bytes are none.
pub(crate) fn parse_by_age(bytes: &[u8]) -> Option<HintMark> {
    let since_ms = *bytes.get(TARGET_BYTES..)?.first_chunk()?;
    let key = parse_key(bytes.get(AGE_BYTES..)?)?;
    Some(HintMark { since_ms: u64::from_be_bytes(since_ms), key })
}

/// Returns a log of rows about hints that can't be read.
pub(crate) fn damage_log() -> TroubleLog {
    let lines = Lines {
        begins: "the row of a hint in the engine is damaged",
        continues: "rows of hints in the engine are still found damaged",
        over: "no damaged row of a hint was met for a minute",
    };
    TroubleLog::new(None, lines)
}

fn checksum(by_key: &[u8], numbers: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(by_key);
    hasher.update(numbers);
    hasher.finalize()
}
