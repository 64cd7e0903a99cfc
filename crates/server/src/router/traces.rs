//! Spans of requests, which begin where these come in and end with their answers.
//!
//! Invariant: a request that is not traced has no span, and a node without a tracer makes none.

use jedlik_hashing::NodeId;
use jedlik_protocol::Terms;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::peer::PeerRequest;

use super::Router;
use crate::reply::Origin;
use crate::spans;

impl Router {
    /// Begins the span of a client's request, if that is traced.
    pub(super) fn begin_client_span(&self, origin: Origin, request: &ClientRequest) -> Origin {
        let Some(tracer) = &self.tracer else { return origin };
        if !spans::is_traced(request) {
            return origin;
        }
        let span = tracer.begin(origin.client_trace());
        let span = span.map(|mut span| {
            spans::describe_client(&mut span, request);
            origin.describe(&mut span);
            span
        });
        origin.traced(span)
    }

    /// Begins the span of a peer's request, if that is traced.
    pub(super) fn begin_peer_span(
        &self,
        origin: Origin,
        from: NodeId,
        (terms, request): (&Terms, &PeerRequest),
    ) -> Origin {
        let (Some(tracer), Some(trace)) = (&self.tracer, &terms.trace) else { return origin };
        let span = tracer.join(trace).map(|mut span| {
            match request {
                PeerRequest::Forward(request) => spans::describe_client(&mut span, request),
                request => spans::describe_peer(&mut span, request),
            }
            span.text("jedlik.peer", &from.to_string());
            origin.describe(&mut span);
            span
        });
        origin.traced(span)
    }
}
