//! Delivery of hints to the nodes that they are for (paper 4.6).
//!
//! The handoff machine decides. Here its outputs become requests to peers and effects of storage, and their
//! answers its inputs. Invariant: every delivery and every release is answered once.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use jedlik_handoff::{Delivery, Handoff, HandoffOutput};
use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::admin::HintReport;
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Durability, EncodedRecord, PlacedKey, StoredRecord};
use jedlik_storage_port::{HintPage, HintTotals, Holding};

use crate::Counter;
use crate::clashes::{Clashes, Pair};
use crate::cx::Cx;
use crate::io::{Output, StorageFault};
use crate::pending::Purpose;
use crate::reasons::ApplyFor;

/// Reason for not sending a hint that was refused before.
const UNMERGEABLE: &str = "its record of a key and the hint are over the largest size together; a client has to \
                          get the key and put what is to stay";

/// Hints for other nodes on their way, whose machine says which is next.
#[derive(Debug)]
pub(crate) struct Hints {
    handoff: Handoff,
}

impl Hints {
    pub(crate) fn new() -> Self {
        Self { handoff: Handoff::new() }
    }

    /// Follows which nodes are up in a new view.
    pub(crate) fn handle_view(&mut self, cx: &Cx, view: &View) {
        for member in view.members().filter(|member| member.node != cx.config.me) {
            if view.is_alive(member.node) {
                self.handoff.handle_up(cx.now.mono_us, member.node);
            } else {
                self.handoff.handle_down(cx.now.mono_us, member.node);
            }
        }
    }

