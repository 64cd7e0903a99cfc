//! Reads and writes of the two tables of hints.
//!
//! Invariant: a row of `hints` counts only if that of its key in `hints_by_key` names its time. So there
//! is one hint for each target and key, whatever damage has left behind.

use std::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::PlacedKey;
use jedlik_storage_port::{Hint, HintMark, HintTotals};
use redb::{ReadableTable, WriteTransaction};

use crate::format::{parse_value, value_bytes};
use crate::hint::{HintRow, HintRows, HintRowsBuilder, HintWrite};
use crate::hint_rows::{HintPlace, bytes_by_age, bytes_by_key, parse_by_age};

use super::live::LiveChange;
use super::tables::{HINTS, HINTS_BY_KEY, Tables};

/// Returns the hint of `key` for `target`.
pub(super) fn load(
    tables: &Tables,
    target: NodeId,
    key: &PlacedKey,
) -> Result<Option<HintRow>, redb::Error> {
    let by_key = bytes_by_key(target, key);
    let Some(place) = place_or_log(tables, &by_key)? else { return Ok(None) };
    let mark = HintMark { since_ms: place.since_ms, key: key.clone() };
    let by_age = bytes_by_age(target, &mark);
    let value = tables.hints.get(by_age.as_slice())?;
    let record = value.and_then(|value| parse_value(&by_age, value.value()).ok());
    Ok(Some(HintRow { mark, size_bytes: place.size_bytes, record }))
}

/// Returns a page of one target's hints: see [`crate::Store::hints`].
pub(super) fn page(
    tables: &Tables,
    target: NodeId,
    after: Option<&HintMark>,
    limit_hints: usize,
    limit_bytes: usize,
) -> Result<HintRows, redb::Error> {
    let mut page = HintRowsBuilder::new(limit_hints, limit_bytes);
    let after = after.map(|mark| bytes_by_age(target, mark));
    let first = after.clone().unwrap_or_else(|| target.0.to_be_bytes().to_vec());
    for entry in tables.hints.range(first.as_slice()..)? {
        let (bytes, value) = entry?;
        let bytes = bytes.value();
        if after.as_deref() == Some(bytes) {
            continue;
        }
        if !bytes.starts_with(&target.0.to_be_bytes()) {
            break;
        }
        let Some(mark) = parse_by_age(bytes) else {
            tables.damaged_hints.happened(&format_args!("row {bytes:?}"));
            continue;
        };
        let place = place_or_log(tables, &bytes_by_key(target, &mark.key))?;
        let Some(place) = place.filter(|place| place.since_ms == mark.since_ms) else {
            continue;
        };
        let record = parse_value(bytes, value.value()).ok();
        if !page.push(HintRow { mark, size_bytes: place.size_bytes, record }) {
            break;
        }
    }
    Ok(page.finish())
}

/// Returns the hint in a row of `hints`; `None` if it is damaged, or does not count.
pub(super) fn parse(
    tables: &Tables,
    bytes: &[u8],
    value: &[u8],
) -> Result<Option<Hint>, redb::Error> {
    let (Some(target), Some(mark)) = (bytes.first_chunk(), parse_by_age(bytes)) else {
        return Ok(None);
    };
    let target = NodeId(u64::from_be_bytes(*target));
    let place = place_of(&tables.hints_by_key, &bytes_by_key(target, &mark.key))?;
    let counts = place.is_some_and(|place| place.since_ms == mark.since_ms);
    let record = parse_value(bytes, value).ok().filter(|_| counts);
    Ok(record.map(|record| Hint { target, since_ms: mark.since_ms, key: mark.key, record }))
}

/// Counts the hints of each target: see [`crate::Store::hint_totals`].
pub(super) fn totals(tables: &Tables) -> Result<Vec<(NodeId, HintTotals)>, redb::Error> {
    let mut totals: BTreeMap<NodeId, HintTotals> = BTreeMap::new();
    for entry in tables.hints_by_key.range::<&[u8]>(..)? {
        let (bytes, value) = entry?;
        let (Some((target, _)), Some(place)) =
            (bytes.value().split_first_chunk(), HintPlace::parse(bytes.value(), value.value()))
        else {
            continue;
        };
        let target = NodeId(u64::from_be_bytes(*target));
        let total = totals.entry(target).or_default();
        total.count += 1;
        total.bytes += place.size_bytes;
        let oldest_ms = total.oldest_ms.unwrap_or(u64::MAX);
        total.oldest_ms = Some(oldest_ms.min(place.since_ms));
    }
    Ok(totals.into_iter().collect())
}

/// Stores each hint in place of the one of its target and key.
pub(super) fn write(
    transaction: &WriteTransaction,
    writes: &[HintWrite],
    live: &mut LiveChange,
) -> Result<(), redb::Error> {
    let mut hints = transaction.open_table(HINTS)?;
    let mut places = transaction.open_table(HINTS_BY_KEY)?;
    for HintWrite { target, key, hint } in writes {
        let by_key = bytes_by_key(*target, key);
        if let Some(before) = place_of(&places, &by_key)?
            && hint.as_ref().is_none_or(|hint| hint.since_ms != before.since_ms)
        {
            let mark = HintMark { since_ms: before.since_ms, key: key.clone() };
            let by_age = bytes_by_age(*target, &mark);
            let before = hints.remove(by_age.as_slice())?;
            before.iter().for_each(|before| live.remove(&by_age, before.value()));
        }
        match hint {
            Some(hint) => {
                let by_age = bytes_by_age(*target, &hint.mark());
                let row = value_bytes(&by_age, &hint.record);
                let before = hints.insert(by_age.as_slice(), row.as_slice())?;
                before.iter().for_each(|before| live.remove(&by_age, before.value()));
                live.add(&by_age, &row);
                places.insert(by_key.as_slice(), HintPlace::bytes_of(&by_key, hint).as_slice())?;
            }
            None => drop(places.remove(by_key.as_slice())?),
        }
    }
    Ok(())
}

/// Returns the place of a hint; `None` if there is none, or a damaged one, which is logged.
fn place_or_log(tables: &Tables, by_key: &[u8]) -> Result<Option<HintPlace>, redb::Error> {
    let Some(value) = tables.hints_by_key.get(by_key)? else { return Ok(None) };
    let place = HintPlace::parse(by_key, value.value());
    if place.is_none() {
        tables.damaged_hints.happened(&format_args!("place of {by_key:?}"));
    }
    Ok(place)
}

fn place_of(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    by_key: &[u8],
) -> Result<Option<HintPlace>, redb::Error> {
    let value = table.get(by_key)?;
    Ok(value.and_then(|value| HintPlace::parse(by_key, value.value())))
}
