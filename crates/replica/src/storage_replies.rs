//! Storage's answers, and where each of them goes.
//!
//! Invariant: every ticket is taken out by its last answer.

use jedlik_protocol::peer::{Comparison, PeerResponse};
use jedlik_protocol::{Now, PlacedKey};

use crate::Counter;
use crate::io::{Holding, RecordMeta, StorageFault};
use crate::pending::HoldFor;
use crate::range::RangeResult;
use crate::reasons::{ApplyFor, LoadFor, PageFor};
use crate::replica::Replica;
use crate::trees::TreeChange;

impl Replica {
    pub(crate) fn handle_loaded(
        &mut self,
        now: Now,
        ticket: u64,
        result: Result<Holding, StorageFault>,
    ) {
        let Some(reason) = self.cx.pending.take_load(ticket) else { return };
        match reason {
            LoadFor::Mint(key) => self.operations.mint_waiting(&mut self.cx, &key, result),
            LoadFor::Get(caller) => self.operations.get_own(&mut self.cx, caller, result),
            LoadFor::Explain(id) => self.operations.explain_own(&mut self.cx, id, result),
            LoadFor::ServeRead { reply, key, n, known } => {
                self.serve_read((reply, &key, n), known, result);
            }
            LoadFor::ServeInspection { reply, key } => {
                self.serve_inspection((reply, &key), result);
            }
            LoadFor::ServeComparison { reply, key, question } => {
                self.serve_comparison(reply, key, question, result);
            }
            LoadFor::ServeRevision { reply, key, expected, record } => {
                self.serve_revision(now, reply, key, (expected, record), result);
            }
            LoadFor::Pushing { id, peer, key, theirs } => {
                self.handle_pushing(now, (id, peer), (key, theirs), result);
            }
            LoadFor::Candidate(key) => self.handle_candidate(now, &key, result),
            LoadFor::Collect(collection) => self.collect(now, collection, result),
        }
    }

    /// Takes a record's change into the tree, and lets an exchange that waits for it go on.
    pub(crate) fn handle_changed(
        &mut self,
        ticket: u64,
        key: &PlacedKey,
        before: Option<RecordMeta>,
        after: Option<RecordMeta>,
    ) {
        if before != after {
            self.background.clashes.forget(&key.key);
        }
        if before != after
            && let Some(view) = self.cx.view.clone()
        {
            let n = view.bucket(key.key.bucket()).n;
            let change = TreeChange::new(view.partitions(), key, n, before, after);
            self.note_stray(key.partition);
            if after.is_some() && self.background.transfers.surplus.is_for_others(key.partition, n)
            {
                self.background.transfers.thin(key.partition);
            }
            self.background.trees.changed(key, change);
        }
        let digest = |meta: Option<RecordMeta>| meta.map(|held| held.digest);
        let (before, after) = (digest(before), digest(after));
        match self.cx.pending.apply_of(ticket) {
            Some(ApplyFor::Pulled { id, key, pair }) => {
                let (id, key, pair) = (*id, key.clone(), *pair);
                self.handle_merged(id, &key, after, pair);
            }
            // The record had changed by then, and stays.
            Some(ApplyFor::Collected(collection)) if before != Some(collection.expected) => {
                self.cx.pending.take_apply(ticket);
            }
            _ => {}
        }
    }

