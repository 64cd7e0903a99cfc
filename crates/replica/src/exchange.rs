//! Pages of readings and answers to exchanges, taken in (paper 4.7).
//!
//! Invariant: a record of another partition than the exchange's is not merged.

use alloc::boxed::Box;
use alloc::vec::Vec;

use jedlik_antientropy::{Direction, ExchangeOutput};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_merkle::LEAF_BITS;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::peer::{DigestEntry, Doubt, PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, EncodedRecord, Key, PlacedKey, StoredRecord};
use jedlik_storage_port::{Holding, RangePage, RangeRequest, RecordMeta};
use jedlik_vclock::{ClockEntry, VectorClock};

use crate::Counter;
use crate::clashes::Pair;
use crate::cx::{Cx, Fact};
use crate::exchanges::Exchanges;
use crate::io::{Output, StorageFault};
use crate::keyset::Keyset;
use crate::pending::{ExchangeStep, PeerCall, Purpose};
use crate::range::{self, digests};
use crate::reasons::{ApplyFor, LoadFor, PageFor};
use crate::revision::Revision;
use crate::trees::TreeChange;

/// Size of one hash or digest in a message, in bytes; each question for hashes names one.
const HASH_BYTES: usize = 8;
/// Most records in one page of a reading.
pub(crate) const READING_RECORDS: u32 = 64;
/// Most records in one page of a listing.
const LISTING_RECORDS: u32 = 1_024;

/// Listing of this node's digests in neighbouring leaves for an exchange, page by page: storage ends a page
/// early where values are large.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    id: u64,
    first_leaf: u16,
    n: u8,
    clocks: bool,
    range: RangeRequest,
    digests: Vec<(Key, DigestEntry)>,
}

/// Page of a reading that was taken in.
#[derive(Debug)]
pub(crate) struct PageRead {
    /// Keys of records that can't be read.
    pub(crate) damaged: Vec<PlacedKey>,
    /// Whether it was the last page.
    pub(crate) ended: bool,
}

impl Cx {
    /// Reads the next page of a partition whose tree is being made.
    pub(crate) fn read_page(
        &mut self,
        partition: Partition,
        reading: u64,
        after: Option<PlacedKey>,
    ) {
        let ticket = self.pending.page(PageFor::Reading { partition, reading });
        let range = range::stored(partition, None, after, READING_RECORDS);
        self.emit(Output::Range { ticket, range });
    }
}

impl Exchanges {
    /// Carries out one step of an exchange.
    pub(crate) fn carry_out(
        &mut self,
        cx: &mut Cx,
        (id, peer): (u64, NodeId),
        keys: Keyset,
        output: ExchangeOutput,
    ) {
        let Keyset { partition, n } = keys;
        // A node that only pushes does so to drop what it holds, once the peer holds all of it on disk.
        let exchange = self.exchange(id);
        let synced = exchange.is_some_and(|exchange| exchange.direction() == Direction::Push);
        let (step, request) = match output {
            ExchangeOutput::AskHashes { branch, known } => (
                ExchangeStep::Hashes { branch },
                PeerRequest::Hashes { partition, n, branch, known, synced },
            ),
            ExchangeOutput::AskDigests { first_leaf, last_leaf, after, clocks } => (
                ExchangeStep::Digests { first_leaf },
                PeerRequest::Digests { partition, n, first_leaf, last_leaf, after, clocks, synced },
            ),
            ExchangeOutput::Fetch { first_leaf, last_leaf, after } => (
                ExchangeStep::Fetch { first_leaf },
                PeerRequest::Fetch { partition, n, first_leaf, last_leaf, after },
            ),
            ExchangeOutput::Pull { key, known, theirs } => {
                let pair = Pair { mine: known, theirs: Some(theirs) };
                if self.clashes.is_known_to(cx, &key, peer, pair) {
                    return self.clash_in_exchange(cx, id, key, pair);
                }
                let step = ExchangeStep::Pull { key: key.clone(), known };
                (step, PeerRequest::Read { key, known, n })
            }
            ExchangeOutput::LoadDigests { first_leaf, last_leaf, clocks } => {
                let Some(view) = &cx.view else { return };
                let range =
                    |leaf: u16| view.partitions().leaf_range(partition, u32::from(leaf), LEAF_BITS);
                let span = (range(first_leaf).0, range(last_leaf).1);
                let (span, limit) = (Some(span), LISTING_RECORDS);
                let range = range::stored(partition, span, None, limit);
                let digests = Vec::new();
                return self.list(cx, Listing { id, first_leaf, n, clocks, range, digests });
            }
            ExchangeOutput::Push { key, theirs } => {
                let Some(view) = &cx.view else { return };
                let placed = PlacedKey::new(cx.config.cluster, view.partitions(), key.clone());
                let ticket = cx.pending.load(LoadFor::Pushing { id, peer, key, theirs });
                return cx.emit(Output::Load { ticket, key: placed });
            }
        };
        cx.call(peer, Purpose::Exchange { id, step }, request);
    }

