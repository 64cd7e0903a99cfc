//! Explaining a key: where it belongs, and what each node of its preference list holds of it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_protocol::admin::{AdminResponse, Explanation, Holder};
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::inspection::{Inspection, RecordSummary, SiblingSummary};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Key, PlacedKey};
use jedlik_storage_port::Holding;

use crate::cx::Cx;
use crate::inspection::inspection;
use crate::io::{Output, StorageFault};
use crate::operations::{Next, Operation, Operations};
use crate::patience::CALL_LIMIT_US;
use crate::pending::{Asker, Caller, OperationId, Purpose};
use crate::reasons::LoadFor;

/// Explanation of a key while it is being gathered from its holders.
#[derive(Debug)]
pub(crate) struct ExplainOperation {
    asker: Asker,
    key: PlacedKey,
    left: Vec<NodeId>,
    found: BTreeMap<NodeId, Inspection>,
    deadline_us: u64,
}

impl ExplainOperation {
    pub(crate) fn asker(&self) -> Asker {
        self.asker
    }

    pub(crate) fn handle_answer(&mut self, from: NodeId, response: PeerResponse) {
        if let PeerResponse::Inspected(found) = response {
            self.found.insert(from, *found);
        }
        self.handle_lost(from);
    }

    pub(crate) fn handle_lost(&mut self, node: NodeId) {
        self.left.retain(|left| *left != node);
    }

    pub(crate) fn handle_timeout(&mut self) {
        self.left.clear();
    }

    /// Answers the explanation once all holders were heard.
    pub(crate) fn drive(&mut self, cx: &mut Cx) -> Next {
        if !self.left.is_empty() {
            return Next::Waits(Some(self.deadline_us));
        }
        if let Some(view) = cx.view.clone() {
            let merged = merged(self.found.values());
            let holder = |(rank, node): (usize, &NodeId)| Holder {
                node: *node,
                rank: rank as u16,
                alive: view.is_alive(*node),
                holds: self.found.remove(node),
            };
            let list = holders(&view, &self.key);
            let list = list.iter().enumerate();
            let explanation = Explanation {
                position: self.key.position,
                partition: self.key.partition,
                n: view.bucket(self.key.key.bucket()).n,
                merged,
                holders: list.map(holder).collect(),
            };
            let response = AdminResponse::Explained(Box::new(explanation));
            cx.answer(self.asker, ClientResponse::Admin(response));
        }
        Next::Over
    }
}

impl Operations {
    pub(crate) fn start_explain(&mut self, cx: &mut Cx, asker: Asker, key: Key) {
        let view = match cx.ready() {
            Ok(view) => view,
            Err(failure) => return cx.refuse(asker, failure),
        };
        let key = PlacedKey::new(cx.config.cluster, view.partitions(), key);
        let left = holders(&view, &key);
        let id = cx.pending.operation();
        for node in left.iter().copied() {
            if node == cx.config.me {
                let ticket = cx.pending.load(LoadFor::Explain(id));
                cx.emit(Output::Load { ticket, key: key.clone() });
            } else {
                let request = PeerRequest::Inspect { key: key.key.clone() };
                cx.call(node, Purpose::Operation(Caller::of(id)), request);
            }
        }
        let deadline_us = cx.now.mono_us + CALL_LIMIT_US;
        let found = BTreeMap::new();
        let explain = ExplainOperation { asker, key, left, found, deadline_us };
        self.by_id.insert(id, Operation::Explain(Box::new(explain)));
        self.drive(cx, id);
    }

    pub(crate) fn explain_own(
        &mut self,
        cx: &mut Cx,
        id: OperationId,
        result: Result<Holding, StorageFault>,
    ) {
        let me = cx.config.me;
        let Some(Operation::Explain(explain)) = self.by_id.get(&id) else { return };
        let refilling = cx.is_refilling_key(&explain.key);
        if let Some(Operation::Explain(explain)) = self.by_id.get_mut(&id) {
            if let Ok(holding) = result {
                explain.found.insert(me, inspection(&holding, refilling));
            }
            explain.handle_lost(me);
            self.drive(cx, id);
        }
    }
}

/// Returns all nodes that may hold something of the key: its preference list, then older active ones.
fn holders(view: &View, key: &PlacedKey) -> Vec<NodeId> {
    let n = view.bucket(key.key.bucket()).n;
    let mut nodes: Vec<NodeId> = Vec::new();
    for node in view.owner_lists(key.partition, n).into_iter().flatten() {
        if !nodes.contains(node) {
            nodes.push(*node);
        }
    }
    nodes
}

/// Returns the merge of all records found, by their clocks and dots alone. Its digest is that of a record
/// that has seen all of it, or 0 if none has.
fn merged<'a>(found: impl Iterator<Item = &'a Inspection>) -> Option<RecordSummary> {
    let records: Vec<&RecordSummary> = found
        .flat_map(|inspection| {
            let hints = inspection.hints.iter().map(|hint| &hint.record);
            inspection.record.iter().chain(hints)
        })
        .collect();
    let mut clock: BTreeMap<u64, u64> = BTreeMap::new();
    for (actor, counter) in records.iter().flat_map(|record| &record.clock) {
        let seen = clock.entry(*actor).or_default();
        *seen = (*seen).max(*counter);
    }
    let clocks: Vec<BTreeMap<u64, u64>> =
        records.iter().map(|record| record.clock.iter().copied().collect()).collect();
    let dots: Vec<BTreeSet<(u64, u64)>> =
        records.iter().map(|record| record.siblings.iter().map(dot).collect()).collect();
    let mut siblings: BTreeMap<(u64, u64), SiblingSummary> = BTreeMap::new();
    for sibling in records.iter().flat_map(|record| &record.siblings) {
        let (actor, counter) = dot(sibling);
        let knows = |clock: &BTreeMap<u64, u64>| clock.get(&actor).is_some_and(|c| *c >= counter);
        let mut all = clocks.iter().zip(&dots);
        if all.all(|(clock, dots)| dots.contains(&(actor, counter)) || !knows(clock)) {
            siblings.entry((actor, counter)).or_insert_with(|| sibling.clone());
        }
    }
    let siblings = siblings.into_values().collect();
    let clock: Vec<(u64, u64)> = clock.into_iter().collect();
    let whole = records.iter().find(|record| record.clock == clock);
    let digest = whole.map_or(Digest(0), |record| record.digest);
    (!records.is_empty()).then_some(RecordSummary { digest, clock, siblings })
}

fn dot(sibling: &SiblingSummary) -> (u64, u64) {
    (sibling.actor, sibling.counter)
}
