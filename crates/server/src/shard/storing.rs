//! Storage side of a shard's thread: the replica's outputs become calls, and their answers inputs.
//!
//! Invariant: what storage answers at once is given to the replica at once, before its next output.

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::limits::SCAN_PAGE_BYTES;
use jedlik_protocol::{Digest, Durability, Now, PlacedKey, StoredRecord};
use jedlik_replica::{Input, Recalled, StorageFault};
use jedlik_storage::{RangeQuery, StoreError};
use jedlik_storage_port::{HintMark, HintTotals, RangeRequest, RecordChange};
use jedlik_traces::Kind;

use super::ShardDriver;

/// Largest number of records that one page of a scan looks at, other buckets' included: about a millisecond of work.
/// What a page does not reach is the next one's.
const SCAN_EXAMINED_RECORDS: usize = 2 << 10;
/// Size of the records that one page of a scan looks at, in bytes.
const SCAN_EXAMINED_BYTES: usize = 2 << 20;

impl ShardDriver {
    pub(super) fn load(&mut self, now: Now, ticket: u64, key: &PlacedKey) {
        let span = self.spans.child(&self.replica, ticket, Kind::Internal);
        let result = self.storage.holding(key).map_err(fault);
        if let Some(mut span) = span {
            span.name("load");
            span.end();
        }
        self.replica.handle(now, Input::Loaded { ticket, result });
    }

    pub(super) fn apply(
        &mut self,
        now: Now,
        (ticket, key): (u64, PlacedKey),
        record: StoredRecord,
        durability: Durability,
    ) {
        self.trace_write(ticket, durability);
        let taken = self.storage.apply(ticket, key.clone(), record, durability);
        self.changed(now, ticket, key, taken);
    }

    pub(super) fn revise(
        &mut self,
        now: Now,
        (ticket, key): (u64, PlacedKey),
        expected: Digest,
        record: Option<StoredRecord>,
    ) {
        let taken = self.storage.revise(ticket, key.clone(), expected, record);
        self.changed(now, ticket, key, taken);
    }

    pub(super) fn discard(&mut self, now: Now, ticket: u64, key: PlacedKey) {
        if let Err(error) = self.storage.remove_damaged(ticket, key) {
            self.refused(now, ticket, error);
        }
    }

    fn changed(
        &mut self,
        now: Now,
        ticket: u64,
        key: PlacedKey,
        taken: Result<RecordChange, StoreError>,
    ) {
        match taken {
            Ok(RecordChange { before, after, mended }) => {
                if mended {
                    self.disk.keeping.is_mending = true;
                    self.hold_back(now);
                    self.replica.handle(now, Input::Mended { key: key.clone() });
                }
                self.replica.handle(now, Input::Changed { ticket, key, before, after });
            }
            Err(error) => {
                if let StoreError::RecordOverLimit(_) = &error {
                    self.note_unmergeable(now, &key.key, &error);
                }
                self.refused(now, ticket, error);
            }
        }
    }

    fn refused(&mut self, now: Now, ticket: u64, error: StoreError) {
        if let StoreError::NearlyFull { .. } = &error {
            self.note_no_room(now, &error);
        }
        self.spans.written(ticket, true);
        self.replica.handle(now, Input::Applied { ticket, result: Err(fault(error)) });
    }

    pub(super) fn drop_partition(&mut self, now: Now, ticket: u64, partition: Partition) {
        if let Err(error) = self.storage.drop_partition(ticket, partition) {
            self.refused(now, ticket, error);
        }
    }

    pub(super) fn survey(&mut self, now: Now, ticket: u64, partitions: Vec<Partition>) {
        let result = self.storage.occupied(partitions).map_err(fault);
        if let Err(error) = &result {
            self.note_unreadable(now, error);
        }
        self.replica.handle(now, Input::Surveyed { ticket, result });
    }

    /// Asks the earlier copy for records, if it is at hand.
    pub(super) fn recall(&mut self, now: Now, ticket: u64, wanted: Vec<(PlacedKey, Digest)>) {
        match &self.copy {
            Some(copy) => copy.ask(ticket, wanted),
            None => {
                let (looked, records) = (wanted.len(), Vec::new());
                self.replica.handle(now, Input::Recalled(Recalled { ticket, looked, records }));
            }
        }
    }

    pub(super) fn hold(
        &mut self,
        now: Now,
        (ticket, target, key): (u64, NodeId, PlacedKey),
        (record, since_ms): (StoredRecord, u64),
        durability: Durability,
    ) {
        self.hints.changed = true;
        self.trace_write(ticket, durability);
        if let Err(error) = self.storage.hold(ticket, target, key, record, since_ms, durability) {
            self.refused(now, ticket, error);
        }
    }

    pub(super) fn release(
        &mut self,
        now: Now,
        (ticket, target, key): (u64, NodeId, PlacedKey),
        digest: Digest,
    ) {
        self.hints.changed = true;
        if let Err(error) = self.storage.release(ticket, target, key, digest) {
            self.refused(now, ticket, error);
        }
    }

    pub(super) fn read_hints(
        &mut self,
        now: Now,
        (ticket, target): (u64, NodeId),
        after: Option<&HintMark>,
        (limit_hints, limit_bytes): (u32, u32),
    ) {
        let limits = (limit_hints as usize, limit_bytes as usize);
        let page = self.storage.hints(target, after, limits.0, limits.1);
        let result = page.map_err(fault);
        self.hints.changed |= result.as_ref().is_ok_and(|page| !page.damaged.is_empty());
        self.replica.handle(now, Input::HintPage { ticket, result });
    }

    /// Tells the replica how many hints there are, if that may have changed.
    pub(super) fn tell_hint_totals(&mut self, now: Now) {
        if !std::mem::take(&mut self.hints.changed) {
            return;
        }
        let mut all = self.storage.hint_totals();
        // Storage no longer tells of targets whose last hint has gone.
        let none = |node: &NodeId| all.iter().all(|(target, _)| target != node);
        let gone: Vec<NodeId> = self.hints.targets.iter().copied().filter(none).collect();
        self.hints.targets = all.iter().map(|(target, _)| *target).collect();
        all.extend(gone.into_iter().map(|target| (target, HintTotals::default())));
        if !all.is_empty() {
            self.feed(now, Input::HintTotals(all));
        }
    }

    pub(super) fn read_range(&mut self, now: Now, ticket: u64, range: RangeRequest) {
        let query = RangeQuery {
            partition: range.partition,
            from: range.span.map(|(first, _)| first),
            to: range.span.map(|(_, last)| last),
            after: range.after,
            bucket: range.bucket,
            values: range.values,
            limit_records: (range.limit as usize).max(1),
            limit_bytes: SCAN_PAGE_BYTES,
            limit_examined: SCAN_EXAMINED_RECORDS,
            limit_examined_bytes: SCAN_EXAMINED_BYTES,
        };
        let read = if range.hints { self.storage.scan(&query) } else { self.storage.range(&query) };
        let result = read.map_err(fault);
        if let Err(error) = &result {
            self.note_unreadable(now, error);
        }
        self.replica.handle(now, Input::Ranged { ticket, result });
    }
}

pub(super) fn fault(error: StoreError) -> StorageFault {
    match error {
        StoreError::Overloaded { .. } => StorageFault::Overloaded,
        StoreError::RecordOverLimit(over) => StorageFault::TooLarge(over.to_string()),
        other => StorageFault::Failed(other.to_string()),
    }
}
