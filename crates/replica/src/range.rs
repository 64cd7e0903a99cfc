//! What is asked of storage a page at a time.
//!
//! Invariant: of each kind of page it is said here, once, what its records are: whole, or with lengths in place of values; as
//! they are stored, or merged with hints.

use alloc::vec::Vec;

use jedlik_hashing::{Partition, Position};
use jedlik_protocol::{Blob, PlacedKey, StoredRecord};
use jedlik_vclock::planted::{self, Bug};

/// A page of stored records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// In key order.
    pub records: Vec<(PlacedKey, StoredRecord)>,
    /// How far it reaches; `None` if to the range's end.
    pub until: Option<PlacedKey>,
    /// Keys up to there whose records fail their checksums.
    pub damaged: Vec<PlacedKey>,
}

/// Which records a page should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeRequest {
    /// Of which partition.
    pub partition: Partition,
    /// Only this bucket's.
    pub bucket: Option<Blob>,
    /// Whether values are wanted; otherwise their lengths stand for them, as in
    /// [`EncodedRecord::with_lengths`](jedlik_protocol::EncodedRecord::with_lengths).
    pub values: bool,
    /// Only from the first of these positions to the last.
    pub span: Option<(Position, Position)>,
    /// Only past this key.
    pub after: Option<PlacedKey>,
    /// The most records.
    pub limit: u32,
    /// Each record merged with the hints of its key, and the hints of keys without a record too.
    pub hints: bool,
}

impl RangeRequest {
    /// Of records as they are stored, of every bucket: for comparisons, and to read them through.
    pub(crate) fn stored(
        partition: Partition,
        span: Option<(Position, Position)>,
        after: Option<PlacedKey>,
        limit: u32,
    ) -> Self {
        Self { partition, bucket: None, values: true, span, after, limit, hints: false }
    }

    /// Of what reads see of a bucket, or of every bucket, with values or their lengths.
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
