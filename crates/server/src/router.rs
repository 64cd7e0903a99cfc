//! Router of every arriving frame to the part of the node that deals with it.
//!
//! Invariant: it is called on the network's tasks, so it never blocks; what can't be taken now is refused now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_net::{CloseReason, Connection, Handler, Role};
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{LayoutVersion, Stamp, Terms};
use jedlik_traces::Tracer;
use tokio::sync::{mpsc, watch};
use tracing::debug;

use crate::admission;
use crate::clock::Clock;
use crate::disputes::{answers_for_itself, coordinates};
use crate::inbox::Mail;
use crate::members::Questions;
use crate::membership_task::Event;
use crate::peers::Peers;
use crate::questions::{self, Question, changes_state};
use crate::refusals::Refusals;
use crate::reply::Origin;
use crate::reports::Reports;
use crate::saver::SaveHealth;
use crate::shard::Desk;

mod attend;
mod counts;
mod doors;
mod places;
mod traces;

/// Phase of a node's life, by which it takes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The node takes nothing but gossip.
    Starting,
    /// The node takes requests of clients and peers.
    Serving,
    /// The node takes what peers need to finish, and nothing new from clients.
    Stopping,
    /// The node takes no request any more.
    Stopped,
}

const PHASES: [Phase; 4] = [Phase::Starting, Phase::Serving, Phase::Stopping, Phase::Stopped];

/// Handler of the network's frames and connections.
pub(crate) struct Router {
    shards: Vec<Desk>,
    reports: Arc<Reports>,
    membership: mpsc::Sender<Event>,
    view: watch::Receiver<Arc<View>>,
    peers: Arc<Peers>,
    refusals: Arc<Refusals>,
    /// Health of the membership's saves, kept up to date by the thread that makes them.
    pub(crate) save_health: Arc<SaveHealth>,
    clock: Clock,
    /// Present phase, as an index into [`PHASES`].
    phase: AtomicU8,
    /// Whether an admin wants the node to take nothing new from clients.
    drained: Arc<AtomicBool>,
    overloads: AtomicU64,
    connections: AtomicU64,
    /// Questions to other members that wait for an answer.
    questions: Questions,
    /// Monotonic time at which gossip was last heard, in microseconds.
    gossip_heard_us: AtomicU64,
    /// Beginner of requests' spans; `None` if nothing is traced.
    pub(crate) tracer: Option<Tracer>,
}

impl Router {
    /// Returns a router in [`Phase::Starting`].
    pub(crate) fn new(
        shards: Vec<Desk>,
        membership: mpsc::Sender<Event>,
        view: watch::Receiver<Arc<View>>,
        peers: Arc<Peers>,
        clock: Clock,
    ) -> Self {
        Self {
            reports: Arc::new(Reports::of(shards.iter().map(|desk| desk.inbox.clone()).collect())),
            shards,
            membership,
            view,
            peers,
            refusals: Arc::new(Refusals::new(clock)),
            save_health: Arc::default(),
            clock,
            phase: AtomicU8::new(0),
            drained: Arc::default(),
            overloads: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            questions: Questions::default(),
            gossip_heard_us: AtomicU64::new(0),
            tracer: None,
        }
    }

