//! Mark of the node's life that last used a shard: one in the shard's engine, and one beside its journal.
//!
//! Invariant: a shard's marks are durable before `node.toml` expects them, and `node.toml` expects the marks of a life
//! before anything of that life is issued. So a crash between two of these writes leaves marks that are expected, and a
//! shard's folder, engine or journal that was replaced by an earlier copy does not have such marks: see
//! [`is_expected`].
//!
//! ```text
//! engine   metadata "life": the mark's 17 bytes
//! journal  file `life`: the mark's 17 bytes and their CRC-32 (4)
//! mark     generation (8), incarnation (8), 1 after a clean stop (1)
//! ```

use std::fs;
use std::io;
use std::path::Path;

use jedlik_protocol::Incarnation;

use crate::disk::replace_file;
use crate::mark::MetadataWrite;
use crate::{OpenError, Store, StoreError};

const NAME: &str = "life";
const MARK_BYTES: usize = 17;

/// Mark of the life of the node that last used a shard, and of whether that life has closed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeMark {
    /// Generation of the life, which grows with the node's starts.
    pub generation: u64,
    /// Name of the life, drawn at random at its start.
    pub life: Incarnation,
    /// Whether the shard was closed, with everything in its engine.
    pub stopped: bool,
}

/// Outcome of looking for the mark in a shard's engine or beside its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkFound {
    /// Mark of the last life that used the shard.
    Mark(LifeMark),
    /// No life has used the shard yet, or there is nothing that could hold a mark.
    Nothing,
    /// The mark is there and can't be read.
    Unreadable,
}

impl MarkFound {
    /// Returns the mark; `None` if there is none that can be read.
    pub(crate) fn mark(self) -> Option<LifeMark> {
        match self {
            Self::Mark(mark) => Some(mark),
            Self::Nothing | Self::Unreadable => None,
        }
    }
}

/// Whether a shard with the mark `found` may be used where `node.toml` expects the mark `expected`, or that of a later
/// life for which `is_known` holds. A mark that can't be read says nothing against the shard.
pub(crate) fn is_expected(
    expected: Option<LifeMark>,
    found: MarkFound,
    is_known: impl FnOnce(&LifeMark) -> bool,
) -> bool {
    let Some(expected) = expected else { return true };
    match found {
        MarkFound::Unreadable => true,
        MarkFound::Nothing => false,
        MarkFound::Mark(found) if found.generation == expected.generation => {
            found.life == expected.life && found.stopped >= expected.stopped
        }
        MarkFound::Mark(found) => found.generation > expected.generation && is_known(&found),
    }
}

impl LifeMark {
    fn encode(self) -> [u8; MARK_BYTES] {
        let mut out = [0; MARK_BYTES];
        out[..8].copy_from_slice(&self.generation.to_le_bytes());
        out[8..16].copy_from_slice(&self.life.0.to_le_bytes());
        out[16] = self.stopped.into();
        out
    }

    fn decode(bytes: &[u8]) -> MarkFound {
        let Ok(bytes) = <[u8; MARK_BYTES]>::try_from(bytes) else { return MarkFound::Unreadable };
        let number =
            |at: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]));
        MarkFound::Mark(Self {
            generation: number(0),
            life: Incarnation(number(8)),
            stopped: bytes[16] == 1,
        })
    }
}

/// Returns the change of metadata that puts the mark into an engine.
pub(crate) fn of_engine(mark: LifeMark) -> MetadataWrite {
    (NAME.into(), Some(mark.encode().to_vec()))
}

/// Reads the mark in an engine.
///
/// # Errors
/// The engine's own.
pub fn in_engine(engine: &dyn Store) -> Result<MarkFound, StoreError> {
    Ok(engine.metadata(NAME)?.map_or(MarkFound::Nothing, |bytes| LifeMark::decode(&bytes)))
}

/// Reads the mark in a journal's directory.
pub(crate) fn beside_journal(directory: &Path) -> MarkFound {
    let bytes = match fs::read(directory.join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return MarkFound::Nothing,
        Err(_) => return MarkFound::Unreadable,
    };
    match bytes.split_last_chunk::<4>() {
        Some((mark, checksum)) if crc32fast::hash(mark).to_le_bytes() == *checksum => {
            LifeMark::decode(mark)
        }
        _ => MarkFound::Unreadable,
    }
}

/// Writes the mark into a journal's directory, durably.
pub(crate) fn write_beside_journal(directory: &Path, mark: LifeMark) -> Result<(), OpenError> {
    let mark = mark.encode();
    let bytes = [&mark[..], &crc32fast::hash(&mark).to_le_bytes()].concat();
    replace_file(directory, NAME, &bytes)
        .map_err(|error| OpenError::io("marking the journal in", directory, error))
}

#[cfg(test)]
mod tests;
