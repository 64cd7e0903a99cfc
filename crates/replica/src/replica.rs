//! The replica itself: a router, which gives each input to the part that it is for.
//!
//! Invariant: what a part tells is heard before another input, and before another step of background work.

use alloc::sync::Arc;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_protocol::Now;
use jedlik_protocol::peer::PeerResponse;

use crate::background::Background;
use crate::config::Config;
use crate::cx::Cx;
use crate::io::{Input, Output};
use crate::operations::Operations;
use crate::pending::{Asker, ExchangeStep, PeerCall, Purpose};
use crate::serve::Arrival;

/// Most steps of one turn; between turns the foreground is served.
const STEPS_A_TURN: usize = 16;

/// Protocol logic of one shard: inputs in, outputs out, without clock, disk or network.
#[derive(Debug)]
pub struct Replica {
    pub(crate) cx: Cx,
    pub(crate) operations: Operations,
    pub(crate) background: Background,
}

impl Replica {
    /// Creates a replica without a view. It refuses requests until it is given a view with a layout.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            background: Background::new(config.tuning),
            cx: Cx::new(config),
            operations: Operations::new(),
        }
    }

    /// Handles one input at the time `now`; its effects are then polled by [`Self::poll_output`].
    pub fn handle(&mut self, now: Now, input: Input) {
        self.cx.begin(now);
        self.dispatch(input);
        self.hear_facts();
        self.run_background();
    }

    /// Takes as many steps of background work as the budget and the turn allow.
    fn run_background(&mut self) {
        let view = self.cx.view.clone().filter(|view| view.layout_version() > 0);
        let Some(view) = view else { return };
        self.background.begin_turn(&mut self.cx);
        for _ in 0..STEPS_A_TURN {
            if !self.background.step(&mut self.cx, &view) {
                return;
            }
            self.hear_facts();
        }
        self.background.schedule.go_on(self.cx.now.mono_us);
    }

    fn dispatch(&mut self, input: Input) {
        let Self { cx, operations, background } = self;
        match input {
            Input::View(view) => self.handle_view(&view),
            Input::Client { reply, request } => {
                operations.start(cx, Asker::Client(reply), request);
            }
            Input::Withdrawn { reply } => operations.handle_withdrawn(reply),
            Input::Peer { from, reply, terms, request } => {
                self.serve(&Arrival { from, reply, terms }, request);
            }
            Input::PeerAnswer { from, id, stamp, response } => {
                cx.message_age.note_clock(from, stamp.clock);
                let response = cx.heeded(from, stamp.life, response);
                self.handle_answer(from, id, response);
            }
            Input::PeerLost { node } => {
                for call in cx.pending.take_calls_to(node) {
                    self.handle_lost(&call);
                }
            }
            Input::Loaded { ticket, result } => self.handle_loaded(ticket, result),
            Input::Changed { ticket, key, before, after } => {
                self.handle_changed(ticket, &key, before, after);
            }
            Input::Applied { ticket, result } => self.handle_applied(ticket, result),
            Input::Ranged { ticket, result } => self.handle_ranged(ticket, result),
            Input::Surveyed { ticket, result } => {
                background.transfers.handle_surveyed(cx, ticket, result);
            }
            Input::HintPage { ticket, result } => {
                background.hints.handle_hint_page(cx, ticket, result);
            }
            Input::HintTotals(all) => {
                for (target, totals) in all {
                    background.hints.handle_hint_totals(cx, target, totals);
                }
            }
            Input::Mended { key } => {
                let Background { transfers, exchanges, .. } = background;
                transfers.handle_mended(cx, &mut exchanges.trees, &key);
            }
            Input::CopyAtHand => background.transfers.handle_copy_at_hand(),
            Input::Recalled(recalled) => background.transfers.handle_recalled(cx, recalled),
            Input::Believe => background.transfers.handle_believe(cx),
            Input::VotesKept { kept } => cx.handle_votes_kept(kept),
            Input::Repair { partition } => {
                let Background { repairs, transfers, .. } = background;
                repairs.handle_repair(partition, &transfers.owned);
            }
            Input::SetBackground(change) => {
                background.schedule.handle_change(cx.now.mono_us, change);
            }
            Input::Timeout => self.handle_timeout(),
        }
    }

    /// Takes over a new view: which nodes are back, and what this shard owns.
    fn handle_view(&mut self, view: &Arc<View>) {
        let before = self.cx.view.replace(Arc::clone(view));
        self.background.schedule.handle_view(view);
        self.operations.nearness.retain(|node| view.member(node).is_some());
        self.background.hints.handle_view(&self.cx, view);
        if view.layout_version() == 0 {
            return;
        }
        let before = before.filter(|before| before.layout_version() > 0);
        self.background.transfers.follow_votes(&mut self.cx, before.as_deref(), view);
        self.background.hints.release_hints_for_others(&mut self.cx, view);
        let another = before.as_ref().is_some_and(|before| before.lacks_layout_of(view));
        if before.as_ref().is_none_or(|before| !before.has_owners_of(view)) {
            self.background.follow_owners(&mut self.cx, before.as_deref(), view);
        }
        if another {
            self.operations.restart(&mut self.cx);
        }
        let Some(before) = before else { return };
        let back = view.members().map(|member| member.node);
        let back = back.filter(|node| view.is_alive(*node) && !before.is_alive(*node));
        let Background { repairs, transfers, .. } = &mut self.background;
        for node in back {
            repairs.compare_with(node, &transfers.owned, view);
        }
        self.background.transfers.wake_all();
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
        let dues = [self.operations.poll_timeout(), self.cx.pending.next_expiry(), own];
        dues.into_iter().flatten().min()
    }

    /// Returns the number of requests under way, those included that are answered and still repair replicas.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.by_id.len()
    }

    fn handle_answer(&mut self, from: NodeId, id: u64, response: PeerResponse) {
        let Self { cx, operations, background } = self;
        let Some(mut call) = cx.pending.take_call(id, from) else { return };
        cx.emit(Output::Outcome { node: from, answered: true });
        if let PeerResponse::Refused(failure) = &response {
            let refused = operations.handle_refused(cx, call, failure.code);
            let Some(refused) = refused else { return };
            call = refused;
        }
        operations.note_latency(cx, &call, &response);
        match call.purpose {
            Purpose::Operation(caller) => {
                let who = (from, call.durability);
                operations.handle_answer(cx, who, caller, response);
            }
            Purpose::Delivery { key, pair } => {
                let Background { hints, exchanges, .. } = background;
                let clashes = &mut exchanges.clashes;
                hints.handle_delivery_answer(cx, from, (&key, pair), response, clashes);
            }
            Purpose::Exchange { id, step: ExchangeStep::Vote } => {
                background.exchanges.handle_vote(id, Some(&response));
            }
            Purpose::Recall(partition) => {
                background.transfers.handle_recall_list(cx, partition, response);
            }
            Purpose::Exchange { id, step } => {
                let Background { exchanges, transfers, .. } = background;
                let is_inbound = |partition| transfers.inbound.contains_key(&partition);
                exchanges.handle_answer(cx, (id, step), response, is_inbound);
            }
            Purpose::Candidate(key) => {
                background.collector.handle_comparison(cx, from, &key, &response);
            }
            Purpose::Base(key) => {
                operations.handle_base(cx, from, &key, response);
            }
            Purpose::Nobody => {}
        }
    }

    /// Handles a call that will not be answered: the peer is lost or the time is up.
    pub(crate) fn handle_lost(&mut self, call: &PeerCall) {
        let Self { cx, operations, background } = self;
        cx.emit(Output::Outcome { node: call.node, answered: false });
        match &call.purpose {
            Purpose::Operation(caller) => {
                operations.handle_lost(cx, call.node, *caller);
            }
            Purpose::Delivery { key, .. } => {
                background.hints.handle_delivery_lost(cx, call.node, key);
            }
            Purpose::Recall(partition) => background.transfers.end_recall(*partition),
            Purpose::Exchange { id, .. } => background.exchanges.handle_lost(*id, call),
            Purpose::Candidate(key) => background.collector.failed(cx.now.mono_us, key),
            Purpose::Base(key) => {
                operations.handle_base_lost(cx, call.node, key);
            }
            Purpose::Nobody => {}
        }
    }

    fn handle_timeout(&mut self) {
        self.operations.ask_again(&mut self.cx);
        while let Some(call) = self.cx.pending.take_expired(self.cx.now.mono_us) {
            self.handle_lost(&call);
        }
        self.operations.handle_timeout(&mut self.cx);
    }

    /// Tells the parts what has happened in others.
    fn hear_facts(&mut self) {
        let Self { cx, background, .. } = self;
        while let Some(fact) = cx.next_fact() {
            background.hear(cx.now.mono_us, fact);
        }
    }
}
