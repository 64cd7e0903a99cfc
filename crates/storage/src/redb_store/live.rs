//! Count of the bytes that count in an engine's file: records and hints with their keys, hidden ones included. What the
//! file takes besides is room to give back.
//!
//! Invariant: the count is changed in the commit of the rows that it counts.

use redb::{ReadableTable, WriteTransaction};

use crate::checked::checked;
use crate::format::whole_length_bytes;

use super::metadata;
use super::tables::{LIVE_NAME, METADATA};

/// Bytes that one commit adds and removes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LiveChange {
    added: u64,
    removed: u64,
}

impl LiveChange {
    /// Counts a row that is there from now on.
    pub(super) fn add(&mut self, key: &[u8], row: &[u8]) {
        self.added += weight(key, row);
    }

    /// Counts a row that is gone from now on.
    pub(super) fn remove(&mut self, key: &[u8], row: &[u8]) {
        self.removed += weight(key, row);
    }

    /// Returns the bytes that were added, and those that were removed.
    pub(super) fn total(self) -> u64 {
        self.added + self.removed
    }

    /// Writes the count that results from the change.
    pub(super) fn apply(self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        if self.added == self.removed {
            return Ok(());
        }
        let mut table = transaction.open_table(METADATA)?;
        let bytes = (load(&table)? + self.added).saturating_sub(self.removed);
        table.insert(LIVE_NAME, row(bytes).as_slice())?;
        Ok(())
    }
}

/// Returns the row that says how many bytes count.
pub(super) fn row(bytes: u64) -> Vec<u8> {
    checked(LIVE_NAME, &bytes.to_le_bytes())
}

/// Reads how many bytes count.
pub(super) fn load(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<u64, redb::Error> {
    let bytes = metadata::load(table, LIVE_NAME)?;
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    bytes.ok_or_else(|| redb::Error::Corrupted("the count of bytes is damaged".into()))
}

/// Returns the bytes of a row and its key, and of the value that lies apart from it.
fn weight(key: &[u8], row: &[u8]) -> u64 {
    (key.len() + whole_length_bytes(row)) as u64
}

#[cfg(test)]
mod tests;
