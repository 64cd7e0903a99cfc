//! Scans: a page of one partition, merged from R owners and from nodes that stand in for owners.
//!
//! Invariant: a page shows of each key what a read of it would show at this node.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use jedlik_coordinator::{Needs, ReadPlan, Scan, ScanOutput, ScanPage, ScanShortfall};
use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_membership::View;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::client::{
    ClientResponse, ScanAnswer, ScanItem, ScanMark, ScanOf, ScanRequest,
};
use jedlik_protocol::error::Failure;
use jedlik_protocol::escape::Escaped;
use jedlik_protocol::limits::SCAN_PAGE_RECORDS;
use jedlik_protocol::peer::{Doubt, Page, PeerRequest, PeerResponse, ScannedPage};
use jedlik_protocol::{Blob, ClusterId, PlacedKey, Value};
use jedlik_storage_port::RangePage;
use jedlik_vclock::Content;

use crate::Counter;
use crate::answer::{check_nodes, deadline_us, invalid, resolve, shortfall, versions};
use crate::cx::Cx;
use crate::io::{Output, StorageFault};
use crate::keyset::Keyset;
use crate::operations::{Next, Operation, Operations};
use crate::pending::{Asker, Caller, OperationId, Purpose};
use crate::range;
use crate::reasons::PageFor;
use crate::votes::counts_digest;

/// Cluster and number of partitions, from which a key's position and partition follow.
type Place = (ClusterId, PartitionCount);

/// Scan of one page under way.
#[derive(Debug)]
pub(crate) struct ScanOperation {
    pub(crate) machine: Scan,
    pub(crate) asker: Asker,
    request: ScanRequest,
    /// N of the buckets that are read.
    n: u8,
    place: Place,
    deadline_us: u64,
}

impl ScanOperation {
    pub(crate) fn handle_answer(&mut self, from: NodeId, response: PeerResponse) {
        let PeerResponse::Scanned(ScannedPage { page, damaged, doubt }) = response else {
            return self.machine.handle_failure(from);
        };
        let (cluster, partitions) = self.place;
        let placed = |key| PlacedKey::new(cluster, partitions, key);
        let records = page.records.into_iter().map(|(key, record)| (placed(key), record));
        let page = ScanPage {
            records: records.collect(),
            until: page.until.map(|mark| placed(mark.key)),
            damaged: damaged.into_iter().map(placed).collect(),
            doubt,
        };
        self.machine.handle_page(from, page);
    }

    /// Carries out the scan's effects.
    pub(crate) fn drive(&mut self, cx: &mut Cx, id: OperationId) -> Next {
        while let Some(output) = self.machine.poll_output() {
            let ScanRequest { of, partition, after, limit, values, .. } = &self.request;
            let (partition, limit, values) = (*partition, *limit, *values);
            let bucket = bucket_of(of);
            match output {
                ScanOutput::Read { node } if node == cx.config.me => {
                    let ticket = cx.pending.page(PageFor::Scan(id));
                    let after = after.clone().map(|mark| placed(mark, self.place));
                    let range = range::seen(partition, (bucket, values), after, limit);
                    cx.emit(Output::Range { ticket, range });
                }
                ScanOutput::Read { node } => {
                    let (n, after) = (self.n, after.clone());
                    let counts = cx.view.as_ref().map_or(0, |view| counts_digest(view));
                    let request =
                        PeerRequest::Scan { bucket, n, partition, after, limit, values, counts };
                    cx.call(node, Purpose::Operation(Caller::of(id)), request);
                }
                ScanOutput::Answer(Ok(page)) => {
                    let Some(view) = cx.view.clone() else { continue };
                    let answer = self.answer(page, &view, cx.now.judged_ms());
                    cx.answer(self.asker, ClientResponse::Scanned(answer));
                }
                ScanOutput::Answer(Err(short)) => {
                    cx.refuse(
                        self.asker,
                        cx.scan_failure(&short, &cx.owners_away(partition, self.n)),
                    );
                }
            }
        }
        match self.machine.is_done() {
            true => Next::Over,
            false => Next::Waits(self.machine.poll_timeout()),
        }
    }

