//! What a node holds of one key, its record and its hints, seen as one.

use jedlik_protocol::{EncodedRecord, Record};

use crate::io::Holding;

/// The record merged with every hint: what a read sees. A get that reaches a fallback finds there what
/// the fallback keeps for others.
pub(crate) fn merged(holding: Holding) -> Option<EncodedRecord> {
    let Holding { record, hints, .. } = holding;
    let own = record.map(|stored| stored.record);
    if hints.is_empty() {
        return own;
    }
    let mut all = own.into_iter().chain(hints.into_iter().map(|hint| hint.record.record));
    let first = all.next()?;
    let mut both: Option<Record> = None;
    for other in all.filter(|other| *other != first) {
        // What is not a record did not come through the codec or past a checksum.
        let (Ok(left), Ok(right)) = (first.decode(), other.decode()) else { continue };
        both.get_or_insert(left).merge(&right);
    }
    Some(both.map_or(first, |both| EncodedRecord::encode(&both)))
}
