//! Requests on the client's own nodes: each waits its turn, then runs, and leaves its findings about nodes to later
//! requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jedlik_protocol::LayoutVersion;
use jedlik_protocol::client::{ClientRequest, ClientResponse};

use crate::calls::Answer;
use crate::client::Shared;
use crate::in_flight::Allotment;
use crate::request_loop::{Idempotency, Nodes, RequestSpec, now, run};
use crate::retry::Budget;
use crate::routes::{Route, Target};
use crate::{AttemptError, ClientError, background};

impl Shared {
    /// Runs a request to its end. `request` builds it from the time that the node may take.
    pub(crate) async fn run(
        self: &Arc<Self>,
        route: Route<'_>,
        idempotency: Idempotency,
        timeout: Option<Duration>,
        request: impl Fn(Duration) -> ClientRequest,
    ) -> Result<ClientResponse, ClientError> {
        let timeout = timeout.unwrap_or(self.bounds.timeout);
        let budget = Budget::new(now(), timeout, self.bounds.attempt_timeout);
        let turn = self.permits.acquire();
        let Ok(_turn) = tokio::time::timeout_at(budget.deadline().into(), turn).await else {
            let last = AttemptError::Queued { limit: self.bounds.in_flight_limit };
            return Err(ClientError::exhausted(timeout, 0, last, false));
        };
        let outcome = run(self, RequestSpec { route, idempotency, timeout }, budget, request).await;
        if let Err(ClientError::Timeout { .. }) = &outcome {
            // Perhaps every node has moved to another address.
            self.refresh.notify_one();
        }
        outcome
    }
}

impl Nodes for Arc<Shared> {
    fn order(&self, route: Route<'_>) -> Vec<Target> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.routes().order(route, turn, |target| self.links.is_suspect(target))
    }

    async fn ask(
        &self,
        target: Target,
        request: ClientRequest,
        allotment: Allotment,
    ) -> Result<Answer, AttemptError> {
        self.links.ask(target, request, allotment).await
    }

    fn delay(&self, target: Target) -> Duration {
        self.links.delay(target)
    }

    fn is_silent(&self, target: Target, now: Instant, time: Duration) -> bool {
        self.links.is_silent(target, now, time)
    }

    fn may_hedge(&self) -> bool {
        self.links.may_hedge()
    }

    fn took(&self, target: Target, time: Duration) {
        self.links.took(target, time);
    }

    fn answered_under(&self, layout: LayoutVersion) {
        if layout > self.routes().layout_version() {
            self.refresh.notify_one();
        }
    }

    fn outdated(&self) {
        self.refresh.notify_one();
    }

    fn is_suspect(&self, target: Target) -> bool {
        self.links.is_suspect(target)
    }

    fn suspect(&self, target: Target) {
        if self.links.suspect(target) {
            background::probe(self, target);
        }
    }
}
