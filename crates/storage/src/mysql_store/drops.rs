//! Partitions that were dropped: hidden at once, taken off the tables in small steps.
//!
//! Invariant: a partition is listed in the rows of dropped ones from the transaction that hides its records to the one
//! that removes the last of them. No record is put into it in between, so a sweep may go on where its last step ended.

use std::collections::BTreeSet;

use jedlik_hashing::Partition;
use mysql::Conn;
use mysql::prelude::Queryable;

use super::failures::Failure;
use super::keys::{RECORD_BYTES, padded};
use super::pages;
use super::schema::{Tables, dropped_name};
use super::writer::Change;

/// Lists those of `partitions` that have any record, damaged ones included.
pub(super) fn hide(
    conn: &mut Conn,
    tables: &Tables,
    partitions: &BTreeSet<Partition>,
) -> Result<Change, Failure> {
    let mut change = Change::default();
    for &partition in partitions {
        if pages::partition_from(conn, tables, partition)? == Some(partition) {
            tables.put(conn, &dropped_name(partition), &[])?;
            change.hidden.insert(partition);
        }
    }
    Ok(change)
}

/// Removes up to `limit_records` hidden records of `partition`, from the key `from` on. Returns the last of them; `None`
/// once nothing is left.
pub(super) fn sweep(
    conn: &mut Conn,
    tables: &Tables,
    partition: Partition,
    from: Option<&[u8]>,
    limit_records: usize,
) -> Result<(Change, Option<Vec<u8>>), Failure> {
    let prefix = partition.0.to_be_bytes();
    let first = from.map_or_else(|| padded(&prefix, 0, RECORD_BYTES), <[u8]>::to_vec);
    let end = padded(&prefix, u8::MAX, RECORD_BYTES);
    let statement =
        format!("SELECT k FROM {} WHERE k >= ? AND k <= ? ORDER BY k LIMIT ?", tables.records);
    let keys: Vec<Vec<u8>> = conn.exec(statement, (&first, end, limit_records.max(1)))?;
    let mut change = Change { records: -(keys.len() as i64), ..Change::default() };
    if let Some(last) = keys.last() {
        let statement = format!("DELETE FROM {} WHERE k >= ? AND k <= ?", tables.records);
        conn.exec_drop(statement, (&first, last))?;
    }
    if keys.len() < limit_records.max(1) {
        tables.take_off(conn, &dropped_name(partition))?;
        change.swept = Some(partition);
        return Ok((change, None));
    }
    Ok((change, keys.into_iter().next_back()))
}
