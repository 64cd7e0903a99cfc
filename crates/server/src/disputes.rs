//! Refusals of requests while another process runs under this node's identity.
//!
//! Invariant: the replica's rule says which requests are refused ([`jedlik_replica::dispute_over`]).

use jedlik_membership::View;
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::Rival;
use jedlik_protocol::peer::PeerRequest;
use jedlik_replica::{dispute_over, dispute_with_peer};

use crate::router::not_ready;

/// Refuses requests that this node may not coordinate, such as puts, while two processes run under its identity.
pub(crate) fn coordinates(view: &View, request: &ClientRequest) -> Result<(), Failure> {
    dispute_over(view, request).map_or(Ok(()), |rival| Err(disputed(rival)))
}

/// Refuses a peer's request that this node can't answer for while two processes run under its identity.
pub(crate) fn answers_for_itself(view: &View, request: &PeerRequest) -> Result<(), Failure> {
    dispute_with_peer(view, request).map_or(Ok(()), |rival| Err(disputed(rival)))
}

fn disputed(rival: Rival) -> Failure {
    not_ready(&format!("shares its identity with another process, at {}", rival.address))
}