    pub(crate) fn handle_applied(
        &mut self,
        now: Now,
        ticket: u64,
        result: Result<(), StorageFault>,
    ) {
        let refusal = || result.clone().err().map(|fault| PeerResponse::Refused(fault.failure()));
        let Some(reason) = self.cx.pending.take_apply(ticket) else { return };
        match reason {
            ApplyFor::ServeWrite { reply } => {
                let response = refusal().unwrap_or(PeerResponse::Written);
                self.cx.answer_peer(reply, response);
            }
            ApplyFor::ServeDelivery { reply } => {
                let window = self.background.window();
                let response = refusal().unwrap_or(PeerResponse::Delivered { window });
                if result.is_ok() {
                    self.cx.count(Counter::Deliveries);
                }
                self.cx.answer_peer(reply, response);
            }
            ApplyFor::ServeSynced { reply } => {
                let response = refusal().unwrap_or(PeerResponse::Compared(Comparison::Same));
                self.cx.answer_peer(reply, response);
            }
            ApplyFor::ServeRested { reply, response } => {
                self.cx.answer_peer(reply, refusal().unwrap_or(response));
            }
            ApplyFor::ServeRevised { reply } => {
                let response = refusal().unwrap_or(PeerResponse::Revised(true));
                self.cx.answer_peer(reply, response);
            }
            ApplyFor::Collected(collection) => {
                if result.is_ok() {
                    self.tell_collected(now, collection);
                }
            }
            ApplyFor::Hold { group } => self.handle_held(now, group, result),
            ApplyFor::Put { caller, durability } => {
                self.operations.handle_own_write(&mut self.cx, caller, durability, &result);
            }
            ApplyFor::Fetched { group } => self.handle_held(now, group, result),
            ApplyFor::Refilled { partition, n } => {
                self.handle_refilled(now, (partition, n), &result);
            }
            ApplyFor::InboundSynced { layout, partition } => {
                self.handle_inbound_synced(now, layout, partition, &result);
            }
            ApplyFor::Dropped { partition } => self.handle_dropped(now, partition, &result),
            ApplyFor::Thinned { sweep } => self.handle_thinned(now, sweep, result.is_ok()),
            ApplyFor::Discarded { sweep, key } => {
                self.handle_discarded(now, sweep, &key, result.is_ok());
            }
            ApplyFor::Adopted { target, key } => {
                self.handle_adopted(now, target, &key, result);
            }
            ApplyFor::Pulled { id, key, pair } => {
                if let Err(fault) = &result {
                    self.handle_not_merged(now, (id, key), pair, fault);
                }
            }
            ApplyFor::Release { target, key } => {
                self.handle_released(now, target, &key, result);
            }
            ApplyFor::Nobody => {}
        }
    }

    /// Counts one of several writes that are waited for together, and answers for the last.
    fn handle_held(&mut self, _now: Now, group: u64, result: Result<(), StorageFault>) {
        let Some(held) = self.cx.pending.held(group, result) else { return };
        let result = held.failure.map_or(Ok(()), Err);
        match held.whose {
            HoldFor::Peer { reply } => {
                let response = match result {
                    Ok(()) => PeerResponse::Written,
                    Err(fault) => PeerResponse::Refused(fault.failure()),
                };
                self.cx.answer_peer(reply, response);
            }
            HoldFor::Own { caller, durability } => {
                self.operations.handle_own_write(&mut self.cx, caller, durability, &result);
            }
            HoldFor::Page { exchange, first_leaf } => {
                self.handle_page_merged(exchange, first_leaf, result.is_ok());
            }
            HoldFor::Recall(partition) => self.handle_recall_merged(partition, result.is_ok()),
            HoldFor::Nobody => {}
        }
    }

    pub(crate) fn handle_ranged(
        &mut self,
        now: Now,
        ticket: u64,
        result: Result<RangeResult, StorageFault>,
    ) {
        let Some(reason) = self.cx.pending.take_page(ticket) else { return };
        match reason {
            PageFor::Scan(id) => self.operations.handle_local_page(&mut self.cx, id, result),
            PageFor::ServeScan { reply, scanning } => {
                self.cx.serve_scan(reply, scanning, result);
            }
            PageFor::ServeDigests { reply, n, clocks, synced } => {
                self.serve_digests((reply, n), (clocks, synced), result);
            }
            PageFor::ServeFetch { reply, n } => self.serve_fetch(now, (reply, n), result),
            PageFor::Reading { partition, reading } => {
                self.handle_reading(now, (partition, reading), result);
            }
            PageFor::Surplus { sweep } => self.handle_surplus_page(now, sweep, result),
            PageFor::OwnDigests(listing) => self.handle_own_digests(*listing, result),
        }
    }
}
