//! Forwarding in one hop: a request goes to an owner of its key, the next one if that one can't.
//!
//! A put that was sent twice carries the same write id, so it is safe to try again.

use alloc::collections::VecDeque;

use jedlik_hashing::NodeId;
use jedlik_protocol::Now;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};

use crate::io::Counter;
use crate::pending::{Asker, OperationId};
use crate::replica::{Operation, Replica};

/// A request on its way to an owner.
#[derive(Debug)]
pub(crate) struct ForwardOperation {
    asker: Asker,
    request: ClientRequest,
    owners: VecDeque<NodeId>,
    deadline_us: u64,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// The next owner is to be asked.
    Ask,
    /// One is being asked.
    Asked,
    /// This is what came of it.
    Answer(ClientResponse),
}

impl ForwardOperation {
    pub(crate) fn handle_answer(&mut self, response: PeerResponse) {
        match response {
            PeerResponse::Forwarded(ClientResponse::Failed(failure))
                if passes_on(&failure) && !self.owners.is_empty() =>
            {
                self.step = Step::Ask;
            }
            PeerResponse::Forwarded(response) => self.step = Step::Answer(response),
            PeerResponse::Refused(failure) if self.owners.is_empty() => {
                self.step = Step::Answer(ClientResponse::Failed(failure));
            }
            _ => self.step = Step::Ask,
        }
    }

    pub(crate) fn handle_lost(&mut self) {
        self.step = Step::Ask;
    }

    pub(crate) fn handle_timeout(&mut self) {
        self.owners.clear();
        self.step = Step::Ask;
    }
}

/// Whether another owner may do better.
fn passes_on(failure: &Failure) -> bool {
    !failure.maybe_applied && failure.code.retryable()
}

impl Replica {
    pub(crate) fn forward(
        &mut self,
        now: Now,
        asker: Asker,
        request: ClientRequest,
        owners: VecDeque<NodeId>,
        deadline_us: u64,
    ) {
        if matches!(asker, Asker::Peer(_)) {
            let message = "this node does not own the key's partition under its layout";
            return self.refuse(asker, Failure::new(ErrorCode::NotOwner, message));
        }
        self.count(Counter::Forwards);
        let step = Step::Ask;
        let forward = ForwardOperation { asker, request, owners, deadline_us, step };
        self.run(now, Operation::Forward(forward));
    }

    pub(crate) fn drive_forward(
        &mut self,
        now: Now,
        id: OperationId,
        mut forward: ForwardOperation,
    ) -> (Option<Operation>, Option<u64>) {
        if matches!(forward.step, Step::Ask) {
            forward.step = if let Some(owner) = forward.owners.pop_front() {
                self.call(now, owner, Some(id), PeerRequest::Forward(forward.request.clone()));
                Step::Asked
            } else {
                let message = "no owner of the key could be reached";
                let code = ErrorCode::Unavailable;
                let failure = Failure { maybe_applied: true, ..Failure::new(code, message) };
                Step::Answer(ClientResponse::Failed(failure))
            };
        }
        if let Step::Answer(response) = forward.step {
            self.answer(forward.asker, response);
            return (None, None);
        }
        let deadline_us = forward.deadline_us;
        (Some(Operation::Forward(forward)), Some(deadline_us))
    }
}
