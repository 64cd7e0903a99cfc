//! The node as its doors know it: requests that come without a connection of the node's own protocol.
//!
//! Invariant: a door's request goes the way of any client's from the router on, and is withdrawn when its door no longer
//! waits for the answer.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use jedlik_door::{
    Answer, Answering, Caller, Calls, DoorMeasures, DoorName, Held, Kind, Measures, Measuring,
    Node, Phase, Reason, Room, Token,
};
use jedlik_hashing::NodeId;
use jedlik_net::limits::CLIENTS_QUEUE_BYTES;
use jedlik_net::{DoorTls, Endpoint, Role};
use jedlik_protocol::TraceContext;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::limits::SMALL_FRAME_BYTES;
use tokio::sync::oneshot;

use crate::access::Asker;
use crate::reply::{Origin, untaken};
use crate::router::{self, Router, not_ready};

/// Number that stands for all doors where others have that of their connection.
pub(crate) const DOORS: u64 = u64::MAX;

/// Request that came by a door, and the way of its answer.
pub(crate) struct DoorCall {
    id: u64,
    door: &'static str,
    caller: Caller,
    trace: Option<Box<TraceContext>>,
    room: Room,
    answer: oneshot::Sender<Answer>,
}

impl DoorCall {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the name of the door.
    pub(crate) fn door(&self) -> &'static str {
        self.door
    }

    /// Returns the trace that the client says its request belongs to.
    pub(crate) fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_deref()
    }

    /// Returns the role that lets the caller ask for whatever its rights allow: these are checked before.
    pub(crate) fn role(&self) -> Role {
        match &self.caller {
            Caller::Reader | Caller::Certificate(_) => Role::Client,
            Caller::Trusted | Caller::Token(_) => Role::Admin,
        }
    }

    /// Returns who asks, as far as it limits what may be asked.
    pub(crate) fn asker(&self) -> Asker {
        asker(&self.caller)
    }

    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.room.has(bytes)
    }

    /// Hands the answer, of so many bytes, to the door, unless answers that wait have taken the room for it.
    pub(crate) fn answer(self, length: usize, response: ClientResponse) {
        let held =
            if length > SMALL_FRAME_BYTES { self.room.take(length) } else { Some(Held::default()) };
        let answer = match held {
            Some(held) => Answer { response, held },
            None => ClientResponse::Failed(untaken()).into(),
        };
        // The door may no longer wait.
        let _gone = self.answer.send(answer);
    }
}

fn asker(caller: &Caller) -> Asker {
    match caller {
        Caller::Trusted | Caller::Reader => Asker::Trusted,
        Caller::Token(token) => Asker::Token(token.clone()),
        Caller::Certificate(name) => Asker::Certificate(name.to_string()),
    }
}

/// Node behind a door. Clones for other doors share everything but the door's name.
#[derive(Clone)]
pub(super) struct NodeOfDoors {
    door: &'static str,
    router: Arc<Router>,
    endpoint: Endpoint,
    /// Doors that there are, with their certificates.
    doors: Certified,
    room: Room,
    asked: Arc<AtomicU64>,
    /// Requests that the door for Riak's Protocol Buffers clients has answered.
    riak_pb: Arc<Calls>,
}

/// Doors that a node has, with their certificates.
pub(super) type Certified = Vec<(DoorName, Option<Arc<DoorTls>>)>;

impl NodeOfDoors {
    pub(super) fn new(router: Arc<Router>, endpoint: Endpoint, doors: Certified) -> Self {
        let (room, asked) = (Room::new(CLIENTS_QUEUE_BYTES), Arc::default());
        Self { door: "", router, endpoint, doors, room, asked, riak_pb: Arc::default() }
    }

    /// Returns the node as it is behind the door of that name.
    pub(super) fn behind(&self, door: DoorName) -> Arc<dyn Node> {
        Arc::new(Self { door: door.name(), ..self.clone() })
    }

    fn door_measures(&self) -> Vec<DoorMeasures> {
        let refusals = self.router.refusals();
        let of = |(door, tls): &(DoorName, Option<Arc<DoorTls>>)| DoorMeasures {
            door: door.name(),
            certificate_ends_s: tls.as_ref().and_then(|tls| tls.ends_s()),
            refusals: refusals.of_door(*door),
        };
        self.doors.iter().map(of).collect()
    }
}

impl Node for NodeOfDoors {
    fn ask(&self, caller: &Caller, request: ClientRequest) -> Answering {
        self.ask_traced(caller, request, None)
    }

    fn ask_traced(
        &self,
        caller: &Caller,
        request: ClientRequest,
        trace: Option<TraceContext>,
    ) -> Answering {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let (door, caller, room) = (self.door, caller.clone(), self.room.clone());
        let trace = trace.map(Box::new);
        let origin = Origin::door(DoorCall { id, door, caller, trace, room, answer });
        self.router.route_client(&self.router.view(), origin, request);
        self.router.attend(1);
        Box::pin(Waiting { answered, id, router: Some(Arc::clone(&self.router)) })
    }

    fn ask_member(&self, caller: &Caller, member: NodeId, request: AdminRequest) -> Answering {
        if member == self.router.view().me() {
            return self.ask(caller, ClientRequest::Admin(request));
        }
        // The other member takes this node's word for it.
        let asked = ClientRequest::Admin(request.clone());
        if let Err(failure) = self.router.permit(&self.router.view(), &asker(caller), &asked) {
            return Box::pin(async { ClientResponse::Failed(failure).into() });
        }
        let router = Arc::clone(&self.router);
        Box::pin(async move { router.ask_member(member, request).await.into() })
    }

    fn knows(&self, token: &Token) -> bool {
        self.router.knows_token(token)
    }

    fn refused(&self, door: DoorName, reason: Reason, from: SocketAddr) {
        self.router.refusals().add_at_door(door, reason, from);
    }

    fn phase(&self) -> Phase {
        match self.router.phase() {
            router::Phase::Starting => Phase::Starting,
            router::Phase::Serving if self.router.is_drained() => Phase::Drained,
            router::Phase::Serving => Phase::Serving,
            router::Phase::Stopping | router::Phase::Stopped => Phase::Stopping,
        }
    }

    fn count_riak_pb(&self, kind: Kind, refused: bool, took: Duration) {
        self.riak_pb.answered(kind, refused, took);
    }

    fn measures(&self) -> Measuring {
        let (reports, riak_pb) = (self.router.reports(), self.riak_pb.read());
        let (certificate_ends_s, doors) =
            (self.endpoint.credentials().ends_s(), self.door_measures());
        Box::pin(async move {
            Measures { certificate_ends_s, doors, riak_pb, ..reports.measures().await }
        })
    }
}

/// Answer that is waited for. Dropping it withdraws the request.
struct Waiting {
    answered: oneshot::Receiver<Answer>,
    id: u64,
    /// Router that is told of the withdrawal; `None` once the answer has come.
    router: Option<Arc<Router>>,
}

impl Future for Waiting {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let answered = Pin::new(&mut self.answered).poll(context);
        answered.map(|answer| {
            self.router = None;
            // A shard that ends lets go of what it has not answered.
            answer.unwrap_or_else(|_| ClientResponse::Failed(not_ready("is stopping")).into())
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(router) = &self.router {
            router.withdraw(DOORS, self.id);
        }
    }
}
