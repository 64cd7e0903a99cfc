//! Requests of clients under way at this node: gets, puts, scans, forwards and explanations, and their timers.
//!
//! Invariant: an operation is driven after each thing that happens to it, and gone once it is done.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use jedlik_coordinator::Cause;
use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::Durability;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::PeerResponse;

use crate::cx::Cx;
use crate::explain::ExplainOperation;
use crate::forward::ForwardOperation;
use crate::get::GetOperation;
use crate::io::StorageFault;
use crate::latency::{LatencyEstimate, Nearness};
use crate::pending::{Asker, Caller, OperationId, PeerCall, Purpose};
use crate::put::{KeyQueues, PutOperation, WaitingPut};
use crate::scan::ScanOperation;
use crate::timers::Timers;

/// Time after which a primary without an answer counts as silent and a fallback stands in for it, in
/// microseconds: far more than a healthy one takes, and hardly noticed by a client.
pub(crate) const SILENT_AFTER_US: u64 = 200_000;

/// Operation under way: its machine, and what the node knows about it.
#[derive(Debug)]
pub(crate) enum Operation {
    Waiting(Box<WaitingPut>),
    Put(Box<PutOperation>),
    Get(Box<GetOperation>),
    Scan(Box<ScanOperation>),
    Forward(Box<ForwardOperation>),
    Explain(Box<ExplainOperation>),
}

/// Further course of an operation whose effects have been carried out.
#[derive(Debug)]
pub(crate) enum Next {
    /// It waits for answers, and is driven again at this time, in microseconds, if there is one.
    Waits(Option<u64>),
    /// Nothing more comes of it.
    Over,
    /// This node's own turn among those to be asked has come: it carries out the request itself.
    Here,
}

/// Operations of one shard.
#[derive(Debug)]
pub(crate) struct Operations {
    pub(crate) by_id: BTreeMap<OperationId, Operation>,
    /// Puts that wait for their turn, and which of them are under way.
    pub(crate) queues: KeyQueues,
    pub(crate) read_latency: LatencyEstimate,
    pub(crate) nearness: Nearness,
    pub(crate) write_latency: LatencyEstimate,
    /// Calls to nodes that did not know the layout, in the order in which they are repeated.
    pub(crate) deferred: BTreeMap<(u64, OperationId), PeerCall>,
    timers: Timers,
}