    /// Takes a page of a reading: its digests go into the tree, and records that may be forgotten are noticed. Returns
    /// what the page means for others; nothing if the reading is not under way any more.
    pub(crate) fn handle_reading(
        &mut self,
        cx: &mut Cx,
        view: &View,
        (partition, reading): (Partition, u64),
        result: Result<RangePage, StorageFault>,
    ) -> Option<PageRead> {
        if self.trees.reading(partition).is_none_or(|(number, _)| number != reading) {
            return None;
        }
        let Ok(page) = result else {
            if let Some(job) = self.page_failed(partition) {
                cx.tell(Fact::NotRead(job));
            }
            return None;
        };
        let found = page.damaged.len() as u64;
        self.counts.damaged += found;
        self.trees.note_damage(&page.damaged);
        for _ in 0..found {
            cx.count(Counter::DamagedRecords);
        }
        for (key, stored) in &page.records {
            cx.notice_dead(key, &stored.record, view);
        }
        let changes = page.records.iter().map(|(key, stored)| {
            let n = view.bucket(key.key.bucket()).n;
            TreeChange::new(view.partitions(), key, n, None, Some(RecordMeta::of(&stored.record)))
        });
        let ended = page.until.is_none();
        if self.trees.read(cx.now.mono_us, partition, changes, page.until) {
            self.counts.trees_corrected += 1;
        }
        self.page_read(partition);
        Some(PageRead { damaged: page.damaged, ended })
    }

    fn list(&mut self, cx: &mut Cx, listing: Listing) {
        let range = listing.range.clone();
        let ticket = cx.pending.page(PageFor::OwnDigests(Box::new(listing)));
        cx.emit(Output::Range { ticket, range });
    }

    /// Takes a page of a listing, and gives the exchange the digests once they are complete.
    pub(crate) fn handle_own_digests(
        &mut self,
        cx: &mut Cx,
        mut listing: Listing,
        result: Result<RangePage, StorageFault>,
    ) {
        let Some(view) = cx.view.clone() else { return };
        if let Ok(page) = &result {
            self.trees.note_damage(&page.damaged);
        }
        let Some(exchange) = self.exchange(listing.id) else { return };
        let Ok(page) = result else { return exchange.handle_failure() };
        let until = page.until.clone();
        listing.digests.extend(digests(page, &view, listing.n, listing.clocks));
        if until.is_some() {
            listing.range.after = until;
            return self.list(cx, listing);
        }
        exchange.handle_own_digests(listing.first_leaf, listing.digests);
    }

    /// Sends a peer the record that was read for a push.
    pub(crate) fn handle_pushing(
        &mut self,
        cx: &mut Cx,
        (id, peer): (u64, NodeId),
        (key, theirs): (Key, Option<Digest>),
        result: Result<Holding, StorageFault>,
    ) {
        let record = match result.map(|holding| holding.record) {
            Ok(Some(stored)) => stored.record,
            missing => {
                let Some(exchange) = self.exchange(id) else { return };
                return match missing {
                    Ok(_) => exchange.handle_gone(&key),
                    Err(_) => exchange.handle_record_failure(&key),
                };
            }
        };
        let pair = Pair { mine: Some(record.digest()), theirs };
        if self.clashes.is_known_to(cx, &key, peer, pair) {
            return self.clash_in_exchange(cx, id, key, pair);
        }
        let Some(exchange) = self.exchange(id) else { return };
        let bytes = record.bytes().len() as u64;
        if exchange.direction() == Direction::Push {
            cx.tell(Fact::Sent { records: 1, bytes });
        }
        self.counts.bytes += bytes;
        let step = ExchangeStep::Push { key: key.clone(), pair };
        let request = PeerRequest::Deliver { key, record };
        cx.call(peer, Purpose::Exchange { id, step }, request);
    }

