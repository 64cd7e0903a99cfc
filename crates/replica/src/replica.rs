//! The replica itself: dispatches inputs, drives machines, keeps their deadlines.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_coordinator::{Cause, ListedNode};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Durability, Key, LayoutId, Now, PlacedKey, Terms};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::Counter;
use crate::background::Background;
use crate::config::Config;
use crate::explain::ExplainOperation;
use crate::forward::ForwardOperation;
use crate::get::GetOperation;
use crate::io::{Input, Output};
use crate::latency::LatencyEstimate;
use crate::message_age::MessageAge;
use crate::patience::answer_limit_us;
use crate::pending::{Asker, Caller, ExchangeStep, OperationId, PeerCall, Pending, Purpose};
use crate::put::{KeyQueue, PutOperation, WaitingPut};
use crate::scan::ScanOperation;
use crate::serve::Arrival;
use crate::timers::Timers;
use crate::votes::Votes;

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
    pub(crate) config: Config,
    pub(crate) view: Option<Arc<View>>,
    pub(crate) random: ChaCha8Rng,
    pub(crate) pending: Pending,
    pub(crate) operations: BTreeMap<OperationId, Operation>,
    /// Queues of puts by key: those that wait, and those under way.
    pub(crate) minting: BTreeMap<PlacedKey, KeyQueue>,
    pub(crate) read_latency: LatencyEstimate,
    pub(crate) write_latency: LatencyEstimate,
    pub(crate) message_age: MessageAge,
    pub(crate) background: Background,
    /// This node's clock for messages at the present input; answers to peers carry it.
    pub(crate) clock: u64,
    /// Calls to nodes that did not know the layout, in the order in which they are repeated.
    pub(crate) deferred: BTreeMap<(u64, OperationId), PeerCall>,
    timers: Timers,
    /// Partitions for whose absent keys this shard can't vouch.
    pub(crate) votes: Votes,
    outputs: VecDeque<Output>,
}

impl Replica {
    /// Creates a replica without a view. It refuses requests until it is given a view with a layout.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            random: ChaCha8Rng::from_seed(config.random_seed),
            pending: Pending::new(config.shard),
            message_age: MessageAge::new(config.clock_start, config.tuning.message_life_us),
            background: Background::new(config.tuning),
            votes: Votes::restored(config.votes.as_deref()),
            config,
            view: None,
            operations: BTreeMap::new(),
            minting: BTreeMap::new(),
            read_latency: LatencyEstimate::new(),
            write_latency: LatencyEstimate::new(),
            clock: 0,
            deferred: BTreeMap::new(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Handles one input at the time `now`; its effects are then polled by [`Self::poll_output`].
    pub fn handle(&mut self, now: Now, input: Input) {
        self.clock = self.message_age.clock(now);
        match input {
            Input::View(view) => self.handle_view(now, &view),
            Input::Client { reply, request } => self.start(now, Asker::Client(reply), request),
            Input::Withdrawn { reply } => self.handle_withdrawn(reply),
            Input::Peer { from, reply, terms, request } => {
                self.serve(now, &Arrival { from, reply, terms }, request);
            }
            Input::PeerAnswer { from, id, stamp, response } => {
                self.message_age.note_clock(from, stamp.clock);
                let response = self.heeded(from, stamp.life, response);
                self.handle_answer(now, from, id, response);
            }
            Input::PeerLost { node } => {
                for call in self.pending.take_calls_to(node) {
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
            Input::VotesKept { kept } => self.handle_votes_kept(kept),
            Input::Repair { partition } => self.handle_repair(partition),
            Input::SetBackground(change) => self.handle_background_change(now, change),
            Input::Timeout => self.handle_timeout(now),
        }
        self.run_background(now);
    }

    /// Returns the next effect, in the order in which effects have to be carried out; `None` if there are no more.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the time to give [`Input::Timeout`] at, in microseconds on the monotonic clock; `None` if nothing waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        // Without a layout the background does nothing.
        let has_layout = self.view.as_ref().is_some_and(|view| view.layout_version() > 0);
        let own = self.background.poll_timeout().filter(|_| has_layout);
        let again = self.deferred.first_key_value().map(|((due_us, _), _)| *due_us);
        [self.timers.next(), self.pending.next_expiry(), again, own].into_iter().flatten().min()
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
                self.refuse(asker, Failure::new(ErrorCode::Internal, why));
            }
        }
    }

