//! Reads of one row, and pages of one partition in key order: its records, or the hints of it for one target.
//!
//! Invariant: what is returned has passed its checksum, which covers its key. Of records that are not asked for only
//! the key is looked at.

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::RangePage;

use crate::RangeQuery;
use crate::checked::unchecked;
use crate::format::{BucketMatch, parse_value, partition_of};
use crate::span::{PageStep, Place, Span};
use crate::store::PageBuilder;
use crate::trouble_log::TroubleLog;

use super::failures::Failure;
use super::hints;
use super::rows::{
    HINTS_BY_KEY, METADATA, RECORDS, metadata_key, partition_prefix, past, prefixed, record_key,
};
use super::tree::{Found, Opened, read};

/// Returns the record of `key`, or the defect that was found.
pub(super) fn load(
    opened: &Opened,
    key: &PlacedKey,
) -> Result<Option<Result<StoredRecord, &'static str>>, Failure> {
    if opened.is_dropped(key.partition) {
        return Ok(None);
    }
    let row = record_key(key);
    let value = opened.get(&row)?;
    Ok(value.map(|value| value.and_then(|value| parse_value(&row[1..], &value))))
}

/// Returns the metadata value of `name`; `None` if there is none.
pub(super) fn metadata(opened: &Opened, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let Some(stored) = opened.get(&metadata_key(name))? else { return Ok(None) };
    let value = stored.ok().and_then(|stored| unchecked(name, &stored).map(<[u8]>::to_vec));
    value.map(Some).ok_or_else(|| Failure::damaged(format!("the metadata {name:?} is damaged")))
}

/// Returns the names of all metadata values, sorted.
pub(super) fn metadata_names(opened: &Opened) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for row in opened.range(vec![METADATA], past(&[METADATA])) {
        let (key, _) = read(row, |_| false)?;
        let name = str::from_utf8(&key[1..]);
        names.push(name.map_err(|_| Failure::damaged("a metadata name is damaged"))?.to_owned());
    }
    Ok(names)
}

/// Returns the first partition that holds a record: see [`crate::Store::next_partition`].
pub(super) fn next_partition(
    opened: &Opened,
    from: Partition,
) -> Result<Option<Partition>, Failure> {
    let mut from = from;
    loop {
        let mut rows = opened.range(partition_prefix(from), past(&[RECORDS]));
        let Some(row) = rows.next() else { return Ok(None) };
        let (key, _) = read(row, |_| false)?;
        let Some(partition) = partition_of(&key[1..]) else {
            return Err(Failure::damaged("a record's key is damaged"));
        };
        if !opened.is_dropped(partition) {
            return Ok(Some(partition));
        }
        let Some(next) = partition.0.checked_add(1) else { return Ok(None) };
        from = Partition(next);
    }
}

/// Returns a page of records: see [`crate::Store::range`].
pub(super) fn page(opened: &Opened, query: &RangeQuery) -> Result<RangePage, Failure> {
    let mut page = PageBuilder::new(query);
    if opened.is_dropped(query.partition) {
        return Ok(page.finish());
    }
    let span = Span::of(query);
    let wanted = query.bucket.as_ref().map(|bucket| BucketMatch::new(bucket));
    let is_wanted = |key: &[u8]| wanted.as_ref().is_none_or(|wanted| wanted.is_of(&key[1..]));
    let rows =
        opened.range(prefixed(RECORDS, &span.first), past(&partition_prefix(query.partition)));
    for row in rows {
        let within = |key: &[u8]| matches!(span.place(&key[1..]), Place::Within);
        let (key, found) = read(row, |key| within(key) && is_wanted(key))?;
        let is_asked_for = is_wanted(&key);
        let placed = match span.step(&mut page, &key[1..], key.len(), is_asked_for) {
            PageStep::Pass => continue,
            PageStep::End => break,
            PageStep::Take(placed) => placed,
            PageStep::Damaged => return Err(Failure::damaged("a record's key is damaged")),
        };
        let (record, length_bytes) = match found {
            Found::Value(value) => (parse_value(&key[1..], &value).ok(), value.len()),
            Found::Damaged | Found::NotRead => (None, 0),
        };
        let record = record.and_then(|record| query.shown(record));
        if !page.push_read(placed, record, length_bytes) {
            break;
        }
    }
    Ok(page.finish())
}

/// Returns a page of hints by key: see [`crate::Store::hint_range`].
pub(super) fn hints_of(
    opened: &Opened,
    log: &TroubleLog,
    target: NodeId,
    query: &RangeQuery,
) -> Result<RangePage, Failure> {
    let mut page = PageBuilder::new(query);
    let span = Span::of(query);
    let wanted = query.bucket.as_ref().map(|bucket| BucketMatch::new(bucket));
    let prefix = prefixed(HINTS_BY_KEY, &target.0.to_be_bytes());
    let first = [&prefix[..], &span.first].concat();
    for row in opened.range(first, past(&prefix)) {
        let (by_key, _) = read(row, |_| false)?;
        let bytes = &by_key[prefix.len()..];
        let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.is_of(bytes));
        let placed = match span.step(&mut page, bytes, 0, is_wanted) {
            PageStep::Pass => continue,
            PageStep::End => break,
            PageStep::Take(placed) => placed,
            PageStep::Damaged => return Err(Failure::damaged("a hint's key is damaged")),
        };
        let row = hints::load(opened, log, target, &placed)?;
        let record = row.and_then(|row| row.record);
        let length_bytes = record.as_ref().map_or(0, |record| record.record.bytes().len());
        let record = record.and_then(|record| query.shown(record));
        if !page.push_read(placed, record, length_bytes) {
            break;
        }
    }
    Ok(page.finish())
}
