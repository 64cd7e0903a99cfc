//! Pages of what reads see: records merged with the hints of their keys, whatever their targets.
//!
//! Invariant: the page ends where the first of its sources ends, so nothing is left out below that.

use std::collections::BTreeMap;

use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::RangePage;

use crate::merge::merged;
use crate::store::PageBuilder;
use crate::{RangeQuery, StoreError};

use super::Shard;

impl Shard {
    /// Returns a page of one partition with each key as [`Self::holding`] shows it. Hints cost
    /// nothing while there are none, and a page for each target that has any.
    ///
    /// # Errors
    /// The engine's own; damaged records are listed in the page. A hint that can't be read is left out.
    pub fn scan(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        let records = self.range(query)?;
        let mut hints = Vec::new();
        for target in self.ledger.targets() {
            let page = self.layers.hint_range(target, query)?;
            page.damaged.iter().for_each(|_| self.note_damaged(target));
            hints.push(page);
        }
        if hints.iter().all(|page| page.records.is_empty() && page.until.is_none()) {
            return Ok(records);
        }
        self.together(query, records, hints)
    }

    fn together(
        &self,
        query: &RangeQuery,
        records: RangePage,
        hints: Vec<RangePage>,
    ) -> Result<RangePage, StoreError> {
        let ends = [&records].into_iter().chain(&hints).filter_map(|page| page.until.clone());
        let until = ends.min();
        let reached = |key: &PlacedKey| until.as_ref().is_none_or(|until| key <= until);
        // `None` stands for a damaged record of which there is no hint.
        let mut all: BTreeMap<PlacedKey, Option<StoredRecord>> = BTreeMap::new();
        let damaged: Vec<PlacedKey> = records.damaged.into_iter().filter(&reached).collect();
        all.extend(damaged.iter().map(|key| (key.clone(), None)));
        let records = records.records.into_iter();
        let hints = hints.into_iter().flat_map(|page| page.records);
        for (key, record) in records.chain(hints).filter(|(key, _)| reached(key)) {
            let held = all.entry(key).or_default();
            match merged(held.as_ref(), record) {
                Ok(both) => *held = Some(both),
                Err(error) => {
                    self.counters.troubles.merges.happened(&error);
                    return Err(error);
                }
            }
        }
        let mut page = PageBuilder::new(query);
        let mut end = until;
        for (key, record) in all {
            if !page.push(key.clone(), record) {
                end = Some(key);
                break;
            }
        }
        let reached = |key: &PlacedKey| end.as_ref().is_none_or(|end| key <= end);
        let damaged = damaged.into_iter().filter(reached).collect();
        Ok(RangePage { damaged, until: end, ..page.finish() })
    }
}
