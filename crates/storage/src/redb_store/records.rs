//! Reading one record, and finding out when the table of records can't be trusted.
//!
//! Invariant: what is returned has passed its checksum, which covers its key, and "there is none" is said
//! only if the entries between which the record would stand are in order, and whole at least as to their keys. redb finds a key by
//! comparing it with others, so a damaged one can send it the wrong way: then a neighbour is damaged, or out
//! of order.

use jedlik_protocol::{ClusterId, PlacedKey, StoredRecord};
use redb::{AccessGuard, ReadOnlyTable};

use crate::format::{key_bytes, parse_key, parse_value};

use super::tables::Tables;

/// What a load found: a record, or what is wrong with it.
pub(super) type Found = Option<Result<StoredRecord, &'static str>>;

type Records = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Bytes = AccessGuard<'static, &'static [u8]>;

/// The record of `key`.
pub(super) fn load(
    tables: &Tables,
    key: &PlacedKey,
    cluster: Option<ClusterId>,
) -> Result<Found, redb::Error> {
    if tables.dropped.contains(&key.partition) {
        return Ok(None);
    }
    let bytes = key_bytes(key);
    match tables.records.get(bytes.as_slice())? {
        Some(value) => Ok(Some(parse_value(&bytes, value.value()))),
        None => {
            let in_place = |neighbour: &[u8]| is_in_place(neighbour, key, cluster);
            check_gap(&tables.records, &bytes, in_place)
        }
    }
}

/// Whether nothing stands where `bytes` would.
fn check_gap(
    records: &Records,
    bytes: &[u8],
    in_place: impl Fn(&[u8]) -> bool,
) -> Result<Found, redb::Error> {
    if let Some(entry) = records.range(bytes..)?.next() {
        let (key, value) = entry?;
        if key.value() <= bytes {
            return Err(out_of_order());
        }
        if !is_whole(&key, &value) && !in_place(key.value()) {
            return Ok(Some(Err("the record after its place is damaged")));
        }
    }
    if let Some(entry) = records.range(..bytes)?.next_back() {
        let (key, value) = entry?;
        if key.value() >= bytes {
            return Err(out_of_order());
        }
        if !is_whole(&key, &value) && !in_place(key.value()) {
            return Ok(Some(Err("the record before its place is damaged")));
        }
    }
    Ok(None)
}

/// Whether a neighbour's key can be trusted though its record is damaged: its position is that of its bucket and
/// key, and its partition that of its position, by as many bits as for the key that is asked for.
fn is_in_place(neighbour: &[u8], asked: &PlacedKey, cluster: Option<ClusterId>) -> bool {
    let (Some(cluster), Some(placed)) = (cluster, parse_key(neighbour)) else { return false };
    let top =
        |placed: &PlacedKey, bits: u32| placed.position.0.checked_shr(128 - bits).unwrap_or(0);
    let fits = |placed: &PlacedKey, bits| top(placed, bits) == u128::from(placed.partition.0);
    placed.position == placed.key.position(cluster)
        && (0..=u32::BITS).any(|bits| fits(asked, bits) && fits(&placed, bits))
}

fn is_whole(key: &Bytes, value: &Bytes) -> bool {
    parse_value(key.value(), value.value()).is_ok()
}

pub(super) fn out_of_order() -> redb::Error {
    redb::Error::Corrupted("the records are out of order".into())
}
