//! Keys of the tree's rows, and the rows that the engine keeps for itself.
//!
//! Invariant: a row's first byte names its table, so that one batch of rows changes all tables at once.

use std::collections::BTreeSet;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::PlacedKey;
use jedlik_storage_port::HintMark;

use crate::checked::{checked, unchecked};
use crate::format::push_key;
use crate::hint_rows::{bytes_by_age, bytes_by_key};

use super::failures::Failure;

pub(super) const RECORDS: u8 = b'r';
pub(super) const HINTS: u8 = b'h';
pub(super) const HINTS_BY_KEY: u8 = b'k';
pub(super) const DROPPED: u8 = b'd';
pub(super) const METADATA: u8 = b'm';
const OWN: u8 = b'o';

const FORMAT: &str = "format";
const TOTALS: &str = "totals";

/// Number of rows and bytes that count: not what is overwritten or removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Number of records, those of dropped partitions that are not swept yet included.
    pub(super) records: u64,
    /// Size of records and hints, with their keys, in bytes.
    pub(super) bytes: u64,
}

impl Totals {
    pub(super) fn row(self) -> (Vec<u8>, Vec<u8>) {
        let numbers = [self.records.to_le_bytes(), self.bytes.to_le_bytes()].concat();
        (own(TOTALS), checked(TOTALS, &numbers))
    }

    pub(super) fn key() -> Vec<u8> {
        own(TOTALS)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let numbers = unchecked(TOTALS, bytes).and_then(|bytes| bytes.split_first_chunk());
        let numbers = numbers.and_then(|(records, bytes)| Some((*records, bytes.try_into().ok()?)));
        let (records, bytes) =
            numbers.ok_or_else(|| Failure::damaged("the count of records is damaged"))?;
        Ok(Self { records: u64::from_le_bytes(records), bytes: u64::from_le_bytes(bytes) })
    }
}

/// Returns the row that says of which format the others are.
pub(super) fn format_row(format: u32) -> (Vec<u8>, Vec<u8>) {
    (own(FORMAT), checked(FORMAT, &format.to_le_bytes()))
}

/// Returns the key of the row that says of which format the others are.
pub(super) fn format_key() -> Vec<u8> {
    own(FORMAT)
}

/// Returns the format in the row that says it.
pub(super) fn parse_format(bytes: &[u8]) -> Result<u32, Failure> {
    let format = unchecked(FORMAT, bytes).and_then(|format| format.try_into().ok());
    format.map(u32::from_le_bytes).ok_or_else(|| Failure::damaged("the format is damaged"))
}

fn own(name: &str) -> Vec<u8> {
    prefixed(OWN, name.as_bytes())
}

/// Returns the row key of `key` in one of the tables.
pub(super) fn prefixed(table: u8, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.len());
    out.push(table);
    out.extend_from_slice(key);
    out
}

/// Returns the row key of a record; past its first byte it is the key's own.
pub(super) fn record_key(key: &PlacedKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + key.key.bucket().len() + key.key.key().len());
    out.push(RECORDS);
    push_key(&mut out, key);
    out
}

/// Returns the row key of a hint.
pub(super) fn hint_key(target: NodeId, mark: &HintMark) -> Vec<u8> {
    prefixed(HINTS, &bytes_by_age(target, mark))
}

/// Returns the row key of a hint's place.
pub(super) fn place_key(target: NodeId, key: &PlacedKey) -> Vec<u8> {
    prefixed(HINTS_BY_KEY, &bytes_by_key(target, key))
}

/// Returns the row key of a metadata value.
pub(super) fn metadata_key(name: &str) -> Vec<u8> {
    prefixed(METADATA, name.as_bytes())
}

/// Returns the row that hides a partition.
pub(super) fn dropped_row(partition: Partition) -> (Vec<u8>, Vec<u8>) {
    let bytes = partition.0.to_be_bytes();
    (prefixed(DROPPED, &bytes), crc32fast::hash(&bytes).to_le_bytes().to_vec())
}

/// Returns the partitions that rows hide, given as key and value.
pub(super) fn parse_dropped<'a>(
    rows: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<BTreeSet<Partition>, Failure> {
    let parsed = rows.map(|(key, value)| {
        let bytes: Option<[u8; 4]> = key.get(1..).and_then(|bytes| bytes.try_into().ok());
        let partition = bytes
            .filter(|bytes| value == crc32fast::hash(bytes).to_le_bytes())
            .map(|bytes| Partition(u32::from_be_bytes(bytes)));
        partition.ok_or_else(|| Failure::damaged("a row of the dropped partitions is damaged"))
    });
    parsed.collect()
}

/// Returns the first key past all that begin with `prefix`, whose first byte is that of a table.
pub(super) fn past(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while end.last() == Some(&u8::MAX) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}

/// Returns the first bytes of the records of a partition.
pub(super) fn partition_prefix(partition: Partition) -> Vec<u8> {
    prefixed(RECORDS, &partition.0.to_be_bytes())
}
