//! Table of metadata: values by name, with a checksum each.
//!
//! Invariant: a value is returned only if its checksum, which covers its name, matches.

use redb::ReadableTable;

use crate::checked::unchecked;

use super::tables::{FORMAT_NAME, LIVE_NAME};

/// Whether a value of this name is the engine's own.
pub(super) fn is_own(name: &str) -> bool {
    [FORMAT_NAME, LIVE_NAME].contains(&name)
}

/// Returns the names of all values but the engine's own, sorted.
pub(super) fn names(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Vec<String>, redb::Error> {
    let mut names = Vec::new();
    for entry in table.iter()? {
        let (name, _) = entry?;
        if !is_own(name.value()) {
            names.push(name.value().to_owned());
        }
    }
    Ok(names)
}

/// Returns the value of `name`; `None` if there is none.
pub(super) fn load(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<Vec<u8>>, redb::Error> {
    let Some(stored) = table.get(name)? else { return Ok(None) };
    match unchecked(name, stored.value()) {
        Some(value) => Ok(Some(value.to_vec())),
        None => Err(redb::Error::Corrupted(format!("the metadata {name:?} is damaged"))),
    }
}
