//! Name and header of a segment.
//!
//! Invariant: the header is synced before the first frame is appended, so a segment that is longer
//! than its header and has none that can be read is damaged, not torn.

use std::io;

use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;

use crate::ShardIdentity;
use crate::disk::Disk;

use super::frame::FORMAT;

/// Length of a segment's header, before the first frame, in bytes.
pub(super) const SEGMENT_HEADER_BYTES: usize = 72;

const MAGIC: [u8; 8] = *b"jedlikJ\n";
const SUFFIX: &str = ".journal";
/// The checksum ends the header.
const CHECKSUM_BYTES: usize = 4;

/// Header of a segment, without format and checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: ShardIdentity,
    /// Number of the segment, which counts those of its shard.
    pub(super) number: u64,
    /// Number of the segment's first frame.
    pub(super) first_lsn: u64,
    /// Number of the last frame known to be synced when the segment was begun.
    pub(super) synced_through: u64,
    /// Generation of the buffer to which all frames of the segment belong.
    pub(super) generation: u64,
    /// Salt, drawn at random, from which the checksums of the segment's frames start.
    pub(super) salt: u32,
}

/// Reason why a header could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// The header is cut short or damaged.
    Unreadable,
    /// The header is of this format, which is not the one that is known.
    Foreign(u32),
}

/// Returns the file name of segment `number`.
pub(super) fn name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// Returns the number in a file name; `None` if the name is no segment's.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// Returns the numbers of the segments on `disk`, in order.
pub(super) fn numbers(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> = disk.list()?.iter().filter_map(|name| number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

impl Header {
    /// Returns the bytes of the header, its checksum included.
    pub(super) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[..8].copy_from_slice(&MAGIC);
        out[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        out[12..16].copy_from_slice(&u32::from(self.identity.shard).to_le_bytes());
        out[16..24].copy_from_slice(&self.identity.cluster.0.to_le_bytes());
        out[24..32].copy_from_slice(&self.identity.node.0.to_le_bytes());
        out[32..40].copy_from_slice(&self.number.to_le_bytes());
        out[40..48].copy_from_slice(&self.first_lsn.to_le_bytes());
        out[48..56].copy_from_slice(&self.synced_through.to_le_bytes());
        out[56..64].copy_from_slice(&self.generation.to_le_bytes());
        out[64..68].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32fast::hash(&out[..SEGMENT_HEADER_BYTES - CHECKSUM_BYTES]);
        out[SEGMENT_HEADER_BYTES - CHECKSUM_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the header at the start of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() < 12 || bytes[..8] != MAGIC {
            return Err(HeaderError::Unreadable);
        }
        let format = four(bytes, 8);
        let header = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(HeaderError::Unreadable)?;
        let (covered, checksum) = header.split_at(SEGMENT_HEADER_BYTES - CHECKSUM_BYTES);
        if crc32fast::hash(covered).to_le_bytes() != checksum {
            return Err(HeaderError::Unreadable);
        }
        if format != FORMAT {
            return Err(HeaderError::Foreign(format));
        }
        let shard = u16::try_from(four(header, 12)).map_err(|_| HeaderError::Unreadable)?;
        Ok(Self {
            identity: ShardIdentity {
                cluster: ClusterId(eight(header, 16)),
                node: NodeId(eight(header, 24)),
                shard,
            },
            number: eight(header, 32),
            first_lsn: eight(header, 40),
            synced_through: eight(header, 48),
            generation: eight(header, 56),
            salt: four(header, 64),
        })
    }
}

fn four(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]))
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from(four(bytes, at)) | u64::from(four(bytes, at + 4)) << 32
}