    /// Gives an exchange the peer's answer to a step. `is_inbound` says which partitions are on their way to this node.
    pub(crate) fn handle_answer(
        &mut self,
        cx: &mut Cx,
        (id, step): (u64, ExchangeStep),
        response: PeerResponse,
        is_inbound: impl Fn(Partition) -> bool,
    ) {
        let Some(view) = &cx.view else { return };
        let (cluster, partitions) = (cx.config.cluster, view.partitions());
        let Some(exchange) = self.exchange(id) else { return };
        let mut bytes = 0;
        match (step, held(response)) {
            (ExchangeStep::Fetch { first_leaf }, PeerResponse::Page(page)) => {
                return self.merge_page(cx, (id, first_leaf), page);
            }
            (ExchangeStep::Hashes { branch }, PeerResponse::Same) => {
                bytes = HASH_BYTES;
                exchange.handle_same(branch);
            }
            (ExchangeStep::Hashes { branch }, PeerResponse::Hashes(hashes)) => {
                bytes = HASH_BYTES * (1 + hashes.len());
                exchange.handle_hashes(branch, hashes);
            }
            (ExchangeStep::Digests { first_leaf }, PeerResponse::Digests(page)) => {
                let key_bytes = |key: &Key| key.bucket().len() + key.key().len();
                bytes =
                    page.digests.iter().map(|(key, told)| key_bytes(key) + told_bytes(told)).sum();
                // A key of another partition would be merged by a shard that does not own it.
                let partition = exchange.partition();
                let is_inside =
                    |key: &Key| partitions.partition(key.position(cluster)) == partition;
                if page.digests.iter().all(|(key, _)| is_inside(key)) {
                    exchange.handle_digests(first_leaf, page);
                } else {
                    exchange.handle_failure();
                }
            }
            (ExchangeStep::Pull { key, known: Some(known) }, PeerResponse::Same) => {
                exchange.handle_pulled(&key, Some(known), known);
            }
            (ExchangeStep::Pull { key, known }, PeerResponse::Read(Some(record))) => {
                bytes = record.bytes().len();
                let durability = pulled_durability(is_inbound(exchange.partition()));
                self.merge_pulled(cx, (id, key), known, record, durability);
            }
            (ExchangeStep::Pull { key, .. }, PeerResponse::Read(None)) => {
                exchange.handle_gone(&key);
            }
            (ExchangeStep::Push { key, .. }, PeerResponse::Delivered { .. }) => {
                exchange.handle_pushed(&key);
            }
            (ExchangeStep::Push { key, pair }, PeerResponse::Refused(failure))
                if failure.code == ErrorCode::RecordTooLarge =>
            {
                self.clash_in_exchange(cx, id, key, pair);
            }
            (ExchangeStep::Pull { key, .. } | ExchangeStep::Push { key, .. }, _) => {
                exchange.handle_record_failure(&key);
            }
            (ExchangeStep::Hashes { .. }, PeerResponse::Refused(failure))
                if failure.code == ErrorCode::NotReady =>
            {
                self.put_off(id);
            }
            _ => exchange.handle_failure(),
        }
        self.counts.bytes += bytes as u64;
    }

    /// Handles a call of an exchange that will not be answered.
    pub(crate) fn handle_lost(&mut self, id: u64, call: &PeerCall) {
        if matches!(call.purpose, Purpose::Exchange { step: ExchangeStep::Vote, .. }) {
            return self.handle_vote(id, None);
        }
        let Some(exchange) = self.exchange(id) else { return };
        match &call.purpose {
            Purpose::Exchange {
                step: ExchangeStep::Pull { key, .. } | ExchangeStep::Push { key, .. },
                ..
            } => exchange.handle_record_failure(key),
            _ => exchange.handle_failure(),
        }
    }

    fn merge_pulled(
        &mut self,
        cx: &mut Cx,
        (id, key): (u64, Key),
        known: Option<Digest>,
        record: EncodedRecord,
        durability: Durability,
    ) {
        let Some(view) = cx.view.clone() else { return };
        let placed = PlacedKey::new(cx.config.cluster, view.partitions(), key.clone());
        cx.notice_dead(&placed, &record, &view);
        let theirs = record.digest();
        let pair = Pair { mine: known, theirs: Some(theirs) };
        let ticket = cx.pending.apply(ApplyFor::Pulled { id, key, pair });
        cx.tell(Fact::Received {
            partition: placed.partition,
            records: 1,
            bytes: record.bytes().len(),
        });
        let record = StoredRecord { local: None, record };
        match known.filter(|_| planted::on(Bug::RepairOverwrites)) {
            Some(expected) => {
                let by = Revision::Record(record);
                cx.emit(Output::Revise { ticket, key: placed, expected, by });
            }
            None => cx.emit(Output::Apply { ticket, key: placed, record, durability }),
        }
    }
}

/// Returns the durability of a record that was pulled: a node that says that it is ready for a partition has all of it
/// on disk, whichever comparison brought it.
fn pulled_durability(is_inbound: bool) -> Durability {
    if is_inbound { Durability::Synced } else { Durability::Written }
}

/// Returns the answer with a refilling peer's record in place of its doubt: here it is as good as another's,
/// and the peer's vote is asked for apart. A damaged record stays unknown.
fn held(response: PeerResponse) -> PeerResponse {
    match response {
        PeerResponse::Unknown { why: Doubt::Refilling, record } => PeerResponse::Read(record),
        other => other,
    }
}

/// Returns the size of an entry of a page of digests in a message, in bytes.
fn told_bytes(told: &DigestEntry) -> usize {
    HASH_BYTES + size_of::<ClockEntry>() * told.clock.as_ref().map_or(0, VectorClock::len)
}
