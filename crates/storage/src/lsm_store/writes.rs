//! Batches: the rows that a write changes, and what they change of what is known in memory.
//!
//! Invariant: memory follows the disk: it is changed once the batch is durable.

use std::collections::BTreeSet;

use jedlik_hashing::Partition;
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::HintMark;

use crate::Writes;
use crate::checked::checked;
use crate::format::value_bytes;
use crate::hint::HintWrite;
use crate::hint_rows::HintPlace;

use super::failures::Failure;
use super::rows::{Totals, dropped_row, hint_key, metadata_key, place_key, record_key};
use super::tree::{Opened, Rows};

/// Rows that are stored together.
pub(super) struct Batch {
    rows: Rows,
    totals: Totals,
    /// Bytes of rows that count no more: those that are replaced or removed.
    dead_bytes: u64,
    hidden: BTreeSet<Partition>,
    /// Partition of which nothing is left.
    swept: Option<Partition>,
}

impl Batch {
    /// Returns a batch without any row, over what `opened` has.
    pub(super) fn new(opened: &Opened) -> Self {
        let totals = *opened.totals();
        Self { rows: Rows::new(), totals, dead_bytes: 0, hidden: BTreeSet::new(), swept: None }
    }

    /// Returns the batch of a write: see [`crate::Store::write`].
    pub(super) fn of(opened: &Opened, writes: &Writes) -> Result<Self, Failure> {
        let mut batch = Self::new(opened);
        for (key, record) in &writes.records {
            batch.put_record(opened, key, record.as_ref())?;
        }
        for write in &writes.hints {
            batch.put_hint(opened, write)?;
        }
        for (name, value) in &writes.metadata {
            batch.rows.push((metadata_key(name), value.as_ref().map(|value| checked(name, value))));
        }
        Ok(batch)
    }

    /// Adds the row that hides a partition.
    pub(super) fn hide(&mut self, partition: Partition) {
        let (key, value) = dropped_row(partition);
        self.rows.push((key, Some(value)));
        self.hidden.insert(partition);
    }

    /// Removes the row that hides a partition, of which nothing is left.
    pub(super) fn show(&mut self, partition: Partition) {
        self.rows.push((dropped_row(partition).0, None));
        self.swept = Some(partition);
    }

    /// Removes the row of a record, which is there.
    pub(super) fn remove_record(&mut self, opened: &Opened, key: Vec<u8>) -> Result<(), Failure> {
        self.totals.records = self.totals.records.saturating_sub(1);
        self.remove(opened, key)
    }

    /// Puts a row in the place of one with the same bytes.
    pub(super) fn put_again(&mut self, key: &[u8], value: &[u8]) {
        self.rows.push((key.to_vec(), Some(value.to_vec())));
    }

    fn put_record(
        &mut self,
        opened: &Opened,
        key: &PlacedKey,
        record: Option<&StoredRecord>,
    ) -> Result<(), Failure> {
        let row = record_key(key);
        let was_there = opened.size_of(&row)?;
        match record {
            Some(record) => {
                let value = value_bytes(&row[1..], record);
                self.totals.records += u64::from(was_there.is_none());
                self.put(row, value, was_there);
                Ok(())
            }
            None if was_there.is_some() => self.remove_record(opened, row),
            None => Ok(()),
        }
    }

    /// Puts a hint in the place of the one of its target and key.
    fn put_hint(&mut self, opened: &Opened, write: &HintWrite) -> Result<(), Failure> {
        let HintWrite { target, key, hint } = write;
        let by_key = place_key(*target, key);
        let before = match opened.get(&by_key)? {
            Some(Ok(place)) => HintPlace::parse(&by_key[1..], &place),
            Some(Err(_)) | None => None,
        };
        if let Some(before) = before
            && hint.as_ref().is_none_or(|hint| hint.since_ms != before.since_ms)
        {
            let mark = HintMark { since_ms: before.since_ms, key: key.clone() };
            self.remove(opened, hint_key(*target, &mark))?;
        }
        match hint {
            Some(hint) => {
                let by_age = hint_key(*target, &hint.mark());
                let was_there = opened.size_of(&by_age)?;
                let value = value_bytes(&by_age[1..], &hint.record);
                self.put(by_age, value, was_there);
                let place = HintPlace::bytes_of(&by_key[1..], hint).to_vec();
                self.rows.push((by_key, Some(place)));
            }
            None => self.rows.push((by_key, None)),
        }
        Ok(())
    }

    /// Puts a row that counts, in the place of one with a value of `was_there` bytes if there is one.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, was_there: Option<u32>) {
        let before = was_there.map_or(0, |bytes| row_bytes(&key, bytes as usize));
        self.totals.bytes += row_bytes(&key, value.len());
        self.kill(before);
        self.rows.push((key, Some(value)));
    }

    /// Removes a row that counts.
    fn remove(&mut self, opened: &Opened, key: Vec<u8>) -> Result<(), Failure> {
        if let Some(bytes) = opened.size_of(&key)? {
            self.kill(row_bytes(&key, bytes as usize));
            self.rows.push((key, None));
        }
        Ok(())
    }

    fn kill(&mut self, bytes: u64) {
        self.totals.bytes = self.totals.bytes.saturating_sub(bytes);
        self.dead_bytes += bytes;
    }

    /// Returns the bytes of rows that count no more once the batch is stored.
    pub(super) fn dead_bytes(&self) -> u64 {
        self.dead_bytes
    }

    /// Stores the batch, durably, and then changes what is known in memory.
    pub(super) fn store(mut self, opened: &Opened) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let (key, value) = self.totals.row();
        self.rows.push((key, Some(value)));
        // Of two rows with one key the later one stands.
        self.rows.reverse();
        self.rows.sort_by(|a, b| a.0.cmp(&b.0));
        self.rows.dedup_by(|later, earlier| later.0 == earlier.0);
        opened.ingest(self.rows)?;
        *opened.totals() = self.totals;
        let mut dropped = opened.dropped_mut();
        dropped.extend(self.hidden);
        if let Some(partition) = self.swept {
            dropped.remove(&partition);
        }
        Ok(())
    }
}

fn row_bytes(key: &[u8], value_bytes: usize) -> u64 {
    (key.len() + value_bytes) as u64
}