    /// Returns the router with a tracer for its requests.
    pub(crate) fn traced(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// Returns the links to the other members.
    pub(crate) fn peers(&self) -> Arc<Peers> {
        Arc::clone(&self.peers)
    }

    /// Returns the log of connections that were refused.
    pub(crate) fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    /// Enters the next phase of the node's life.
    pub(crate) fn enter(&self, phase: Phase) {
        let index = PHASES.iter().position(|known| *known == phase).unwrap_or_default();
        self.phase.store(index as u8, Ordering::Release);
    }

    /// Begins the node's stop. A node that has not come to serve takes nothing before it ends either: its directory may
    /// hold what was deleted since.
    pub(crate) fn stop(&self) {
        let serves = self.phase() == Phase::Serving;
        self.enter(if serves { Phase::Stopping } else { Phase::Stopped });
    }

    /// Returns the node's present phase.
    pub(crate) fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Acquire))]
    }

    fn route(&self, view: &View, connection: &Connection, frame: Frame) {
        let admitted = match self.phase() {
            Phase::Starting => Some(frame),
            _ => admission::admit(view, connection, frame),
        };
        let Some(frame) = admitted else { return };
        match frame {
            Frame::ClientRequest { id, request } => {
                let origin = Origin::connection(connection, id);
                self.route_client(view, origin, request);
            }
            Frame::PeerRequest { id, terms, request } => {
                let Some(from) = connection.peer().node else { return };
                let origin = Origin::connection(connection, id);
                self.route_peer(view, from, origin, terms, request);
            }
            Frame::PeerResponse { id, stamp, response } => {
                let Some(from) = connection.peer().node else { return };
                // An answer with a shard that this node lacks answers nothing that it asked.
                if let Some(desk) = self.shards.get((id >> 48) as usize) {
                    let answer = Mail::PeerAnswer { from, id, stamp, response };
                    let refused = desk.inbox.leave_answer(answer);
                    self.count_overload(refused.is_some());
                }
            }
            Frame::Gossip(gossip) => {
                let Some(from) = connection.peer().node else { return };
                self.gossip_heard_us.store(self.clock.now().mono_us, Ordering::Relaxed);
                let event = Event::Gossip { caller: connection.clone(), from, gossip };
                self.count_overload(self.membership.try_send(event).is_err());
            }
            Frame::Withdraw { id } => self.withdraw(connection.id(), id),
            Frame::ClientResponse { id, response, .. } => {
                let Some(from) = connection.peer().node else { return };
                self.questions.answered(from, id, response);
            }
            // No client asks through a node's own endpoint.
            Frame::Coming { .. } => {}
        }
    }

    /// Routes a client's request, whichever way it came; [`Self::attend`] has to follow.
    pub(crate) fn route_client(&self, view: &View, origin: Origin, request: ClientRequest) {
        let origin = self.begin_client_span(origin, &request);
        let layout = view.layout_version();
        let refuse = |origin: Origin, failure| {
            origin.answer_client(layout, ClientResponse::Failed(failure));
        };
        let of_data = !matches!(request, ClientRequest::Admin(_) | ClientRequest::Topology);
        let may = self
            .takes_clients(of_data)
            .and_then(|()| coordinates(view, &request))
            .and_then(|()| self.permit(view, &origin.asker(view), &request));
        if let Err(failure) = may {
            return refuse(origin, failure);
        }
        match request {
            ClientRequest::Topology => {
                origin.answer_client(layout, ClientResponse::Topology(view.topology()));
            }
            ClientRequest::Admin(request) if !matches!(request, AdminRequest::Explain { .. }) => {
                self.route_admin(origin, layout, request);
            }
            ClientRequest::Admin(_)
            | ClientRequest::Get(_)
            | ClientRequest::Put(_)
            | ClientRequest::Scan(_) => match self.shard_of_client(view, &request) {
                Ok(shard) => {
                    if let Some(Mail::Client { origin, .. }) =
                        shard.leave(Mail::Client { origin, request })
                    {
                        self.count_overload(true);
                        refuse(origin, shard.refusal());
                    }
                }
                Err(failure) => refuse(origin, failure),
            },
        }
    }

    /// Returns the collector of the shards' reports.
    pub(crate) fn reports(&self) -> Arc<Reports> {
        Arc::clone(&self.reports)
    }

    /// Returns what the node knows of the cluster now.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Whether an admin wants the node to take nothing new from clients.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }

    fn route_admin(&self, origin: Origin, layout: LayoutVersion, request: AdminRequest) {
        let role = origin.role();
        if changes_state(&request) && role != Role::Admin {
            let message =
                format!("a certificate of role {role} may not change the cluster; use an admin's");
            let failure = Failure::new(ErrorCode::Forbidden, message);
            return origin.answer_client(layout, ClientResponse::Failed(failure));
        }
        if let AdminRequest::Drain { drained } = request {
            return self.drain(origin, layout, drained);
        }
        if let Some(question) = Question::of(&request) {
            let (reports, counts) = (Arc::clone(&self.reports), self.counts());
            let place = match reports.admit() {
                Ok(place) => place,
                Err(failure) => {
                    self.count_overload(true);
                    return origin.answer_client(layout, ClientResponse::Failed(failure));
                }
            };
            tokio::spawn(async move {
                let _kept_until_it_is_answered = place;
                let response = question.answer(&reports, counts).await;
                origin.answer_client(layout, response);
            });
            return;
        }
        // Half of the queue is left to gossip, by which the others know that this node is there.
        if self.membership.capacity() <= self.membership.max_capacity() / 2 {
            self.count_overload(true);
            return origin.answer_client(layout, ClientResponse::Failed(overloaded()));
        }
        if let Err(refused) = self.membership.try_send(Event::Admin { origin, request }) {
            self.count_overload(true);
            if let Event::Admin { origin, .. } = refused.into_inner() {
                origin.answer_client(layout, ClientResponse::Failed(overloaded()));
            }
        }
    }

    /// Takes no more from clients and tells the others so, or takes that back.
    fn drain(&self, origin: Origin, layout: LayoutVersion, drained: bool) {
        let (reports, membership) = (Arc::clone(&self.reports), self.membership.clone());
        let (view, flag) = (Arc::clone(&self.view.borrow()), Arc::clone(&self.drained));
        tokio::spawn(async move {
            flag.store(drained, Ordering::Release);
            let response = if membership.send(Event::Drain(drained)).await.is_ok() {
                questions::drained(&reports, &view, drained).await
            } else {
                ClientResponse::Failed(not_ready("is stopping"))
            };
            origin.answer_client(layout, response);
        });
    }

    fn route_peer(
        &self,
        view: &View,
        from: NodeId,
        origin: Origin,
        terms: Terms,
        request: PeerRequest,
    ) {
        let origin = self.begin_peer_span(origin, from, (&terms, &request));
        let refuse = |origin: Origin, failure| {
            origin.answer_peer(Stamp::UNTOLD, PeerResponse::Refused(failure));
        };
        let new = matches!(request, PeerRequest::Forward(_));
        if let Err(failure) =
            self.takes_peers(new).and_then(|()| answers_for_itself(view, &request))
        {
            return refuse(origin, failure);
        }
        match self.shard_of_peer(view, &request) {
            Ok(shard) => {
                let mail = Mail::Peer { from, origin, terms, request };
                if let Some(Mail::Peer { origin, .. }) = shard.leave(mail) {
                    self.count_overload(true);
                    refuse(origin, shard.refusal());
                }
            }
            Err(failure) => refuse(origin, failure),
        }
    }

    fn takes_clients(&self, of_data: bool) -> Result<(), Failure> {
        match self.phase() {
            Phase::Serving if of_data && self.drained.load(Ordering::Acquire) => {
                Err(not_ready("is drained by an admin"))
            }
            Phase::Serving => Ok(()),
            Phase::Starting => Err(not_ready("is starting")),
            Phase::Stopping | Phase::Stopped => Err(not_ready("is stopping")),
        }
    }

    fn takes_peers(&self, new: bool) -> Result<(), Failure> {
        match self.phase() {
            Phase::Serving if new && self.drained.load(Ordering::Acquire) => {
                Err(not_ready("is drained by an admin"))
            }
            Phase::Serving => Ok(()),
            Phase::Stopping if !new => Ok(()),
            Phase::Starting => Err(not_ready("is starting")),
            Phase::Stopping | Phase::Stopped => Err(not_ready("is stopping")),
        }
    }

    fn count_overload(&self, refused: bool) {
        self.overloads.fetch_add(u64::from(refused), Ordering::Relaxed);
    }
}

