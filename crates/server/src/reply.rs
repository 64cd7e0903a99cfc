//! Origins of requests that wait for an answer, and the way of the answer to them.
//!
//! Invariant: every request that a shard accepts has one origin, which is taken out by its one answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jedlik_membership::View;
use jedlik_net::limits::{CLIENT_QUEUE_BYTES, CLIENTS_QUEUE_BYTES};
use jedlik_net::{Connection, Identity, Role, SendError};
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::SMALL_FRAME_BYTES;
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{LayoutVersion, Stamp, TraceContext};
use jedlik_traces::OpenSpan;
use tracing::debug;

use crate::access::Asker;
use crate::doors::{DOORS, DoorCall};
use crate::pool::Share;
use crate::request_counts::RequestKind;
use crate::{spans, weight};

/// Origin of a request, and the way of its answer.
pub(crate) struct Origin {
    way: Way,
    /// Span of the request, if it is traced.
    span: Option<OpenSpan>,
}

/// Way of a request's answer.
enum Way {
    /// The request came as a frame with that id.
    Connection { connection: Connection, id: u64 },
    /// The request came by a door.
    Door(DoorCall),
}

impl Origin {
    /// Returns the origin of a frame with that id.
    pub(crate) fn connection(connection: &Connection, id: u64) -> Self {
        Self { way: Way::Connection { connection: connection.clone(), id }, span: None }
    }

    /// Returns the origin of what came by a door.
    pub(crate) fn door(call: DoorCall) -> Self {
        Self { way: Way::Door(call), span: None }
    }

    /// Returns the origin with the span of its request.
    pub(crate) fn traced(self, span: Option<OpenSpan>) -> Self {
        Self { span, ..self }
    }

    /// Returns the context of the request's span; `None` if it is not traced.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.span.as_ref().map(OpenSpan::context)
    }

    /// Returns the trace that the client says its request belongs to.
    pub(crate) fn client_trace(&self) -> Option<&TraceContext> {
        match &self.way {
            Way::Connection { .. } => None,
            Way::Door(call) => call.trace(),
        }
    }

    /// Adds to a span where its request came from.
    pub(crate) fn describe(&self, span: &mut OpenSpan) {
        match &self.way {
            Way::Connection { connection, .. } => {
                let address = connection.remote_address();
                span.text("network.peer.address", &address.ip().to_string());
                span.number("network.peer.port", address.port().into());
            }
            Way::Door(call) => span.text("jedlik.door", call.door()),
        }
    }

    /// Returns the role of who asks.
    pub(crate) fn role(&self) -> Role {
        match &self.way {
            Way::Connection { connection, .. } => connection.peer().role,
            Way::Door(call) => call.role(),
        }
    }

    /// Returns who asks, as far as it limits what may be asked.
    pub(crate) fn asker(&self, view: &View) -> Asker {
        match &self.way {
            Way::Connection { connection, .. } => match connection.peer() {
                Identity { role: Role::Client, name, .. } if view.limits_access() => {
                    Asker::Certificate(name.clone())
                }
                _ => Asker::Trusted,
            },
            Way::Door(call) => call.asker(),
        }
    }

    /// Whether the origin has this id, on the connection with that number.
    fn is(&self, asked_on: u64, asked: u64) -> bool {
        match &self.way {
            Way::Connection { connection, id } => *id == asked && connection.id() == asked_on,
            Way::Door(call) => asked_on == DOORS && call.id() == asked,
        }
    }

    /// Whether there is room for an answer of this size on its way.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        match &self.way {
            Way::Connection { connection, .. } => connection.has_room(bytes),
            Way::Door(call) => call.has_room(bytes),
        }
    }

    /// Answers a client or an admin.
    pub(crate) fn answer_client(self, layout: LayoutVersion, response: ClientResponse) {
        if let Some(mut span) = self.span {
            spans::answered_client(&mut span, &response);
            span.end();
        }
        let of_data = matches!(response, ClientResponse::Got(_) | ClientResponse::Scanned(_));
        let length = if of_data { weight::of_client_response(&response) } else { 0 };
        let (connection, id) = match self.way {
            Way::Door(call) => return call.answer(length, response),
            Way::Connection { connection, id } => (connection, id),
        };
        let frame = |response| Frame::ClientResponse { id, layout, response };
        let refuse = |failure| connection.send(frame(ClientResponse::Failed(failure)));
        // An answer that would find no room is not even encoded.
        let sent = if length > SMALL_FRAME_BYTES && !connection.has_room(length) {
            refuse(untaken())
        } else {
            match connection.send(frame(response)) {
                Err(SendError::TooLong { length, limit }) => refuse(too_long(length, limit)),
                Err(SendError::Full { .. }) if of_data => refuse(untaken()),
                sent => sent,
            }
        };
        noted(&connection, sent);
    }

    /// Answers a peer, and tells it which process of this node answers.
    pub(crate) fn answer_peer(self, stamp: Stamp, response: PeerResponse) {
        if let Some(mut span) = self.span {
            spans::answered_peer(&mut span, &response);
            span.end();
        }
        // No peer asks by a door.
        let Way::Connection { connection, id } = self.way else { return };
        let frame = |response| Frame::PeerResponse { id, stamp, response };
        if let Err(SendError::TooLong { length, limit }) = connection.send(frame(response)) {
            let failure = too_long(length, limit);
            noted(&connection, connection.send(frame(PeerResponse::Refused(failure))));
        }
    }
}

