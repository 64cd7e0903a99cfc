//! Salvage of what can still be read of a damaged redb file, copied into another engine.
//!
//! Invariant: the file is not changed, only rows that pass their checksums are copied, and a fault of redb in the
//! middle costs the rows around it, not the rest. A reader that has failed is left as it is and another one is begun
//! past the place, since nothing that redb says after a fault can be relied on. Large records, which have two rows, are
//! copied last, so that what happened to values that lie apart costs no other row.

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable};
use tracing::warn;

use crate::format::{is_apart, parse_key};
use crate::guarded::guarded;
use crate::hint_rows::damage_log;
use crate::mark::{MetadataWrite, is_kept};
use crate::{Store, StoreError, Writes};

use super::overlay::Overlay;
use super::pages::Pages;
use super::tables::{METADATA, Tables};
use super::{hints, metadata, records};

/// Size of one commit into the other engine, about, in bytes.
const BATCH_BYTES: usize = 4 << 20;
/// Number of readers that may fail, each of which keeps some memory and a descriptor for good.
const FAILURES_LIMIT: usize = 96;
const CACHE_BYTES: usize = 256 << 10;
/// Distance from a reader that has failed to the next one in a table, at first; four times as far if that fails too. It
/// is counted in steps of the first 16 bytes of a key: for records, a millionth of a partition.
const RECORDS_STEP: u128 = 1 << 76;
/// The same distance for hints: a millisecond.
const HINTS_STEP: u128 = 1;

/// Outcome of a salvage, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// Number of records that were copied.
    pub(crate) records: u64,
    /// Number of hints that were copied.
    pub(crate) hints: u64,
    /// Number of rows that fail their checksums.
    pub(crate) damaged: u64,
    /// Number of readers that failed; each stands for an unknown number of rows.
    pub(crate) failures: u64,
}

/// Copies records, hints and metadata of the file at `path` into `target`.
pub(crate) fn salvage(path: &Path, target: &dyn Store) -> Result<Salvaged, StoreError> {
    let mut source =
        Source { path, reader: None, salvaged: Salvaged::default(), target, left: FAILURES_LIMIT };
    source.copy_metadata()?;
    source.copy(Kind::Records)?;
    source.copy(Kind::Hints)?;
    source.copy(Kind::LargeRecords)?;
    // Closing it would be one more thing to go wrong.
    mem::forget(source.reader.take());
    Ok(source.salvaged)
}

#[derive(Clone, Copy)]
enum Kind {
    Records,
    LargeRecords,
    Hints,
}

struct Reader {
    tables: Tables,
    database: Database,
}

struct Source<'a> {
    path: &'a Path,
    reader: Option<Reader>,
    salvaged: Salvaged,
    target: &'a dyn Store,
    /// Number of readers that may still fail.
    left: usize,
}

/// Rows that were read in one go, and how it ended.
#[derive(Default)]
struct Batch {
    writes: Writes,
    bytes: usize,
    damaged: u64,
    /// Last key that was read, whatever was with it.
    last: Option<Vec<u8>>,
    ended: bool,
}

