//! A node's view of one key: its record and its hints, seen as one.
//!
//! Invariant: what is seen fits a record's limits. A hint that would take it past them waits until siblings have
//! been reconciled: it is kept, and delivered and seen then.

use jedlik_protocol::EncodedRecord;
use jedlik_storage_port::Holding;

/// Returns the record merged with the hints of the key, as reads see it. So a get that reaches a fallback
/// finds what the fallback keeps for others.
pub(crate) fn merged(holding: Holding) -> Option<EncodedRecord> {
    let Holding { record, hints, .. } = holding;
    let own = record.map(|stored| stored.record);
    merged_in_order(own.into_iter().chain(hints.into_iter().map(|hint| hint.record.record)))
}

/// Returns the first record merged with as many of the others, in order, as fit a record's limits.
pub(crate) fn merged_in_order(
    mut all: impl Iterator<Item = EncodedRecord>,
) -> Option<EncodedRecord> {
    let mut merged = all.next()?;
    for other in all {
        if other == merged {
            continue;
        }
        // Bytes that are no record would not have come through the codec or past a checksum.
        let (Ok(mut both), Ok(right)) = (merged.decode(), other.decode()) else { continue };
        both.merge(&right);
        if let Ok(encoded) = EncodedRecord::encode_within_limits(&both) {
            merged = encoded;
        }
    }
    Some(merged)
}
