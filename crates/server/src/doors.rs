//! The node as its doors know it: requests that come without a connection of the node's own protocol.
//!
//! Invariant: a door's request goes the way of any client's from the router on, and is withdrawn when its door no longer
//! waits for the answer.

mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use jedlik_door::{
    Access, Answer, Answering, Caller, Calls, DoorMeasures, DoorName, Guard, Held, Kind, Measures,
    Measuring, Node, Phase, Reason, Room, Token,
};
use jedlik_hashing::NodeId;
use jedlik_net::limits::CLIENTS_QUEUE_BYTES;
use jedlik_net::{DoorTls, Endpoint, Role};
use jedlik_protocol::TraceContext;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::limits::SMALL_FRAME_BYTES;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::access::Asker;
use crate::config::{self, Door, Place};
use crate::descriptors;
use crate::error::NodeError;
use crate::reply::{Origin, untaken};
use crate::router::{self, Router, not_ready};
use crate::seeds;

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
struct NodeOfDoors {
    door: &'static str,
    router: Arc<Router>,
    endpoint: Endpoint,
    /// Doors that there are, with their certificates.
    doors: Vec<(DoorName, Option<Arc<DoorTls>>)>,
    room: Room,
    asked: Arc<AtomicU64>,
    /// Requests that the door for Riak's Protocol Buffers clients has answered.
    riak_pb: Arc<Calls>,
}

