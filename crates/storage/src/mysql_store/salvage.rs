//! Salvage of what can still be read of damaged tables, copied into another engine.
//!
//! Invariant: the damaged tables are not changed, and only rows that pass their checksums are copied. What a server that
//! is away would say does not count as unreadable: it is waited for, for a while, and otherwise the salvage fails.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use jedlik_hashing::NodeId;
use jedlik_storage_port::{Hint, HintMark};
use mysql::prelude::Queryable;
use tracing::warn;

use crate::checked::unchecked;
use crate::format::{parse_value, partition_of};
use crate::hint_rows::{HintPlace, bytes_by_key};
use crate::mark::is_kept;
use crate::redb_store::Salvaged;
use crate::{HintWrite, MysqlStore, Store, StoreError, Writes};

use super::access::AccessFile;
use super::failures::Failure;
use super::file_at;
use super::hints::record_in;
use super::keys::{HINT_BYTES, RECORD_BYTES, RowKey, literal, next, padded};
use super::schema::METADATA;

/// Number of keys, and size of the values, that are read at once, about.
const ROWS_AT_ONCE: usize = 256;
const BATCH_BYTES: u64 = 4 << 20;
/// Longest time for which a salvage waits for the server, and the time between two looks.
const SERVER_PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// Number of readings that may fail.
const FAILURES_LIMIT: u64 = 96;
/// Number of leading bytes of a key by which a reading that has failed goes on further along: of a record's key, a
/// part of a partition.
const STEP_BYTES: usize = 6;

/// Function that adds the row of a key, by its extra column and its value, to a batch; `None` for a damaged one.
type Take<'a> = dyn Fn(&RowKey, &[u8], &[u8], &mut Writes) -> Option<()> + 'a;

/// Columns of a row that is read out: the key, the name, the extra one and the value.
type Columns = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);

/// Row that was read out: its key, the extra column and the value.
type RowRead = (RowKey, Vec<u8>, Vec<u8>);

/// Table that is copied, and what a row of it becomes.
struct Copied<'a> {
    table: &'a str,
    length: usize,
    /// Column besides the key, the name and the value.
    extra: &'a str,
    take: &'a Take<'a>,
}

/// Copies records, hints and metadata of the engine whose tables the file at `path` names into `target`.
pub(crate) fn salvage(path: &Path, target: &dyn Store) -> Result<Salvaged, StoreError> {
    match MysqlStore::open_unchanged(path) {
        Ok(source) => source.copy_into(target),
        Err(error) => {
            if let Ok(AccessFile { access, .. }) = file_at(path)
                && let Some(message) = access.away()
            {
                return Err(StoreError::Engine { doing: "reading out the tables", message });
            }
            warn!(path = %path.display(), %error, "a damaged engine can't be opened");
            Ok(Salvaged { failures: 1, ..Salvaged::default() })
        }
    }
}

fn hint_of(key: &RowKey, place: &[u8], value: &[u8]) -> Option<Hint> {
    let target = NodeId(u64::from_be_bytes(*key.key.first_chunk()?));
    let placed = key.placed()?;
    let since_ms = HintPlace::parse(&bytes_by_key(target, &placed), place)?.since_ms;
    let record = record_in(target, &placed, since_ms, value)?;
    let HintMark { since_ms, key } = HintMark { since_ms, key: placed };
    Some(Hint { target, since_ms, key, record })
}

impl MysqlStore {
    /// Copies what can be read of the tables into `target`.
    pub(super) fn copy_into(&self, target: &dyn Store) -> Result<Salvaged, StoreError> {
        let mut salvaged = Salvaged::default();
        self.copy_metadata(target, &mut salvaged)?;
        let dropped = self.dropped().clone();
        let records = |key: &RowKey, _: &[u8], value: &[u8], writes: &mut Writes| {
            if partition_of(&key.key).is_some_and(|partition| dropped.contains(&partition)) {
                return Some(());
            }
            let record = parse_value(&key.key_bytes(), value).ok()?;
            writes.records.push((key.placed()?, Some(record)));
            Some(())
        };
        let (table, length) = (&*self.tables.records, RECORD_BYTES);
        let copied = Copied { table, length, extra: "''", take: &records };
        self.copy(&copied, target, &mut salvaged)?;
        let hints = |key: &RowKey, place: &[u8], value: &[u8], writes: &mut Writes| {
            let hint = hint_of(key, place, value)?;
            writes.hints.push(HintWrite::from(hint));
            Some(())
        };
        let (table, length) = (&*self.tables.hints, HINT_BYTES);
        let copied = Copied { table, length, extra: "place", take: &hints };
        self.copy(&copied, target, &mut salvaged)?;
        Ok(salvaged)
    }

