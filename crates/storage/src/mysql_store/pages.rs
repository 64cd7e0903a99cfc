//! Reads of one row, and pages of one partition in key order: its records, or the hints of it for one target.
//!
//! Invariant: what is returned has passed its checksum, which covers its key. Of records that are not asked for, and
//! of values that would not fit into a page any more, only the key is read.
//!
//! Keys come first, some hundreds at a time, and then the values of those that are wanted, as many as one answer should
//! have. A row that goes in between is passed over, as if it had gone before.

use std::collections::HashMap;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::RangePage;
use mysql::Conn;
use mysql::prelude::Queryable;

use crate::RangeQuery;
use crate::checked::unchecked;
use crate::format::{BucketMatch, parse_value, partition_of};
use crate::span::{PageStep, Span};
use crate::store::PageBuilder;
use crate::trouble_log::TroubleLog;

use super::failures::Failure;
use super::hints;
use super::keys::{HINT_BYTES, PLACE_BYTES, RECORD_BYTES, RowKey, list, padded};
use super::schema::{METADATA, Tables, metadata_name};
use super::walk::{Row, Walk};

/// Size of the values of one answer, about, in bytes; a larger one comes alone.
const VALUES_BYTES: u64 = 1 << 20;
/// Number of values of one answer.
const VALUES_MAX: usize = 256;

/// Returns the record of `key`, or the defect that was found.
pub(super) fn load(
    conn: &mut Conn,
    tables: &Tables,
    key: &PlacedKey,
) -> Result<Option<Result<StoredRecord, &'static str>>, Failure> {
    let row = RowKey::of_record(tables.id, key);
    let statement = format!("SELECT name, value FROM {} WHERE k = ?", tables.records);
    let found: Option<(Vec<u8>, Vec<u8>)> = conn.exec_first(statement, (&row.key,))?;
    let Some((name, value)) = found else { return Ok(None) };
    if name != row.name {
        let other = RowKey { key: row.key, name };
        // Of a key with the same digest, which can't be stored beside it.
        let defect = "its name is not the one that was written";
        return Ok((!other.is_whole(tables.id)).then_some(Err(defect)));
    }
    Ok(Some(parse_value(&row.key_bytes(), &value)))
}

/// Returns the metadata value of `name`; `None` if there is none.
pub(super) fn metadata(
    conn: &mut Conn,
    tables: &Tables,
    name: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    let name = metadata_name(name);
    let statement = format!("SELECT value FROM {} WHERE name = ?", tables.metadata);
    let found: Option<Vec<u8>> = conn.exec_first(statement, (name.as_bytes(),))?;
    let value = found.map(|stored| {
        let value = unchecked(&name, &stored).map(<[u8]>::to_vec);
        value.ok_or_else(|| Failure::damaged(format!("the metadata {name:?} is damaged")))
    });
    value.transpose()
}

/// Returns the names of all metadata values, sorted.
pub(super) fn metadata_names(conn: &mut Conn, tables: &Tables) -> Result<Vec<String>, Failure> {
    let rows: Vec<Vec<u8>> = conn.query(format!(
        "SELECT name FROM {} WHERE name LIKE '{METADATA}%' ORDER BY name",
        tables.metadata
    ))?;
    let name = |row: Vec<u8>| {
        let name = String::from_utf8(row).ok();
        let name = name.and_then(|name| name.strip_prefix(METADATA).map(str::to_owned));
        name.ok_or_else(|| Failure::damaged("a metadata name is damaged"))
    };
    rows.into_iter().map(name).collect()
}

/// Returns the first partition at or past `from` that has a row, hidden or not.
pub(super) fn partition_from(
    conn: &mut Conn,
    tables: &Tables,
    from: Partition,
) -> Result<Option<Partition>, Failure> {
    let first = padded(&from.0.to_be_bytes(), 0, RECORD_BYTES);
    let statement = format!("SELECT k FROM {} WHERE k >= ? ORDER BY k LIMIT 1", tables.records);
    let found: Option<Vec<u8>> = conn.exec_first(statement, (first,))?;
    let partition = found
        .map(|key| partition_of(&key).ok_or_else(|| Failure::damaged("a record's key is damaged")));
    partition.transpose()
}

/// Returns a page of records: see [`crate::Store::range`].
pub(super) fn page(
    conn: &mut Conn,
    tables: &Tables,
    query: &RangeQuery,
) -> Result<RangePage, Failure> {
    let walk = Walk::over(&tables.records, "k", "''", bounds(query, &[], RECORD_BYTES));
    let reader = Reader {
        table: &tables.records,
        passed_bytes: &<[u8]>::len,
        record: &|_, row, _, value| Ok(parse_value(&row.key.key_bytes(), value).ok()),
    };
    fill(conn, tables, query, walk, &reader)
}

