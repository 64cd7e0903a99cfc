//! The replica itself: dispatches inputs, drives machines, keeps their deadlines.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use jedlik_coordinator::Cause;
use jedlik_hashing::NodeId;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{Now, PlacedKey};

use crate::background::Background;
use crate::config::Config;
use crate::cx::Cx;
use crate::explain::ExplainOperation;
use crate::forward::ForwardOperation;
use crate::get::GetOperation;
use crate::io::{Input, Output};
use crate::latency::LatencyEstimate;
use crate::pending::{Asker, Caller, ExchangeStep, OperationId, PeerCall, Purpose};
use crate::put::{KeyQueue, PutOperation, WaitingPut};
use crate::scan::ScanOperation;
use crate::serve::Arrival;
use crate::timers::Timers;

/// Time after which a primary without an answer counts as silent and a fallback stands in for it, in
/// microseconds: far more than a healthy one takes, and hardly noticed by a client.
pub(crate) const SILENT_AFTER_US: u64 = 200_000;

/// Operation under way: its machine, and what the replica knows about it.
#[derive(Debug)]
pub(crate) enum Operation {
    Waiting(Box<WaitingPut>),
    Put(Box<PutOperation>),
    Get(Box<GetOperation>),
    Scan(Box<ScanOperation>),
    Forward(Box<ForwardOperation>),
    Explain(Box<ExplainOperation>),
}

/// Protocol logic of one shard: inputs in, outputs out, without clock, disk or network.
#[derive(Debug)]
pub struct Replica {
    pub(crate) cx: Cx,
    pub(crate) operations: BTreeMap<OperationId, Operation>,
    /// Queues of puts by key: those that wait, and those under way.
    pub(crate) minting: BTreeMap<PlacedKey, KeyQueue>,
    pub(crate) read_latency: LatencyEstimate,
    pub(crate) write_latency: LatencyEstimate,
    pub(crate) background: Background,
    /// Calls to nodes that did not know the layout, in the order in which they are repeated.
    pub(crate) deferred: BTreeMap<(u64, OperationId), PeerCall>,
    timers: Timers,
}

