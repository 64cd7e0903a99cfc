//! Salvage of what can still be read of a damaged engine, copied into another one.
//!
//! Invariant: the damaged files are not changed, and only rows that pass their checksums are copied. What is read is
//! never older than what was written last: a table that can't be read costs the keys that it may have, all of them.

use std::mem;
use std::path::Path;

use tracing::warn;

use crate::checked::unchecked;
use crate::format::{parse_key, parse_value};
use crate::guarded::guarded;
use crate::hint_rows::{HintPlace, bytes_by_key, parse_by_age};
use crate::mark::is_kept;
use crate::redb_store::Salvaged;
use crate::{HintWrite, LsmOptions, LsmStore, Store, StoreError, Writes};

use super::failures::Failure;
use super::rows::{HINTS, HINTS_BY_KEY, METADATA, RECORDS, past, prefixed};
use super::tree::{Found, Opened, read};

/// Size of one batch for the other engine, about, in bytes.
const BATCH_BYTES: usize = 4 << 20;
/// Number of readings that may fail.
const FAILURES_LIMIT: usize = 96;
const CACHE_BYTES: usize = 1 << 20;
/// Distance past a key at which a reading has failed, from which on it is tried again, in steps of the first 16 bytes
/// after the table's: of a record's key, a millionth of a partition. Four times as far if that fails too.
const FIRST_STEP: u128 = 1 << 76;

/// Rows that were read in one go, and how it ended.
#[derive(Default)]
struct Reading {
    writes: Writes,
    bytes: usize,
    damaged: u64,
    /// Last row that was read, whatever was with it.
    last: Option<Vec<u8>>,
    ended: bool,
}

/// Copies records, hints and metadata of the engine at `path` into `target`.
pub(crate) fn salvage(
    path: &Path,
    scratch: &Path,
    target: &dyn Store,
) -> Result<Salvaged, StoreError> {
    let mut salvaged = Salvaged::default();
    let options = LsmOptions { cache_bytes: CACHE_BYTES, ..LsmOptions::default() };
    let opened = guarded(|| LsmStore::open_unchanged(path, scratch, &options));
    let source = match opened {
        Ok(Ok(source)) => source,
        Ok(Err(error)) => {
            warn!(path = %path.display(), %error, "a damaged engine can't be opened");
            return Ok(Salvaged { failures: 1, ..salvaged });
        }
        Err(what) => {
            warn!(path = %path.display(), what, "a damaged engine can't be opened");
            return Ok(Salvaged { failures: 1, ..salvaged });
        }
    };
    for table in [METADATA, RECORDS, HINTS] {
        copy(&source, table, target, &mut salvaged)?;
    }
    if let Err(what) = guarded(|| drop(source)) {
        warn!(what, "a damaged engine could not be closed");
    }
    Ok(salvaged)
}

fn copy(
    source: &LsmStore,
    table: u8,
    target: &dyn Store,
    salvaged: &mut Salvaged,
) -> Result<(), StoreError> {
    let (mut from, mut step) = (vec![table], FIRST_STEP);
    while (salvaged.failures as usize) < FAILURES_LIMIT {
        let mut reading = Reading::default();
        let outcome = guarded(|| {
            let opened = source.engine.read();
            let opened = opened.as_ref().ok_or_else(|| Failure::damaged("it is closed"))?;
            reading.take_rows(opened, table, &from)
        });
        let Reading { writes, damaged, last, ended, .. } = mem::take(&mut reading);
        salvaged.records += writes.records.len() as u64;
        salvaged.hints += writes.hints.len() as u64;
        salvaged.damaged += damaged;
        if !writes.is_empty() {
            target.write(&sorted(writes))?;
            step = FIRST_STEP;
        }
        if let Some(last) = last {
            // The next key there can be.
            from = [last.as_slice(), &[0]].concat();
        }
        if !matches!(outcome, Ok(Ok(()))) {
            salvaged.failures += 1;
            let Some(next) = skipped(&from, step) else { return Ok(()) };
            (from, step) = (next, step.saturating_mul(4));
        } else if ended {
            return Ok(());
        }
    }
    Ok(())
}

/// Returns hints in the order in which an engine takes them.
fn sorted(mut writes: Writes) -> Writes {
    writes.hints.sort_by(|a, b| (a.target, &a.key).cmp(&(b.target, &b.key)));
    writes
}

/// Returns the place `step` past a row's key; `None` past the last one of the table.
fn skipped(from: &[u8], step: u128) -> Option<Vec<u8>> {
    let (table, key) = from.split_first()?;
    let mut prefix = [0; 16];
    let length = key.len().min(prefix.len());
    prefix[..length].copy_from_slice(&key[..length]);
    Some(prefixed(*table, &u128::from_be_bytes(prefix).checked_add(step)?.to_be_bytes()))
}

impl Reading {
    fn take_rows(&mut self, opened: &Opened, table: u8, from: &[u8]) -> Result<(), Failure> {
        for row in opened.range(from.to_vec(), past(&[table])) {
            let (key, found) = read(row, |_| true)?;
            self.last = Some(key.to_vec());
            let taken = match found {
                Found::Value(value) => {
                    self.bytes += value.len();
                    self.take(opened, table, &key[1..], &value)?
                }
                Found::Damaged | Found::NotRead => false,
            };
            self.damaged += u64::from(!taken);
            if self.bytes >= BATCH_BYTES {
                return Ok(());
            }
        }
        self.ended = true;
        Ok(())
    }

    /// Takes a row over, or passes over one that does not count. Returns false if it is damaged.
    fn take(
        &mut self,
        opened: &Opened,
        table: u8,
        key: &[u8],
        value: &[u8],
    ) -> Result<bool, Failure> {
        match table {
            RECORDS => {
                let Some(placed) = parse_key(key) else { return Ok(false) };
                if opened.is_dropped(placed.partition) {
                    return Ok(true);
                }
                let Ok(record) = parse_value(key, value) else { return Ok(false) };
                self.writes.records.push((placed, Some(record)));
            }
            HINTS => {
                let (Some(target), Some(mark)) = (key.first_chunk(), parse_by_age(key)) else {
                    return Ok(false);
                };
                let target = jedlik_hashing::NodeId(u64::from_be_bytes(*target));
                let by_key = bytes_by_key(target, &mark.key);
                let place = opened.get(&prefixed(HINTS_BY_KEY, &by_key))?.and_then(Result::ok);
                let place = place.and_then(|place| HintPlace::parse(&by_key, &place));
                if place.is_none_or(|place| place.since_ms != mark.since_ms) {
                    return Ok(false);
                }
                let Ok(record) = parse_value(key, value) else { return Ok(false) };
                let since_ms = mark.since_ms;
                let hint = jedlik_storage_port::Hint { target, since_ms, key: mark.key, record };
                self.writes.hints.push(HintWrite::from(hint));
            }
            _ => {
                let Ok(name) = std::str::from_utf8(key) else { return Ok(false) };
                let Some(value) = unchecked(name, value) else { return Ok(false) };
                // What was kept over a clean stop says what the engine held as a whole.
                if !is_kept(name) {
                    self.writes.metadata.push((name.into(), Some(value.to_vec())));
                }
            }
        }
        Ok(true)
    }
}
