//! Trace that a client says its request belongs to, by the header `traceparent` of W3C Trace Context.
//!
//! Invariant: a header that names no trace is as good as none, as the standard demands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use jedlik_door::{Answering, Caller, DoorName, Kind, Measuring, Node, Phase, Reason, Token};
use jedlik_hashing::NodeId;
use jedlik_protocol::TraceContext;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::ClientRequest;

const TRACEPARENT: &str = "traceparent";

/// Returns the trace that the headers name; `None` if they name none, or several.
pub(crate) fn trace(headers: &HeaderMap) -> Option<TraceContext> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let (value, another) = (values.next()?, values.next());
    if another.is_some() { None } else { TraceContext::from_header(value.as_bytes()) }
}

/// Node for the requests of one trace.
pub(crate) struct Traced {
    node: Arc<dyn Node>,
    trace: TraceContext,
}

impl Traced {
    /// Returns the node for requests of this trace.
    pub(crate) fn of(node: &Arc<dyn Node>, trace: TraceContext) -> Arc<dyn Node> {
        Arc::new(Self { node: Arc::clone(node), trace })
    }
}

impl Node for Traced {
    fn ask(&self, caller: &Caller, request: ClientRequest) -> Answering {
        self.node.ask_traced(caller, request, Some(self.trace))
    }

    fn ask_member(&self, caller: &Caller, member: NodeId, request: AdminRequest) -> Answering {
        self.node.ask_member(caller, member, request)
    }

    fn knows(&self, token: &Token) -> bool {
        self.node.knows(token)
    }

    fn refused(&self, door: DoorName, reason: Reason, from: SocketAddr) {
        self.node.refused(door, reason, from);
    }

    fn count_riak_pb(&self, kind: Kind, refused: bool, took: Duration) {
        self.node.count_riak_pb(kind, refused, took);
    }

    fn phase(&self) -> Phase {
        self.node.phase()
    }

    fn measures(&self) -> Measuring {
        self.node.measures()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::{TRACEPARENT, trace};

    const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01";

    #[test]
    fn one_header_names_a_trace_and_none_or_two_name_none() {
        for (headers, named) in [
            (&[ONE][..], Some(ONE)),
            (&[], None),
            (&["nonsense"], None),
            (&["\u{e9}"], None),
            (&[ONE, OTHER], None),
            (&[ONE, ONE], None),
        ] {
            let mut map = HeaderMap::new();
            for value in headers {
                map.append(TRACEPARENT, value.parse().unwrap());
            }
            assert_eq!(trace(&map).map(|trace| trace.header()).as_deref(), named, "{headers:?}");
        }
    }
}
