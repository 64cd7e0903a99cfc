//! Frames: the four kinds of requests and answers, gossip, and notices about answers.

use rkyv::{Archive, Deserialize, Serialize};

use crate::client::{ClientRequest, ClientResponse};
use crate::gossip::Gossip;
use crate::peer::{PeerRequest, PeerResponse};
use crate::{LayoutVersion, Stamp, Terms};

/// Unit of transmission: everything that crosses a connection is a frame.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Frame {
    /// Request of a client or an admin to a node.
    ClientRequest {
        /// Identifier that the client gives the request; its answer carries it, too.
        id: u64,
        /// Request to the node.
        request: ClientRequest,
    },
    /// Answer of a node to a client or an admin.
    ClientResponse {
        /// Identifier of the request that is answered.
        id: u64,
        /// Version of the answering node's layout, by which a client learns that its own is stale.
        layout: LayoutVersion,
        /// Answer to the request.
        response: ClientResponse,
    },
    /// Request of one node to another, such as a coordinator's to a replica.
    PeerRequest {
        /// Identifier that the asking node gives the request; its answer carries it, too.
        id: u64,
        /// Terms of the request: the asker's life and layouts, and the receiver's clock.
        terms: Terms,
        /// Request to the other node.
        request: PeerRequest,
    },
    /// Answer of one node to another, such as a replica's to a coordinator.
    PeerResponse {
        /// Identifier of the request that is answered.
        id: u64,
        /// Life and clock of the answering node.
        stamp: Stamp,
        /// Answer to the request.
        response: PeerResponse,
    },
    /// Message between members, of gossip or of the failure detector.
    Gossip(Gossip),
    /// Announcement to a client that a large answer is ready and on its way, behind others.
    Coming {
        /// Identifier of the request that is being answered.
        id: u64,
        /// Length of the frame with the answer, in bytes.
        bytes: u64,
    },
    /// Notice from a client that it no longer waits for an answer.
    Withdraw {
        /// Identifier of the request whose answer is not wanted.
        id: u64,
    },
}