    fn answer(&self, page: ScanPage, view: &View, wall_ms: u64) -> ScanAnswer {
        let every = matches!(self.request.of, ScanOf::EveryBucket(_));
        let items = page.records.iter().filter_map(|(key, record)| {
            let (bucket, key) = (key.key.bucket(), key.key.key());
            let props = view.bucket(bucket);
            if every && props.n != self.n {
                return None;
            }
            let mut versions = versions(&record.decode().ok()?, props, wall_ms);
            let values = versions.iter_mut().filter_map(|version| match &mut version.content {
                Content::Value(value) => Some(value),
                Content::Tombstone => None,
            });
            let (mut live, mut value_bytes) = (false, 0);
            for value in values {
                live = true;
                value_bytes += self.take_length(value);
            }
            let (bucket, key) = (bucket.clone(), key.clone());
            live.then_some(ScanItem { bucket, key, value_bytes, versions })
        });
        ScanAnswer { items: items.collect(), next: page.until.map(mark) }
    }

    /// Returns the length of a value, in bytes. The value itself is taken away where lengths alone were asked for.
    fn take_length(&self, value: &mut Value) -> u64 {
        if self.request.values {
            return value.bytes().len() as u64;
        }
        let length = core::mem::take(value);
        length.bytes()[..].try_into().map_or(0, u64::from_le_bytes)
    }
}

/// Returns the bucket of the scan; `None` if it reads every bucket.
fn bucket_of(of: &ScanOf) -> Option<Blob> {
    match of {
        ScanOf::Bucket(bucket) => Some(bucket.clone()),
        ScanOf::EveryBucket(_) => None,
    }
}

/// Returns the placed key of a mark. The position is computed anew, since a client's is not to be trusted.
fn placed(mark: ScanMark, (cluster, partitions): Place) -> PlacedKey {
    PlacedKey::new(cluster, partitions, mark.key)
}

/// Partition and N of a page, and whether this node had a vote on them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanning {
    pub(crate) partition: Partition,
    /// N of the bucket, as this node knows it.
    pub(crate) n: u8,
    /// Whether this node could say that a key is absent when it was asked for the page.
    pub(crate) votes: bool,
}

pub(crate) fn mark(key: PlacedKey) -> ScanMark {
    ScanMark { position: key.position, key: key.key }
}

impl Operations {
    pub(crate) fn start_scan(&mut self, cx: &mut Cx, asker: Asker, mut request: ScanRequest) {
        request.limit = request.limit.clamp(1, SCAN_PAGE_RECORDS);
        cx.count(Counter::Scans);
        let deadline_us = deadline_us(cx.now.mono_us, request.timeout_ms);
        let started = deadline_us.and_then(|by_us| self.begin_scan(cx, asker, request, by_us));
        if let Err(failure) = started {
            cx.refuse(asker, failure);
        }
    }

    fn begin_scan(
        &mut self,
        cx: &mut Cx,
        asker: Asker,
        request: ScanRequest,
        deadline_us: u64,
    ) -> Result<(), Failure> {
        let (n, plans, place) = self.plan_scan(cx, &request, deadline_us)?;
        let machine = Scan::over(cx.now.mono_us, &plans);
        let scan = ScanOperation { machine, asker, request, n, place, deadline_us };
        self.run(cx, Operation::Scan(Box::new(scan)));
        Ok(())
    }

    /// Asks for the page anew under another layout, with the time that is left.
    pub(crate) fn restart_scan(&mut self, cx: &mut Cx, scan: ScanOperation) {
        let ScanOperation { asker, request, deadline_us, .. } = scan;
        if let Err(failure) = self.begin_scan(cx, asker, request, deadline_us) {
            cx.refuse(asker, failure);
        }
    }

