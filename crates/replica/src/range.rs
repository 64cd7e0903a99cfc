//! Pages of records that a replica asks storage for.
//!
//! Invariant: these functions alone say, for each kind of page, what its records are: whole, or with lengths in place of
//! values; as they are stored, or merged with hints.

use jedlik_hashing::{Partition, Position};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::{Blob, PlacedKey};
use jedlik_storage_port::RangeRequest;

/// Creates a request for records as they are stored, in every bucket: for comparisons and readings.
pub(crate) fn stored(
    partition: Partition,
    span: Option<(Position, Position)>,
    after: Option<PlacedKey>,
    limit: u32,
) -> RangeRequest {
    RangeRequest { partition, bucket: None, values: true, span, after, limit, hints: false }
}

/// Creates a request for what reads see of a bucket, or of every bucket, with values or their lengths.
pub(crate) fn seen(
    partition: Partition,
    (bucket, values): (Option<Blob>, bool),
    after: Option<PlacedKey>,
    limit: u32,
) -> RangeRequest {
    let hints = !planted::on(Bug::ScanSkipsHints);
    RangeRequest { partition, bucket, values, span: None, after, limit, hints }
}
