//! Pages of records that a replica asks storage for.
//!
//! Invariant: these functions alone say, for each kind of page, what its records are: whole, or with lengths in place of
//! values; as they are stored, or merged with hints.

use alloc::vec::Vec;

use jedlik_hashing::{Partition, Position};
use jedlik_membership::View;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::peer::DigestEntry;
use jedlik_protocol::{Blob, Key, PlacedKey, StoredRecord};
use jedlik_storage_port::{RangePage, RangeRequest};

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

/// Returns the digests, and the clocks if wanted, of those records of a page whose buckets have this N.
pub(crate) fn digests(
    page: RangePage,
    view: &View,
    n: u8,
    clocks: bool,
) -> Vec<(Key, DigestEntry)> {
    let of_n = |(key, _): &(PlacedKey, StoredRecord)| view.bucket(key.key.bucket()).n == n;
    let entry = |(key, stored): (PlacedKey, StoredRecord)| {
        // Bytes that are no record would not have come through the codec or past a checksum.
        let record = clocks.then(|| stored.record.decode().ok()).flatten();
        let clock = record.map(|record| record.clock().clone());
        (key.key, DigestEntry { digest: stored.record.digest(), clock })
    };
    page.records.into_iter().filter(of_n).map(entry).collect()
}
