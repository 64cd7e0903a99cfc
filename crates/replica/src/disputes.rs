//! What is taken from a node of which two processes run, and what such a node does not do.
//!
//! Invariant: neither of the two carries out what clients ask, or vouches for what the other one may hold; what others
//! write is merged by both. Nothing is taken from either by who knows of both, nor from one in whose place another one is known: what
//! it holds may have been deleted, and the delete been forgotten.

use alloc::format;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::Rival;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Incarnation, Stamp};
use jedlik_vclock::planted::{self, Bug};

use crate::replica::Replica;
use crate::serve::Arrival;

/// The other process, if there is one that keeps this node from carrying out a client's request: it goes to
/// another node.
#[must_use]
pub fn dispute_over(view: &View, request: &ClientRequest) -> Option<Rival> {
    let of_data = match request {
        ClientRequest::Put(_) => !planted::on(Bug::CloneCoordinates),
        ClientRequest::Get(_) | ClientRequest::Scan(_) => true,
        ClientRequest::Topology | ClientRequest::Admin(_) => false,
    };
    view.rival(view.me()).filter(|_| of_data)
}

/// The same for a peer's request. One of two processes can't say what both hold, so that nothing is collected
/// meanwhile.
#[must_use]
pub fn dispute_with_peer(view: &View, request: &PeerRequest) -> Option<Rival> {
    match request {
        PeerRequest::Forward(request) => dispute_over(view, request),
        PeerRequest::Compare { .. } => view.rival(view.me()),
        _ => None,
    }
}

/// Why nothing is taken from the process of `node` that is in this life.
fn doubt(view: &View, node: NodeId, life: Incarnation) -> Option<Failure> {
    if planted::on(Bug::EveryLifeHeeded) {
        return None;
    }
    let Some(known) = view.life(node) else {
        let message = "nothing is known of the node yet but its name";
        return Some(Failure::new(ErrorCode::OtherLife, message));
    };
    if let Some(rival) = known.rival {
        let message = format!(
            "two processes run as one node, the other one at {}: nothing is taken from either until an admin says which \
             one stays (`jedlik-admin node keep`)",
            rival.address
        );
        return Some(Failure::new(ErrorCode::NotReady, message));
    }
    (known.incarnation != life).then(|| {
        let message = format!(
            "another process is known as the node, in the life {:016x}, not {:016x}",
            known.incarnation.0, life.0
        );
        Failure::new(ErrorCode::OtherLife, message)
    })
}

impl Replica {
    /// The life in which this process is.
    pub(crate) fn life(&self) -> Incarnation {
        let mine = self.view.as_ref().and_then(|view| view.life(self.config.me));
        mine.map_or(self.config.incarnation, |life| life.incarnation)
    }

    /// Whether another process is known to run as this node.
    pub(crate) fn is_disputed(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.rival(self.config.me).is_some())
    }

    /// What an answer tells of this process.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { life: self.life(), clock: self.clock }
    }

    /// Why a member's request is refused for the process that sends it. What only passes a client's request on, or
    /// looks, is taken from any.
    pub(crate) fn unheeded(&self, arrival: &Arrival, request: &PeerRequest) -> Option<Failure> {
        if matches!(request, PeerRequest::Forward(_) | PeerRequest::Inspect { .. }) {
            return None;
        }
        let view = self.view.as_ref()?;
        doubt(view, arrival.from, arrival.terms.life)
    }

    /// A member's answer, or a refusal in its place, made for the process that gives it. What it has stored it has
    /// stored, though another one runs that may stay.
    pub(crate) fn heeded(
        &mut self,
        from: NodeId,
        life: Incarnation,
        response: PeerResponse,
    ) -> PeerResponse {
        let Some(view) = &self.view else { return response };
        let is_told = matches!(
            response,
            PeerResponse::Refused(_) | PeerResponse::Forwarded(_) | PeerResponse::Inspected(_)
        );
        let Some(failure) = doubt(view, from, life).filter(|_| !is_told) else { return response };
        let stored = matches!(
            response,
            PeerResponse::Written | PeerResponse::Delivered { .. } | PeerResponse::Revised(_)
        );
        if stored && failure.code == ErrorCode::NotReady {
            response
        } else {
            PeerResponse::Refused(failure)
        }
    }
}
