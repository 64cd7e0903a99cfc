//! Walk along the keys of a table, in the order of the keys that they stand for.
//!
//! Invariant: rows of one place, which are those of keys that share a position, come together and sorted by their names.

use std::mem;

use mysql::Conn;
use mysql::prelude::Queryable;

use super::access::TablesId;
use super::failures::Failure;
use super::keys::{AGE_BYTES, RowKey, next};

/// Smallest and largest number of keys that are read at once.
const AT_ONCE_MIN: usize = 16;
const AT_ONCE_MAX: usize = 1024;

/// Columns of a walk's statement: the key, the name, the size and one more.
type Columns = (Vec<u8>, Vec<u8>, u64, Vec<u8>);

/// Row that a walk has come to, without its value.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: RowKey,
    /// Length of the row's value in bytes, as it was written.
    pub(super) size: u64,
    /// Bytes of one more column.
    pub(super) extra: Vec<u8>,
}

impl Row {
    /// Returns the row's primary key.
    pub(super) fn id(&self) -> Vec<u8> {
        let key = &self.key.key;
        if key.len() == AGE_BYTES { [&key[..8], &key[16..]].concat() } else { key.clone() }
    }
}

/// Walk along one column of a table.
pub(super) struct Walk {
    statement: String,
    /// Key at which to go on; `None` once there are no more.
    from: Option<Vec<u8>>,
    last: Vec<u8>,
    at_once: usize,
    /// Rows of the last place that was come to, which may have more.
    held: Vec<Row>,
}

impl Walk {
    /// Returns the walk along `column` of `table`, from the first key to the last, both included, with another column.
    pub(super) fn over(
        table: &str,
        column: &str,
        extra: &str,
        (first, last): (Vec<u8>, Vec<u8>),
    ) -> Self {
        let statement = format!(
            "SELECT {column}, name, size, {extra} FROM {table} WHERE {column} >= ? AND {column} <= ? \
             ORDER BY {column} LIMIT ?"
        );
        Self { statement, from: Some(first), last, at_once: AT_ONCE_MAX, held: Vec::new() }
    }

    /// Tells how many rows are expected to be enough.
    pub(super) fn expect(&mut self, rows: usize) {
        // One more, since the rows of the last place are held back.
        self.at_once = rows.saturating_add(1).clamp(AT_ONCE_MIN, AT_ONCE_MAX);
    }

    /// Returns the next rows, or none at the end.
    pub(super) fn next(&mut self, conn: &mut Conn, tables: TablesId) -> Result<Vec<Row>, Failure> {
        while let Some(from) = self.from.take() {
            let rows: Vec<Columns> =
                conn.exec(&self.statement, (from, &self.last, self.at_once))?;
            let is_end = rows.len() < self.at_once;
            for (key, name, size, extra) in rows {
                let key = RowKey { key, name };
                if !key.is_whole(tables) {
                    return Err(Failure::damaged("the key of a row is damaged"));
                }
                self.held.push(Row { key, size, extra });
            }
            if is_end {
                break;
            }
            self.at_once = (self.at_once * 2).min(AT_ONCE_MAX);
            let Some(end) = self.held.last() else { break };
            self.from = next(&end.key.key);
            let of_end = |row: &Row| row.key.place() == end.key.place();
            let ready = self.held.iter().position(of_end).unwrap_or_default();
            if ready > 0 {
                let rest = self.held.split_off(ready);
                return Ok(sorted(mem::replace(&mut self.held, rest)));
            }
        }
        Ok(sorted(mem::take(&mut self.held)))
    }
}

fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| (a.key.place(), &a.key.name).cmp(&(b.key.place(), &b.key.name)));
    rows
}
