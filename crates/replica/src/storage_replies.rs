//! Storage's answers, and where each of them goes.
//!
//! Invariant: every ticket is taken out by its last answer.

use jedlik_protocol::PlacedKey;
use jedlik_protocol::peer::PeerResponse;
use jedlik_storage_port::{Holding, RangePage, RecordMeta};

use crate::Counter;
use crate::background::Background;
use crate::io::StorageFault;
use crate::pending::HoldFor;
use crate::reasons::{ApplyFor, LoadFor, PageFor};
use crate::replica::Replica;
use crate::trees::TreeChange;

impl Replica {
    pub(crate) fn handle_loaded(&mut self, ticket: u64, result: Result<Holding, StorageFault>) {
        let Self { cx, operations, background } = self;
        let Some(reason) = cx.pending.take_load(ticket) else { return };
        match reason {
            LoadFor::Mint(key) => operations.mint_waiting(cx, &key, result),
            LoadFor::Get(caller) => operations.get_own(cx, caller, result),
            LoadFor::Explain(id) => operations.explain_own(cx, id, result),
            LoadFor::ServeRead { reply, key, n, known } => {
                self.serve_read((reply, &key, n), known, result);
            }
            LoadFor::ServeInspection { reply, key } => {
                self.serve_inspection((reply, &key), result);
            }
            LoadFor::ServeComparison { reply, key, question } => {
                let (hints, of) = (&background.hints, key.clone());
                let is_hinted = |holding: &Holding| hints.is_hinted(&of, holding);
                cx.serve_comparison(reply, key, question, result, is_hinted);
            }
            LoadFor::ServeRevision { reply, key, expected, record } => {
                cx.serve_revision(reply, key, (expected, record), result);
            }
            LoadFor::Pushing { id, peer, key, theirs } => {
                background.exchanges.handle_pushing(cx, (id, peer), (key, theirs), result);
            }
            LoadFor::Candidate(key) => {
                let Background { hints, collector, .. } = background;
                let is_hinted = |holding: &Holding| hints.is_hinted(&key, holding);
                collector.handle_candidate(cx, &key, result, is_hinted);
            }
            LoadFor::Collect(collection) => background.collector.collect(cx, collection, result),
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
        let Self { cx, background: Background { exchanges, transfers, .. }, .. } = self;
        if before != after {
            exchanges.clashes.forget(&key.key);
        }
        if before != after
            && let Some(view) = cx.view.clone()
        {
            let n = view.bucket(key.key.bucket()).n;
            let change = TreeChange::new(view.partitions(), key, n, before, after);
            transfers.note_stray(&mut exchanges.trees, key.partition);
            if after.is_some() && transfers.surplus.is_for_others(key.partition, n) {
                transfers.thin(key.partition);
            }
            exchanges.trees.changed(key, change);
        }
        let digest = |meta: Option<RecordMeta>| meta.map(|held| held.digest);
        let (before, after) = (digest(before), digest(after));
        match cx.pending.apply_of(ticket) {
            Some(ApplyFor::Pulled { id, key, pair }) => {
                let (id, key, pair) = (*id, key.clone(), *pair);
                exchanges.handle_merged(id, &key, after, pair);
            }
            // The record had changed by then, and stays.
            Some(ApplyFor::Collected(collection)) if before != Some(collection.expected) => {
                cx.pending.take_apply(ticket);
            }
            _ => {}
        }
    }

    pub(crate) fn handle_applied(&mut self, ticket: u64, result: Result<(), StorageFault>) {
        let Self { cx, operations, background } = self;
        let Background { transfers, exchanges, hints, schedule, .. } = background;
        let refusal = || result.clone().err().map(|fault| PeerResponse::Refused(fault.failure()));
        let told = |otherwise| refusal().unwrap_or(otherwise);
        let Some(reason) = cx.pending.take_apply(ticket) else { return };
        match reason {
            ApplyFor::Serve { reply, response } => cx.answer_peer(reply, told(response)),
            ApplyFor::ServeDelivery { reply } => {
                if result.is_ok() {
                    cx.count(Counter::Deliveries);
                }
                let window = schedule.window();
                cx.answer_peer(reply, told(PeerResponse::Delivered { window }));
            }
            ApplyFor::Collected(collection) => {
                if result.is_ok() {
                    cx.tell_collected(collection);
                }
            }
            ApplyFor::Hold { group } => {
                self.handle_held(group, result);
            }
            ApplyFor::Put { caller, durability } => {
                operations.handle_own_write(cx, caller, durability, &result);
            }
            ApplyFor::Refilled(keys) => {
                transfers.handle_refilled(cx, keys, &result);
            }
            ApplyFor::InboundSynced { layout, partition } => {
                transfers.handle_inbound_synced(cx, layout, partition, &result);
            }
            ApplyFor::Dropped { partition } => {
                transfers.handle_dropped(cx, &mut exchanges.trees, partition, &result);
            }
            ApplyFor::Thinned { sweep } => {
                transfers.handle_thinned(cx, &exchanges.trees, sweep, result.is_ok());
            }
            ApplyFor::Discarded { sweep, key } => {
                transfers.handle_discarded(cx, &mut exchanges.trees, sweep, &key, result.is_ok());
            }
            ApplyFor::Adopted { target, key } => {
                let window = schedule.window();
                hints.handle_adopted(cx, target, &key, (result, window));
            }
            ApplyFor::Pulled { id, key, pair } => {
                if let Err(fault) = &result {
                    exchanges.handle_not_merged(cx, (id, key), pair, fault);
                }
            }
            ApplyFor::Release { target, key } => {
                hints.handle_released(cx, target, &key, result);
            }
            ApplyFor::Nobody => {}
        }
    }

    /// Counts one of several writes that are waited for together, and answers for the last.
    fn handle_held(&mut self, group: u64, result: Result<(), StorageFault>) {
        let Self { cx, operations, background } = self;
        let Some(held) = cx.pending.held(group, result) else { return };
        let result = held.failure.map_or(Ok(()), Err);
        match held.whose {
            HoldFor::Peer { reply } => {
                let response = match result {
                    Ok(()) => PeerResponse::Written,
                    Err(fault) => PeerResponse::Refused(fault.failure()),
                };
                cx.answer_peer(reply, response);
            }
            HoldFor::Own { caller, durability } => {
                operations.handle_own_write(cx, caller, durability, &result);
            }
            HoldFor::Page { exchange, first_leaf } => {
                background.exchanges.handle_page_merged(exchange, first_leaf, result.is_ok());
            }
            HoldFor::Recall(partition) => {
                background.transfers.handle_recall_merged(cx, partition, result.is_ok());
            }
            HoldFor::Nobody => {}
        }
    }

    pub(crate) fn handle_ranged(&mut self, ticket: u64, result: Result<RangePage, StorageFault>) {
        let Self { cx, operations, background } = self;
        let Some(reason) = cx.pending.take_page(ticket) else { return };
        match reason {
            PageFor::Scan(id) => operations.handle_local_page(cx, id, result),
            PageFor::ServeScan { reply, scanning } => {
                cx.serve_scan(reply, scanning, result);
            }
            PageFor::ServeDigests { reply, n, clocks, synced } => {
                background.exchanges.serve_digests(cx, (reply, n), (clocks, synced), result);
            }
            PageFor::ServeFetch { reply, n } => cx.serve_fetch((reply, n), result),
            PageFor::Reading { partition, reading } => {
                background.handle_reading(cx, (partition, reading), result);
            }
            PageFor::Surplus { sweep } => {
                let Background { transfers, exchanges, .. } = background;
                transfers.handle_surplus_page(cx, &exchanges.trees, sweep, result);
            }
            PageFor::OwnDigests(listing) => {
                background.exchanges.handle_own_digests(cx, *listing, result);
            }
        }
    }
}
