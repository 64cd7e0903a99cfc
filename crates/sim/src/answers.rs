//! Answers of nodes to clients and to one another, and refusals.
//!
//! Invariant: an answer is checked as it leaves, and goes only where its request came from.

use jedlik_protocol::Stamp;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::PeerResponse;

use crate::breach::{Breach, Promise};
use crate::node::{Origin, SPOKEN};
use crate::trace;
use crate::world::{Event, World};

impl World {
    /// Refuses a request in the way of its kind.
    pub(crate) fn refuse(&mut self, node: u8, origin: Origin, failure: Failure) {
        match origin {
            Origin::Client { .. } | Origin::Peer { forwarded: true, .. } => {
                self.answer_client(node, origin, ClientResponse::Failed(failure));
            }
            Origin::Peer { .. } => {
                self.answer_peer(node, origin, (Stamp::UNTOLD, PeerResponse::Refused(failure)));
            }
        }
    }

    pub(crate) fn refuse_client(&mut self, node: u8, origin: Origin) {
        self.answer_client(node, origin, ClientResponse::Failed(not_ready()));
    }

    pub(crate) fn refuse_peer(&mut self, node: u8, origin: Origin, failure: Failure) {
        self.answer_peer(node, origin, (Stamp::UNTOLD, PeerResponse::Refused(failure)));
    }

    pub(crate) fn answer_peer(
        &mut self,
        node: u8,
        origin: Origin,
        (stamp, response): (Stamp, PeerResponse),
    ) {
        let Origin::Peer { node: to, id: call, epoch, stale, .. } = origin else { return };
        if stale && !matches!(response, PeerResponse::Refused(_)) {
            let what = format!("n{} answers n{}", node + 1, to + 1);
            self.breach.get_or_insert(Breach { promise: Promise::Fenced, key: None, what });
        }
        let stands = self.network.epoch(node, to) == epoch;
        if stands {
            self.check_page(node, (to, call), &response);
        }
        if !matches!(response, PeerResponse::Hashes(_)) {
            self.say(node, || trace::response(to, &response));
        }
        if stands {
            self.send(node, to, &Frame::PeerResponse { id: call, stamp, response });
        }
    }

    pub(crate) fn answer_client(&mut self, node: u8, origin: Origin, response: ClientResponse) {
        let Origin::Client { client, call } = origin else {
            let response = PeerResponse::Forwarded(response);
            return self.answer_peer(node, origin, (Stamp::UNTOLD, response));
        };
        self.say(node, || format!("answers c{client}: {}", trace::answer(&response)));
        let frame = Frame::ClientResponse { id: call, layout: 0, response };
        if let Some(delay_us) = self.network.client_delay() {
            let bytes = frame.encode(SPOKEN).into_vec().into();
            self.after(delay_us, Event::Answer { client, call, bytes });
        }
    }
}

/// Returns the refusal of a node that does not serve.
pub(crate) fn not_ready() -> Failure {
    Failure::new(ErrorCode::NotReady, "the node does not serve")
}

/// Returns the refusal of a node whose disk is nearly full.
pub(crate) fn no_room() -> Failure {
    Failure::new(ErrorCode::Storage, "too little of the disk is left")
}

/// Returns the refusal of a node whose storage is being opened anew.
pub(crate) fn no_storage() -> Failure {
    Failure::new(ErrorCode::NotReady, "the node's storage is being opened anew")
}
