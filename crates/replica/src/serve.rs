//! Requests of peers and their answers.
//!
//! Invariant: nothing is done for a request that is not admitted.

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_protocol::limits::{DIGEST_PAGE_RECORDS, SCAN_PAGE_RECORDS};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, EncodedRecord, Key, PlacedKey, StoredRecord};
use jedlik_storage_port::Holding;

use crate::collection::Question;
use crate::collector::Terms;
use crate::inspection::inspection;
use crate::io::{Output, StorageFault};
use crate::keyset::{Keyset, Leaves};
use crate::local_copy::merged;
use crate::pending::{Asker, HoldFor};
use crate::range;
use crate::range_reads::RangeRead;
use crate::reasons::{ApplyFor, LoadFor, PageFor};
use crate::replica::Replica;
use crate::scan::Scanning;
use crate::votes::counts_digest;

/// Peer's request as it arrived: its handle, its sender and its terms.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) reply: u64,
    pub(crate) from: NodeId,
    pub(crate) terms: jedlik_protocol::Terms,
}

impl Replica {
    pub(crate) fn serve(&mut self, arrival: &Arrival, request: PeerRequest) {
        let Self { cx, operations, background } = self;
        let reply = arrival.reply;
        if let Some(refusal) = cx.stranger(arrival.from) {
            return cx.turn_away(reply, refusal);
        }
        let view = match cx.admit(arrival, &request) {
            Ok(view) => view,
            Err(failure) => return cx.answer_peer(reply, PeerResponse::Refused(failure)),
        };
        let placed = |key: Key| PlacedKey::new(cx.config.cluster, view.partitions(), key);
        match request {
            PeerRequest::Write { key, record, durability } => {
                let key = placed(key);
                let ticket = ApplyFor::Serve { reply, response: PeerResponse::Written };
                self.serve_write(ticket, key, record, durability);
            }
            PeerRequest::Deliver { key, record } => {
                let (key, ticket) = (placed(key), ApplyFor::ServeDelivery { reply });
                cx.notice_dead(&key, &record, &view);
                self.serve_write(ticket, key, record, Durability::Synced);
            }
            PeerRequest::Hint { key, record, targets, durability } => {
                let key = placed(key);
                let record = StoredRecord { local: None, record };
                cx.hold(HoldFor::Peer { reply }, (key, record), &targets, durability);
            }
            PeerRequest::Read { .. }
            | PeerRequest::Inspect { .. }
            | PeerRequest::Compare { .. }
            | PeerRequest::Revise { .. } => self.serve_key(reply, &view, request),
            PeerRequest::Scan { .. } => self.serve_own_page(reply, &view, request),
            PeerRequest::Hashes { partition, n, branch, known, synced } => {
                let keys = Keyset::new(partition, n);
                background.exchanges.serve_hashes(cx, reply, keys, (branch, known), synced);
            }
            PeerRequest::Digests { partition, n, first_leaf, last_leaf, after, clocks, synced } => {
                let leaves = Leaves { partition, first: first_leaf, last: last_leaf };
                let after = after.map(|mark| placed(mark.key));
                let ticket = PageFor::ServeDigests { reply, n, clocks, synced };
                cx.serve_leaves(&view, ticket, leaves, after, DIGEST_PAGE_RECORDS);
            }
            PeerRequest::Fetch { partition, n, first_leaf, last_leaf, after } => {
                let leaves = Leaves { partition, first: first_leaf, last: last_leaf };
                let after = after.map(|mark| placed(mark.key));
                background.range_reads.wait_to_serve(cx, RangeRead { reply, n, leaves, after });
            }
            PeerRequest::Vote { partition, n, counts, flipped } => {
                background.exchanges.serve_vote(
                    cx,
                    reply,
                    Keyset::new(partition, n),
                    counts,
                    flipped,
                );
            }
            PeerRequest::Forward(request) => {
                operations.start(cx, Asker::Peer(reply), request);
            }
        }
    }

    /// Reads this node's own page of a scan that a peer coordinates.
    fn serve_own_page(&mut self, reply: u64, view: &View, request: PeerRequest) {
        let PeerRequest::Scan { bucket, n, partition, after, limit, values, counts } = request
        else {
            return;
        };
        let (n, votes) = match &bucket {
            Some(bucket) => (view.bucket(bucket).n, self.cx.votes_for(bucket, partition, n)),
            None => {
                (n, counts_digest(view) == counts && self.cx.votes.has(Keyset::new(partition, n)))
            }
        };
        let scanning = Scanning { partition, n, votes };
        let ticket = self.cx.pending.page(PageFor::ServeScan { reply, scanning });
        let after =
            after.map(|mark| PlacedKey::new(self.cx.config.cluster, view.partitions(), mark.key));
        let limit = limit.min(SCAN_PAGE_RECORDS);
        let range = range::seen(partition, (bucket, values), after, limit);
        self.cx.emit(Output::Range { ticket, range });
    }

    /// Serves a request that needs all that this node holds of one key.
    fn serve_key(&mut self, reply: u64, view: &View, request: PeerRequest) {
        let placed = |key: Key| PlacedKey::new(self.cx.config.cluster, view.partitions(), key);
        let (ticket, key) = match request {
            PeerRequest::Read { key, known, n } => {
                let key = placed(key);
                (LoadFor::ServeRead { reply, key: key.clone(), n, known }, key)
            }
            PeerRequest::Inspect { key } => {
                let key = placed(key);
                (LoadFor::ServeInspection { reply, key: key.clone() }, key)
            }
            PeerRequest::Compare { key, digest, n, lives, durably } => {
                let (key, terms) = (placed(key), Terms { layout: view.layout_id(), n, lives });
                let question = Question { terms, digest, durably };
                (LoadFor::ServeComparison { reply, key: key.clone(), question }, key)
            }
            PeerRequest::Revise { key, expected, record } => {
                let key = placed(key);
                (LoadFor::ServeRevision { reply, key: key.clone(), expected, record }, key)
            }
            _ => return,
        };
        let ticket = self.cx.pending.load(ticket);
        self.cx.emit(Output::Load { ticket, key });
    }

    fn serve_write(
        &mut self,
        ticket: ApplyFor,
        key: PlacedKey,
        record: EncodedRecord,
        durability: Durability,
    ) {
        let ticket = self.cx.pending.apply(ticket);
        let record = StoredRecord { local: None, record };
        self.cx.emit(Output::Apply { ticket, key, record, durability });
    }

    pub(crate) fn serve_read(
        &mut self,
        (reply, key, n): (u64, &PlacedKey, u8),
        known: Option<Digest>,
        result: Result<Holding, StorageFault>,
    ) {
        let response = match self.cx.noticed(key, result) {
            Ok(holding) => match (self.cx.doubt(key, n, &holding), merged(holding)) {
                (Some(why), record) => PeerResponse::Unknown { why, record },
                (None, Some(record)) if known == Some(record.digest()) => PeerResponse::Same,
                (None, record) => PeerResponse::Read(record),
            },
            Err(fault) => PeerResponse::Refused(fault.failure()),
        };
        self.cx.answer_peer(reply, response);
    }

    pub(crate) fn serve_inspection(
        &mut self,
        (reply, key): (u64, &PlacedKey),
        result: Result<Holding, StorageFault>,
    ) {
        let response = match self.cx.noticed(key, result) {
            Ok(holding) => {
                PeerResponse::Inspected(inspection(&holding, self.cx.is_refilling_key(key)).into())
            }
            Err(fault) => PeerResponse::Refused(fault.failure()),
        };
        self.cx.answer_peer(reply, response);
    }
}
