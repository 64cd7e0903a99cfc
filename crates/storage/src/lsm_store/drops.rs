//! Partitions that were dropped: hidden at once, taken off the disk in small steps.
//!
//! Invariant: a partition is listed in the rows of dropped ones from the batch that hides its records to the one that
//! removes the last of them. No record is put into it in between, so a sweep may go on where its last step ended.

use std::collections::BTreeSet;

use jedlik_hashing::Partition;

use super::failures::Failure;
use super::rows::{partition_prefix, past};
use super::tree::{Opened, read};
use super::writes::Batch;

/// Lists those of `partitions` that have any record, damaged ones included.
pub(super) fn hide(
    opened: &Opened,
    partitions: &BTreeSet<Partition>,
) -> Result<(Batch, ()), Failure> {
    let mut batch = Batch::new(opened);
    for &partition in partitions {
        let prefix = partition_prefix(partition);
        let end = past(&prefix);
        if opened.range(prefix, end).next().map(|row| read(row, |_| false)).transpose()?.is_some() {
            batch.hide(partition);
        }
    }
    Ok((batch, ()))
}

/// Removes up to `limit_records` hidden records of `partition`, past the key `from`. Returns the last of them; `None`
/// once nothing is left.
pub(super) fn sweep(
    opened: &Opened,
    partition: Partition,
    from: Option<Vec<u8>>,
    limit_records: usize,
) -> Result<(Batch, Option<Vec<u8>>), Failure> {
    let mut batch = Batch::new(opened);
    if !opened.is_dropped(partition) {
        return Ok((batch, None));
    }
    let prefix = partition_prefix(partition);
    let end = past(&prefix);
    let mut last = None;
    for (removed, row) in opened.range(from.unwrap_or(prefix), end).enumerate() {
        let (key, _) = read(row, |_| false)?;
        if removed == limit_records.max(1) {
            // It stays for the next step.
            return Ok((batch, last));
        }
        last = Some(key.to_vec());
        batch.remove_record(opened, key.to_vec())?;
    }
    batch.show(partition);
    Ok((batch, None))
}
