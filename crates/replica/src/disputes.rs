//! Two processes of one node: what others take from them, and what the node itself does not do.
//!
//! Invariant: neither of the two carries out what clients ask, or vouches for what the other one may hold; both merge
//! what others write. A node that knows of both takes nothing from either, and nothing from a process in whose place
//! another one is known: what it holds may have been deleted, and the tombstone been forgotten.

use alloc::format;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::Rival;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Incarnation, Stamp};

use crate::cx::Cx;
use crate::serve::Arrival;

/// Returns the other process that runs as this node, if that keeps this one from carrying out the client's
/// request. The client then goes to another node.
#[must_use]
pub fn dispute_over(view: &View, request: &ClientRequest) -> Option<Rival> {
    let of_data = match request {
        ClientRequest::Put(_) => !planted::on(Bug::CloneCoordinates),
        ClientRequest::Get(_) | ClientRequest::Scan(_) => true,
        ClientRequest::Topology | ClientRequest::Admin(_) => false,
    };
    view.rival(view.me()).filter(|_| of_data)
}

/// Returns the other process that runs as this node, if that keeps this one from carrying out the peer's
/// request. Neither process can say what both hold, so that nothing is collected meanwhile.
#[must_use]
pub fn dispute_with_peer(view: &View, request: &PeerRequest) -> Option<Rival> {
    match request {
        PeerRequest::Forward(request) => dispute_over(view, request),
        PeerRequest::Compare { .. } => view.rival(view.me()),
        _ => None,
    }
}

/// Returns why nothing is taken from the process of `node` that is in this life; `None` if it is the known one.
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

impl Cx {
    /// Returns the life of this process: as the view knows it, or as it was configured before.
    pub(crate) fn life(&self) -> Incarnation {
        let mine = self.view.as_ref().and_then(|view| view.life(self.config.me));
        mine.map_or(self.config.incarnation, |life| life.incarnation)
    }

    /// Returns whether another process is known to run as this node.
    pub(crate) fn is_disputed(&self) -> bool {
        self.view.as_ref().is_some_and(|view| view.rival(self.config.me).is_some())
    }

    /// Returns the life and the clock that an answer to a peer carries.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { life: self.life(), clock: self.clock }
    }

    /// Returns why a member's request is refused on account of the process that sends it. Requests that only
    /// pass a client's request on, or inspect, are taken from any process.
    pub(crate) fn unheeded(&self, arrival: &Arrival, request: &PeerRequest) -> Option<Failure> {
        if matches!(request, PeerRequest::Forward(_) | PeerRequest::Inspect { .. }) {
            return None;
        }
        let view = self.view.as_ref()?;
        doubt(view, arrival.from, arrival.terms.life)
    }

    /// Returns a member's answer, or a refusal in its place if another process is known as the member. An answer that
    /// says that something is stored counts even if two processes dispute the identity, since either may stay.
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
