//! Pages of ranges that were fetched: their records are merged and synced together, and charged to the budget.
//!
//! Invariant: a record of another partition than the exchange's is not merged.

use alloc::vec::Vec;

use jedlik_protocol::admin::WorkKind;
use jedlik_protocol::peer::Page;
use jedlik_protocol::{Durability, EncodedRecord, Key, PlacedKey, StoredRecord};

use crate::cx::{Cx, Fact};
use crate::exchange_worker::JobKind;
use crate::exchanges::Exchanges;
use crate::io::Output;
use crate::pending::HoldFor;
use crate::range_reads::page_steps;
use crate::reasons::ApplyFor;

impl Exchanges {
    /// Merges the records of a fetched page and has them synced together.
    pub(crate) fn merge_page(&mut self, cx: &mut Cx, (id, first_leaf): (u64, u16), page: Page) {
        let Some(view) = cx.view.clone() else { return };
        let (cluster, partitions) = (cx.config.cluster, view.partitions());
        let Some(exchange) = self.exchange(id) else { return };
        let partition = exchange.partition();
        let place = |key: Key| PlacedKey::new(cluster, partitions, key);
        let records = page.records.into_iter().map(|(key, record)| (place(key), record));
        let records: Vec<(PlacedKey, EncodedRecord)> = records.collect();
        // A record of another partition would be merged by a shard that does not own it.
        if records.iter().any(|(key, _)| key.partition != partition) {
            return exchange.handle_failure();
        }
        exchange.handle_page(first_leaf, records.len() as u32, page.until);
        let bytes: usize = records.iter().map(|(_, record)| record.bytes().len()).sum();
        self.count_fetched(cx, id, records.len(), bytes);
        if records.is_empty() {
            return self.handle_page_merged(id, first_leaf, true);
        }
        let whose = HoldFor::Page { exchange: id, first_leaf };
        let group = cx.pending.hold(records.len(), whose);
        for (key, record) in records {
            cx.notice_dead(&key, &record, &view);
            let ticket = cx.pending.apply(ApplyFor::Hold { group });
            let record = StoredRecord { local: None, record };
            let durability = Durability::Synced;
            cx.emit(Output::Apply { ticket, key, record, durability });
        }
    }

    fn count_fetched(&mut self, cx: &mut Cx, id: u64, records: usize, bytes: usize) {
        self.counts.bytes += bytes as u64;
        let job = self.job_of(id);
        let kind = match job.map(|job| job.kind) {
            Some(JobKind::Inbound | JobKind::Outbound | JobKind::Thin) => WorkKind::Transfer,
            Some(JobKind::Compare { .. } | JobKind::Refill) | None => WorkKind::Repair,
        };
        if let Some(job) = job {
            cx.tell(Fact::Received { partition: job.partition, records, bytes });
        }
        // The page was granted as one step; what it weighs is known only now.
        cx.tell(Fact::Weighed { kind, steps: page_steps(records, bytes) });
    }

    /// Tells an exchange whether all records of a page are on disk.
    pub(crate) fn handle_page_merged(&mut self, id: u64, first_leaf: u16, merged: bool) {
        let Some(exchange) = self.exchange(id) else { return };
        if merged {
            exchange.handle_page_merged(first_leaf);
        } else {
            exchange.handle_failure();
        }
    }
}