/// Returns a page of hints by key: see [`crate::Store::hint_range`].
pub(super) fn hints_of(
    conn: &mut Conn,
    tables: &Tables,
    log: &TroubleLog,
    target: NodeId,
    query: &RangeQuery,
) -> Result<RangePage, Failure> {
    let prefix = target.0.to_be_bytes();
    let walk = Walk::over(&tables.hints, "k", "place", bounds(query, &prefix, HINT_BYTES));
    let reader = Reader {
        table: &tables.hints,
        passed_bytes: &|_| 0,
        record: &|conn, row, placed, value| {
            let place = hints::place_or_log(log, target, placed, &row.extra);
            let record =
                place.and_then(|place| hints::record_in(target, placed, place.since_ms, value));
            if record.is_some() {
                return Ok(record);
            }
            // It may have been replaced since its key was read.
            let row = hints::load(conn, tables, log, target, placed)?;
            Ok(row.and_then(|row| row.record))
        },
    };
    fill(conn, tables, query, walk, &reader)
}

/// Returns the first and the last key that a query may ask for, of rows whose keys begin with `prefix`.
fn bounds(query: &RangeQuery, prefix: &[u8], length: usize) -> (Vec<u8>, Vec<u8>) {
    let span = Span::of(query);
    let first = &span.first[..span.first.len().min(PLACE_BYTES)];
    let first = padded(&[prefix, first].concat(), 0, length);
    let partition = query.partition.0.to_be_bytes();
    let last = query.to.map(|to| to.0.to_be_bytes().to_vec()).unwrap_or_default();
    (first, padded(&[prefix, &partition[..], &last].concat(), u8::MAX, length))
}

/// Function that returns the record in a row's value; `None` if it is damaged.
type RecordOf<'a> =
    dyn Fn(&mut Conn, &Row, &PlacedKey, &[u8]) -> Result<Option<StoredRecord>, Failure> + 'a;

/// Way in which a page reads the rows of one table.
struct Reader<'a> {
    table: &'a str,
    /// Size that a row counts as which is passed over, by its key bytes.
    passed_bytes: &'a dyn Fn(&[u8]) -> usize,
    record: &'a RecordOf<'a>,
}

/// Fills a page from the rows that `walk` comes to.
fn fill(
    conn: &mut Conn,
    tables: &Tables,
    query: &RangeQuery,
    mut walk: Walk,
    reader: &Reader<'_>,
) -> Result<RangePage, Failure> {
    let mut page = PageBuilder::new(query);
    let span = Span::of(query);
    let wanted = query.bucket.as_ref().map(|bucket| BucketMatch::new(bucket));
    let is_wanted = |bytes: &[u8]| wanted.as_ref().is_none_or(|wanted| wanted.is_of(bytes));
    walk.expect(query.limit_records.min(query.limit_examined));
    let mut ahead = Ahead::of_at_most(query.limit_records);
    loop {
        let rows = walk.next(conn, tables.id)?;
        if rows.is_empty() {
            return Ok(page.finish());
        }
        for (at, row) in rows.iter().enumerate() {
            let bytes = row.key.key_bytes();
            // Of one position there may be keys before the one that the page begins past.
            if bytes < span.first {
                continue;
            }
            let passed_bytes = (reader.passed_bytes)(&bytes);
            let placed = match span.step(&mut page, &bytes, passed_bytes, is_wanted(&bytes)) {
                PageStep::Pass => continue,
                PageStep::End => return Ok(page.finish()),
                PageStep::Take(placed) => placed,
                PageStep::Damaged => return Err(Failure::damaged("a key is damaged")),
            };
            let next = rows[at..].iter().filter(|row| is_wanted(&row.key.key_bytes()));
            let Some(value) = ahead.value(conn, reader.table, row, next)? else { continue };
            let record = (reader.record)(conn, row, &placed, &value)?;
            let record = record.and_then(|record| query.shown(record));
            if !page.push_read(placed, record, value.len()) {
                return Ok(page.finish());
            }
        }
    }
}

/// Values that were read ahead, by the keys of their rows; `None` for those of rows that have gone.
pub(super) struct Ahead {
    values: HashMap<Vec<u8>, Option<Vec<u8>>>,
    at_most: usize,
}

impl Ahead {
    /// Returns the values of rows of which so many at most are wanted.
    pub(super) fn of_at_most(rows: usize) -> Self {
        Self { values: HashMap::new(), at_most: rows.clamp(1, VALUES_MAX) }
    }

    /// Returns the value of a row; `None` if it has gone since its key was read. Those of the rows `next`, of which it
    /// is the first, are read with it as far as they fit.
    pub(super) fn value<'a>(
        &mut self,
        conn: &mut Conn,
        table: &str,
        row: &Row,
        next: impl Iterator<Item = &'a Row>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let id = row.id();
        if let Some(value) = self.values.remove(&id) {
            return Ok(value);
        }
        let mut bytes = 0;
        let fits = |row: &&Row| {
            let is_first = bytes == 0;
            bytes += row.size.max(1);
            is_first || bytes <= VALUES_BYTES
        };
        let asked: Vec<_> = next.take(self.at_most).take_while(fits).map(Row::id).collect();
        let keys = list(asked.iter().map(Vec::as_slice));
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            conn.query(format!("SELECT k, value FROM {table} WHERE k IN {keys}"))?;
        self.values = asked.into_iter().map(|id| (id, None)).collect();
        self.values.extend(rows.into_iter().map(|(id, value)| (id, Some(value))));
        Ok(self.values.remove(&id).flatten())
    }
}
