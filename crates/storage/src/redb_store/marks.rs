//! Marks of the keys that small buckets have, so that a page of such a bucket costs what is found and not what others
//! store beside it.
//!
//! Invariant: a bucket without a row that says "many" in a partition has a mark for each of its records there, since
//! marks are written in the commit of the records. A mark without a record is harmless: the record is looked up. Puts
//! of keys that are there cost nothing, and those of new keys in a bucket with many cost a look at a map in memory.

use std::collections::HashMap;
use std::ops::Bound;

use jedlik_protocol::PlacedKey;
use jedlik_storage_port::RangePage;
use redb::{ReadableTable, Table, WriteTransaction};

use crate::RangeQuery;
use crate::format::{key_bytes, mark_bytes, mark_prefix, parse_mark};
use crate::store::PageBuilder;

use super::records;
use super::tables::{MARKS, Tables};

/// Number of counts kept in memory; past it they begin anew, and each costs a look at its marks.
const COUNTS_LIMIT: usize = 1 << 15;

/// Number of marks that a bucket has in a partition, by the bytes that both begin with; of those that were put into.
#[derive(Debug, Default)]
pub(super) struct MarkCounts {
    counts: HashMap<Vec<u8>, Count>,
    /// Whether the counts may include a commit that has failed.
    unsure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Few(usize),
    Many,
}

impl MarkCounts {
    /// Begins a commit; counts that a failed one has left are forgotten.
    pub(super) fn begin(&mut self) {
        if self.unsure || self.counts.len() > COUNTS_LIMIT {
            self.counts.clear();
        }
        self.unsure = true;
    }

    /// Forgets all counts, since marks are removed without a call here.
    pub(super) fn forget(&mut self) {
        self.counts.clear();
    }

    /// Notes that the commit has succeeded.
    pub(super) fn committed(&mut self) {
        self.unsure = false;
    }
}

/// Writer of marks within one commit.
pub(super) struct MarkWriter<'a> {
    transaction: &'a WriteTransaction,
    /// Table of marks, opened once it is needed.
    table: Option<Table<'a, &'static [u8], u32>>,
    counts: &'a mut MarkCounts,
    /// Largest number of a bucket's marks in a partition.
    limit: usize,
    prefix: Vec<u8>,
}

impl<'a> MarkWriter<'a> {
    pub(super) fn new(
        transaction: &'a WriteTransaction,
        counts: &'a mut MarkCounts,
        limit: usize,
    ) -> Self {
        Self { transaction, table: None, counts, limit, prefix: Vec::new() }
    }

    /// Marks a key that gets a record and had none.
    pub(super) fn add(&mut self, key: &PlacedKey) -> Result<(), redb::Error> {
        mark_prefix(&mut self.prefix, key.partition, key.key.bucket());
        let count = match self.counts.counts.get(&self.prefix) {
            Some(count) => *count,
            None => self.count()?,
        };
        let Count::Few(marks) = count else { return Ok(()) };
        let (row, count) = if marks < self.limit {
            (mark_bytes(key), Count::Few(marks + 1))
        } else {
            (self.prefix.clone(), Count::Many)
        };
        self.table()?.insert(row.as_slice(), checksum(&row))?;
        match self.counts.counts.get_mut(&self.prefix) {
            Some(known) => *known = count,
            None => drop(self.counts.counts.insert(self.prefix.clone(), count)),
        }
        Ok(())
    }

    /// Removes the mark of a key that has no record any more.
    pub(super) fn remove(&mut self, key: &PlacedKey) -> Result<(), redb::Error> {
        mark_prefix(&mut self.prefix, key.partition, key.key.bucket());
        if self.counts.counts.get(&self.prefix) == Some(&Count::Many) {
            return Ok(());
        }
        let removed = self.table()?.remove(mark_bytes(key).as_slice())?.is_some();
        if removed && let Some(Count::Few(marks)) = self.counts.counts.get_mut(&self.prefix) {
            *marks = marks.saturating_sub(1);
        }
        Ok(())
    }

    /// Counts the marks that begin with the prefix, up to the limit.
    fn count(&mut self) -> Result<Count, redb::Error> {
        let (prefix, limit) = (self.prefix.clone(), self.limit);
        let mut marks = 0;
        for entry in self.table()?.range(prefix.as_slice()..)? {
            let (row, _) = entry?;
            if row.value() == prefix {
                marks = usize::MAX;
                break;
            }
            if !row.value().starts_with(&prefix) || marks >= limit {
                break;
            }
            marks += 1;
        }
        let count = if marks == usize::MAX { Count::Many } else { Count::Few(marks) };
        self.counts.counts.insert(prefix, count);
        Ok(count)
    }

    fn table(&mut self) -> Result<&mut Table<'a, &'static [u8], u32>, redb::Error> {
        match &mut self.table {
            Some(table) => Ok(table),
            unopened => Ok(unopened.insert(self.transaction.open_table(MARKS)?)),
        }
    }
}

/// Returns the page that `query` asks for, if the marks of its bucket are all there; `None` if the bucket has many
/// records in the partition, or a mark is damaged.
pub(super) fn page(tables: &Tables, query: &RangeQuery) -> Result<Option<RangePage>, redb::Error> {
    let Some(bucket) = &query.bucket else { return Ok(None) };
    let mut prefix = Vec::new();
    mark_prefix(&mut prefix, query.partition, bucket);
    match tables.marks.range(prefix.as_slice()..)?.next().transpose()? {
        Some((row, _)) if row.value() == prefix => return Ok(None),
        _ => {}
    }
    let after = query.after.as_ref();
    let position =
        after.map_or(query.first_position(), |after| after.position.max(query.first_position()));
    let first = [prefix.as_slice(), &position.0.to_be_bytes()].concat();
    let mut page = PageBuilder::new(query);
    for entry in tables.marks.range(first.as_slice()..)? {
        let (row, stored) = entry?;
        let row = row.value();
        if !row.starts_with(&prefix) {
            break;
        }
        let key = parse_mark(row).filter(|_| stored.value() == checksum(row));
        let Some(key) = key else { return Ok(None) };
        if !query.reaches(&key) {
            break;
        }
        if after.is_some_and(|after| key <= *after) {
            continue;
        }
        let bytes = key_bytes(&key);
        let going_on = match tables.records.get(bytes.as_slice())? {
            Some(value) => {
                let (record, read_bytes) = records::shown(tables, query, &bytes, value.value())?;
                page.push_read(key, record, read_bytes)
            }
            None => page.skip(0, || Some(key)),
        };
        if !going_on {
            break;
        }
    }
    Ok(Some(page.finish()))
}

/// Removes up to `limit` marks of a partition that was dropped. Returns whether there are more.
pub(super) fn sweep(
    transaction: &WriteTransaction,
    (first, end): (Bound<&[u8]>, Bound<&[u8]>),
    limit: usize,
) -> Result<bool, redb::Error> {
    let mut marks = transaction.open_table(MARKS)?;
    let mut stays = None;
    if let Some(entry) = marks.range::<&[u8]>((first, end))?.nth(limit) {
        stays = Some(entry?.0.value().to_vec());
    }
    let end = stays.as_ref().map_or(end, |stays| Bound::Excluded(stays.as_slice()));
    marks.retain_in::<&[u8], _>((first, end), |_, _| false)?;
    Ok(stays.is_some())
}

fn checksum(row: &[u8]) -> u32 {
    crc32fast::hash(row)
}

#[cfg(test)]
mod tests;
