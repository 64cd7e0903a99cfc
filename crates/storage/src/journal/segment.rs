//! A segment's name and header.
//!
//! Invariant: the header is synced before the first frame is appended, so a segment that is longer
//! than its header and has none that can be read is damaged, not torn.

use crate::ShardIdentity;
use jedlik_hashing::NodeId;
use jedlik_protocol::ClusterId;

/// The newest format that is read, and the one that is written.
pub(super) const FORMAT: u32 = 1;
/// Before the first frame.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"jedlikJ\n";
const SUFFIX: &str = ".journal";
const CHECKSUM_AT: usize = 60;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: ShardIdentity,
    /// Counts the segments of a shard.
    pub(super) number: u64,
    /// The number of its first frame.
    pub(super) first_lsn: u64,
    /// The last frame known to be synced when the segment was begun.
    pub(super) synced_through: u64,
    /// Drawn at random; its frames' checksums start from it.
    pub(super) salt: u32,
}

/// Why a header could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderError {
    /// Cut short or damaged.
    Unreadable,
    /// Of this format, which is newer than [`FORMAT`].
    Newer(u32),
}

/// The file name of segment `number`.
pub(super) fn name(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

/// The number in a file name; `None` if it is no segment's.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

impl Header {
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
        out[56..60].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc32fast::hash(&out[..CHECKSUM_AT]);
        out[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Reads the header at the start of `bytes`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, HeaderError> {
        let header = bytes.first_chunk::<SEGMENT_HEADER_BYTES>().ok_or(HeaderError::Unreadable)?;
        let four = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
        let eight = |at: usize| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
        if header[..8] != MAGIC || crc32fast::hash(&header[..CHECKSUM_AT]) != four(CHECKSUM_AT) {
            return Err(HeaderError::Unreadable);
        }
        if four(8) > FORMAT {
            return Err(HeaderError::Newer(four(8)));
        }
        let shard = u16::try_from(four(12)).map_err(|_| HeaderError::Unreadable)?;
        Ok(Self {
            identity: ShardIdentity {
                cluster: ClusterId(eight(16)),
                node: NodeId(eight(24)),
                shard,
            },
            number: eight(32),
            first_lsn: eight(40),
            synced_through: eight(48),
            salt: four(56),
        })
    }
}