impl Source<'_> {
    /// Returns a reader; `None` if too many have failed.
    fn reader(&mut self) -> Option<&Reader> {
        if self.reader.is_none() && self.left > 0 {
            match guarded(|| open(self.path)) {
                Ok(Ok(reader)) => self.reader = Some(reader),
                Ok(Err(error)) => {
                    // A second attempt reads the same.
                    warn!(path = %self.path.display(), %error, "a damaged engine can't be opened");
                    (self.left, self.salvaged.failures) = (0, self.salvaged.failures + 1);
                }
                Err(what) => {
                    warn!(path = %self.path.display(), what, "a damaged engine can't be opened");
                    (self.left, self.salvaged.failures) = (0, self.salvaged.failures + 1);
                }
            }
        }
        self.reader.as_ref()
    }

    fn fail(&mut self) {
        mem::forget(self.reader.take());
        self.left = self.left.saturating_sub(1);
        self.salvaged.failures += 1;
    }

    fn copy_metadata(&mut self) -> Result<(), StoreError> {
        let Some(reader) = self.reader() else { return Ok(()) };
        match guarded(|| read_metadata(&reader.database)) {
            Ok(Ok(metadata)) => self.target.write(&Writes { metadata, ..Writes::default() }),
            Ok(Err(_)) | Err(_) => {
                self.fail();
                Ok(())
            }
        }
    }

    fn copy(&mut self, kind: Kind) -> Result<(), StoreError> {
        let first_step = match kind {
            Kind::Records | Kind::LargeRecords => RECORDS_STEP,
            Kind::Hints => HINTS_STEP,
        };
        let (mut from, mut step): (Vec<u8>, _) = (Vec::new(), first_step);
        while let Some(reader) = self.reader() {
            let mut batch = Batch::default();
            let outcome = guarded(|| match kind {
                Kind::Records => read_records(&reader.tables, false, &from, &mut batch),
                Kind::LargeRecords => read_records(&reader.tables, true, &from, &mut batch),
                Kind::Hints => read_hints(&reader.tables, &from, &mut batch),
            });
            let failed = !matches!(outcome, Ok(Ok(())));
            let Batch { writes, damaged, last, ended, .. } = batch;
            self.salvaged.records += writes.records.len() as u64;
            self.salvaged.hints += writes.hints.len() as u64;
            self.salvaged.damaged += damaged;
            if !writes.is_empty() {
                self.target.write(&writes)?;
                step = first_step;
            }
            if let Some(last) = last {
                // The next key there can be.
                from = [last.as_slice(), &[0]].concat();
            }
            if failed {
                self.fail();
                let Some(next) = skipped(&from, step) else { return Ok(()) };
                (from, step) = (next, step.saturating_mul(4));
            } else if ended {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Returns the place `step` past a key; `None` past the last one.
fn skipped(from: &[u8], step: u128) -> Option<Vec<u8>> {
    let mut prefix = [0; 16];
    let length = from.len().min(prefix.len());
    prefix[..length].copy_from_slice(&from[..length]);
    Some(u128::from_be_bytes(prefix).checked_add(step)?.to_be_bytes().to_vec())
}

fn open(path: &Path) -> Result<Reader, redb::Error> {
    let pages = Pages::over(Overlay::open(path)?)?;
    let checked = pages.checked();
    let database = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(pages)?;
    let tables = Tables::of(&database, &Arc::new(damage_log()))?;
    // By now redb has read its own tables, whose checksums were checked. Rows have some of their own.
    checked.store(false, Ordering::Relaxed);
    Ok(Reader { tables, database })
}

fn read_metadata(database: &Database) -> Result<Vec<MetadataWrite>, redb::Error> {
    let table = database.begin_read()?.open_table(METADATA)?;
    let mut all = Vec::new();
    for entry in table.iter()? {
        let (name, _) = entry?;
        // What was kept over a clean stop says what the engine held as a whole.
        if is_kept(name.value()) || metadata::is_own(name.value()) {
            continue;
        }
        // A damaged value is as good as lost.
        if let Ok(Some(value)) = metadata::load(&table, name.value()) {
            all.push((name.value().to_owned(), Some(value)));
        }
    }
    Ok(all)
}

/// Reads records: those that are not large, or those that are.
fn read_records(
    tables: &Tables,
    large: bool,
    from: &[u8],
    batch: &mut Batch,
) -> Result<(), redb::Error> {
    walk(&tables.records, from, batch, |bytes, row, batch| {
        if is_apart(row) != large {
            return Ok(true);
        }
        let Some(key) = parse_key(bytes) else { return Ok(false) };
        if tables.dropped.contains(&key.partition) {
            return Ok(true);
        }
        let Ok(record) = records::whole(tables, bytes, row)? else { return Ok(false) };
        if large {
            batch.bytes += record.record.bytes().len();
        }
        batch.writes.records.push((key, Some(record)));
        Ok(true)
    })
}

fn read_hints(tables: &Tables, from: &[u8], batch: &mut Batch) -> Result<(), redb::Error> {
    walk(&tables.hints, from, batch, |bytes, value, batch| {
        let Some(hint) = hints::parse(tables, bytes, value)? else { return Ok(false) };
        batch.writes.hints.push(hint.into());
        Ok(true)
    })
}

/// Reads rows from a place on, until there are enough for a batch. `take` returns false for a damaged row.
fn walk(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    from: &[u8],
    batch: &mut Batch,
    take: impl Fn(&[u8], &[u8], &mut Batch) -> Result<bool, redb::Error>,
) -> Result<(), redb::Error> {
    for entry in table.range(from..)? {
        let (key, value) = entry?;
        let bytes = key.value();
        if bytes < from || batch.last.as_deref().is_some_and(|last| bytes <= last) {
            return Err(redb::Error::Corrupted("the rows are out of order".into()));
        }
        batch.last = Some(bytes.to_vec());
        batch.bytes += value.value().len();
        let taken = take(bytes, value.value(), batch)?;
        batch.damaged += u64::from(!taken);
        if batch.bytes >= BATCH_BYTES {
            return Ok(());
        }
    }
    batch.ended = true;
    Ok(())
}
