//! Requests of peers and their answers.
//!
//! Invariants: only members are answered, and of a member only the process that is taken for it. The layout
//! fence: a request made under an older layout than this replica's is refused. A request that would change
//! something is refused if it has been under way for longer than a message lives.

use alloc::format;
use alloc::sync::Arc;
use core::slice;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::{ActiveLayout, View};
use jedlik_merkle::LEAF_BITS;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::{DIGEST_PAGE_RECORDS, SCAN_PAGE_RECORDS};
use jedlik_protocol::peer::{DigestPage, PeerRequest, PeerResponse};
use jedlik_protocol::{
    ActiveLayouts, Digest, Durability, EncodedRecord, Key, LayoutId, Now, PlacedKey, Stamp,
    StoredRecord,
};

use crate::Counter;
use crate::collection::Question;
use crate::collector::Terms;
use crate::exchange::digests;
use crate::explain::inspection;
use crate::io::{Holding, Output, StorageFault};
use crate::local_copy::merged;
use crate::pending::HoldFor;
use crate::range::{RangeRequest, RangeResult};
use crate::range_reads::RangeRead;
use crate::reasons::{ApplyFor, LoadFor, PageFor};
use crate::replica::Replica;
use crate::scan::{Scanning, mark};
use crate::votes::counts_digest;

/// Peer's request as it arrived: its handle, its sender and its terms.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) reply: u64,
    pub(crate) from: NodeId,
    pub(crate) terms: jedlik_protocol::Terms,
}

impl Replica {
    pub(crate) fn serve(&mut self, now: Now, arrival: &Arrival, request: PeerRequest) {
        let reply = arrival.reply;
        if let Some(refusal) = self.stranger(arrival.from) {
            return self.turn_away(reply, refusal);
        }
        let view = match self.admit(now, arrival, &request) {
            Ok(view) => view,
            Err(failure) => return self.answer_peer(reply, PeerResponse::Refused(failure)),
        };
        let placed = |key: Key| PlacedKey::new(self.config.cluster, view.partitions(), key);
        match request {
            PeerRequest::Write { key, record, durability } => {
                let key = placed(key);
                self.serve_write(ApplyFor::ServeWrite { reply }, key, record, durability);
            }
            PeerRequest::Deliver { key, record } => {
                let (key, ticket) = (placed(key), ApplyFor::ServeDelivery { reply });
                self.notice_dead(now, &key, &record, &view);
                self.serve_write(ticket, key, record, Durability::Synced);
            }
            PeerRequest::Hint { key, record, targets, durability } => {
                let key = placed(key);
                let record = StoredRecord { local: None, record };
                self.hold(now, HoldFor::Peer { reply }, (key, record), &targets, durability);
            }
            PeerRequest::Read { .. }
            | PeerRequest::Inspect { .. }
            | PeerRequest::Compare { .. }
            | PeerRequest::Revise { .. } => self.serve_key(reply, &view, request),
            PeerRequest::Scan { bucket, n, partition, after, limit, values, counts } => {
                let (n, votes) = match &bucket {
                    Some(bucket) => (view.bucket(bucket).n, self.votes_for(bucket, partition, n)),
                    None => (n, counts_digest(&view) == counts && self.votes.has(partition, n)),
                };
                let scanning = Scanning { partition, n, votes };
                let ticket = self.pending.page(PageFor::ServeScan { reply, scanning });
                let after = after.map(|mark| placed(mark.key));
                let limit = limit.min(SCAN_PAGE_RECORDS);
                let range = RangeRequest::seen(partition, (bucket, values), after, limit);
                self.emit(Output::Range { ticket, range });
            }
            PeerRequest::Hashes { partition, n, branch, known, synced } => {
                self.serve_hashes(reply, (partition, n), (branch, known), synced);
            }
            PeerRequest::Digests { partition, n, first_leaf, last_leaf, after, clocks, synced } => {
                let leaves = (partition, first_leaf, last_leaf);
                let after = after.map(|mark| placed(mark.key));
                let ticket = PageFor::ServeDigests { reply, n, clocks, synced };
                self.serve_leaves(&view, ticket, leaves, after, DIGEST_PAGE_RECORDS);
            }
            PeerRequest::Fetch { partition, n, first_leaf, last_leaf, after } => {
                let leaves = (partition, first_leaf, last_leaf);
                let after = after.map(|mark| placed(mark.key));
                self.wait_to_serve(now, RangeRead { reply, n, leaves, after });
            }
            PeerRequest::Vote { partition, n, counts, flipped } => {
                self.serve_vote(reply, (partition, n), counts, flipped);
            }
            PeerRequest::Forward(request) => self.start_forwarded(now, reply, request),
        }
    }

