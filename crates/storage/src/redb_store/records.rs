//! Reading one record.
//!
//! Invariant: what is returned has passed its checksum, which covers its key. "There is none" is redb's word for it, which
//! has seen no page that is not as it was written.

use jedlik_protocol::{PlacedKey, StoredRecord};

use crate::format::{key_bytes, parse_value};

use super::tables::Tables;

/// What a load found: a record, or what is wrong with it.
pub(super) type Found = Option<Result<StoredRecord, &'static str>>;

/// The record of `key`.
pub(super) fn load(tables: &Tables, key: &PlacedKey) -> Result<Found, redb::Error> {
    if tables.dropped.contains(&key.partition) {
        return Ok(None);
    }
    let bytes = key_bytes(key);
    let value = tables.records.get(bytes.as_slice())?;
    Ok(value.map(|value| parse_value(&bytes, value.value())))
}