impl Operations {
    pub(crate) fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            queues: KeyQueues::default(),
            read_latency: LatencyEstimate::new(),
            nearness: Nearness::default(),
            write_latency: LatencyEstimate::new(),
            deferred: BTreeMap::new(),
            timers: Timers::default(),
        }
    }

    /// Returns when an operation is to be driven or a call repeated, in microseconds; `None` if none is.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        let again = self.deferred.first_key_value().map(|((due_us, _), _)| *due_us);
        self.timers.next().into_iter().chain(again).min()
    }

    pub(crate) fn start(&mut self, cx: &mut Cx, asker: Asker, request: ClientRequest) {
        match request {
            ClientRequest::Get(get) => self.start_get(cx, asker, get),
            ClientRequest::Put(put) => self.start_put(cx, asker, put),
            ClientRequest::Scan(scan) => self.start_scan(cx, asker, scan),
            ClientRequest::Admin(AdminRequest::Explain { key }) => {
                self.start_explain(cx, asker, key);
            }
            ClientRequest::Topology | ClientRequest::Admin(_) => {
                let why = "a replica answers gets, puts, scans and explanations only";
                cx.refuse(asker, Failure::new(ErrorCode::Internal, why));
            }
        }
    }

    /// Handles the answer to a call of an operation.
    pub(crate) fn handle_answer(
        &mut self,
        cx: &mut Cx,
        (from, durability): (NodeId, Durability),
        Caller { operation: id, request: to }: Caller,
        response: PeerResponse,
    ) {
        match self.by_id.get_mut(&id) {
            Some(Operation::Put(put)) => put.handle_answer(cx.now, to, durability, &response),
            Some(Operation::Get(get)) => get.handle_answer(cx.now, to, response),
            Some(Operation::Scan(scan)) => scan.handle_answer(from, response),
            Some(Operation::Forward(forward)) => forward.handle_answer(response),
            Some(Operation::Explain(explain)) => explain.handle_answer(from, response),
            Some(Operation::Waiting(_)) | None => return,
        }
        self.drive(cx, id);
    }

    /// Handles the end of a put's write of this node's own copy.
    pub(crate) fn handle_own_write(
        &mut self,
        cx: &mut Cx,
        caller: Caller,
        durability: Durability,
        result: &Result<(), StorageFault>,
    ) {
        if result.is_err() && !planted::on(Bug::DotReusedAfterLostWrite) {
            cx.renew_incarnation();
        }
        if let Some(Operation::Put(put)) = self.by_id.get_mut(&caller.operation) {
            match result {
                Ok(()) => {
                    put.machine.handle_acknowledgement(cx.now.mono_us, caller.request, durability);
                }
                Err(fault) => put.handle_fault(cx.now, caller.request, fault),
            }
            self.drive(cx, caller.operation);
        }
    }

    /// Handles a call of an operation that will not be answered.
    pub(crate) fn handle_lost(
        &mut self,
        cx: &mut Cx,
        from: NodeId,
        Caller { operation: id, request }: Caller,
    ) {
        match self.by_id.get_mut(&id) {
            Some(Operation::Put(put)) => {
                put.machine.handle_failure(cx.now.mono_us, request, Cause::Lost);
            }
            Some(Operation::Get(get)) => get.machine.handle_failure(cx.now.mono_us, request),
            Some(Operation::Scan(scan)) => scan.machine.handle_failure(from),
            Some(Operation::Forward(forward)) => forward.handle_lost(),
            Some(Operation::Explain(explain)) => explain.handle_lost(from),
            Some(Operation::Waiting(_)) | None => return,
        }
        self.drive(cx, id);
    }

    /// Handles the operations whose time has come.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Cx) {
        while let Some(id) = self.timers.pop_due(cx.now.mono_us) {
            match self.by_id.get_mut(&id) {
                Some(Operation::Waiting(_)) => self.give_up_waiting(cx, id),
                Some(Operation::Put(put)) => put.machine.handle_timeout(cx.now.mono_us),
                Some(Operation::Get(get)) => get.machine.handle_timeout(cx.now.mono_us),
                Some(Operation::Scan(scan)) => scan.machine.handle_timeout(cx.now.mono_us),
                Some(Operation::Forward(forward)) => forward.handle_timeout(cx.now),
                Some(Operation::Explain(explain)) => explain.handle_timeout(),
                None => continue,
            }
            self.drive(cx, id);
        }
    }

    /// Notes how long a peer took to answer a read or a write.
    pub(crate) fn note_latency(&mut self, cx: &Cx, call: &PeerCall, response: &PeerResponse) {
        let took_us = cx.now.mono_us.saturating_sub(call.sent_us);
        match response {
            PeerResponse::Read(_) | PeerResponse::Same | PeerResponse::Unknown { .. } => {
                self.read_latency.add(took_us);
                if matches!(call.purpose, Purpose::Operation(_)) {
                    self.nearness.add(call.node, took_us);
                }
            }
            PeerResponse::Written => self.write_latency.add(took_us),
            _ => {}
        }
    }

    /// Registers an operation and carries out its first effects.
    pub(crate) fn run(&mut self, cx: &mut Cx, operation: Operation) {
        let id = cx.pending.operation();
        self.by_id.insert(id, operation);
        self.drive(cx, id);
    }

    /// Takes out an operation that is over, and its timer.
    pub(crate) fn end(&mut self, id: OperationId) -> Option<Operation> {
        self.timers.set(id, None);
        self.by_id.remove(&id)
    }

    /// Carries out an operation's effects, and ends it if it is done.
    pub(crate) fn drive(&mut self, cx: &mut Cx, id: OperationId) {
        let Some(operation) = self.by_id.get_mut(&id) else { return };
        let next = match operation {
            Operation::Put(put) => {
                let next = put.drive(cx, id);
                if !put.holds_up(cx.now.mono_us) {
                    self.queues.pass_turn(cx, id, &put.key, put.machine.is_done());
                }
                next
            }
            Operation::Get(get) => get.drive(cx, id),
            Operation::Scan(scan) => scan.drive(cx, id),
            Operation::Forward(forward) => forward.drive(cx, id),
            Operation::Explain(explain) => explain.drive(cx),
            Operation::Waiting(put) => Next::Waits(Some(put.deadline_us())),
        };
        match next {
            Next::Waits(wake_us) => self.timers.set(id, wake_us),
            Next::Over => {
                self.end(id);
            }
            Next::Here => {
                if let Some(Operation::Forward(forward)) = self.end(id) {
                    self.start_here(cx, *forward);
                }
            }
        }
    }
}
