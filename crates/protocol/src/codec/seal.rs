//! Seal that version 6 of the protocol puts behind a frame's bytes: the version and a checksum.
//!
//! Invariant: no reader of version 5 takes a sealed frame for one of its own. It looks for a frame's kind in as many
//! last bytes as the seal has, and finds no valid kind there.

use bytes::Bytes;
use rkyv::util::AlignedVec;
use xxhash_rust::xxh3::xxh3_64;

use crate::ProtocolVersion;
use crate::frame::ArchivedFrame;

const VERSION_BYTES: usize = size_of::<u16>();
const CHECKSUM_BYTES: usize = size_of::<u64>();
/// Bytes that a seal adds to a frame: filling, version, checksum.
pub(super) const SEAL_BYTES: usize = size_of::<ArchivedFrame>();
const FILLING: [u8; SEAL_BYTES - VERSION_BYTES - CHECKSUM_BYTES] =
    [NO_KIND; SEAL_BYTES - VERSION_BYTES - CHECKSUM_BYTES];
/// Byte of the filling, above the number of every kind of frame.
const NO_KIND: u8 = 0xFF;

/// Appends the seal to a frame's bytes.
pub(super) fn seal(bytes: &mut AlignedVec) {
    bytes.reserve(SEAL_BYTES);
    bytes.extend_from_slice(&FILLING);
    bytes.extend_from_slice(&ProtocolVersion::V6.number().to_le_bytes());
    let checksum = xxh3_64(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

/// Returns the frame's bytes without the seal; `None` unless version and checksum are right.
pub(super) fn unseal(bytes: &Bytes) -> Option<Bytes> {
    let frame = bytes.len().checked_sub(SEAL_BYTES)?;
    let (sealed, checksum) = bytes.split_last_chunk()?;
    let (_, version) = sealed.split_last_chunk()?;
    let whole = u16::from_le_bytes(*version) == ProtocolVersion::V6.number()
        && u64::from_le_bytes(*checksum) == xxh3_64(sealed);
    whole.then(|| bytes.slice(..frame))
}