/// Logs an answer that could not be sent, which is dropped: the asker runs into its own timeout.
fn noted(connection: &Connection, sent: Result<(), SendError>) {
    if let Err(error) = sent {
        debug!(to = %connection.peer(), %error, "an answer was dropped");
    }
}

fn too_long(length: usize, limit: usize) -> Failure {
    let message = format!("the answer has {length} bytes, over the limit of {limit} for a message");
    Failure::new(ErrorCode::RecordTooLarge, message)
}

/// Returns the failure of a get or a scan for whose answer there is no room.
pub(crate) fn untaken() -> Failure {
    let message = format!(
        "as many bytes of answers wait to be taken as may, {CLIENT_QUEUE_BYTES} for this client or \
         {CLIENTS_QUEUE_BYTES} for all; nothing was done, ask for fewer large values at once"
    );
    Failure::new(ErrorCode::Overloaded, message)
}

/// Request that has not been answered.
struct Open {
    origin: Origin,
    asked: Asked,
    bytes: usize,
    /// Kind and beginning of a client's request, which is counted; `None` for a peer's.
    begun: Option<Begun>,
}

/// Request of a client, as it is counted once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) kind: RequestKind,
    pub(crate) at_us: u64,
}

/// Way in which a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    ByClient,
    ByPeer,
    /// A peer asked, for its client.
    Forwarded,
}

impl Origin {
    /// Refuses the request in the way of its kind.
    pub(crate) fn refuse(self, asked: Asked, layout: LayoutVersion, failure: Failure) {
        match asked {
            Asked::ByClient => self.answer_client(layout, ClientResponse::Failed(failure)),
            Asked::ByPeer => self.answer_peer(Stamp::UNTOLD, PeerResponse::Refused(failure)),
            Asked::Forwarded => {
                let response = PeerResponse::Forwarded(ClientResponse::Failed(failure));
                self.answer_peer(Stamp::UNTOLD, response);
            }
        }
    }
}

/// Origins of one shard's open requests, and how much of clients' data these carry.
pub(crate) struct Replies {
    next: u64,
    origins: HashMap<u64, Open>,
    pub(crate) bytes: Share,
    open: Arc<AtomicUsize>,
}

impl Replies {
    /// Returns replies without origins; `open` shows others how many there are, `bytes` counts what they carry.
    pub(crate) fn new(open: Arc<AtomicUsize>, bytes: Share) -> Self {
        Self { next: 0, origins: HashMap::new(), bytes, open }
    }

    /// Remembers `origin` under a new number, and returns that; the request carries so many bytes.
    pub(crate) fn add(&mut self, origin: Origin, asked: Asked, bytes: usize) -> u64 {
        self.keep(Open { origin, asked, bytes, begun: None })
    }

    /// Remembers a client's request as [`Self::add`] does, with what is counted of it.
    pub(crate) fn add_of_client(&mut self, origin: Origin, begun: Begun, bytes: usize) -> u64 {
        self.keep(Open { origin, asked: Asked::ByClient, bytes, begun: Some(begun) })
    }

    fn keep(&mut self, open: Open) -> u64 {
        self.next += 1;
        self.bytes.add(open.bytes);
        self.origins.insert(self.next, open);
        self.open.store(self.origins.len(), Ordering::Relaxed);
        self.next
    }

    /// Takes out the origin with this number; `None` if it was taken out before.
    pub(crate) fn take(&mut self, reply: u64) -> Option<Origin> {
        self.take_begun(reply).map(|(origin, _)| origin)
    }

    /// Takes out the origin with this number, and what is to be counted of its request.
    pub(crate) fn take_begun(&mut self, reply: u64) -> Option<(Origin, Option<Begun>)> {
        let Open { origin, bytes, begun, .. } = self.origins.remove(&reply)?;
        self.bytes.subtract(bytes);
        self.open.store(self.origins.len(), Ordering::Relaxed);
        Some((origin, begun))
    }

    /// Takes out the request that a connection's client no longer waits for, and returns its number; `None` if there is
    /// none.
    pub(crate) fn withdraw(&mut self, connection: u64, id: u64) -> Option<u64> {
        let asked_so =
            |open: &Open| open.asked == Asked::ByClient && open.origin.is(connection, id);
        let (reply, _) = self.origins.iter().find(|(_, open)| asked_so(open))?;
        let reply = *reply;
        self.take(reply).map(|_| reply)
    }

    /// Refuses all open requests, each in its own way.
    pub(crate) fn refuse_all(&mut self, layout: LayoutVersion, failure: &Failure) {
        for (_, Open { origin, asked, .. }) in self.origins.drain() {
            origin.refuse(asked, layout, failure.clone());
        }
        self.bytes.clear();
        self.open.store(0, Ordering::Relaxed);
    }
}