impl Handler for Router {
    fn connected(&self, connection: &Connection) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        debug!(peer = %connection.peer(), address = %connection.remote_address(), "connected");
    }

    fn received(&self, connection: &Connection, frames: &mut Vec<Frame>) {
        let view = Arc::clone(&self.view.borrow());
        let count = frames.len();
        for frame in frames.drain(..) {
            self.route(&view, connection, frame);
        }
        self.attend(count);
    }

    fn refused(&self, address: SocketAddr, why: &str) {
        self.refusals.add(address, why);
    }

    fn closed(&self, connection: &Connection, why: &CloseReason) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        debug!(peer = %connection.peer(), %why, "disconnected");
        if let Some(fault) = why.fault() {
            let (address, peer) = (connection.remote_address(), connection.peer());
            self.refusals.add_closed(address, format!("{peer}: {fault}"));
        }
        let Some(node) = connection.peer().node else { return };
        if !self.peers.has_other_connection(node, connection) {
            for desk in &self.shards {
                desk.inbox.push(Mail::PeerLost { node });
            }
        }
    }
}

fn overloaded() -> Failure {
    Failure::new(ErrorCode::Overloaded, "the node's queue is full; nothing was done, try again")
}

pub(crate) fn not_ready(what: &str) -> Failure {
    Failure::new(ErrorCode::NotReady, format!("the node {what}; nothing was done, ask another"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use jedlik_hashing::{NodeId, PartitionCount};
    use jedlik_membership::View;
    use jedlik_protocol::ClusterId;
    use jedlik_protocol::gossip::Delta;
    use tokio::sync::{mpsc, watch};

    use super::{Phase, Router};
    use crate::clock::Clock;

    #[test]
    fn a_node_that_stops_before_it_ever_served_answers_no_peer_from_what_its_directory_holds() {
        let (nobody, partitions) = (BTreeSet::new(), PartitionCount::DEFAULT);
        let view = View::new(NodeId(1), ClusterId(1), partitions, Delta::default(), nobody);
        let (_view, seen) = watch::channel(Arc::new(view));
        let (told, _events) = mpsc::channel(1);
        let router = Router::new(Vec::new(), told, seen, Arc::default(), Clock::start());
        let takes = || [false, true].map(|new| router.takes_peers(new).is_ok());
        assert_eq!(takes(), [false, false]);
        router.stop();
        assert_eq!(takes(), [false, false], "what it holds may have been deleted since");
        router.enter(Phase::Serving);
        router.stop();
        assert_eq!(takes(), [true, false], "peers finish what they have begun");
    }
}
