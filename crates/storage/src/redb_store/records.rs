//! Reads of one record, from the one row that it has or from both of a large one.
//!
//! Invariant: what is returned has passed its checksum, which covers its key, and of two rows each is the one that the
//! other was written with: a row whose other half is missing is a damaged record. "There is none" is redb's word for
//! it, which has seen no page that is not as it was written.

use jedlik_protocol::{PlacedKey, StoredRecord};

use crate::RangeQuery;
use crate::format::{is_apart, key_bytes, parse_apart, parse_value, whole_length_bytes};

use super::tables::Tables;

/// Outcome of a load: a record, the defect of a damaged one, or `None` if there is none.
pub(super) type Found = Option<Result<StoredRecord, &'static str>>;

/// Returns the record of `key`, or the defect that was found.
pub(super) fn load(tables: &Tables, key: &PlacedKey) -> Result<Found, redb::Error> {
    if tables.dropped.contains(&key.partition) {
        return Ok(None);
    }
    let bytes = key_bytes(key);
    let Some(row) = tables.records.get(bytes.as_slice())? else { return Ok(None) };
    whole(tables, &bytes, row.value()).map(Some)
}

/// Returns the record whose row in `records` is `row`, with its values, or the defect that was found.
pub(super) fn whole(
    tables: &Tables,
    key: &[u8],
    row: &[u8],
) -> Result<Result<StoredRecord, &'static str>, redb::Error> {
    if !is_apart(row) {
        return Ok(parse_value(key, row));
    }
    let apart = match parse_apart(key, row) {
        Ok(apart) => apart,
        Err(what) => return Ok(Err(what)),
    };
    let value = tables.values.get(key)?;
    Ok(value.ok_or("its values are missing").and_then(|value| apart.join(key, value.value())))
}

/// Returns the record whose row in `records` is `row` as a page shows it, `None` if it is damaged; and how many bytes
/// were read of it.
pub(super) fn shown(
    tables: &Tables,
    query: &RangeQuery,
    key: &[u8],
    row: &[u8],
) -> Result<(Option<StoredRecord>, usize), redb::Error> {
    if query.values {
        return Ok((whole(tables, key, row)?.ok(), whole_length_bytes(row)));
    }
    Ok((with_lengths(key, row).ok(), row.len()))
}

/// Returns the record whose row in `records` is `row`, with the lengths of its values in their place. Of a large record
/// only that row is read.
fn with_lengths(key: &[u8], row: &[u8]) -> Result<StoredRecord, &'static str> {
    if is_apart(row) {
        return parse_apart(key, row).map(|apart| apart.lengths);
    }
    let StoredRecord { local, record } = parse_value(key, row)?;
    let record = record.with_lengths().map_err(|_| "its bytes are not a record")?;
    Ok(StoredRecord { local, record })
}

#[cfg(test)]
mod tests;