    /// Returns when a delivery is due, in microseconds; `None` if none is.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.handoff.poll_timeout()
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Cx) {
        self.handoff.handle_timeout(cx.now.mono_us);
        self.follow_handoff(cx);
    }

    /// Returns whether a hint can be sent.
    pub(crate) fn has_delivery(&self) -> bool {
        self.handoff.has_delivery()
    }

    /// Returns whether a hint of the key is here or may come back: its removal is not on disk yet, or it can't be read
    /// now.
    pub(crate) fn is_hinted(&self, key: &PlacedKey, holding: &Holding) -> bool {
        let damaged = holding.damaged_hints && !planted::on(Bug::DamagedHintIsNone);
        damaged || !holding.hints.is_empty() || self.handoff.is_releasing(key)
    }

    /// Returns the hints that this shard holds, one report for each target.
    pub(crate) fn reports(&self) -> impl Iterator<Item = HintReport> {
        self.handoff.progress()
    }

    /// Sends the next hint; returns false if none is ready.
    pub(crate) fn step(&mut self, cx: &mut Cx, clashes: &Clashes) -> bool {
        let Some(delivery) = self.handoff.poll_delivery(cx.now.mono_us) else {
            return false;
        };
        let Delivery { target, key, record } = delivery;
        if !cx.is_for_its_owner(target, &key) {
            self.adopt(cx, target, key, record);
            return true;
        }
        let pair = Pair { mine: Some(record.digest()), theirs: None };
        if clashes.is_known_to(cx, &key.key, target, pair) {
            self.fail_delivery(cx, target, &key, UNMERGEABLE.into());
            return true;
        }
        let request = PeerRequest::Deliver { key: key.key.clone(), record };
        cx.call(target, Purpose::Delivery { key, pair }, request);
        // Under a planted bug a hint is released as it is sent.
        self.follow_handoff(cx);
        true
    }

    /// Makes a hint a record of this node, since its target no longer owns the key. It is handed on to the
    /// present owners like every record that this node does not own.
    fn adopt(&mut self, cx: &mut Cx, target: NodeId, key: PlacedKey, record: EncodedRecord) {
        let ticket = cx.pending.apply(ApplyFor::Adopted { target, key: key.clone() });
        let record = StoredRecord { local: None, record };
        cx.emit(Output::Apply { ticket, key, record, durability: Durability::Synced });
    }

    pub(crate) fn handle_adopted(
        &mut self,
        cx: &mut Cx,
        target: NodeId,
        key: &PlacedKey,
        (result, window): (Result<(), StorageFault>, u16),
    ) {
        match result {
            Ok(()) => {
                self.handoff.handle_delivered(cx.now.mono_us, target, key, window);
                self.follow_handoff(cx);
            }
            Err(fault) => self.fail_delivery(cx, target, key, fault.failure().message),
        }
    }

    /// Takes up at once the hints for nodes that are no longer members, and all hints if this node leaves.
    pub(crate) fn release_hints_for_others(&mut self, cx: &mut Cx, view: &View) {
        let leaves = view.departed(cx.config.me).is_some();
        let handoff = &mut self.handoff;
        for target in handoff.targets().collect::<Vec<_>>() {
            let is_member = view.members().any(|member| member.node == target);
            if leaves || !is_member {
                handoff.handle_up(cx.now.mono_us, target);
            }
        }
    }

    /// Has storage carry out the handoff machine's outputs.
    fn follow_handoff(&mut self, cx: &mut Cx) {
        while let Some(output) = self.handoff.poll_output() {
            match output {
                HandoffOutput::LoadPage { target, after, limit_records, limit_bytes } => {
                    let ticket = cx.pending.hint_page(target);
                    cx.emit(Output::Hints { ticket, target, after, limit_records, limit_bytes });
                }
                HandoffOutput::Release { target, key, digest } => {
                    let ticket = cx.pending.apply(ApplyFor::Release { target, key: key.clone() });
                    cx.emit(Output::Release { ticket, target, key, digest });
                }
            }
        }
    }

    pub(crate) fn handle_hint_totals(&mut self, cx: &mut Cx, target: NodeId, totals: HintTotals) {
        self.handoff.handle_totals(cx.now.mono_us, target, totals);
        if let Some(view) = cx.view.clone() {
            self.release_hints_for_others(cx, &view);
        }
        self.follow_handoff(cx);
    }

    pub(crate) fn handle_hint_page(
        &mut self,
        cx: &mut Cx,
        ticket: u64,
        result: Result<HintPage, StorageFault>,
    ) {
        let Some(target) = cx.pending.take_hint_page(ticket) else { return };
        let handoff = &mut self.handoff;
        match result {
            Ok(page) => handoff.handle_page(cx.now.mono_us, target, page),
            Err(_) => handoff.handle_page_failed(cx.now.mono_us, target),
        }
        self.follow_handoff(cx);
    }

    /// Gives the handoff machine the target's answer to a delivery.
    pub(crate) fn handle_delivery_answer(
        &mut self,
        cx: &mut Cx,
        target: NodeId,
        (key, pair): (&PlacedKey, Pair),
        response: PeerResponse,
        clashes: &mut Clashes,
    ) {
        let why = match response {
            PeerResponse::Delivered { window } => {
                cx.count(Counter::HintsDelivered);
                self.handoff.handle_delivered(cx.now.mono_us, target, key, window);
                return self.follow_handoff(cx);
            }
            PeerResponse::Refused(failure) => {
                if failure.code == ErrorCode::RecordTooLarge {
                    clashes.note_met(cx, (key.key.clone(), target), pair);
                }
                failure.message
            }
            _ => String::from("it answered something else"),
        };
        self.fail_delivery(cx, target, key, why);
    }

    /// Handles a delivery that will not be answered.
    pub(crate) fn handle_delivery_lost(&mut self, cx: &mut Cx, target: NodeId, key: &PlacedKey) {
        self.fail_delivery(cx, target, key, "it did not answer".to_string());
    }

    fn fail_delivery(&mut self, cx: &mut Cx, target: NodeId, key: &PlacedKey, why: String) {
        self.handoff.handle_delivery_failed(cx.now.mono_us, target, key, why);
        self.follow_handoff(cx);
    }

    pub(crate) fn handle_released(
        &mut self,
        cx: &mut Cx,
        target: NodeId,
        key: &PlacedKey,
        result: Result<(), StorageFault>,
    ) {
        let handoff = &mut self.handoff;
        match result {
            Ok(()) => handoff.handle_released(cx.now.mono_us, target, key),
            Err(fault) => {
                let why = fault.failure().message;
                handoff.handle_release_failed(cx.now.mono_us, target, key, why);
            }
        }
        self.follow_handoff(cx);
    }
}

impl Cx {
    /// Returns whether a hint's target is up and still owns its key.
    pub(crate) fn is_for_its_owner(&self, target: NodeId, key: &PlacedKey) -> bool {
        let Some(view) = &self.view else { return true };
        let n = view.bucket(key.key.bucket()).n;
        view.owners(key.partition, n).contains(&target) && view.is_alive(target)
    }
}
