//! Partitions that were dropped: hidden at once, taken off the disk in small steps.
//!
//! Invariant: a partition is listed in `dropped` from the commit that hides its records to the one that
//! removes the last of them, with their values that lie apart and their marks. No record is put into it in between.

use std::collections::BTreeSet;
use std::ops::Bound;

use jedlik_hashing::Partition;
use redb::{ReadableTable, WriteTransaction};

use crate::format::whole_length_bytes;

use super::live::LiveChange;
use super::marks;
use super::tables::{DROPPED, RECORDS, VALUES, drop_checksum};

/// Size of the records that one commit takes off at most, in bytes, whatever the limit of records: it has to read them.
const SWEEP_LIMIT_BYTES: usize = 16 << 20;

/// Lists those of `partitions` that have any record, damaged ones included.
pub(super) fn hide(
    transaction: &WriteTransaction,
    partitions: &BTreeSet<Partition>,
) -> Result<(), redb::Error> {
    let records = transaction.open_table(RECORDS)?;
    let mut dropped = transaction.open_table(DROPPED)?;
    for &partition in partitions {
        let (first, end) = bounds(partition);
        if records.range::<&[u8]>((bound(&first), bound(&end)))?.next().is_some() {
            dropped.insert(partition.0, drop_checksum(partition))?;
        }
    }
    Ok(())
}

/// Removes up to `limit_records` hidden records of `partition`. Returns false once none are left, and the bytes that were
/// removed.
pub(super) fn sweep(
    transaction: &WriteTransaction,
    partition: Partition,
    limit_records: usize,
) -> Result<(bool, LiveChange), redb::Error> {
    let mut dropped = transaction.open_table(DROPPED)?;
    if dropped.get(partition.0)?.is_none() {
        return Ok((false, LiveChange::default()));
    }
    let mut records = transaction.open_table(RECORDS)?;
    let (first, end) = bounds(partition);
    let (mut left, mut left_bytes) = (limit_records.max(1), SWEEP_LIMIT_BYTES);
    // The first key that stays for the next step.
    let mut stays = None;
    let mut live = LiveChange::default();
    for entry in records.range::<&[u8]>((bound(&first), bound(&end)))? {
        let (key, value) = entry?;
        if left == 0 || left_bytes == 0 {
            stays = Some(key.value().to_vec());
            break;
        }
        left -= 1;
        left_bytes = left_bytes.saturating_sub(whole_length_bytes(value.value()));
        live.remove(key.value(), value.value());
    }
    let more = stays.is_some();
    let end = stays.map_or(end, Bound::Excluded);
    records.retain_in::<&[u8], _>((bound(&first), bound(&end)), |_, _| false)?;
    // Those without a row in `records`, which damage may have left, go as well.
    let mut values = transaction.open_table(VALUES)?;
    values.retain_in::<&[u8], _>((bound(&first), bound(&end)), |_, _| false)?;
    let (first, whole) = bounds(partition);
    let more =
        marks::sweep(transaction, (bound(&first), bound(&whole)), limit_records.max(1))? || more;
    if !more {
        dropped.remove(partition.0)?;
    }
    live.apply(transaction)?;
    Ok((more, live))
}

/// Returns the bounds of the keys of `partition`, whatever follows their partition's bytes.
fn bounds(partition: Partition) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let first = Bound::Included(partition.0.to_be_bytes().to_vec());
    let next = partition.0.checked_add(1);
    (first, next.map_or(Bound::Unbounded, |next| Bound::Excluded(next.to_be_bytes().to_vec())))
}

fn bound(bytes: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bytes.as_ref().map(Vec::as_slice)
}
