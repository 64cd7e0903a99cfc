//! Pages of records that storage is asked for.
//!
//! Invariant: the constructors alone say, for each kind of page, what its records are: whole, or with lengths
//! in place of values; as they are stored, or merged with hints.

use alloc::vec::Vec;

use jedlik_hashing::{Partition, Position};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::{Blob, PlacedKey, StoredRecord};

/// Page of records, in answer to a [`RangeRequest`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// Records in the order of their keys: position first, then bucket and key.
    pub records: Vec<(PlacedKey, StoredRecord)>,
    /// Last key that the page covers; `None` if it reaches the end of the range.
    pub until: Option<PlacedKey>,
    /// Keys on the page whose records fail their checksums; they are not among `records`.
    pub damaged: Vec<PlacedKey>,
}

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

impl RangeRequest {
    /// Creates a request for records as they are stored, in every bucket: for comparisons and readings.
    pub(crate) fn stored(
        partition: Partition,
        span: Option<(Position, Position)>,
        after: Option<PlacedKey>,
        limit: u32,
    ) -> Self {
        Self { partition, bucket: None, values: true, span, after, limit, hints: false }
    }

    /// Creates a request for what reads see of a bucket, or of every bucket, with values or their lengths.
    pub(crate) fn seen(
        partition: Partition,
        (bucket, values): (Option<Blob>, bool),
        after: Option<PlacedKey>,
        limit: u32,
    ) -> Self {
        let hints = !planted::on(Bug::ScanSkipsHints);
        Self { partition, bucket, values, span: None, after, limit, hints }
    }
}
