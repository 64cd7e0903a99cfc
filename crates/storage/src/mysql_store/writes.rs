//! Batches: what a write changes in the tables, within one transaction.
//!
//! Invariant: no row takes the place of another key's. Rows that a batch is about are looked up first, so the count of
//! records is exact, and a key whose digest another key has is refused.

use std::collections::HashMap;

use mysql::prelude::Queryable;
use mysql::{Conn, Value};

use crate::Writes;
use crate::format::value_bytes;
use crate::hint::HintWrite;
use crate::hint_rows::{HintPlace, bytes_by_age, bytes_by_key};

use super::failures::Failure;
use super::keys::{RowKey, list};
use super::schema::{Tables, metadata_name};

/// Number of rows that are looked up, or removed, by one statement.
const ROWS_AT_ONCE: usize = 256;
/// Numbers of rows that one statement puts, so that few statements are prepared.
const ROWS_PUT: [usize; 5] = [256, 64, 16, 4, 1];
/// Size of the values that one statement puts, about, in bytes; a larger one is put alone.
const STATEMENT_BYTES: usize = 4 << 20;

/// Row to be put: the values of its columns, in the order of the statement's.
type Put = Vec<Value>;

/// Makes all changes of `writes`. Returns by how much the number of records changes.
pub(super) fn apply(conn: &mut Conn, tables: &Tables, writes: &Writes) -> Result<i64, Failure> {
    let mut change = 0;
    let records = RowsOf { table: &tables.records, columns: &["k", "name", "size", "value"] };
    for chunk in writes.records.chunks(ROWS_AT_ONCE) {
        let keys: Vec<RowKey> =
            chunk.iter().map(|(key, _)| RowKey::of_record(tables.id, key)).collect();
        let found = records.found(conn, tables, &keys)?;
        let (mut puts, mut removed) = (Vec::new(), Vec::new());
        for (key, (_, record)) in keys.iter().zip(chunk) {
            let was_there = found.contains_key(&key.key);
            match record {
                Some(record) => {
                    change += i64::from(!was_there);
                    let value = value_bytes(&key.key_bytes(), record);
                    puts.push(put(&[&key.key, &key.name], value));
                }
                None if was_there => {
                    change -= 1;
                    removed.push(&key.key[..]);
                }
                None => {}
            }
        }
        records.put(conn, puts)?;
        records.remove(conn, &removed)?;
    }
    apply_hints(conn, tables, &writes.hints)?;
    for (index, (name, value)) in writes.metadata.iter().enumerate() {
        // Of two values with one name the later one stands.
        if writes.metadata[index + 1..].iter().any(|(later, _)| later == name) {
            continue;
        }
        match value {
            Some(value) => tables.put(conn, &metadata_name(name), value)?,
            None => tables.take_off(conn, &metadata_name(name))?,
        }
    }
    Ok(change)
}

/// Puts each hint in the place of the one of its target and key.
fn apply_hints(conn: &mut Conn, tables: &Tables, writes: &[HintWrite]) -> Result<(), Failure> {
    let columns = &["k", "age", "name", "place", "size", "value"];
    let hints = RowsOf { table: &tables.hints, columns };
    for chunk in writes.chunks(ROWS_AT_ONCE) {
        let of = |write: &HintWrite| RowKey::of_hint(tables.id, write.target, &write.key);
        let keys: Vec<RowKey> = chunk.iter().map(of).collect();
        let found = hints.found(conn, tables, &keys)?;
        let (mut puts, mut removed) = (Vec::new(), Vec::new());
        for (key, HintWrite { target, hint, .. }) in keys.iter().zip(chunk) {
            match hint {
                Some(hint) => {
                    let mark = hint.mark();
                    let age = RowKey::by_age(tables.id, *target, &mark);
                    let place = HintPlace::bytes_of(&bytes_by_key(*target, &mark.key), hint);
                    let value = value_bytes(&bytes_by_age(*target, &mark), &hint.record);
                    puts.push(put(&[&key.key, &age.key, &key.name, &place], value));
                }
                None if found.contains_key(&key.key) => removed.push(&key.key[..]),
                None => {}
            }
        }
        hints.put(conn, puts)?;
        hints.remove(conn, &removed)?;
    }
    Ok(())
}

