//! What a door of a node knows of it: one client's request in, one answer out.
//!
//! A door is a way in for programs that don't speak Jedlik's own protocol, such as HTTP. It knows nothing of shards,
//! peers or QUIC: whatever it is asked, it turns into requests of [`jedlik_protocol::client`] and hands them to a
//! [`Node`]. So deadlines, backpressure, rights and errors mean the same at every door. What doors have in common besides
//! is here too: how many [`Connections`] there may be, and the [`Room`] for what waits.
//!
//! Invariant: a request is answered exactly once, or withdrawn by dropping its future.

mod caller;
mod calls;
mod connections;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod guard;
pub mod listing;
mod measures;
pub mod requests;
mod room;
mod stream;

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_protocol::TraceContext;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};

pub use caller::{Caller, Token};
pub use calls::{Calls, Kind};
pub use connections::{Connections, Place, UnderWay};
pub use guard::{Access, DoorName, Guard, Handshaking, Reason, Refused, Secured, Tls};
pub use listing::unexpected;
pub use measures::{DoorMeasures, Measures, RequestMeasures};
pub use room::{Held, Room};
pub use stream::{Io, Stream};

/// Node behind a door.
pub trait Node: Send + Sync + 'static {
    /// Carries out a request. It is coordinated here, or passed on to an owner of its key, as any client's is. Dropping
    /// the future withdraws the request, which may take effect all the same.
    fn ask(&self, caller: &Caller, request: ClientRequest) -> Answering;

    /// Carries out a request as [`Self::ask`] does, for a client that says which trace it belongs to.
    fn ask_traced(
        &self,
        caller: &Caller,
        request: ClientRequest,
        trace: Option<TraceContext>,
    ) -> Answering {
        let _untraced = trace;
        self.ask(caller, request)
    }

    /// Asks a member of the cluster, this node or another one, what it reports of itself.
    fn ask_member(&self, caller: &Caller, member: NodeId, request: AdminRequest) -> Answering;

    /// Whether a token is known, has the right secret, and is in force.
    fn knows(&self, token: &Token) -> bool;

    /// Tells how far the node is with serving.
    fn phase(&self) -> Phase;

    /// Counts a request that the door for Riak's Protocol Buffers clients has answered after so long: carried out, or
    /// refused with an error.
    fn count_riak_pb(&self, _kind: Kind, _refused: bool, _took: Duration) {}

    /// Notes that a door has refused a client, or a request of it.
    fn refused(&self, _door: DoorName, _reason: Reason, _from: SocketAddr) {}

    /// Reads what the node measures for those who watch it; nothing of a shard that can't answer.
    fn measures(&self) -> Measuring {
        Box::pin(ready(Measures::default()))
    }
}

/// Future of a node's measurements.
pub type Measuring = Pin<Box<dyn Future<Output = Measures> + Send>>;

/// Future of an answer.
pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Answer to a request, with the room that it takes until it has been passed on.
#[derive(Debug)]
pub struct Answer {
    /// The response that the node gives.
    pub response: ClientResponse,
    /// Room that the answer takes; to be dropped once the answer has left.
    pub held: Held,
}

impl From<ClientResponse> for Answer {
    fn from(response: ClientResponse) -> Self {
        Self { response, held: Held::default() }
    }
}

/// Phase of a node's life, as far as a door has to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The node does not take requests yet.
    Starting,
    /// The node takes requests.
    Serving,
    /// The node takes no requests for data, because an admin wants it so.
    Drained,
    /// The node takes no new requests.
    Stopping,
}
