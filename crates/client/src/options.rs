//! Options of one request; every default is the bucket's own setting.

use std::time::Duration;

use jedlik_protocol::limits::TIMEOUT_MAX_MS;
use jedlik_protocol::{Blob, Quorum};

/// Options of a get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// How many replicas to use, at most the bucket's N.
    pub n: Option<u8>,
    /// How many must answer.
    pub r: Quorum,
    /// How many of those must be primaries.
    pub pr: Quorum,
    /// All attempts together; `None` for [`crate::ClientConfig::timeout`].
    pub timeout: Option<Duration>,
}

/// Options of a put or a delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// From the get that this put follows: it replaces what that get saw. Without one the value
    /// becomes a sibling of what is there.
    pub context: Option<Blob>,
    /// How long the version lives, instead of the bucket's `ttl_ms`.
    pub ttl: Option<Duration>,
    /// How many replicas to use, at most the bucket's N.
    pub n: Option<u8>,
    /// How many must acknowledge.
    pub w: Quorum,
    /// How many of those must be primaries.
    pub pw: Quorum,
    /// How many of those must have synced.
    pub dw: Quorum,
    /// All attempts together; `None` for [`crate::ClientConfig::timeout`].
    pub timeout: Option<Duration>,
}

/// Options of a scan of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanOptions {
    /// Whether values are wanted, or keys alone.
    pub values: bool,
    /// How many replicas of each partition must answer.
    pub r: Quorum,
    /// The most keys in a page, up to [`jedlik_protocol::limits::SCAN_PAGE_RECORDS`].
    pub page_keys: u32,
    /// How many partitions are read at once.
    pub partitions_at_once: usize,
    /// All attempts at one page together; `None` for [`crate::ClientConfig::timeout`].
    pub timeout: Option<Duration>,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            values: true,
            r: Quorum::Default,
            page_keys: 512,
            partitions_at_once: 4,
            timeout: None,
        }
    }
}

/// A duration as the wire has it: whole milliseconds, at least 1, at most the protocol's limit.
pub(crate) fn wire_ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).clamp(1, TIMEOUT_MAX_MS)
}