impl Replica {
    /// Creates a replica without a view. It refuses requests until it is given a view with a layout.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            background: Background::new(config.tuning),
            cx: Cx::new(config),
            operations: BTreeMap::new(),
            minting: BTreeMap::new(),
            read_latency: LatencyEstimate::new(),
            write_latency: LatencyEstimate::new(),
            deferred: BTreeMap::new(),
            timers: Timers::default(),
        }
    }

    /// Handles one input at the time `now`; its effects are then polled by [`Self::poll_output`].
    pub fn handle(&mut self, now: Now, input: Input) {
        self.cx.clock = self.cx.message_age.clock(now);
        match input {
            Input::View(view) => self.handle_view(now, &view),
            Input::Client { reply, request } => self.start(now, Asker::Client(reply), request),
            Input::Withdrawn { reply } => self.handle_withdrawn(reply),
            Input::Peer { from, reply, terms, request } => {
                self.serve(now, &Arrival { from, reply, terms }, request);
            }
            Input::PeerAnswer { from, id, stamp, response } => {
                self.cx.message_age.note_clock(from, stamp.clock);
                let response = self.cx.heeded(from, stamp.life, response);
                self.handle_answer(now, from, id, response);
            }
            Input::PeerLost { node } => {
                for call in self.cx.pending.take_calls_to(node) {
                    self.handle_lost(now, &call);
                }
            }
            Input::Loaded { ticket, result } => self.handle_loaded(now, ticket, result),
            Input::Changed { ticket, key, before, after } => {
                self.handle_changed(ticket, &key, before, after);
            }
            Input::Applied { ticket, result } => self.handle_applied(now, ticket, result),
            Input::Ranged { ticket, result } => self.handle_ranged(now, ticket, result),
            Input::Surveyed { ticket, result } => self.handle_surveyed(now, ticket, result),
            Input::HintPage { ticket, result } => self.handle_hint_page(now, ticket, result),
            Input::HintTotals(all) => {
                for (target, totals) in all {
                    self.handle_hint_totals(now, target, totals);
                }
            }
            Input::Mended { key } => self.handle_mended(&key),
            Input::CopyAtHand => self.handle_copy_at_hand(),
            Input::Recalled(recalled) => self.handle_recalled(now, recalled),
            Input::Believe => self.handle_believe(),
            Input::VotesKept { kept } => self.cx.handle_votes_kept(kept),
            Input::Repair { partition } => self.handle_repair(partition),
            Input::SetBackground(change) => self.handle_background_change(now, change),
            Input::Timeout => self.handle_timeout(now),
        }
        self.run_background(now);
    }

    /// Returns the next effect, in the order in which effects have to be carried out; `None` if there are no more.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.cx.poll_output()
    }

    /// Returns the time to give [`Input::Timeout`] at, in microseconds on the monotonic clock; `None` if nothing waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        // Without a layout the background does nothing.
        let has_layout = self.cx.view.as_ref().is_some_and(|view| view.layout_version() > 0);
        let own = self.background.poll_timeout().filter(|_| has_layout);
        let again = self.deferred.first_key_value().map(|((due_us, _), _)| *due_us);
        [self.timers.next(), self.cx.pending.next_expiry(), again, own].into_iter().flatten().min()
    }

    /// Returns the number of requests under way, those included that are answered and still repair replicas.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.len()
    }

    pub(crate) fn start(&mut self, now: Now, asker: Asker, request: ClientRequest) {
        match request {
            ClientRequest::Get(get) => self.start_get(now, asker, get),
            ClientRequest::Put(put) => self.start_put(now, asker, put),
            ClientRequest::Scan(scan) => self.start_scan(now, asker, scan),
            ClientRequest::Admin(AdminRequest::Explain { key }) => {
                self.start_explain(now, asker, key);
            }
            ClientRequest::Topology | ClientRequest::Admin(_) => {
                let why = "a replica answers gets, puts, scans and explanations only";
                self.cx.refuse(asker, Failure::new(ErrorCode::Internal, why));
            }
        }
    }

    fn handle_answer(&mut self, now: Now, from: NodeId, id: u64, response: PeerResponse) {
        let Some(mut call) = self.cx.pending.take_call(id, from) else { return };
        self.cx.emit(Output::Outcome { node: from, answered: true });
        if let PeerResponse::Refused(failure) = &response {
            let Some(refused) = self.handle_refused(now, call, failure.code) else { return };
            call = refused;
        }
        let took_us = now.mono_us.saturating_sub(call.sent_us);
        match response {
            PeerResponse::Read(_) | PeerResponse::Same | PeerResponse::Unknown { .. } => {
                self.read_latency.add(took_us);
            }
            PeerResponse::Written => self.write_latency.add(took_us),
            _ => {}
        }
        let Caller { operation: id, request: to } = match call.purpose {
            Purpose::Operation(caller) => caller,
            Purpose::Delivery { key, pair } => {
                return self.handle_delivery_answer(now, from, (&key, pair), response);
            }
            Purpose::Exchange { id, step: ExchangeStep::Vote } => {
                return self.hear_vote(id, &response);
            }
            Purpose::Recall(partition) => return self.handle_recall_list(partition, response),
            Purpose::Exchange { id, step } => {
                return self.handle_exchange_answer(now, id, step, response);
            }
            Purpose::Candidate(key) => return self.handle_comparison(now, from, &key, &response),
            Purpose::Base(key) => return self.handle_base(from, &key, response),
            Purpose::Nobody => return,
        };
        match self.operations.get_mut(&id) {
            Some(Operation::Put(put)) => put.handle_answer(now, to, call.durability, &response),
            Some(Operation::Get(get)) => get.handle_answer(now, to, response),
            Some(Operation::Scan(scan)) => scan.handle_answer(from, response),
            Some(Operation::Forward(forward)) => forward.handle_answer(response),
            Some(Operation::Explain(explain)) => explain.handle_answer(from, response),
            Some(Operation::Waiting(_)) | None => return,
        }
        self.drive(now, id);
    }

    /// Handles a call that will not be answered: the peer is lost or the time is up.
    pub(crate) fn handle_lost(&mut self, now: Now, call: &PeerCall) {
        self.cx.emit(Output::Outcome { node: call.node, answered: false });
        let Caller { operation: id, request } = match &call.purpose {
            Purpose::Operation(caller) => *caller,
            Purpose::Delivery { key, .. } => return self.handle_delivery_lost(now, call.node, key),
            Purpose::Recall(partition) => return self.end_recall(*partition),
            Purpose::Exchange { id, .. } => return self.handle_exchange_lost(*id, call),
            Purpose::Candidate(key) => return self.background.collector.failed(now.mono_us, key),
            Purpose::Base(key) => return self.handle_base_lost(call.node, key),
            Purpose::Nobody => return,
        };
        match self.operations.get_mut(&id) {
            Some(Operation::Put(put)) => {
                put.machine.handle_failure(now.mono_us, request, Cause::Lost);
            }
            Some(Operation::Get(get)) => get.machine.handle_failure(now.mono_us, request),
            Some(Operation::Scan(scan)) => scan.machine.handle_failure(call.node),
            Some(Operation::Forward(forward)) => forward.handle_lost(),
            Some(Operation::Explain(explain)) => explain.handle_lost(call.node),
            Some(Operation::Waiting(_)) | None => return,
        }
        self.drive(now, id);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.ask_again(now);
        while let Some(call) = self.cx.pending.take_expired(now.mono_us) {
            self.handle_lost(now, &call);
        }
        while let Some(id) = self.timers.pop_due(now.mono_us) {
            match self.operations.get_mut(&id) {
                Some(Operation::Waiting(_)) => self.give_up_waiting(id),
                Some(Operation::Put(put)) => put.machine.handle_timeout(now.mono_us),
                Some(Operation::Get(get)) => get.machine.handle_timeout(now.mono_us),
                Some(Operation::Scan(scan)) => scan.machine.handle_timeout(now.mono_us),
                Some(Operation::Forward(forward)) => forward.handle_timeout(now),
                Some(Operation::Explain(explain)) => explain.handle_timeout(),
                None => continue,
            }
            self.drive(now, id);
        }
    }

    /// Registers an operation and carries out its first effects.
    pub(crate) fn run(&mut self, now: Now, operation: Operation) {
        let id = self.cx.pending.operation();
        self.operations.insert(id, operation);
        self.drive(now, id);
    }

    /// Cancels an operation's timer.
    pub(crate) fn sleep(&mut self, id: OperationId) {
        self.timers.set(id, None);
    }

    /// Carries out an operation's effects, and keeps it unless it is done.
    pub(crate) fn drive(&mut self, now: Now, id: OperationId) {
        let Some(operation) = self.operations.remove(&id) else { return };
        let (operation, wake_us) = match operation {
            Operation::Put(put) => self.drive_put(now, id, put),
            Operation::Get(get) => self.drive_get(now, id, get),
            Operation::Scan(scan) => self.drive_scan(now, id, scan),
            Operation::Forward(forward) => self.drive_forward(now, id, forward),
            Operation::Explain(explain) => self.drive_explain(explain),
            Operation::Waiting(put) => {
                let wake_us = put.deadline_us();
                (Some(Operation::Waiting(put)), Some(wake_us))
            }
        };
        self.timers.set(id, wake_us.filter(|_| operation.is_some()));
        if let Some(operation) = operation {
            self.operations.insert(id, operation);
        }
    }
}
