//! One request from first attempt to result: choose a node, ask, judge the answer, go on.
//!
//! Invariant: what is sent again is the same request but for the time it is given.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::ErrorCode;

use crate::client::Shared;
use crate::retry::Budget;
use crate::routes::{Aim, Target};
use crate::{AttemptError, ClientError, background};

/// Whether a request may be sent again after it may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is doing it once.
    Freely,
    /// Doing it twice is something else.
    IfNotApplied,
}

impl Shared {
    /// Runs a request to its end. `request` makes it, given what the node may take for it.
    pub(crate) async fn run(
        self: &std::sync::Arc<Self>,
        aim: Aim<'_>,
        repeat: Repeat,
        timeout: Option<Duration>,
        request: impl Fn(Duration) -> ClientRequest,
    ) -> Result<ClientResponse, ClientError> {
        let timeout = timeout.unwrap_or(self.config.timeout);
        let mut budget = Budget::new(Instant::now(), timeout, self.config.attempt_timeout);
        let mut maybe_applied = false;
        let mut last = AttemptError::NoNode;
        let mut asked = Vec::new();
        let turn = self.in_flight.acquire();
        let Ok(_turn) = tokio::time::timeout_at(budget.deadline().into(), turn).await else {
            let last = AttemptError::Queued { limit: self.config.in_flight_limit };
            return Err(ClientError::exhausted(timeout, 0, last, false));
        };
        while let Some(share) = budget.begin(Instant::now()) {
            let error = match self.choose(aim, &mut asked) {
                Some(target) => {
                    let answer = self.attempt(target, request(for_node(share)), share).await;
                    match answer {
                        Ok(ClientResponse::Failed(failure)) => {
                            if !failure.code.retryable() {
                                return Err(ClientError::refused(failure));
                            }
                            AttemptError::Refused { address: target.address, failure }
                        }
                        Ok(response) => return Ok(response),
                        Err(AttemptError::TooLong { length, limit }) => {
                            return Err(ClientError::TooLong { length, limit });
                        }
                        Err(error) => error,
                    }
                }
                None => AttemptError::NoNode,
            };
            self.learn(&error);
            maybe_applied |= error.maybe_applied();
            // A node's own word says more than the silence of the next.
            let is_word = |error: &AttemptError| matches!(error, AttemptError::Refused { .. });
            if is_word(&error) || !is_word(&last) {
                last = error;
            }
            if maybe_applied && repeat == Repeat::IfNotApplied {
                break;
            }
            let random = getrandom::u32().unwrap_or(u32::MAX / 2);
            tokio::time::sleep(budget.pause(Instant::now(), random)).await;
        }
        Err(ClientError::exhausted(timeout, budget.attempts(), last, maybe_applied))
    }

    /// One attempt; what it says of the node and of the layout is noted.
    async fn attempt(
        self: &std::sync::Arc<Self>,
        target: Target,
        request: ClientRequest,
        share: Duration,
    ) -> Result<ClientResponse, AttemptError> {
        match self.links.ask(target, request, share).await {
            Ok(answer) => {
                if answer.layout > self.routes().layout_version() {
                    self.refresh.notify_one();
                }
                Ok(answer.response)
            }
            Err(error) => {
                if error.casts_doubt() && self.links.doubt(target) {
                    background::probe(self, target);
                }
                Err(error)
            }
        }
    }

    /// The first node in order that was not asked yet; once all were, the round begins anew.
    fn choose(&self, aim: Aim<'_>, asked: &mut Vec<Target>) -> Option<Target> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let order = self.routes().order(aim, turn, |target| self.links.in_doubt(target));
        let fresh = order.iter().find(|target| !asked.contains(target));
        if fresh.is_none() {
            asked.clear();
        }
        let chosen = fresh.or(order.first()).copied()?;
        asked.push(chosen);
        Some(chosen)
    }

    fn learn(&self, error: &AttemptError) {
        if let AttemptError::Refused { failure, .. } = error
            && matches!(failure.code, ErrorCode::StaleLayout | ErrorCode::NotOwner)
        {
            self.refresh.notify_one();
        }
    }
}

/// What a node is told it may take: less than the client waits, so that its own word on what went
/// wrong still arrives.
fn for_node(share: Duration) -> Duration {
    share.mul_f64(0.9)
}
