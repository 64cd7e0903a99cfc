//! Forwarding in one hop: a put goes to a node of its key's preference list, and to the next one if that one
//! can't take it, or is silent for long.
//!
//! A put that was sent twice carries the same write id, so it is safe to try again.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

use jedlik_hashing::NodeId;
use jedlik_protocol::Now;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};

use crate::Counter;
use crate::cx::Cx;
use crate::operations::{Next, Operation, Operations};
use crate::pending::{Asker, Caller, OperationId, Purpose};

/// Time after which the next node is asked beside a silent one, in microseconds. Far more than a busy disk
/// takes, since two coordinators give one put two versions, and a client that has seen one of them leaves the
/// other beside its own next write; yet a client hardly notices a node that stands still.
const HEDGE_AFTER_US: u64 = 250_000;

/// Put on its way to a coordinator.
#[derive(Debug)]
pub(crate) struct ForwardOperation {
    asker: Asker,
    request: ClientRequest,
    /// Nodes that have not been asked yet.
    owners: VecDeque<NodeId>,
    under_way: u32,
    /// Whether a node that was asked was lost: it may carry out the put all the same.
    unsure: bool,
    hedge_at_us: u64,
    deadline_us: u64,
    /// Last refusal of a node that was asked.
    failure: Option<Failure>,
    step: Step,
}

#[derive(Debug)]
enum Step {
    /// The next node is to be asked.
    Ask,
    /// One or more nodes are being asked.
    Asked,
    /// The client gets this answer.
    Answer(ClientResponse),
}

impl ForwardOperation {
    pub(crate) fn asker(&self) -> Asker {
        self.asker
    }

    pub(crate) fn handle_answer(&mut self, response: PeerResponse) {
        match response {
            PeerResponse::Forwarded(ClientResponse::Failed(failure)) if passes_on(&failure) => {
                self.refused(Some(failure));
            }
            PeerResponse::Refused(failure) => self.refused(Some(as_the_client_s(failure))),
            // One node's refusal does not keep another that was asked from carrying out the put.
            PeerResponse::Forwarded(ClientResponse::Failed(failure)) => {
                let maybe_applied = failure.maybe_applied || self.unsure || self.under_way > 1;
                self.step =
                    Step::Answer(ClientResponse::Failed(Failure { maybe_applied, ..failure }));
            }
            PeerResponse::Forwarded(response) => self.step = Step::Answer(response),
            _ => self.refused(None),
        }
    }

    pub(crate) fn handle_lost(&mut self) {
        self.unsure = true;
        self.refused(None);
    }

    pub(crate) fn handle_timeout(&mut self, now: Now) {
        if now.mono_us >= self.deadline_us {
            let message =
                "put: the node that it was forwarded to did not answer before the timeout";
            let failure = Failure::new(ErrorCode::Timeout, message);
            let failure = Failure { maybe_applied: true, ..failure };
            self.step = Step::Answer(ClientResponse::Failed(failure));
        } else if now.mono_us >= self.hedge_at_us {
            self.hedge_at_us = now.mono_us + HEDGE_AFTER_US;
            if !self.owners.is_empty() {
                self.step = Step::Ask;
            }
        }
    }

    /// Notes that a node refused or is lost: the next one is asked, or those under way are waited for.
    fn refused(&mut self, failure: Option<Failure>) {
        self.failure = failure.or(self.failure.take());
        self.under_way = self.under_way.saturating_sub(1);
        if !self.owners.is_empty() || self.under_way == 0 {
            self.step = Step::Ask;
        }
    }

    /// Carries out the next step.
    pub(crate) fn drive(&mut self, cx: &mut Cx, id: OperationId) -> Next {
        if matches!(self.step, Step::Ask) {
            self.step = match self.owners.pop_front() {
                Some(owner) if owner == cx.config.me => return Next::Here,
                Some(owner) => {
                    let request = PeerRequest::Forward(self.request.clone());
                    cx.call(owner, Purpose::Operation(Caller::of(id)), request);
                    self.under_way += 1;
                    Step::Asked
                }
                None => Step::Answer(self.exhausted()),
            };
        }
        match mem::replace(&mut self.step, Step::Asked) {
            Step::Answer(response) => {
                cx.answer(self.asker, response);
                Next::Over
            }
            Step::Ask | Step::Asked => Next::Waits(Some(self.deadline_us.min(self.hedge_at_us))),
        }
    }

    fn exhausted(&mut self) -> ClientResponse {
        let failure = self.failure.take().unwrap_or_else(|| {
            let message = "no node of the key's preference list could be reached";
            let code = ErrorCode::Unavailable;
            Failure { maybe_applied: true, ..Failure::new(code, message) }
        });
        let maybe_applied = failure.maybe_applied || self.unsure;
        ClientResponse::Failed(Failure { maybe_applied, ..failure })
    }
}

/// Returns whether another node may carry out a put that this one refused.
fn passes_on(failure: &Failure) -> bool {
    !failure.maybe_applied && failure.code.retryable() && failure.code != ErrorCode::KeyBusy
}

/// Returns the refusal as the client gets it: a node that was barred itself sends its client to another one.
fn as_the_client_s(refusal: Failure) -> Failure {
    if refusal.code != ErrorCode::Forbidden {
        return refusal;
    }
    let message = "this node has no place in the cluster any more, and stops; ask another one";
    Failure::new(ErrorCode::NotReady, message)
}

impl Operations {
    pub(crate) fn forward(
        &mut self,
        cx: &mut Cx,
        asker: Asker,
        request: ClientRequest,
        owners: VecDeque<NodeId>,
        deadline_us: u64,
    ) {
        cx.count(Counter::Forwards);
        let hedge_at_us = cx.now.mono_us + HEDGE_AFTER_US;
        let (under_way, unsure, failure, step) = (0, false, None, Step::Ask);
        let forward = ForwardOperation {
            asker,
            request,
            owners,
            under_way,
            unsure,
            hedge_at_us,
            deadline_us,
            failure,
            step,
        };
        self.run(cx, Operation::Forward(Box::new(forward)));
    }

    /// Coordinates here a put that was to be forwarded.
    pub(crate) fn start_here(&mut self, cx: &mut Cx, forward: ForwardOperation) {
        if let ClientRequest::Put(put) = forward.request {
            let elsewhere = forward.unsure || forward.under_way > 0;
            self.start_put_here(cx, forward.asker, put, elsewhere);
        }
    }
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::client::ClientRequest;

    use super::*;

    #[test]
    fn a_node_that_the_others_turn_away_sends_its_client_to_another_one() {
        let mut forward = ForwardOperation {
            asker: Asker::Client(1),
            request: ClientRequest::Topology,
            owners: VecDeque::new(),
            under_way: 1,
            unsure: false,
            hedge_at_us: 0,
            deadline_us: 0,
            failure: None,
            step: Step::Asked,
        };
        let failure = Failure::new(ErrorCode::Forbidden, "the asker is no member any more");
        forward.handle_answer(PeerResponse::Refused(failure));
        let ClientResponse::Failed(failure) = forward.exhausted() else { panic!("an answer") };
        assert!(failure.code.retryable() && !failure.maybe_applied, "{failure}");
        assert!(failure.message.contains("ask another one"), "{failure}");
    }
}
