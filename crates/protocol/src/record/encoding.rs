//! Encoding of a record, in which the value of a retried write appears only once.
//!
//! ```text
//! record   siblings that repeat an earlier sibling's write have an empty value
//! repeats  2 bytes for each of those siblings, little endian: its index, in order
//! count    2 bytes, little endian: how many repeats there are
//! ```
//!
//! Invariant: equal records have equal bytes, and decoding gives the record that was encoded: a value is left out
//! only where it equals that of the first sibling of the same write.

use alloc::vec::Vec;

use jedlik_vclock::Content;

use super::Record;
use crate::error::DecodeError;
use crate::{Blob, Value, archive};

const COUNT_BYTES: usize = 2;
const INDEX_BYTES: usize = 2;
const WHAT: &str = "record";
const MALFORMED: DecodeError = DecodeError::Malformed { what: WHAT };

pub(super) fn encode(record: &Record) -> Vec<u8> {
    let repeats = repeated_values(record);
    let mut bytes = if repeats.is_empty() {
        archive::encode(record)
    } else {
        let mut short = record.clone();
        for (index, _) in &repeats {
            if let Some(content) = short.content_mut(usize::from(*index)) {
                *content = Content::Value(Value::default());
            }
        }
        archive::encode(&short)
    };
    for (index, _) in &repeats {
        bytes.extend_from_slice(&index.to_le_bytes());
    }
    // The indices are distinct, so there are at most as many as there are numbers of two bytes, less one.
    let count = u16::try_from(repeats.len()).expect("an index of 0 repeats nothing");
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.into_vec()
}

pub(super) fn decode(bytes: &Blob) -> Result<Record, DecodeError> {
    let (rest, count) = bytes.split_last_chunk::<COUNT_BYTES>().ok_or(MALFORMED)?;
    let indices_bytes = usize::from(u16::from_le_bytes(*count)) * INDEX_BYTES;
    let length = rest.len().checked_sub(indices_bytes).ok_or(MALFORMED)?;
    let (indices, _) = rest[length..].as_chunks::<INDEX_BYTES>();
    let buffer = bytes.bytes().slice(..length);
    let mut record: Record = archive::decode(&buffer, WHAT)?;
    if !indices.is_empty() {
        fill(&mut record, indices).ok_or(MALFORMED)?;
    }
    if record.is_well_formed() { Ok(record) } else { Err(MALFORMED) }
}

/// Returns the siblings whose values can be left out, each with the first sibling of the same write.
fn repeated_values(record: &Record) -> Vec<(u16, usize)> {
    let siblings = record.siblings();
    let left_out = |(index, first): (usize, usize)| {
        let content = &siblings[index].content;
        let long = matches!(content, Content::Value(value) if !value.is_empty());
        let same = long && *content == siblings[first].content;
        Some((u16::try_from(index).ok()?, first)).filter(|_| same)
    };
    record.repeats().into_iter().filter_map(left_out).collect()
}

/// Restores the values that were left out; `None` if an encoder would not have written these indices.
fn fill(record: &mut Record, indices: &[[u8; INDEX_BYTES]]) -> Option<()> {
    let mut repeats = record.repeats().into_iter();
    for index in indices {
        let index = usize::from(u16::from_le_bytes(*index));
        // Both are in order, so one walk finds each.
        let (_, first) = repeats.find(|(repeat, _)| *repeat == index)?;
        let value = match &record.siblings()[first].content {
            Content::Value(value) if !value.is_empty() => value.clone(),
            Content::Value(_) | Content::Tombstone => return None,
        };
        let place = record.content_mut(index)?;
        if *place != Content::Value(Value::default()) {
            return None;
        }
        *place = Content::Value(value);
    }
    Some(())
}