    /// Serves a request that needs all that this node holds of one key.
    fn serve_key(&mut self, reply: u64, view: &View, request: PeerRequest) {
        let placed = |key: Key| PlacedKey::new(self.config.cluster, view.partitions(), key);
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
        let ticket = self.pending.load(ticket);
        self.emit(Output::Load { ticket, key });
    }

    /// Reads a page of the records in neighbouring leaves.
    pub(crate) fn serve_leaves(
        &mut self,
        view: &View,
        ticket: PageFor,
        (partition, first_leaf, last_leaf): (Partition, u16, u16),
        after: Option<PlacedKey>,
        limit: u32,
    ) {
        let range = |leaf: u16| view.partitions().leaf_range(partition, leaf.into(), LEAF_BITS);
        let span = Some((range(first_leaf).0, range(last_leaf).1));
        let ticket = self.pending.page(ticket);
        let range = RangeRequest::stored(partition, span, after, limit);
        self.emit(Output::Range { ticket, range });
    }

    fn admit(
        &mut self,
        now: Now,
        arrival: &Arrival,
        request: &PeerRequest,
    ) -> Result<Arc<View>, Failure> {
        self.unheeded(arrival, request).map_or(Ok(()), Err)?;
        let view = self.fence(arrival, request)?;
        if request.changes_state() && self.message_age.is_too_old(now, arrival.terms.receiver_clock)
        {
            self.count(Counter::TooOldMessages);
            let life_ms = self.config.tuning.message_life_us / 1_000;
            let message =
                format!("the message may have been under way for longer than {life_ms} ms");
            return Err(Failure::new(ErrorCode::TooOld, message));
        }
        let outside = |partition: Partition| partition.0 >= view.partitions().get();
        let leaves = 1 << LEAF_BITS;
        match request {
            PeerRequest::Scan { partition, .. }
            | PeerRequest::Hashes { partition, .. }
            | PeerRequest::Vote { partition, .. }
                if outside(*partition) =>
            {
                Err(no_such_partition(*partition))
            }
            PeerRequest::Digests { partition, first_leaf, last_leaf, .. }
            | PeerRequest::Fetch { partition, first_leaf, last_leaf, .. }
                if outside(*partition) || first_leaf > last_leaf || *last_leaf >= leaves =>
            {
                Err(no_such_partition(*partition))
            }
            _ => Ok(view),
        }
    }

    /// Refuses a peer's request without a word that it could use: not even this node's clock.
    fn turn_away(&mut self, reply: u64, failure: Failure) {
        let response = PeerResponse::Refused(failure);
        self.emit(Output::AnswerPeer { reply, stamp: Stamp::UNTOLD, response });
    }

    /// Returns why a node is not answered, if it has no place in the cluster. A node that is not known yet
    /// may be known in a moment, and asks again.
    fn stranger(&self, from: NodeId) -> Option<Failure> {
        let view = self.view.as_ref().filter(|view| !view.hears(from))?;
        if planted::on(Bug::RemovedNodeTakenBack) {
            return None;
        }
        Some(if view.is_barred(from) {
            let message = "the asker is no member of this cluster any more";
            Failure::new(ErrorCode::Forbidden, message)
        } else {
            let message = "this node does not know the asker as a member yet";
            Failure::new(ErrorCode::UnknownLayout, message)
        })
    }

