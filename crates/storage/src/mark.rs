//! Mark of how much of the journal an engine holds, and values that it keeps over a clean stop.
//!
//! Invariant: the engine's mark is a generation of the buffer. It changes in the same commit as the last
//! of that generation's records, so everything up to it is in the engine and nothing past it counts as
//! being there. Generations of a shard are never used again.
//!
//! A shard whose engine or journal was damaged says so in its engine until the node has written down which
//! partitions it has to be given again ([design 8](../../../docs/design.md#8-what-a-replica-knows)).
//!
//! A value kept over a stop carries the mark of that stop. It is of use only as long as the mark stays: then the engine
//! holds exactly what it held.

use crate::{Store, StoreError};

const MARK: &str = "journal";
const PAST: &str = "past";
const LOST: u8 = 1;
/// Beginning of the names of values that are kept over a clean stop.
const KEPT: &str = "kept.";

/// Change of a metadata value, by name; `None` removes it.
pub(crate) type MetadataWrite = (String, Option<Vec<u8>>);

/// Returns the last generation that `engine` holds all of; `None` if no shard has stored one.
pub(crate) fn load(engine: &dyn Store) -> Result<Option<u64>, StoreError> {
    let Some(bytes) = engine.metadata(MARK)? else { return Ok(None) };
    let generation = bytes.try_into().map_err(|_| StoreError::Engine {
        doing: "reading how much of the journal it holds",
        message: "the mark is not a number of 8 bytes".into(),
    })?;
    Ok(Some(u64::from_le_bytes(generation)))
}

/// Returns the change that says that the engine holds everything up to `generation`.
pub(crate) fn reached(generation: u64) -> MetadataWrite {
    (MARK.into(), Some(generation.to_le_bytes().to_vec()))
}

/// Returns the change that says that the shard has lost a part of its past: what it does not hold, it may have held.
pub(crate) fn lost_past() -> MetadataWrite {
    (PAST.into(), Some(vec![LOST]))
}

/// Returns the change that takes [`lost_past`] back.
pub(crate) fn settled_past() -> MetadataWrite {
    (PAST.into(), None)
}

/// Whether the shard has lost a part of its past.
pub(crate) fn has_lost_past(engine: &dyn Store) -> Result<bool, StoreError> {
    Ok(engine.metadata(PAST)?.is_some())
}

/// Returns the name under which the engine keeps `name` over a clean stop.
pub(crate) fn kept_name(name: &str) -> String {
    format!("{KEPT}{name}")
}

/// Whether the engine keeps a value of this name over a clean stop.
pub(crate) fn is_kept(name: &str) -> bool {
    name.starts_with(KEPT)
}

/// Returns the name under which the engine keeps `name` whatever becomes of the mark.
pub(crate) fn lasting_name(name: &str) -> String {
    format!("lasting.{name}")
}

/// Returns the change that keeps `value` for as long as the mark is `generation`.
pub(crate) fn kept(name: &str, generation: u64, value: &[u8]) -> MetadataWrite {
    (kept_name(name), Some([&generation.to_le_bytes(), value].concat()))
}

/// Returns what was kept, if it is still of use now that the mark is `generation`.
pub(crate) fn parse_kept(bytes: &[u8], generation: u64) -> Option<Vec<u8>> {
    let (kept_at, value) = bytes.split_first_chunk()?;
    (u64::from_le_bytes(*kept_at) == generation).then(|| value.to_vec())
}
