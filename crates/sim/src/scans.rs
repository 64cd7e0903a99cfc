//! Clients that scan: page after page of one partition, values or keys alone, of one bucket or of all with one N.
//!
//! Invariant: a scan that succeeds shows of every key what a get must show, and a page shows of every key what a read
//! of it at the serving node would show.

use jedlik_protocol::client::{ScanAnswer, ScanMark, ScanOf, ScanRequest, Version};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{PlacedKey, Quorum, StoredRecord};

use crate::bits::Bits;
use crate::breach::{Breach, Promise};
use crate::plan::Operation;
use crate::trace;
use crate::world::{World, key_index};

/// Scan of a client that is under way.
#[derive(Debug, Clone)]
pub(crate) struct Scanning {
    /// Time at which the scan began.
    pub(crate) since_us: u64,
    /// Keys of the partition and bucket, with their acknowledged writes at that time.
    before: Vec<(u8, Bits)>,
    after: Option<ScanMark>,
    found: Vec<(u8, Vec<Version>)>,
}

/// Page that a node has asked a peer for.
#[derive(Debug, Clone)]
pub(crate) struct AskedPage {
    of: ScanOf,
    partition: jedlik_hashing::Partition,
    after: Option<PlacedKey>,
}

impl World {
    pub(crate) fn begin_scan(&self, key: u8) -> Scanning {
        let (bucket, partition) = (self.history.key(key).bucket(), self.placed(key).partition);
        let is_there = |other: &u8| {
            self.history.key(*other).bucket() == bucket
                && self.placed(*other).partition == partition
        };
        let keys = (0..self.plan.setting.keys).filter(is_there);
        let before = keys.map(|key| (key, self.history.acknowledged_by_primaries(key))).collect();
        Scanning { since_us: self.now_us, before, after: None, found: Vec::new() }
    }

    pub(crate) fn scan_request(&self, operation: &Operation, scanning: &Scanning) -> ScanRequest {
        let quorums = self.quorums(operation.key);
        let bucket = self.history.key(operation.key).bucket().clone();
        let every = operation.via.is_multiple_of(3);
        ScanRequest {
            of: if every { ScanOf::EveryBucket(quorums.n) } else { ScanOf::Bucket(bucket) },
            partition: self.placed(operation.key).partition,
            after: scanning.after.clone(),
            limit: if operation.client.is_multiple_of(2) { 1 } else { 100 },
            values: operation.via.is_multiple_of(2),
            r: operation.r.map_or(Quorum::Default, Quorum::Count),
            timeout_ms: operation.timeout_ms,
        }
    }

    /// Takes a page; returns the scan as it goes on from there, or `None` after the last page.
    pub(crate) fn scanned(
        &mut self,
        operation: &Operation,
        mut scanning: Scanning,
        answer: ScanAnswer,
    ) -> Option<Scanning> {
        for item in answer.items {
            let key = item.key.first().map(|byte| byte - b'0');
            let key = key.filter(|key| **self.history.key(*key).bucket() == *item.bucket);
            scanning.found.extend(key.map(|key| (key, item.versions)));
        }
        scanning.after = answer.next;
        if scanning.after.is_some() {
            return Some(scanning);
        }
        let r = self.quorums(operation.key).r;
        let certain = operation.r.unwrap_or(r) >= r
            && !self.removed_unawares(scanning.since_us)
            && !self.answers_alone(r)
            && !self.is_recounted(operation.key);
        for (key, before) in scanning.before {
            let found = scanning.found.iter().find(|(of, _)| *of == key);
            let versions = found.map_or(&[][..], |(_, versions)| versions);
            let (count, now_us) = (versions.len(), self.now_us);
            self.log.say(now_us, None, Some(key), || format!("a scan shows {count} versions"));
            let before = before.from(self.may_miss(key));
            let how = (certain, now_us);
            let checked = self.history.check_scanned(key, versions, &before, how);
            self.note(checked);
        }
        None
    }

    /// Notes that a peer asks for a page.
    pub(crate) fn note_page(&mut self, (from, id): (u8, u64), request: &PeerRequest) {
        let PeerRequest::Scan { bucket, n, partition, after, .. } = request else { return };
        let of = bucket.clone().map_or(ScanOf::EveryBucket(*n), ScanOf::Bucket);
        let after = after.as_ref().map(|mark| self.placed_key(mark.key.clone()));
        self.pages.insert((from, id), AskedPage { of, partition: *partition, after });
    }

    /// Checks a page for a peer: a read of each key at this node must show no more.
    pub(crate) fn check_page(&mut self, node: u8, asked: (u8, u64), response: &PeerResponse) {
        let Some(AskedPage { of, partition, after }) = self.pages.remove(&asked) else { return };
        let PeerResponse::Scanned(told) = response else { return };
        let until = told.page.until.as_ref().map(|mark| self.placed_key(mark.key.clone()));
        let inside = |key: &PlacedKey| {
            key.partition == partition
                && matches!(&of, ScanOf::Bucket(bucket) if key.key.bucket() == bucket)
                && after.as_ref().is_none_or(|after| key > after)
                && until.as_ref().is_none_or(|until| key <= until)
                && !told.damaged.contains(&key.key)
        };
        let lacks = |(key, held): (PlacedKey, StoredRecord)| {
            let held = held.record.decode().ok()?;
            let record = told.page.records.iter().find(|(of, _)| *of == key.key);
            let shown = record.and_then(|(_, record)| record.decode().ok()).unwrap_or_default();
            let lost = held.siblings().iter().find(|held| !shown.clock().covers(held.dot))?;
            let what = format!(
                "a page of n{} lacks {} of {}",
                node + 1,
                crate::history::dot_name(lost.dot),
                trace::record(&held)
            );
            Some(Breach::new(Promise::ScanWhole, key_index(&key.key)?, what))
        };
        let shown = self.nodes[usize::from(node)].disk.shown();
        let found = shown.into_iter().filter(|(key, _)| inside(key)).find_map(lacks);
        self.breach = self.breach.take().or(found);
    }
}