    /// Refuses a request under another layout, and has the node that is behind told the newer one. Requests
    /// that only pass a client's request on, or inspect, are taken under any layout.
    fn fence(&mut self, arrival: &Arrival, request: &PeerRequest) -> Result<Arc<View>, Failure> {
        let layouts = &arrival.terms.layouts;
        let (theirs, ours) = (layouts.newest, self.layout());
        let missing = self.unknown_to(layouts);
        if theirs != ours || missing.is_some() {
            self.emit(Output::Behind { node: arrival.from });
        }
        let fenced = !matches!(request, PeerRequest::Forward(_) | PeerRequest::Inspect { .. });
        if theirs > ours && fenced {
            let message = format!("this node has layout {ours} and is waiting for {theirs}");
            return Err(Failure::new(ErrorCode::UnknownLayout, message));
        }
        let view = self.ready()?;
        if concludes(request) && !view.has_stored_layout() {
            let message = format!("this node has layout {ours} and has yet to store it");
            return Err(Failure::new(ErrorCode::UnknownLayout, message));
        }
        if let Some(missing) = missing.filter(|_| fenced && !planted::on(Bug::NoLayoutFence)) {
            self.count(Counter::StaleLayouts);
            let message =
                format!("the request was made under layout {theirs}; this node has {missing} too");
            return Err(Failure::new(ErrorCode::StaleLayout, message));
        }
        Ok(view)
    }

    /// Returns the newest active layout here that the sender does not reckon with. Partitions may have flipped under
    /// it, also under one that a rival of the same version has overruled, and then its owners have to be asked.
    fn unknown_to(&self, theirs: &ActiveLayouts) -> Option<LayoutId> {
        let mut ours = self.view.iter().flat_map(|view| view.layouts()).map(ActiveLayout::id);
        ours.find(|layout| !theirs.reckons_with(*layout))
    }

    fn serve_write(
        &mut self,
        ticket: ApplyFor,
        key: PlacedKey,
        record: EncodedRecord,
        durability: Durability,
    ) {
        let ticket = self.pending.apply(ticket);
        let record = StoredRecord { local: None, record };
        self.emit(Output::Apply { ticket, key, record, durability });
    }

    /// Keeps a record for others; a hint for this node itself is merged into its record. The local actor goes
    /// to the first target's hint alone: the actor rule holds for a hint as for a record.
    pub(crate) fn hold(
        &mut self,
        now: Now,
        whose: HoldFor,
        (key, record): (PlacedKey, StoredRecord),
        targets: &[NodeId],
        durability: Durability,
    ) {
        let me = self.config.me;
        let targets = if targets.is_empty() { slice::from_ref(&me) } else { targets };
        let group = self.pending.hold(targets.len(), whose);
        for (place, target) in targets.iter().copied().enumerate() {
            let ticket = self.pending.apply(ApplyFor::Hold { group });
            if target == me {
                let record = StoredRecord { local: None, record: record.record.clone() };
                self.emit(Output::Apply { ticket, key: key.clone(), record, durability });
                continue;
            }
            self.count(Counter::HintsKept);
            let local = record.local.filter(|_| place == 0);
            let record = StoredRecord { local, record: record.record.clone() };
            let (key, since_ms) = (key.clone(), now.wall_ms);
            self.emit(Output::Hold { ticket, target, key, record, since_ms, durability });
        }
    }

