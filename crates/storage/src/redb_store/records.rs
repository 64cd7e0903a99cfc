//! Reading one record, and finding out when the table of records can't be trusted.
//!
//! Invariant: what is returned has passed its checksum, which covers its key, and "there is none" is said
//! only if the entries between which the record would stand are whole and in order. redb finds a key by
//! comparing it with others, so a damaged one can send it the wrong way: then a neighbour is damaged, or out
//! of order.

use jedlik_protocol::{PlacedKey, StoredRecord};
use redb::{AccessGuard, ReadOnlyTable};

use crate::format::{key_bytes, parse_value};

use super::tables::Tables;

/// What a load found: a record, or what is wrong with it.
pub(super) type Found = Option<Result<StoredRecord, &'static str>>;

type Records = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Bytes = AccessGuard<'static, &'static [u8]>;

/// The record of `key`.
pub(super) fn load(tables: &Tables, key: &PlacedKey) -> Result<Found, redb::Error> {
    if tables.dropped.contains(&key.partition) {
        return Ok(None);
    }
    let bytes = key_bytes(key);
    match tables.records.get(bytes.as_slice())? {
        Some(value) => Ok(Some(parse_value(&bytes, value.value()))),
        None => check_gap(&tables.records, &bytes),
    }
}

/// Whether nothing stands where `bytes` would.
fn check_gap(records: &Records, bytes: &[u8]) -> Result<Found, redb::Error> {
    if let Some(entry) = records.range(bytes..)?.next() {
        let (key, value) = entry?;
        if key.value() <= bytes {
            return Err(out_of_order());
        }
        if !is_whole(&key, &value) {
            return Ok(Some(Err("the record after its place is damaged")));
        }
    }
    if let Some(entry) = records.range(..bytes)?.next_back() {
        let (key, value) = entry?;
        if key.value() >= bytes {
            return Err(out_of_order());
        }
        if !is_whole(&key, &value) {
            return Ok(Some(Err("the record before its place is damaged")));
        }
    }
    Ok(None)
}

fn is_whole(key: &Bytes, value: &Bytes) -> bool {
    parse_value(key.value(), value.value()).is_ok()
}

pub(super) fn out_of_order() -> redb::Error {
    redb::Error::Corrupted("the records are out of order".into())
}
