//! What a node does not do while another process runs under its identity.
//!
//! Invariant: neither of the two mints a version, or vouches for what the other one may hold; what peers write is
//! merged by both.

use jedlik_membership::View;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::gossip::Rival;
use jedlik_protocol::peer::PeerRequest;
use jedlik_vclock::planted::{self, Bug};

/// The other process, if there is one that keeps this node from carrying out a client's request: puts go to
/// other nodes.
#[must_use]
pub fn dispute_over(view: &View, request: &ClientRequest) -> Option<Rival> {
    let mints = matches!(request, ClientRequest::Put(_)) && !planted::on(Bug::CloneCoordinates);
    view.rival(view.me()).filter(|_| mints)
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