    fn serve_hashes(
        &mut self,
        reply: u64,
        (partition, n): (Partition, u8),
        (branch, known): (Option<u8>, u64),
        synced: bool,
    ) {
        let response = match self.background.trees.whole(partition, n) {
            Some(tree) => {
                let own = branch.map_or_else(|| tree.root(), |branch| tree.branch(branch));
                if own == known {
                    PeerResponse::Same
                } else {
                    PeerResponse::Hashes(tree.children(branch))
                }
            }
            None => {
                self.background.read_soon(partition);
                let message = format!("the tree of partition {partition} is still being read");
                PeerResponse::Refused(Failure::new(ErrorCode::NotReady, message))
            }
        };
        self.answer_compared(reply, response, synced);
    }

    /// Answers what this node holds. If the asker drops or forgets something by the answer, it waits for a sync.
    pub(crate) fn answer_compared(&mut self, reply: u64, response: PeerResponse, synced: bool) {
        if !synced || planted::on(Bug::DroppedBeforeSync) {
            return self.answer_peer(reply, response);
        }
        let ticket = self.pending.apply(ApplyFor::ServeRested { reply, response });
        self.emit(Output::Sync { ticket });
    }

    pub(crate) fn serve_digests(
        &mut self,
        (reply, n): (u64, u8),
        (clocks, synced): (bool, bool),
        result: Result<RangeResult, StorageFault>,
    ) {
        let Some(view) = self.view.clone() else { return };
        let response = match result {
            Ok(range) => {
                self.background.trees.note_damage(&range.damaged);
                let until = range.until.clone().map(mark);
                let digests = digests(range, &view, n, clocks);
                PeerResponse::Digests(DigestPage { digests, until })
            }
            Err(fault) => PeerResponse::Refused(fault.failure()),
        };
        self.answer_compared(reply, response, synced);
    }

    pub(crate) fn serve_read(
        &mut self,
        (reply, key, n): (u64, &PlacedKey, u8),
        known: Option<Digest>,
        result: Result<Holding, StorageFault>,
    ) {
        let response = match self.noticed(key, result) {
            Ok(holding) => match (self.doubt(key, n, &holding), merged(holding)) {
                (Some(why), record) => PeerResponse::Unknown { why, record },
                (None, Some(record)) if known == Some(record.digest()) => PeerResponse::Same,
                (None, record) => PeerResponse::Read(record),
            },
            Err(fault) => PeerResponse::Refused(fault.failure()),
        };
        self.answer_peer(reply, response);
    }

    pub(crate) fn serve_inspection(
        &mut self,
        (reply, key): (u64, &PlacedKey),
        result: Result<Holding, StorageFault>,
    ) {
        let response = match self.noticed(key, result) {
            Ok(holding) => {
                PeerResponse::Inspected(inspection(&holding, self.is_refilling_key(key)).into())
            }
            Err(fault) => PeerResponse::Refused(fault.failure()),
        };
        self.answer_peer(reply, response);
    }

    /// Counts a damaged record and notes it for the next round of comparisons.
    pub(crate) fn noticed(
        &mut self,
        key: &PlacedKey,
        result: Result<Holding, StorageFault>,
    ) -> Result<Holding, StorageFault> {
        if result.as_ref().is_ok_and(|holding| holding.damaged) {
            self.count(Counter::DamagedRecords);
            self.background.trees.note_damage(slice::from_ref(key));
        }
        result
    }
}

fn no_such_partition(partition: Partition) -> Failure {
    let message = format!("there is no partition {partition}, or no such leaf in it");
    Failure::new(ErrorCode::InvalidRequest, message)
}

/// Returns whether the sender concludes something lasting from the answer: that it holds all that this node
/// does, or that a tombstone may go. That takes a node which goes on refusing what is asked under older
/// layouts, after a crash, too.
fn concludes(request: &PeerRequest) -> bool {
    matches!(
        request,
        PeerRequest::Hashes { .. }
            | PeerRequest::Digests { .. }
            | PeerRequest::Fetch { .. }
            | PeerRequest::Compare { .. }
            | PeerRequest::Revise { .. }
    )
}
