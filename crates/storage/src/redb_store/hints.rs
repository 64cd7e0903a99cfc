//! Reads and writes of the two tables of hints.
//!
//! Invariant: a row of `hints` counts only if that of its key in `hints_by_key` names its time. So there
//! is one hint for each target and key, whatever damage has left behind.

use std::collections::BTreeMap;

use crc32fast::Hasher;
use jedlik_hashing::NodeId;
use jedlik_protocol::PlacedKey;
use jedlik_storage_port::{Hint, HintMark, HintTotals};
use redb::{ReadableTable, WriteTransaction};

use crate::format::{parse_key, parse_value, push_key, value_bytes};
use crate::hint::{HintRow, HintRows, HintRowsBuilder, HintWrite};
use crate::trouble_log::{Lines, TroubleLog};

use super::tables::{HINTS, HINTS_BY_KEY, Tables};

/// Length of target and time, before the key, in bytes.
const AGE_BYTES: usize = 16;
/// Length of the target, before the key, in bytes.
const TARGET_BYTES: usize = 8;
const PLACE_BYTES: usize = 20;

/// Row of `hints_by_key`: time and size of a hint.
struct Place {
    since_ms: u64,
    size_bytes: u64,
}

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
            (bytes.value().split_first_chunk(), parse_place(bytes.value(), value.value()))
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
) -> Result<(), redb::Error> {
    let mut hints = transaction.open_table(HINTS)?;
    let mut places = transaction.open_table(HINTS_BY_KEY)?;
    for HintWrite { target, key, hint } in writes {
        let by_key = bytes_by_key(*target, key);
        if let Some(before) = place_of(&places, &by_key)?
            && hint.as_ref().is_none_or(|hint| hint.since_ms != before.since_ms)
        {
            let mark = HintMark { since_ms: before.since_ms, key: key.clone() };
            hints.remove(bytes_by_age(*target, &mark).as_slice())?;
        }
        match hint {
            Some(hint) => {
                let by_age = bytes_by_age(*target, &hint.mark());
                hints.insert(by_age.as_slice(), value_bytes(&by_age, &hint.record).as_slice())?;
                places.insert(by_key.as_slice(), place_bytes(&by_key, hint).as_slice())?;
            }
            None => drop(places.remove(by_key.as_slice())?),
        }
    }
    Ok(())
}

/// Returns a log of rows about hints that can't be read.
pub(super) fn log() -> TroubleLog {
    let lines = Lines {
        begins: "the row of a hint in the engine is damaged",
        continues: "rows of hints in the engine are still found damaged",
        over: "no damaged row of a hint was met for a minute",
    };
    TroubleLog::new(None, lines)
}

/// Returns the place of a hint; `None` if there is none, or a damaged one, which is logged.
fn place_or_log(tables: &Tables, by_key: &[u8]) -> Result<Option<Place>, redb::Error> {
    let Some(value) = tables.hints_by_key.get(by_key)? else { return Ok(None) };
    let place = parse_place(by_key, value.value());
    if place.is_none() {
        tables.damaged_hints.happened(&format_args!("place of {by_key:?}"));
    }
    Ok(place)
}

fn place_of(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    by_key: &[u8],
) -> Result<Option<Place>, redb::Error> {
    let value = table.get(by_key)?;
    Ok(value.and_then(|value| parse_place(by_key, value.value())))
}

fn bytes_by_key(target: NodeId, key: &PlacedKey) -> Vec<u8> {
    let mut out = target.0.to_be_bytes().to_vec();
    push_key(&mut out, key);
    out
}

fn bytes_by_age(target: NodeId, mark: &HintMark) -> Vec<u8> {
    let mut out = target.0.to_be_bytes().to_vec();
    out.extend_from_slice(&mark.since_ms.to_be_bytes());
    push_key(&mut out, &mark.key);
    out
}

fn parse_by_age(bytes: &[u8]) -> Option<HintMark> {
    let since_ms = *bytes.get(TARGET_BYTES..)?.first_chunk()?;
    let key = parse_key(bytes.get(AGE_BYTES..)?)?;
    Some(HintMark { since_ms: u64::from_be_bytes(since_ms), key })
}

fn place_bytes(by_key: &[u8], hint: &Hint) -> [u8; PLACE_BYTES] {
    let mut out = [0; PLACE_BYTES];
    out[..8].copy_from_slice(&hint.since_ms.to_le_bytes());
    out[8..16].copy_from_slice(&hint.size_bytes().to_le_bytes());
    let checksum = checksum(by_key, &out[..16]);
    out[16..].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn parse_place(by_key: &[u8], bytes: &[u8]) -> Option<Place> {
    let bytes: &[u8; PLACE_BYTES] = bytes.try_into().ok()?;
    let eight = |at: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]));
    let right = bytes[16..] == checksum(by_key, &bytes[..16]).to_le_bytes();
    right.then(|| Place { since_ms: eight(0), size_bytes: eight(8) })
}

fn checksum(by_key: &[u8], numbers: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(by_key);
    hasher.update(numbers);
    hasher.finalize()
}
