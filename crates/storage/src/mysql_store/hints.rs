//! Reads of the table of hints: by key, and by age along an index of it.
//!
//! Invariant: a hint counts only if its place, which has a checksum, says so; one that is damaged is logged. A reader that
//! meets a hint while it is replaced looks again: only what stays so is damage.

use std::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals};
use mysql::Conn;
use mysql::prelude::Queryable;

use crate::format::parse_value;
use crate::hint::{HintRow, HintRows, HintRowsBuilder};
use crate::hint_rows::{HintPlace, bytes_by_age, bytes_by_key};
use crate::trouble_log::TroubleLog;

use super::failures::Failure;
use super::keys::{AGE_BYTES, HINT_BYTES, RowKey, padded};
use super::pages::Ahead;
use super::schema::Tables;
use super::walk::Walk;

/// Returns the hint of `key` for `target`.
pub(super) fn load(
    conn: &mut Conn,
    tables: &Tables,
    log: &TroubleLog,
    target: NodeId,
    key: &PlacedKey,
) -> Result<Option<HintRow>, Failure> {
    let row = RowKey::of_hint(tables.id, target, key);
    let statement = format!("SELECT name, place, value FROM {} WHERE k = ?", tables.hints);
    let found: Option<(Vec<u8>, Vec<u8>, Vec<u8>)> = conn.exec_first(statement, (&row.key,))?;
    let Some((name, place, value)) = found else { return Ok(None) };
    if name != row.name {
        log.happened(&format_args!("name of {row:?}"));
        return Ok(None);
    }
    let place = place_or_log(log, target, key, &place);
    Ok(place.map(|HintPlace { since_ms, size_bytes }| {
        let record = record_in(target, key, since_ms, &value);
        HintRow { mark: HintMark { since_ms, key: key.clone() }, size_bytes, record }
    }))
}

/// Returns a page of one target's hints: see [`crate::Store::hints`].
pub(super) fn page(
    conn: &mut Conn,
    tables: &Tables,
    log: &TroubleLog,
    target: NodeId,
    after: Option<&HintMark>,
    (limit_hints, limit_bytes): (usize, usize),
) -> Result<HintRows, Failure> {
    let mut page = HintRowsBuilder::new(limit_hints, limit_bytes);
    let prefix = target.0.to_be_bytes();
    let after = after.map(|mark| RowKey::by_age(tables.id, target, mark));
    let first = after.as_ref().map_or(&prefix[..], RowKey::place);
    let bounds = (padded(first, 0, AGE_BYTES), padded(&prefix, u8::MAX, AGE_BYTES));
    let mut walk = Walk::over(&tables.hints, "age", "place", bounds);
    walk.expect(limit_hints);
    let mut ahead = Ahead::of_at_most(limit_hints);
    loop {
        let rows = walk.next(conn, tables.id)?;
        if rows.is_empty() {
            return Ok(page.finish());
        }
        // Hints of one time and position are sorted by their names, those before the page included.
        let is_before = |row: &RowKey| {
            after
                .as_ref()
                .is_some_and(|after| (row.place(), &row.name) <= (after.place(), &after.name))
        };
        let rows = &rows[rows.iter().take_while(|row| is_before(&row.key)).count()..];
        for (at, row) in rows.iter().enumerate() {
            let Some(key) = row.key.placed() else {
                return Err(Failure::damaged("the key of a hint is damaged"));
            };
            let Some(place) = place_or_log(log, target, &key, &row.extra) else { continue };
            let HintPlace { since_ms, size_bytes } = place;
            let mark = HintMark { since_ms, key };
            if RowKey::by_age(tables.id, target, &mark) != row.key {
                log.happened(&format_args!("age of {row:?}"));
                continue;
            }
            let Some(value) = ahead.value(conn, &tables.hints, row, rows[at..].iter())? else {
                continue;
            };
            let mut record = record_in(target, &mark.key, since_ms, &value);
            if record.is_none() {
                // It may have been replaced since its key was read.
                match load(conn, tables, log, target, &mark.key)? {
                    Some(row) if row.mark == mark => record = row.record,
                    _ => continue,
                }
            }
            if !page.push(HintRow { mark, size_bytes, record }) {
                return Ok(page.finish());
            }
        }
    }
}

/// Counts the hints of each target: see [`crate::Store::hint_totals`].
pub(super) fn totals(
    conn: &mut Conn,
    tables: &Tables,
    log: &TroubleLog,
) -> Result<Vec<(NodeId, HintTotals)>, Failure> {
    let mut totals: BTreeMap<NodeId, HintTotals> = BTreeMap::new();
    let bounds = (vec![0; HINT_BYTES], vec![u8::MAX; HINT_BYTES]);
    let mut walk = Walk::over(&tables.hints, "k", "place", bounds);
    loop {
        let rows = walk.next(conn, tables.id)?;
        if rows.is_empty() {
            return Ok(totals.into_iter().collect());
        }
        for row in rows {
            let (Some(target), Some(key)) = (row.key.key.first_chunk(), row.key.placed()) else {
                return Err(Failure::damaged("the key of a hint is damaged"));
            };
            let target = NodeId(u64::from_be_bytes(*target));
            let Some(place) = place_or_log(log, target, &key, &row.extra) else { continue };
            let total = totals.entry(target).or_default();
            total.count += 1;
            total.bytes += place.size_bytes;
            let oldest_ms = total.oldest_ms.unwrap_or(u64::MAX);
            total.oldest_ms = Some(oldest_ms.min(place.since_ms));
        }
    }
}

/// Returns the record in the value of a hint; `None` if it is damaged.
pub(super) fn record_in(
    target: NodeId,
    key: &PlacedKey,
    since_ms: u64,
    value: &[u8],
) -> Option<StoredRecord> {
    let mark = HintMark { since_ms, key: key.clone() };
    parse_value(&bytes_by_age(target, &mark), value).ok()
}

/// Returns the place of a hint; `None` for a damaged one, which is logged.
pub(super) fn place_or_log(
    log: &TroubleLog,
    target: NodeId,
    key: &PlacedKey,
    place: &[u8],
) -> Option<HintPlace> {
    let place = HintPlace::parse(&bytes_by_key(target, key), place);
    if place.is_none() {
        log.happened(&format_args!("place of {key:?}"));
    }
    place
}
