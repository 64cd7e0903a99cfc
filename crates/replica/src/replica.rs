//! The replica itself: dispatches inputs, drives machines, keeps their deadlines.

use core::slice;

use jedlik_hashing::NodeId;
use jedlik_protocol::Now;
use jedlik_protocol::peer::PeerResponse;

use crate::background::Background;
use crate::config::Config;
use crate::cx::{Cx, Fact};
use crate::io::{Input, Output};
use crate::operations::Operations;
use crate::pending::{Asker, ExchangeStep, PeerCall, Purpose};
use crate::serve::Arrival;

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
        match input {
            Input::View(view) => self.handle_view(now, &view),
            Input::Client { reply, request } => {
                self.operations.start(&mut self.cx, Asker::Client(reply), request);
            }
            Input::Withdrawn { reply } => self.operations.handle_withdrawn(reply),
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
        self.hear_facts();
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
        let dues = [self.operations.poll_timeout(), self.cx.pending.next_expiry(), own];
        dues.into_iter().flatten().min()
    }

    /// Returns the number of requests under way, those included that are answered and still repair replicas.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations.by_id.len()
    }

    fn handle_answer(&mut self, now: Now, from: NodeId, id: u64, response: PeerResponse) {
        let Some(mut call) = self.cx.pending.take_call(id, from) else { return };
        self.cx.emit(Output::Outcome { node: from, answered: true });
        if let PeerResponse::Refused(failure) = &response {
            let refused = self.operations.handle_refused(&mut self.cx, call, failure.code);
            let Some(refused) = refused else { return };
            call = refused;
        }
        self.operations.note_latency(now.mono_us.saturating_sub(call.sent_us), &response);
        match call.purpose {
            Purpose::Operation(caller) => {
                let who = (from, call.durability);
                self.operations.handle_answer(&mut self.cx, who, caller, response);
            }
            Purpose::Delivery { key, pair } => {
                self.handle_delivery_answer(now, from, (&key, pair), response);
            }
            Purpose::Exchange { id, step: ExchangeStep::Vote } => self.hear_vote(id, &response),
            Purpose::Recall(partition) => self.handle_recall_list(partition, response),
            Purpose::Exchange { id, step } => self.handle_exchange_answer(now, id, step, response),
            Purpose::Candidate(key) => self.handle_comparison(now, from, &key, &response),
            Purpose::Base(key) => {
                self.operations.handle_base(&mut self.cx, from, &key, response);
            }
            Purpose::Nobody => {}
        }
    }

    /// Handles a call that will not be answered: the peer is lost or the time is up.
    pub(crate) fn handle_lost(&mut self, now: Now, call: &PeerCall) {
        self.cx.emit(Output::Outcome { node: call.node, answered: false });
        match &call.purpose {
            Purpose::Operation(caller) => {
                self.operations.handle_lost(&mut self.cx, call.node, *caller);
            }
            Purpose::Delivery { key, .. } => self.handle_delivery_lost(now, call.node, key),
            Purpose::Recall(partition) => self.end_recall(*partition),
            Purpose::Exchange { id, .. } => self.handle_exchange_lost(*id, call),
            Purpose::Candidate(key) => self.background.collector.failed(now.mono_us, key),
            Purpose::Base(key) => {
                self.operations.handle_base_lost(&mut self.cx, call.node, key);
            }
            Purpose::Nobody => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        self.operations.ask_again(&mut self.cx);
        while let Some(call) = self.cx.pending.take_expired(now.mono_us) {
            self.handle_lost(now, &call);
        }
        self.operations.handle_timeout(&mut self.cx);
    }

    /// Tells the parts that they are about what has happened to others.
    fn hear_facts(&mut self) {
        while let Some(fact) = self.cx.next_fact() {
            match fact {
                Fact::Answered { kind, started_us } => {
                    self.background.observe(self.cx.now, kind, started_us);
                }
                Fact::MayBeForgotten { key, due_us } => {
                    self.background.collector.notice(&key, due_us);
                }
                Fact::Damaged(key) => self.background.trees.note_damage(slice::from_ref(&key)),
            }
        }
    }
}
