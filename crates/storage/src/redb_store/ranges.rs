//! Pages of one partition in key order: its records, or the hints of it for one target.
//!
//! Invariant: of what is not asked for only the key and the length are looked at, and a page is whole: what is
//! out of order makes it an error.

use jedlik_hashing::NodeId;
use redb::AccessGuard;

use crate::format::{BucketMatch, key_bytes, parse_key, parse_value};
use crate::store::PageBuilder;
use crate::{RangePage, RangeQuery};

use super::hints;
use super::placement::Placement;
use super::records::{is_in_place, out_of_order};
use super::tables::Tables;

type Bytes = AccessGuard<'static, &'static [u8]>;

/// See [`crate::Store::range`].
pub(super) fn records(
    tables: &Tables,
    query: &RangeQuery,
    placement: Option<&Placement>,
) -> Result<RangePage, redb::Error> {
    let mut page = PageBuilder::new(query);
    if tables.dropped.contains(&query.partition) {
        return Ok(page.finish());
    }
    let span = Span::of(query);
    let wanted = query.bucket.as_ref().map(|bucket| BucketMatch::new(bucket));
    let mut order = Order::from(&span.first);
    let mut entries = tables.records.range(span.first.as_slice()..)?;
    while let Some(entry) = entries.next() {
        let (key, value) = entry?;
        let (bytes, value) = (key.value(), value.value());
        order.check(bytes)?;
        match span.place(bytes) {
            Place::Before => continue,
            Place::Past => {
                if parse_value(bytes, value).is_err() {
                    is_in_place(bytes, placement)?;
                    confirm_end(entries, order)?;
                }
                break;
            }
            Place::Within => {}
        }
        if wanted.as_ref().is_some_and(|wanted| !wanted.is_of(bytes)) {
            if page.skip(value.len(), || parse_key(bytes)) {
                continue;
            }
            break;
        }
        let Some(placed) = parse_key(bytes) else {
            return Err(redb::Error::Corrupted("a record's key is damaged".into()));
        };
        let record = parse_value(bytes, value).ok();
        if record.is_none() {
            is_in_place(bytes, placement)?;
        }
        if !page.push(placed, record) {
            break;
        }
    }
    Ok(page.finish())
}

/// After a record past the end that fails its checksum, so that its place means nothing: whether a whole one
/// past the end follows soon. If not, the way to this place may have led through a damaged page.
fn confirm_end(
    entries: impl Iterator<Item = Result<(Bytes, Bytes), redb::StorageError>>,
    mut order: Order,
) -> Result<(), redb::Error> {
    const LOOK_AT: usize = 8;
    let mut last = true;
    for entry in entries.take(LOOK_AT) {
        let (key, value) = entry?;
        order.check(key.value())?;
        if parse_value(key.value(), value.value()).is_ok() {
            return Ok(());
        }
        last = false;
    }
    // The last record of all is one that nothing follows.
    last.then_some(()).ok_or_else(|| redb::Error::Corrupted("many records are damaged".into()))
}

/// See [`crate::Store::hint_range`].
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
    let mut order = Order::from(&first);
    for entry in tables.hints_by_key.range(first.as_slice()..)? {
        let (by_key, _) = entry?;
        let by_key = by_key.value();
        order.check(by_key)?;
        let Some(bytes) = by_key.strip_prefix(&prefix[..]) else { break };
        match span.place(bytes) {
            Place::Before => continue,
            Place::Past => break,
            Place::Within => {}
        }
        if wanted.as_ref().is_some_and(|wanted| !wanted.is_of(bytes)) {
            if page.skip(0, || parse_key(bytes)) {
                continue;
            }
            break;
        }
        let Some(placed) = parse_key(bytes) else {
            return Err(redb::Error::Corrupted("a hint's key is damaged".into()));
        };
        let row = hints::load(tables, target, &placed)?;
        if !page.push(placed, row.and_then(|row| row.record)) {
            break;
        }
    }
    Ok(page.finish())
}

/// Keys have to come one after the other. What comes out of order was found by way of a damaged key, and
/// something else was left out for it.
struct Order {
    last: Vec<u8>,
    began: bool,
}

impl Order {
    fn from(first: &[u8]) -> Self {
        Self { last: first.to_vec(), began: false }
    }

    fn check(&mut self, key: &[u8]) -> Result<(), redb::Error> {
        let follows = if self.began { key > &self.last[..] } else { key >= &self.last[..] };
        self.began = true;
        self.last.clear();
        self.last.extend_from_slice(key);
        follows.then_some(()).ok_or_else(out_of_order)
    }
}

/// Where the keys lie that a query asks for, of whatever bucket.
struct Span {
    /// Nothing before it is asked for.
    first: Vec<u8>,
    after: Option<Vec<u8>>,
    partition: [u8; 4],
    last_position: Option<[u8; 16]>,
}

/// How a key stands to a span.
enum Place {
    Before,
    Within,
    Past,
}

impl Span {
    fn of(query: &RangeQuery) -> Self {
        let partition = query.partition.0.to_be_bytes();
        let position = query.first_position().0.to_be_bytes();
        let first = [&partition[..], &position[..]].concat();
        let after = query.after.as_ref().map(key_bytes);
        let first = after.clone().map_or(first.clone(), |after| first.max(after));
        let last_position = query.to.map(|to| to.0.to_be_bytes());
        Self { first, after, partition, last_position }
    }

    fn place(&self, key: &[u8]) -> Place {
        if self.after.as_deref() == Some(key) {
            return Place::Before;
        }
        let Some(rest) = key.strip_prefix(&self.partition[..]) else { return Place::Past };
        let position = &rest[..rest.len().min(16)];
        match &self.last_position {
            Some(last) if position > &last[..] => Place::Past,
            _ => Place::Within,
        }
    }
}
