//! Pages of one partition's records, in key order.
//!
//! Invariant: a page that does not reach the end of its range names the key up to which it does.

use alloc::vec::Vec;

use jedlik_hashing::{Partition, Position};
use jedlik_protocol::{Blob, PlacedKey, StoredRecord};

/// Range of records that a page is read from, and the limits of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRequest {
    /// Partition that holds the records.
    pub partition: Partition,
    /// Bucket that the records are in; `None` for all buckets.
    pub bucket: Option<Blob>,
    /// Whether values are wanted; otherwise their lengths stand for them, as in
    /// [`EncodedRecord::with_lengths`](jedlik_protocol::EncodedRecord::with_lengths).
    pub values: bool,
    /// First and last position of the range; `None` for the whole partition.
    pub span: Option<(Position, Position)>,
    /// Key after which the page begins; `None` for the beginning of the range.
    pub after: Option<PlacedKey>,
    /// Most records on the page.
    pub limit: u32,
    /// Whether each record is merged with the hints of its key, and keys that have hints alone are included.
    pub hints: bool,
}

/// Page of records in key order, and how far it reaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangePage {
    /// Records of the range, in the order of their keys: position first, then bucket and key.
    pub records: Vec<(PlacedKey, StoredRecord)>,
    /// Last key that was looked at; `None` if the end of the range was reached.
    pub until: Option<PlacedKey>,
    /// Keys up to `until` whose records fail their checksums; they are not among `records`.
    pub damaged: Vec<PlacedKey>,
}