    fn plan_scan(
        &self,
        cx: &Cx,
        request: &ScanRequest,
        deadline_us: u64,
    ) -> Result<(u8, Vec<ReadPlan>, Place), Failure> {
        let view = cx.ready()?;
        let partitions = view.partitions();
        if request.partition.0 >= partitions.get() {
            let (partition, count) = (request.partition, partitions.get());
            return Err(invalid(format!(
                "partition {partition} is not below the {count} there are"
            )));
        }
        let (n, usual_r) = match &request.of {
            ScanOf::Bucket(bucket) => (view.bucket(bucket).n, view.bucket(bucket).r),
            ScanOf::EveryBucket(n) if view.replica_counts().contains(n) => (*n, view.largest_r(*n)),
            ScanOf::EveryBucket(n) => {
                return Err(invalid(format!("no bucket has n={n}")));
            }
        };
        let needs = Needs { answers: resolve("r", request.r, usual_r, n, 1)?, ..Needs::default() };
        let sets = cx.owner_sets(&view, request.partition, n);
        check_nodes("scan", needs, &sets)?;
        let plan = |(primaries, fallbacks)| ReadPlan {
            me: cx.config.me,
            primaries,
            fallbacks,
            filling: Vec::new(),
            compares_all: false,
            needs,
            hedge_after_us: 10 * self.read_latency.get_us(),
            silent_after_us: u64::from(request.timeout_ms) * 1_000,
            repair_until_us: cx.now.mono_us,
            deadline_us,
        };
        Ok((n, sets.into_iter().map(plan).collect(), (cx.config.cluster, partitions)))
    }

    /// Gives a scan that this node coordinates its own page.
    pub(crate) fn handle_local_page(
        &mut self,
        cx: &mut Cx,
        id: OperationId,
        result: Result<RangePage, StorageFault>,
    ) {
        let me = cx.config.me;
        let Some(Operation::Scan(scan)) = self.by_id.get(&id) else { return };
        let partition = scan.request.partition;
        let votes = cx.votes.has(Keyset::new(partition, scan.n));
        let page = cx.scanned(Scanning { partition, n: scan.n, votes }, result);
        if let Some(Operation::Scan(scan)) = self.by_id.get_mut(&id) {
            match page {
                Ok(page) => scan.machine.handle_page(me, page),
                Err(_) => scan.machine.handle_failure(me),
            }
            self.drive(cx, id);
        }
    }
}

impl Cx {
    fn scan_failure(&self, short: &ScanShortfall, away: &[NodeId]) -> Failure {
        let name = |node| self.name_of(node);
        let mut failure = shortfall("scan", &short.quorum, away, name);
        if let Some(PlacedKey { key, .. }) = &short.damaged {
            let (bucket, key) = (Escaped(key.bucket()), Escaped(key.key()));
            failure.message += &format!("; too few can read the key {key} of {bucket}");
        }
        failure
    }

    /// Answers a peer's scan with this node's page.
    pub(crate) fn serve_scan(
        &mut self,
        reply: u64,
        scanning: Scanning,
        result: Result<RangePage, StorageFault>,
    ) {
        let response = match self.scanned(scanning, result) {
            Ok(ScanPage { records, until, damaged, doubt }) => {
                let records = records.into_iter().map(|(key, record)| (key.key, record));
                let page = Page { records: records.collect(), until: until.map(mark) };
                let damaged = damaged.into_iter().map(|key| key.key).collect();
                PeerResponse::Scanned(ScannedPage { page, damaged, doubt })
            }
            Err(failure) => PeerResponse::Refused(failure),
        };
        self.answer_peer(reply, response);
    }

    /// Returns this node's page of a scan, with a doubt where it has no vote.
    pub(crate) fn scanned(
        &self,
        scanning: Scanning,
        result: Result<RangePage, StorageFault>,
    ) -> Result<ScanPage, Failure> {
        let RangePage { records, until, mut damaged } = result.map_err(StorageFault::failure)?;
        let shown = records.into_iter().map(|(key, stored)| (key, stored.record)).collect();
        if planted::on(Bug::DamageIsAbsence) {
            damaged.clear();
        }
        // The page was read between the two.
        let votes = scanning.votes && self.votes.has(Keyset::new(scanning.partition, scanning.n));
        let doubt = (!votes).then_some(Doubt::Refilling);
        Ok(ScanPage { records: shown, until, damaged, doubt })
    }
}
