//! Reading one record, and finding out when the table of records can't be trusted.
//!
//! Invariant: what is returned has passed its checksum, which covers its key, and "there is none" is said
//! only if the entries between which the record would stand are in order, and whole at least as to their keys. redb finds a key by
//! comparing it with others, so a damaged one can send it the wrong way: then a neighbour is damaged, or out
//! of order. An entry whose key is known to be damaged is damage of the engine: nobody can say which
//! record it was, so nothing that is written later would ever take its place.

use jedlik_protocol::{PlacedKey, StoredRecord};
use redb::{AccessGuard, ReadOnlyTable};

use crate::format::{key_bytes, parse_value};

use super::placement::Placement;
use super::tables::Tables;

/// What a load found: a record, or what is wrong with it.
pub(super) type Found = Option<Result<StoredRecord, &'static str>>;

type Records = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Bytes = AccessGuard<'static, &'static [u8]>;

/// The record of `key`.
pub(super) fn load(
    tables: &Tables,
    key: &PlacedKey,
    placement: Option<&Placement>,
) -> Result<Found, redb::Error> {
    if tables.dropped.contains(&key.partition) {
        return Ok(None);
    }
    let bytes = key_bytes(key);
    match tables.records.get(bytes.as_slice())? {
        Some(value) => Ok(Some(parse_value(&bytes, value.value()))),
        None => check_gap(&tables.records, &bytes, placement),
    }
}

/// Whether nothing stands where `bytes` would.
fn check_gap(
    records: &Records,
    bytes: &[u8],
    placement: Option<&Placement>,
) -> Result<Found, redb::Error> {
    if let Some(entry) = records.range(bytes..)?.next() {
        let (key, value) = entry?;
        if key.value() <= bytes {
            return Err(out_of_order());
        }
        if !is_whole(&key, &value) && !is_in_place(key.value(), placement)? {
            return Ok(Some(Err("the record after its place is damaged")));
        }
    }
    if let Some(entry) = records.range(..bytes)?.next_back() {
        let (key, value) = entry?;
        if key.value() >= bytes {
            return Err(out_of_order());
        }
        if !is_whole(&key, &value) && !is_in_place(key.value(), placement)? {
            return Ok(Some(Err("the record before its place is damaged")));
        }
    }
    Ok(None)
}

/// Whether the key of an entry that fails its checksum can be trusted nevertheless; false if that can't be told.
pub(super) fn is_in_place(key: &[u8], placement: Option<&Placement>) -> Result<bool, redb::Error> {
    match placement {
        None => Ok(false),
        Some(placement) if placement.is_kept_by(key) => Ok(true),
        Some(_) => Err(redb::Error::Corrupted("a record's key is damaged".into())),
    }
}

fn is_whole(key: &Bytes, value: &Bytes) -> bool {
    parse_value(key.value(), value.value()).is_ok()
}

pub(super) fn out_of_order() -> redb::Error {
    redb::Error::Corrupted("the records are out of order".into())
}
