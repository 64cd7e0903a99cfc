//! A page of the engine's records with the buffers laid over it.
//!
//! Invariant: of several records of one key the newest is returned, and the page says nothing of keys
//! past the end of the engine's page.

use std::collections::BTreeMap;

use jedlik_protocol::{PlacedKey, StoredRecord};

use crate::buffer::Buffer;
use crate::memory::records_after;
use crate::store::PageBuilder;
use crate::{RangePage, RangeQuery};

/// `engine` is the answer to `query`; `active` is newer than `frozen`, which is newer than the engine.
pub(crate) fn overlay(
    query: &RangeQuery,
    engine: RangePage,
    frozen: Option<&Buffer>,
    active: &Buffer,
) -> RangePage {
    let RangePage { records, until, damaged } = engine;
    let mut newest: BTreeMap<PlacedKey, Option<StoredRecord>> =
        records.into_iter().map(|(key, record)| (key, Some(record))).collect();
    newest.extend(damaged.into_iter().map(|key| (key, None)));
    for buffer in [frozen, Some(active)].into_iter().flatten() {
        for (key, record) in records_after(buffer.records(), query) {
            if until.as_ref().is_some_and(|until| key > until) {
                break;
            }
            if query.wants(key) {
                newest.insert(key.clone(), Some(record.clone()));
            }
        }
    }
    let mut page = PageBuilder::new(query);
    for (key, record) in newest {
        if !page.push(key, record) {
            return page.finish();
        }
    }
    RangePage { until, ..page.finish() }
}
