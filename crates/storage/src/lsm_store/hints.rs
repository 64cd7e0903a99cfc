//! Reads of the two tables of hints.
//!
//! Invariant: a row by age counts only if that of its key names its time. So there is one hint for each target and
//! key, whatever damage has left behind. A reader that meets a hint while it is replaced looks again: only what stays
//! so is damage.

use std::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals};
use lsm_tree::UserValue;

use crate::format::parse_value;
use crate::hint::{HintRow, HintRows, HintRowsBuilder};
use crate::hint_rows::{HintPlace, parse_by_age};
use crate::trouble_log::TroubleLog;

use super::failures::Failure;
use super::rows::{HINTS, HINTS_BY_KEY, hint_key, past, place_key, prefixed};
use super::tree::{Found, Opened, read};

/// Returns the hint of `key` for `target`.
pub(super) fn load(
    opened: &Opened,
    log: &TroubleLog,
    target: NodeId,
    key: &PlacedKey,
) -> Result<Option<HintRow>, Failure> {
    loop {
        let Some(place) = place_or_log(opened, log, target, key)? else { return Ok(None) };
        let mark = HintMark { since_ms: place.since_ms, key: key.clone() };
        let by_age = hint_key(target, &mark);
        let value = opened.get(&by_age)?;
        if value.is_none() && place_or_log(opened, log, target, key)? != Some(place) {
            continue;
        }
        let record = value.and_then(Result::ok).and_then(|value| record_in(&by_age, &value));
        return Ok(Some(HintRow { mark, size_bytes: place.size_bytes, record }));
    }
}

/// Returns a page of one target's hints: see [`crate::Store::hints`].
pub(super) fn page(
    opened: &Opened,
    log: &TroubleLog,
    target: NodeId,
    after: Option<&HintMark>,
    limit_hints: usize,
    limit_bytes: usize,
) -> Result<HintRows, Failure> {
    let mut page = HintRowsBuilder::new(limit_hints, limit_bytes);
    let prefix = prefixed(HINTS, &target.0.to_be_bytes());
    let after = after.map(|mark| hint_key(target, mark));
    let first = after.clone().unwrap_or_else(|| prefix.clone());
    for row in opened.range(first, past(&prefix)) {
        let (key, found) = read(row, |key| after.as_deref() != Some(key))?;
        if after.as_deref() == Some(&*key) {
            continue;
        }
        let Some(mark) = parse_by_age(&key[1..]) else {
            log.happened(&format_args!("row {:?}", &*key));
            continue;
        };
        let place = place_or_log(opened, log, target, &mark.key)?;
        let Some(place) = place.filter(|place| place.since_ms == mark.since_ms) else { continue };
        let record = match found {
            Found::Value(value) => record_in(&key, &value),
            Found::Damaged | Found::NotRead => None,
        };
        if !page.push(HintRow { mark, size_bytes: place.size_bytes, record }) {
            break;
        }
    }
    Ok(page.finish())
}

/// Counts the hints of each target: see [`crate::Store::hint_totals`].
pub(super) fn totals(opened: &Opened) -> Result<Vec<(NodeId, HintTotals)>, Failure> {
    let mut totals: BTreeMap<NodeId, HintTotals> = BTreeMap::new();
    for row in opened.range(vec![HINTS_BY_KEY], past(&[HINTS_BY_KEY])) {
        let (key, Found::Value(value)) = read(row, |_| true)? else { continue };
        let (Some((target, _)), Some(place)) =
            (key[1..].split_first_chunk(), HintPlace::parse(&key[1..], &value))
        else {
            continue;
        };
        let total = totals.entry(NodeId(u64::from_be_bytes(*target))).or_default();
        total.count += 1;
        total.bytes += place.size_bytes;
        let oldest_ms = total.oldest_ms.unwrap_or(u64::MAX);
        total.oldest_ms = Some(oldest_ms.min(place.since_ms));
    }
    Ok(totals.into_iter().collect())
}

fn record_in(row: &[u8], value: &UserValue) -> Option<StoredRecord> {
    parse_value(&row[1..], value).ok()
}

/// Returns the place of a hint; `None` if there is none, or a damaged one, which is logged.
fn place_or_log(
    opened: &Opened,
    log: &TroubleLog,
    target: NodeId,
    key: &PlacedKey,
) -> Result<Option<HintPlace>, Failure> {
    let by_key = place_key(target, key);
    let Some(value) = opened.get(&by_key)? else { return Ok(None) };
    let place = value.ok().and_then(|value| HintPlace::parse(&by_key[1..], &value));
    if place.is_none() {
        log.happened(&format_args!("place of {by_key:?}"));
    }
    Ok(place)
}
