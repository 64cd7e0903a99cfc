//! Admission of a node's frames: which of them are listened to at all.
//!
//! Invariant: a certificate says who a peer is; the view says whether it belongs to the cluster.

use jedlik_membership::View;
use jedlik_net::Connection;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{LayoutVersion, Stamp};

use crate::reply::Origin;

/// Keeps out nodes that are no members: all they may send is the gossip by which a node joins. They learn nothing from
/// the refusal, and a node that has departed loses its connection.
pub(crate) fn admit(view: &View, connection: &Connection, frame: Frame) -> Option<Frame> {
    let stranger = connection.peer().node.filter(|node| !view.hears(*node));
    let Some(node) = stranger else { return Some(frame) };
    let message = "this node's certificate is no member's of the cluster";
    let failure = |code| Failure::new(code, message);
    match frame {
        Frame::Gossip(_) => return Some(frame),
        Frame::PeerRequest { id, .. } => {
            // A node that joins is known in a moment, and asks again.
            let code = ErrorCode::UnknownLayout;
            let code = if view.is_barred(node) { ErrorCode::Forbidden } else { code };
            let origin = Origin::connection(connection, id);
            origin.answer_peer(Stamp::UNTOLD, PeerResponse::Refused(failure(code)));
        }
        Frame::ClientRequest { id, .. } => {
            let origin = Origin::connection(connection, id);
            let failed = ClientResponse::Failed(failure(ErrorCode::Forbidden));
            origin.answer_client(LayoutVersion::default(), failed);
        }
        Frame::PeerResponse { .. }
        | Frame::ClientResponse { .. }
        | Frame::Coming { .. }
        | Frame::Withdraw { .. } => {}
    }
    if view.is_barred(node) {
        connection.finish();
    }
    None
}
