//! What a node does not do while another process runs under its identity.
//!
//! Invariant: neither of the two mints a version, or vouches for what the other one may hold; what peers write is
//! merged by both.

use jedlik_membership::View;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::Rival;
use jedlik_protocol::peer::PeerRequest;

use crate::router::not_ready;

/// Puts go to other nodes while two processes run under this node's identity.
pub(crate) fn coordinates(view: &View, request: &ClientRequest) -> Result<(), Failure> {
    match view.rival(view.me()) {
        Some(rival) if matches!(request, ClientRequest::Put(_)) => Err(disputed(rival)),
        _ => Ok(()),
    }
}

/// One of two processes can't say what both hold, so that nothing is collected meanwhile.
pub(crate) fn answers_for_itself(view: &View, request: &PeerRequest) -> Result<(), Failure> {
    match request {
        PeerRequest::Forward(request) => coordinates(view, request),
        PeerRequest::Compare { .. } => view.rival(view.me()).map_or(Ok(()), |r| Err(disputed(r))),
        _ => Ok(()),
    }
}

fn disputed(rival: Rival) -> Failure {
    not_ready(&format!("shares its identity with another process, at {}", rival.address))
}
