//! Writing a batch of records, hints and metadata.
//!
//! Invariant: the value of a large record is in the table of values if and only if its row of `records` says so: both
//! are written in one commit, and the row that goes says whether there is a value to remove. A record that is not
//! large, in the place of another such, costs one insertion and no look at that table.

use jedlik_protocol::{PlacedKey, StoredRecord};
use redb::{Table, WriteTransaction};

use crate::Writes;
use crate::checked::checked;
use crate::format::{apart_bytes, is_apart, key_bytes, value_bytes};

use super::hints;
use super::live::LiveChange;
use super::marks::MarkWriter;
use super::tables::{METADATA, RECORDS, VALUES};

type BytesTable<'a> = Table<'a, &'static [u8], &'static [u8]>;

/// Writes a batch: see [`crate::Store::write`]. Records of `large_record_bytes` and more are large. Returns the change
/// of the bytes that count.
pub(super) fn write_all(
    transaction: &WriteTransaction,
    writes: &Writes,
    large_record_bytes: usize,
    marks: MarkWriter<'_>,
) -> Result<LiveChange, redb::Error> {
    let mut live = LiveChange::default();
    if !writes.records.is_empty() {
        let records = transaction.open_table(RECORDS)?;
        let live = &mut live;
        let mut writer =
            RecordWriter { transaction, records, values: None, large_record_bytes, marks, live };
        for (key, record) in &writes.records {
            writer.put(key, record.as_ref())?;
        }
    }
    if !writes.hints.is_empty() {
        hints::write(transaction, &writes.hints, &mut live)?;
    }
    live.apply(transaction)?;
    if !writes.metadata.is_empty() {
        let mut table = transaction.open_table(METADATA)?;
        for (name, value) in &writes.metadata {
            match value {
                Some(value) => table.insert(name.as_str(), checked(name, value).as_slice())?,
                None => table.remove(name.as_str())?,
            };
        }
    }
    Ok(live)
}

/// Writer of the tables that a record may have rows in.
struct RecordWriter<'a> {
    transaction: &'a WriteTransaction,
    records: BytesTable<'a>,
    /// Table of values that lie apart, opened once it is needed.
    values: Option<BytesTable<'a>>,
    large_record_bytes: usize,
    marks: MarkWriter<'a>,
    live: &'a mut LiveChange,
}

impl<'a> RecordWriter<'a> {
    /// Stores the record in the place of the one that is there; `None` removes that one.
    fn put(&mut self, key: &PlacedKey, record: Option<&StoredRecord>) -> Result<(), redb::Error> {
        let bytes = key_bytes(key);
        let (row, large) = match record {
            Some(record) => {
                let value = value_bytes(&bytes, record);
                match self.row_of_large(&bytes, record, &value) {
                    Some(row) => (Some(row), Some(value)),
                    None => (Some(value), None),
                }
            }
            None => (None, None),
        };
        let before = match &row {
            Some(row) => self.records.insert(bytes.as_slice(), row.as_slice())?,
            None => self.records.remove(bytes.as_slice())?,
        };
        let was_there = before.is_some();
        before.iter().for_each(|before| self.live.remove(&bytes, before.value()));
        row.iter().for_each(|row| self.live.add(&bytes, row));
        let was_apart = before.is_some_and(|before| is_apart(before.value()));
        match large {
            Some(value) => drop(self.values()?.insert(bytes.as_slice(), value.as_slice())?),
            None if was_apart => drop(self.values()?.remove(bytes.as_slice())?),
            None => {}
        }
        match (was_there, record.is_some()) {
            (false, true) => self.marks.add(key),
            (true, false) => self.marks.remove(key),
            _ => Ok(()),
        }
    }

    fn values(&mut self) -> Result<&mut BytesTable<'a>, redb::Error> {
        match &mut self.values {
            Some(values) => Ok(values),
            unopened => Ok(unopened.insert(self.transaction.open_table(VALUES)?)),
        }
    }

    /// Returns the row of `records` for a large record, whose whole value is `value`; `None` if the record is not
    /// large, or if its values are the smaller part of it.
    fn row_of_large(&self, key: &[u8], record: &StoredRecord, value: &[u8]) -> Option<Vec<u8>> {
        let whole_bytes = record.record.bytes().len();
        if whole_bytes < self.large_record_bytes {
            return None;
        }
        let lengths = record.record.with_lengths().ok()?;
        if lengths.bytes().len() > whole_bytes / 2 {
            return None;
        }
        apart_bytes(key, &StoredRecord { local: record.local, record: lengths }, value)
    }
}