    fn copy_metadata(&self, target: &dyn Store, salvaged: &mut Salvaged) -> Result<(), StoreError> {
        let statement = format!(
            "SELECT name, value FROM {} WHERE name LIKE '{METADATA}%' ORDER BY name",
            self.tables.metadata
        );
        let read = self.read_out(|conn| {
            let rows: Vec<(Vec<u8>, Vec<u8>)> = conn.query(&statement)?;
            Ok(rows)
        })?;
        let Some(rows) = read else {
            salvaged.failures += 1;
            return Ok(());
        };
        let mut writes = Writes::default();
        for (row, stored) in rows {
            let row = String::from_utf8_lossy(&row).into_owned();
            let name = row.strip_prefix(METADATA).unwrap_or_default();
            match unchecked(&row, &stored) {
                // What was kept over a clean stop says what the engine held as a whole.
                Some(value) if !is_kept(name) => {
                    writes.metadata.push((name.into(), Some(value.to_vec())));
                }
                Some(_) => {}
                None => salvaged.damaged += 1,
            }
        }
        if writes.is_empty() { Ok(()) } else { target.write(&writes) }
    }

    /// Copies a table, some rows at a time; where they can't be read, further along.
    fn copy(
        &self,
        copied: &Copied<'_>,
        target: &dyn Store,
        salvaged: &mut Salvaged,
    ) -> Result<(), StoreError> {
        let mut from = Some(vec![0; copied.length]);
        while let Some(first) = from.take() {
            let read = self.read_out(|conn| self.rows(conn, copied, &first))?;
            let Some((rows, last)) = read else {
                salvaged.failures += 1;
                if salvaged.failures >= FAILURES_LIMIT {
                    return Ok(());
                }
                from = next(&first[..STEP_BYTES]).map(|prefix| padded(&prefix, 0, copied.length));
                continue;
            };
            let mut writes = Writes::default();
            for (key, extra, value) in rows {
                let taken = key.is_whole(self.tables.id).then_some(());
                let taken = taken.and_then(|()| (copied.take)(&key, &extra, &value, &mut writes));
                salvaged.damaged += u64::from(taken.is_none());
            }
            salvaged.records += writes.records.len() as u64;
            salvaged.hints += writes.hints.len() as u64;
            // Those of one position are not in the order of keys yet.
            writes.records.sort_by(|a, b| a.0.cmp(&b.0));
            writes.hints.sort_by(|a, b| (a.target, &a.key).cmp(&(b.target, &b.key)));
            if !writes.is_empty() {
                target.write(&writes)?;
            }
            from = last.and_then(|last| next(&last));
        }
        Ok(())
    }

    /// Runs `act`, once more if the server was away; `None` if it fails. A server that ends at each attempt can't read
    /// what it is asked for.
    ///
    /// # Errors
    /// The server does not come back.
    fn read_out<T>(
        &self,
        mut act: impl FnMut(&mut mysql::Conn) -> Result<T, Failure>,
    ) -> Result<Option<T>, StoreError> {
        let doing = "reading out the tables";
        let mut read = self.link.read(doing, &mut act);
        let began = Instant::now();
        while read.is_err() && self.link.check(doing).is_err() {
            if began.elapsed() > SERVER_PATIENCE {
                return read.map(Some);
            }
            thread::park_timeout(PAUSE);
            if self.link.check(doing).is_ok() {
                read = self.link.read(doing, &mut act);
                break;
            }
        }
        Ok(read.ok())
    }

    /// Returns rows from the key `first` on, with their names, the extra column and the value, and the last key of them
    /// if there may be more.
    fn rows(
        &self,
        conn: &mut mysql::Conn,
        copied: &Copied<'_>,
        first: &[u8],
    ) -> Result<(Vec<RowRead>, Option<Vec<u8>>), Failure> {
        let Copied { table, extra, .. } = copied;
        let keys: Vec<(Vec<u8>, u64)> = conn.query(format!(
            "SELECT k, size FROM {table} WHERE k >= {} ORDER BY k LIMIT {ROWS_AT_ONCE}",
            literal(first)
        ))?;
        let mut bytes = 0;
        let fits = |(_, size): &&(Vec<u8>, u64)| {
            let is_first = bytes == 0;
            bytes += *size + 1;
            is_first || bytes <= BATCH_BYTES
        };
        let taken: Vec<&Vec<u8>> = keys.iter().take_while(fits).map(|(key, _)| key).collect();
        let Some(last) = taken.last() else { return Ok((Vec::new(), None)) };
        let rows: Vec<Columns> = conn.query(format!(
            "SELECT k, name, {extra}, value FROM {table} WHERE k >= {} AND k <= {} ORDER BY k",
            literal(first),
            literal(last)
        ))?;
        let rows =
            rows.into_iter().map(|(key, name, extra, value)| (RowKey { key, name }, extra, value));
        Ok((rows.collect(), Some(last.to_vec())))
    }
}
