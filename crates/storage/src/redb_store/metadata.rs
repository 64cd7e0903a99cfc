//! Table of metadata: values by name, with a checksum each.
//!
//! Invariant: a value is returned only if its checksum, which covers its name, matches.

use crc32fast::Hasher;
use redb::ReadableTable;

const CHECKSUM_BYTES: usize = 4;

/// Returns the bytes that are stored for `value`: the value, then its checksum.
pub(super) fn checked(name: &str, value: &[u8]) -> Vec<u8> {
    [value, &checksum(name, value)].concat()
}

/// Returns the value of `name`; `None` if there is none.
pub(super) fn load(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<Vec<u8>>, redb::Error> {
    let Some(stored) = table.get(name)? else { return Ok(None) };
    let value = stored.value().split_last_chunk::<CHECKSUM_BYTES>();
    let value = value.filter(|(value, found)| **found == checksum(name, value));
    match value {
        Some((value, _)) => Ok(Some(value.to_vec())),
        None => Err(redb::Error::Corrupted(format!("the metadata {name:?} is damaged"))),
    }
}

fn checksum(name: &str, value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(value);
    hasher.finalize().to_le_bytes()
}
