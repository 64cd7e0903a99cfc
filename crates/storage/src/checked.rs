//! Small values that engines on disk keep under a name, each with its checksum.
//!
//! Invariant: a value is returned only if its checksum, which covers its name, matches.

use crc32fast::Hasher;

const CHECKSUM_BYTES: usize = 4;

/// Returns the bytes that are stored for `value`: the value, then its checksum.
pub(crate) fn checked(name: &str, value: &[u8]) -> Vec<u8> {
    [value, &checksum(name, value)].concat()
}

/// Returns the value in bytes that [`checked`] has made; `None` if they are damaged.
pub(crate) fn unchecked<'a>(name: &str, stored: &'a [u8]) -> Option<&'a [u8]> {
    let (value, found) = stored.split_last_chunk::<CHECKSUM_BYTES>()?;
    (*found == checksum(name, value)).then_some(value)
}

fn checksum(name: &str, value: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = Hasher::new();
    hasher.update(name.as_bytes());
    hasher.update(value);
    hasher.finalize().to_le_bytes()
}
