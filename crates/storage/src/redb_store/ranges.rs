//! Pages of one partition in key order: its records, or the hints of it for one target.
//!
//! Invariant: of records that are not asked for only the key and the length are looked at, and where no values are
//! asked for, none that lies apart is read. A large hint has its value with it: hints are few and go soon.

use jedlik_hashing::{NodeId, Partition};
use jedlik_storage_port::RangePage;

use crate::RangeQuery;
use crate::format::{BucketMatch, partition_of};
use crate::span::{PageStep, Span};
use crate::store::PageBuilder;

use super::tables::Tables;
use super::{hints, marks, records};

/// Returns a page of records: see [`crate::Store::range`].
pub(super) fn page(tables: &Tables, query: &RangeQuery) -> Result<RangePage, redb::Error> {
    let mut page = PageBuilder::new(query);
    if tables.dropped.contains(&query.partition) {
        return Ok(page.finish());
    }
    if let Some(marked) = marks::page(tables, query)? {
        return Ok(marked);
    }
    let span = Span::of(query);
    let wanted = query.bucket.as_ref().map(|bucket| BucketMatch::new(bucket));
    for entry in tables.records.range(span.first.as_slice()..)? {
        let (key, value) = entry?;
        let (bytes, value) = (key.value(), value.value());
        let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.is_of(bytes));
        let placed = match span.step(&mut page, bytes, value.len(), is_wanted) {
            PageStep::Pass => continue,
            PageStep::End => break,
            PageStep::Take(placed) => placed,
            PageStep::Damaged => {
                return Err(redb::Error::Corrupted("a record's key is damaged".into()));
            }
        };
        let (record, read_bytes) = records::shown(tables, query, bytes, value)?;
        if !page.push_read(placed, record, read_bytes) {
            break;
        }
    }
    Ok(page.finish())
}

/// Returns the first partition that holds a record: see [`crate::Store::next_partition`].
pub(super) fn next_partition(
    tables: &Tables,
    from: Partition,
) -> Result<Option<Partition>, redb::Error> {
    let mut from = from;
    loop {
        let first = from.0.to_be_bytes();
        let Some(entry) = tables.records.range(first.as_slice()..)?.next() else { return Ok(None) };
        let (key, _) = entry?;
        let Some(partition) = partition_of(key.value()) else {
            return Err(redb::Error::Corrupted("a record's key is damaged".into()));
        };
        if !tables.dropped.contains(&partition) {
            return Ok(Some(partition));
        }
        let Some(next) = partition.0.checked_add(1) else { return Ok(None) };
        from = Partition(next);
    }
}

/// Returns a page of hints by key: see [`crate::Store::hint_range`].
pub(super) fn hints_of(
    tables: &Tables,
    target: NodeId,
    query: &RangeQuery,
) -> Result<RangePage, redb::Error> {
    let mut page = PageBuilder::new(query);
    let span = Span::of(query);
    let wanted = query.bucket.as_ref().map(|bucket| BucketMatch::new(bucket));
    let prefix = target.0.to_be_bytes();
    let first = [&prefix[..], span.first.as_slice()].concat();
    for entry in tables.hints_by_key.range(first.as_slice()..)? {
        let (by_key, _) = entry?;
        let by_key = by_key.value();
        let Some(bytes) = by_key.strip_prefix(&prefix[..]) else { break };
        let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.is_of(bytes));
        let placed = match span.step(&mut page, bytes, 0, is_wanted) {
            PageStep::Pass => continue,
            PageStep::End => break,
            PageStep::Take(placed) => placed,
            PageStep::Damaged => {
                return Err(redb::Error::Corrupted("a hint's key is damaged".into()));
            }
        };
        let row = hints::load(tables, target, &placed)?;
        let record = row.and_then(|row| row.record);
        let length_bytes = record.as_ref().map_or(0, |record| record.record.bytes().len());
        let record = record.and_then(|record| query.shown(record));
        if !page.push_read(placed, record, length_bytes) {
            break;
        }
    }
    Ok(page.finish())
}