impl NodeOfDoors {
    /// Returns the node as it is behind the door of that name.
    fn behind(&self, door: DoorName) -> Arc<dyn Node> {
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

/// Protocols that the HTTP door offers within TLS.
const HTTP_PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Doors of a node that are open.
#[derive(Default)]
pub(crate) struct Doors {
    http: Option<OpenDoor>,
    riak_pb: Option<OpenDoor>,
    /// Task that keeps their certificates up to date; `None` if they have none.
    certificates: Option<JoinHandle<()>>,
}

/// Door that serves until it is closed.
struct OpenDoor {
    address: SocketAddr,
    close: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Doors {
    /// Opens the doors that are configured. They answer at once, and say that the node does not serve yet.
    pub(crate) async fn open(
        config: &config::Doors,
        name: &str,
        router: &Arc<Router>,
        endpoint: &Endpoint,
    ) -> Result<Self, NodeError> {
        let configured = [
            (DoorName::Http, &config.http, HTTP_PROTOCOLS),
            (DoorName::RiakPb, &config.riak_pb, &[]),
        ];
        let mut doors = Vec::new();
        for (door, config, protocols) in configured {
            let Some(config) = config else { continue };
            warn_if_insecure(door, config);
            doors.push((door, tls::load(config, protocols, endpoint).await?));
        }
        let descriptors = descriptors::raise().checked_div(doors.len() as u64).unwrap_or_default();
        let tls =
            |name| doors.iter().find(|(door, _)| *door == name).and_then(|(_, tls)| tls.as_ref());
        let guard = |name, door: &Door| tls::guard(door.access, tls(name));
        let node = NodeOfDoors {
            door: "",
            router: Arc::clone(router),
            endpoint: endpoint.clone(),
            doors: doors.clone(),
            room: Room::new(CLIENTS_QUEUE_BYTES),
            asked: Arc::default(),
            riak_pb: Arc::default(),
        };
        let http = match &config.http {
            Some(door) => {
                let guard = guard(DoorName::Http, door);
                let node = node.behind(DoorName::Http);
                Some(open_http(&door.listen, guard, node, descriptors).await?)
            }
            None => None,
        };
        let riak_pb = match &config.riak_pb {
            Some(door) => {
                let guard = guard(DoorName::RiakPb, door);
                let node = node.behind(DoorName::RiakPb);
                Some(open_riak_pb(&door.listen, guard, (name, node), descriptors).await?)
            }
            None => None,
        };
        let kept = doors.into_iter().filter_map(|(door, tls)| Some((door.name(), tls?)));
        let kept: Vec<_> = kept.collect();
        let certificates = (!kept.is_empty()).then(|| tls::keep(kept, endpoint.clone()));
        Ok(Self { http, riak_pb, certificates })
    }

    /// Returns the address of the HTTP door, with the port that the system chose; `None` if there is none.
    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|door| door.address)
    }

    /// Returns the address of the door for Riak's Protocol Buffers clients, with the port that the system chose; `None`
    /// if there is none.
    pub(crate) fn riak_pb(&self) -> Option<SocketAddr> {
        self.riak_pb.as_ref().map(|door| door.address)
    }

    /// Closes the doors once what came by them is answered, or the time for that is over.
    pub(crate) async fn close(self) {
        tokio::join!(close(self.http), close(self.riak_pb));
        if let Some(certificates) = self.certificates {
            certificates.abort();
        }
    }
}

/// Says what an operator has allowed in as many words, at every start.
fn warn_if_insecure(name: DoorName, door: &Door) {
    if door.insecure {
        warn!(
            door = name.name(),
            place = %door.listen,
            tls = door.tls.is_some(),
            asks_for_tokens = door.access == Access::Tokens,
            "other machines reach this door without what protects it, since insecure_beyond_loopback is true: whoever \
             can reach it may read secrets or do everything"
        );
    }
}

async fn open_http(
    place: &Place,
    guard: Guard,
    node: Arc<dyn Node>,
    descriptors: u64,
) -> Result<OpenDoor, NodeError> {
    const OPTION: &str = "http.listen";
    let usual = jedlik_http::Limits::default();
    let connections = descriptors::connections(usual.connections, descriptors);
    let limits = jedlik_http::Limits { connections, ..usual };
    let settings = jedlik_http::Settings { limits, guard };
    let address = address(OPTION, place).await?;
    let door = jedlik_http::Door::bind(address, node, settings).await;
    let door = door.map_err(unusable(OPTION, place))?;
    let address = door.address().map_err(unusable(OPTION, place))?;
    Ok(OpenDoor::new(address, |closed| door.serve(closed)))
}

async fn open_riak_pb(
    place: &Place,
    guard: Guard,
    named: (&str, Arc<dyn Node>),
    descriptors: u64,
) -> Result<OpenDoor, NodeError> {
    const OPTION: &str = "riak_pb.listen";
    let usual = jedlik_riak_pb::Limits::default();
    let connections = descriptors::connections(usual.connections, descriptors);
    let limits = jedlik_riak_pb::Limits { connections, ..usual };
    let settings = jedlik_riak_pb::Settings { limits, guard };
    let address = address(OPTION, place).await?;
    let door = jedlik_riak_pb::Door::bind(address, named, settings).await;
    let door = door.map_err(unusable(OPTION, place))?;
    let address = door.address().map_err(unusable(OPTION, place))?;
    Ok(OpenDoor::new(address, |closed| door.serve(closed)))
}

/// Returns the first address of a place at which a door is to listen.
async fn address(option: &'static str, place: &Place) -> Result<SocketAddr, NodeError> {
    let addresses = seeds::look_up(place).await.map_err(|why| NodeError::UnknownPlace {
        option,
        place: place.to_string(),
        why,
    })?;
    Ok(*addresses.first().expect("a place that was looked up has an address"))
}

fn unusable(option: &'static str, place: &Place) -> impl Fn(io::Error) -> NodeError {
    move |source| NodeError::Door { option, place: place.to_string(), source }
}

impl OpenDoor {
    /// Has a door serve until it is closed.
    fn new<S: Future<Output = ()> + Send + 'static>(
        address: SocketAddr,
        serve: impl FnOnce(Closed) -> S,
    ) -> Self {
        let (close, closed) = oneshot::channel();
        let serving = tokio::spawn(serve(Closed(closed)));
        Self { address, close, serving }
    }
}

async fn close(door: Option<OpenDoor>) {
    if let Some(OpenDoor { close, serving, .. }) = door {
        // A door that has ended needs no telling.
        let _ended = close.send(());
        let _failed = serving.await;
    }
}

/// Future that is done once a door is to be closed, also by dropping it.
struct Closed(oneshot::Receiver<()>);

impl Future for Closed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context).map(drop)
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
