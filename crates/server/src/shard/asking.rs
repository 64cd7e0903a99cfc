//! Requests of a shard to other nodes.
//!
//! Invariant: a request that does not leave is answered here, in the peer's place.

use jedlik_hashing::NodeId;
use jedlik_net::SendError;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Now, Stamp, Terms};
use jedlik_replica::Input;

use super::ShardDriver;

/// Whether a request is the collector's: what it leads to may be for good.
pub(super) fn collects(request: &PeerRequest) -> bool {
    matches!(request, PeerRequest::Compare { durably: true, .. })
}

impl ShardDriver {
    pub(super) fn ask(
        &mut self,
        now: Now,
        (to, id): (NodeId, u64),
        mut terms: Terms,
        request: PeerRequest,
    ) {
        terms.trace = self.trace_call((to, id), &request);
        if collects(&request)
            && let Err(failure) = self.around.ticks.admit_collection()
        {
            return self.answer_for(now, to, id, failure);
        }
        let frame = Frame::PeerRequest { id, terms, request };
        if let Err(error) = self.around.peers.send(to, frame) {
            self.not_sent(now, to, id, error);
        }
    }

    fn not_sent(&mut self, now: Now, to: NodeId, id: u64, error: SendError) {
        let code = match error {
            SendError::Closed => return self.replica.handle(now, Input::PeerLost { node: to }),
            SendError::Full { .. } => ErrorCode::Overloaded,
            SendError::TooLong { .. } => ErrorCode::RecordTooLarge,
        };
        self.answer_for(now, to, id, Failure::new(code, error.to_string()));
    }

    fn answer_for(&mut self, now: Now, to: NodeId, id: u64, failure: Failure) {
        let response = PeerResponse::Refused(failure);
        self.spans.answered(id, &response);
        self.replica
            .handle(now, Input::PeerAnswer { from: to, id, stamp: Stamp::UNTOLD, response });
    }
}