/// Returns a row that ends with the size of its value, and the value.
fn put(columns: &[&[u8]], value: Vec<u8>) -> Put {
    let mut put: Put = columns.iter().map(|bytes| Value::Bytes(bytes.to_vec())).collect();
    put.extend([Value::UInt(value.len() as u64), Value::Bytes(value)]);
    put
}

/// Rows of a table whose key is in the first of its columns, and whose value in the last.
struct RowsOf<'a> {
    table: &'a str,
    columns: &'a [&'a str],
}

impl RowsOf<'_> {
    /// Returns those of `keys` that have rows, and the names there. Refuses a key whose digest another key has.
    fn found(
        &self,
        conn: &mut Conn,
        tables: &Tables,
        keys: &[RowKey],
    ) -> Result<HashMap<Vec<u8>, Vec<u8>>, Failure> {
        let listed = list(keys.iter().map(|key| &key.key[..]));
        let found: Vec<(Vec<u8>, Vec<u8>)> =
            conn.query(format!("SELECT k, name FROM {} WHERE k IN {listed}", self.table))?;
        let found: HashMap<_, _> = found.into_iter().collect();
        let mut met = HashMap::with_capacity(keys.len());
        for key in keys {
            let before = found.get(&key.key).filter(|name| **name != key.name);
            // A name that is damaged is replaced together with its record.
            let stored = before.is_some_and(|name| {
                RowKey { key: key.key.clone(), name: name.clone() }.is_whole(tables.id)
            });
            let beside = met.insert(&key.key, &key.name).is_some_and(|name| *name != key.name);
            if stored || beside {
                return Err(Failure::Refused(format!(
                    "two keys have one digest, which never happens by chance: {:?} is the later one",
                    String::from_utf8_lossy(&key.name)
                )));
            }
        }
        Ok(found)
    }

    /// Puts rows in the place of those with their keys.
    fn put(&self, conn: &mut Conn, puts: Vec<Put>) -> Result<(), Failure> {
        let mut left = puts.into_iter().peekable();
        let mut chunk: Vec<Put> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = left.next() {
            bytes += size_bytes(&next);
            chunk.push(next);
            let over = left.peek().is_none_or(|next| bytes + size_bytes(next) > STATEMENT_BYTES);
            if over || chunk.len() == ROWS_PUT[0] {
                self.put_chunk(conn, &mut chunk)?;
                bytes = 0;
            }
        }
        Ok(())
    }

    fn put_chunk(&self, conn: &mut Conn, chunk: &mut Vec<Put>) -> Result<(), Failure> {
        for rows in ROWS_PUT {
            while chunk.len() >= rows {
                let parameters: Put = chunk.drain(..rows).flatten().collect();
                conn.exec_drop(self.statement(rows), parameters)?;
            }
        }
        Ok(())
    }

    fn statement(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let set = |column: &&str| format!("{column} = VALUES({column})");
        format!(
            "INSERT INTO {} ({}) VALUES {} ON DUPLICATE KEY UPDATE {}",
            self.table,
            self.columns.join(", "),
            vec![row.as_str(); rows].join(", "),
            self.columns[1..].iter().map(set).collect::<Vec<_>>().join(", ")
        )
    }

    fn remove(&self, conn: &mut Conn, keys: &[&[u8]]) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let keys = list(keys.iter().copied());
        Ok(conn.query_drop(format!("DELETE FROM {} WHERE k IN {keys}", self.table))?)
    }
}

fn size_bytes(put: &Put) -> usize {
    let of = |value: &Value| if let Value::Bytes(bytes) = value { bytes.len() } else { 8 };
    put.iter().map(of).sum()
}
