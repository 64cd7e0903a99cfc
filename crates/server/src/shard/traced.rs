//! Spans of what a shard does for traced requests: its calls to peers, its reads, and its waits for the journal.
//!
//! Invariant: a span ends with the answer to what it is of, or once none comes any more. Without a tracer nothing is
//! looked up.

use std::collections::{HashMap, VecDeque};

use jedlik_hashing::NodeId;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Durability, TraceContext};
use jedlik_replica::Replica;
use jedlik_traces::{Kind, OpenSpan, Tracer};

use super::ShardDriver;
use crate::spans;

/// Number of traced requests that are remembered, answered ones too: a put's hints may come after its answer.
const REQUESTS_MAX: usize = 1_024;
/// Most spans that are open at a time; what is past them has none.
const OPEN_MAX: usize = 4_096;

/// Spans of one shard.
#[derive(Default)]
pub(super) struct ShardSpans {
    tracer: Option<Tracer>,
    /// Contexts of the traced requests, by their handles, and these in the order in which they came.
    requests: HashMap<u64, TraceContext>,
    order: VecDeque<u64>,
    calls: HashMap<u64, (NodeId, OpenSpan)>,
    writes: HashMap<u64, OpenSpan>,
}

impl ShardSpans {
    pub(super) fn new(tracer: Option<Tracer>) -> Self {
        Self { tracer, ..Self::default() }
    }

    /// Remembers a request that the shard begins with, if it is traced.
    pub(super) fn begin(&mut self, reply: u64, trace: Option<TraceContext>) {
        let Some(trace) = trace else { return };
        if self.order.len() == REQUESTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.requests.remove(&oldest);
        }
        self.order.push_back(reply);
        self.requests.insert(reply, trace);
    }

    /// Begins the span of something that a replica does, if that is for a traced request.
    pub(super) fn child(&self, replica: &Replica, id: u64, kind: Kind) -> Option<OpenSpan> {
        if self.requests.is_empty() || self.calls.len() + self.writes.len() >= OPEN_MAX {
            return None;
        }
        let tracer = self.tracer.as_ref()?;
        let reply = replica.served_by(id, |reply| self.requests.contains_key(&reply))?;
        tracer.child(&self.requests[&reply], kind)
    }

    /// Ends the span of a call that a peer has answered, or that could not be sent.
    pub(super) fn answered(&mut self, id: u64, response: &PeerResponse) {
        if self.calls.is_empty() {
            return;
        }
        if let Some((_, mut span)) = self.calls.remove(&id) {
            spans::answered_peer(&mut span, response);
            span.end();
        }
    }

    /// Ends the spans of the calls to a node that get no answer.
    fn lost(&mut self, node: NodeId, awaits: impl Fn(u64) -> bool) {
        let lost = self.calls.extract_if(|id, (to, _)| *to == node && !awaits(*id));
        for (_, (_, mut span)) in lost {
            span.fail("Lost");
            span.end();
        }
    }

    /// Ends the wait of a write for the journal.
    pub(super) fn written(&mut self, ticket: u64, failed: bool) {
        if self.writes.is_empty() {
            return;
        }
        if let Some(mut span) = self.writes.remove(&ticket) {
            if failed {
                span.fail("Storage");
            }
            span.end();
        }
    }
}

impl ShardDriver {
    /// Begins the span of a call to a peer, and returns the context that goes with the call.
    pub(super) fn trace_call(
        &mut self,
        (to, id): (NodeId, u64),
        request: &PeerRequest,
    ) -> Option<Box<TraceContext>> {
        let mut span = self.spans.child(&self.replica, id, Kind::Client)?;
        spans::describe_peer(&mut span, request);
        span.text("jedlik.peer", &to.to_string());
        let context = span.context();
        self.spans.calls.insert(id, (to, span));
        Some(Box::new(context))
    }

    /// Begins the span of a write's wait for the journal.
    pub(super) fn trace_write(&mut self, ticket: u64, durability: Durability) {
        let span = self.spans.child(&self.replica, ticket, Kind::Internal);
        let Some(mut span) = span else { return };
        span.name("journal");
        spans::describe_durability(&mut span, durability);
        self.spans.writes.insert(ticket, span);
    }

    /// Ends the spans of the calls to a node that its replica has given up.
    pub(super) fn end_lost_calls(&mut self, node: NodeId) {
        let replica = &self.replica;
        self.spans.lost(node, |id| replica.awaits(id));
    }
}