    fn handle_answer(&mut self, now: Now, from: NodeId, id: u64, response: PeerResponse) {
        let Some(mut call) = self.pending.take_call(id, from) else { return };
        self.emit(Output::Outcome { node: from, answered: true });
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
        self.emit(Output::Outcome { node: call.node, answered: false });
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
        while let Some(call) = self.pending.take_expired(now.mono_us) {
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
        let id = self.pending.operation();
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

    /// Sends a request to a peer, and keeps a copy to send again where an answer is awaited or state changes.
    pub(crate) fn call(&mut self, now: Now, node: NodeId, purpose: Purpose, request: PeerRequest) {
        // The peer may have begun a new life since it was heard, or was not heard for long; or it may not
        // know the layout yet.
        let waits = matches!(purpose, Purpose::Operation(_));
        let again = (waits || request.changes_state()).then(|| request.clone());
        self.ask(now, node, purpose, request, again);
    }

    pub(crate) fn ask(
        &mut self,
        now: Now,
        node: NodeId,
        purpose: Purpose,
        request: PeerRequest,
        again: Option<PeerRequest>,
    ) {
        let durability = match &request {
            PeerRequest::Write { durability, .. } | PeerRequest::Hint { durability, .. } => {
                *durability
            }
            _ => Durability::Buffered,
        };
        let record_limit_bytes = |key: &Key| {
            let view = self.view.as_ref();
            view.map_or(0, |view| view.bucket(key.bucket()).record_limit_bytes)
        };
        let limit_us = answer_limit_us(&purpose, &request, record_limit_bytes);
        let id = self.pending.call(PeerCall {
            node,
            purpose,
            durability,
            sent_us: now.mono_us,
            expires_us: now.mono_us + limit_us,
            again,
        });
        let layouts = self.view.as_ref().map(|view| view.active_layouts()).unwrap_or_default();
        let terms =
            Terms { life: self.life(), layouts, receiver_clock: self.message_age.clock_of(node) };
        self.emit(Output::Request { to: node, id, terms, request });
    }

    /// Returns the newest layout that this node knows; the default before the first view.
    pub(crate) fn layout(&self) -> LayoutId {
        self.view.as_ref().map_or(LayoutId::default(), |view| view.layout_id())
    }

    /// Returns the view if it has a layout, and otherwise the refusal for requests.
    pub(crate) fn ready(&self) -> Result<Arc<View>, Failure> {
        let view = self.view.as_ref().filter(|view| view.layout_version() > 0);
        view.cloned().ok_or_else(|| {
            let why = "the cluster has no layout yet: an admin makes one with `jedlik-admin \
                       cluster plan` and `jedlik-admin cluster commit`";
            Failure::new(ErrorCode::NotReady, why)
        })
    }

    /// Returns the active preference lists of a partition, the newest first, each split into its first `n`
    /// nodes and its fallbacks. This node comes first in either part that it is in.
    pub(crate) fn owner_sets(
        &self,
        view: &View,
        partition: Partition,
        n: u8,
    ) -> Vec<(Vec<ListedNode>, Vec<ListedNode>)> {
        let me = self.config.me;
        let target = |node: &NodeId| ListedNode { node: *node, alive: view.is_alive(*node) };
        let targets = |list: &[NodeId]| {
            let (primaries, fallbacks) = list.split_at(list.len().min(usize::from(n)));
            let mut primaries: Vec<ListedNode> = primaries.iter().map(target).collect();
            let mut fallbacks: Vec<ListedNode> = fallbacks.iter().map(target).collect();
            primaries.sort_by_key(|target| target.node != me);
            fallbacks.sort_by_key(|target| target.node != me);
            (primaries, fallbacks)
        };
        view.owner_lists(partition, n).into_iter().map(targets).collect()
    }

    pub(crate) fn answer(&mut self, asker: Asker, response: ClientResponse) {
        self.emit(match asker {
            Asker::Client(reply) => Output::AnswerClient { reply, response },
            Asker::Peer(reply) => {
                let response = PeerResponse::Forwarded(response);
                Output::AnswerPeer { reply, stamp: self.stamp(), response }
            }
        });
    }

    pub(crate) fn answer_peer(&mut self, reply: u64, response: PeerResponse) {
        self.emit(Output::AnswerPeer { reply, stamp: self.stamp(), response });
    }

    pub(crate) fn refuse(&mut self, asker: Asker, failure: Failure) {
        self.answer(asker, ClientResponse::Failed(failure));
    }

    pub(crate) fn count(&mut self, counter: Counter) {
        self.emit(Output::Count(counter));
    }

    pub(crate) fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}
