//! The loop of one request, from the first attempt to the result: choose a node, ask, judge the answer, repeat; a
//! second node is asked beside the first when that one takes long.
//!
//! Invariants: every attempt sends the same request but for its timeout; a request that must not be done twice is never
//! at two nodes at once; the first good answer is the result.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::{Duration, Instant};

use jedlik_protocol::LayoutVersion;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::error::Failure;

use crate::calls::{Answer, Coming};
use crate::hedge::{DELAY_MAX, allowance_for_size};
use crate::in_flight::{Allotment, Attempt, InFlight};
use crate::retry::Budget;
use crate::routes::{Route, Target};
use crate::{AttemptError, ClientError, ErrorCode};

/// Pause before checking again whether another node may be asked, when none may be now.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Silence after which a node with an announced answer is gone. Such a node sends much, and may be busy with that.
const SILENT_WITH_ANSWER: Duration = Duration::from_secs(1);

/// Whether a request may be sent again after it may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idempotency {
    /// Doing the request twice has the effect of doing it once.
    Idempotent,
    /// Doing the request twice has another effect than doing it once.
    OnceOnly,
}

/// Route, idempotency and timeout of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestSpec<'a> {
    pub(crate) route: Route<'a>,
    pub(crate) idempotency: Idempotency,
    /// Time for all attempts together.
    pub(crate) timeout: Duration,
}

/// Nodes as a request sees them: the order in which to ask them, and what later requests should know of them.
pub(crate) trait Nodes {
    /// Returns every node, in the order in which to ask.
    fn order(&self, route: Route<'_>) -> Vec<Target>;
    /// Sends a request to a node and waits for the answer, as long as the allotment says.
    fn ask(
        &self,
        target: Target,
        request: ClientRequest,
        allotment: Allotment,
    ) -> impl Future<Output = Result<Answer, AttemptError>> + Send;
    /// Returns the time that the node may take for a request for one key before another node is asked.
    fn delay(&self, target: Target) -> Duration;
    /// Whether nothing has come from the node for `time`.
    fn is_silent(&self, target: Target, now: Instant, time: Duration) -> bool;
    /// Takes one hedge past a node that answers others from the budget; `false` if none is left.
    fn may_hedge(&self) -> bool;
    /// Notes the time that the node took for a request for one key.
    fn took(&self, target: Target, time: Duration);
    /// Notes that a node answered under this layout, which may be newer than the one at hand.
    fn answered_under(&self, layout: LayoutVersion);
    /// Notes that the topology at hand is out of date.
    fn outdated(&self);
    /// Whether requests avoid the node because it is suspect.
    fn is_suspect(&self, target: Target) -> bool;
    /// Marks the node as suspect, so that other requests avoid it.
    fn suspect(&self, target: Target);
}

/// State of one request: the attempts so far, and when the next is due.
struct RequestLoop<'a, N> {
    nodes: &'a N,
    spec: RequestSpec<'a>,
    budget: Budget,
    /// Nodes that were asked in this round.
    asked: Vec<Target>,
    /// Outcome of the most telling attempt: a node's refusal before any silence.
    last: AttemptError,
    maybe_applied: bool,
    /// Time at which the next attempt is due.
    next_at: Instant,
}

/// Runs a request to its end. `request` builds it from the time that the node may take.
pub(crate) async fn run<N: Nodes>(
    nodes: &N,
    spec: RequestSpec<'_>,
    budget: Budget,
    request: impl Fn(Duration) -> ClientRequest,
) -> Result<ClientResponse, ClientError> {
    let mut budget = budget;
    budget.allow(allowance_for_size(&request(Duration::ZERO)));
    let mut request_loop = RequestLoop::new(nodes, spec, budget, now());
    let mut in_flight = InFlight::new();
    loop {
        let now = now();
        if now >= request_loop.next_at {
            if in_flight.is_empty() && now >= request_loop.budget.deadline() {
                return Err(request_loop.exhausted());
            }
            if let Some((target, share)) = request_loop.next(now, &mut in_flight) {
                let request = request(for_node(share));
                let delay = request_loop.delay(target, &request);
                request_loop.next_at = now + delay;
                let (changes, coming) = (changes(&request), Coming::default());
                let attempt =
                    Attempt { target, since: now, delay, changes, coming: coming.clone() };
                let allotment = Allotment { share, latest: request_loop.budget.deadline(), coming };
                in_flight.enter(attempt, nodes.ask(target, request, allotment));
            }
        }
        tokio::select! {
            biased;
            (attempt, outcome) = in_flight.outcome() => {
                if let Some(result) = request_loop.judge(&attempt, outcome, &in_flight) {
                    return result;
                }
            }
            () = tokio::time::sleep_until(request_loop.next_at.into()) => {}
        }
    }
}

impl<'a, N: Nodes> RequestLoop<'a, N> {
    fn new(nodes: &'a N, spec: RequestSpec<'a>, budget: Budget, now: Instant) -> Self {
        let (asked, last) = (Vec::new(), AttemptError::NoNode);
        Self { nodes, spec, budget, asked, last, maybe_applied: false, next_at: now }
    }

    /// Starts the attempt that is due and returns its node and its share of the time; `None` if there is none to make.
    fn next<F: Future>(
        &mut self,
        now: Instant,
        in_flight: &mut InFlight<F>,
    ) -> Option<(Target, Duration)> {
        self.next_at = now + LOOK_AGAIN;
        if !in_flight.is_empty() && !self.may_hedge(now, in_flight) {
            return None;
        }
        let target = self.choose(in_flight);
        let waits = target.is_none() && !in_flight.is_empty();
        let share = if waits { None } else { self.budget.begin(now) }?;
        let Some(target) = target else {
            self.fail(now, AttemptError::NoNode);
            return None;
        };
        if in_flight.is_full() {
            let gone = |attempt: &Attempt| self.is_gone(attempt, now);
            // A suspect node is dropped first: the other one may be the only one left, and be waiting itself.
            let suspected =
                |attempt: &Attempt| gone(attempt) && self.nodes.is_suspect(attempt.target);
            let given_up = in_flight.drop_one(suspected).or_else(|| in_flight.drop_one(gone))?;
            self.maybe_applied |= given_up.changes;
            self.nodes.suspect(given_up.target);
        }
        Some((target, share))
    }

    /// Whether another node may be asked beside those under way. A write goes past a node only if that node is silent
    /// to everybody: two coordinators would each give the write a version, and a writer who has seen only one of the
    /// two leaves the other as a sibling.
    fn may_hedge<F: Future>(&self, now: Instant, in_flight: &InFlight<F>) -> bool {
        if self.spec.idempotency != Idempotency::Idempotent
            || matches!(self.spec.route, Route::Node(_))
        {
            return false;
        }
        let gone = in_flight.attempts().any(|attempt| self.is_gone(attempt, now));
        // A node that has announced the answer is slow because it has much to do; another request would slow it
        // further.
        let waits =
            in_flight.attempts().any(|attempt| attempt.changes || attempt.coming.is_announced());
        gone || !waits && !in_flight.is_full() && self.nodes.may_hedge()
    }

    /// Whether an attempt is late and its node silent to everybody.
    fn is_gone(&self, attempt: &Attempt, now: Instant) -> bool {
        let announced = attempt.coming.is_announced();
        let time = if announced { SILENT_WITH_ANSWER } else { attempt.delay / 2 };
        attempt.is_late(now) && self.nodes.is_silent(attempt.target, now, time)
    }

    /// Returns the first node in order that was not asked yet. Once all were asked, a new round begins, unless two
    /// nodes are at the request already.
    fn choose<F: Future>(&mut self, in_flight: &InFlight<F>) -> Option<Target> {
        let runs = |target: &Target| in_flight.attempts().any(|attempt| attempt.target == *target);
        let order = self.nodes.order(self.spec.route);
        let fresh = order.iter().find(|target| !self.asked.contains(target) && !runs(target));
        if fresh.is_none() {
            if in_flight.is_full() {
                return None;
            }
            self.asked.retain(runs);
        }
        let chosen = *fresh.or_else(|| order.iter().find(|target| !runs(target)))?;
        self.asked.push(chosen);
        Some(chosen)
    }

    fn delay(&self, target: Target, request: &ClientRequest) -> Duration {
        match self.spec.route {
            Route::Key(_) if changes(request) => DELAY_MAX + allowance_for_size(request),
            Route::Key(_) => self.nodes.delay(target),
            // Pages and reports have no usual time to estimate.
            Route::Partition(_) => DELAY_MAX + allowance_for_size(request),
            Route::Any | Route::Node(_) => DELAY_MAX,
        }
    }

    /// Judges an attempt's outcome: returns the request's result, or `None` if the request goes on.
    fn judge<F: Future>(
        &mut self,
        attempt: &Attempt,
        outcome: Result<Answer, AttemptError>,
        in_flight: &InFlight<F>,
    ) -> Option<Result<ClientResponse, ClientError>> {
        let (now, target) = (now(), attempt.target);
        let error = match outcome {
            Ok(answer) => {
                self.nodes.answered_under(answer.layout);
                match answer.response {
                    ClientResponse::Failed(failure) if !failure.code.retryable() => {
                        let elsewhere = in_flight.attempts().any(|other| other.changes);
                        let maybe = failure.maybe_applied || self.maybe_applied || elsewhere;
                        let failure = Failure { maybe_applied: maybe, ..failure };
                        return Some(Err(ClientError::refused(failure)));
                    }
                    ClientResponse::Failed(failure) => {
                        AttemptError::Refused { address: target.address, refusal: failure.into() }
                    }
                    response => {
                        self.won(attempt, now, in_flight);
                        return Some(Ok(response));
                    }
                }
            }
            Err(AttemptError::TooLong { length, limit }) => {
                return Some(Err(ClientError::TooLong { length, limit }));
            }
            Err(error) => error,
        };
        if error.makes_suspect() {
            self.nodes.suspect(target);
        }
        self.maybe_applied |= attempt.changes && error.maybe_applied();
        self.fail(now, error);
        let over = self.maybe_applied && self.spec.idempotency == Idempotency::OnceOnly;
        over.then(|| Err(self.exhausted()))
    }

    /// Notes the winner's time, and marks the nodes as suspect that were late and silent.
    fn won<F: Future>(&self, winner: &Attempt, now: Instant, in_flight: &InFlight<F>) {
        if matches!(self.spec.route, Route::Key(_)) {
            self.nodes.took(winner.target, now.saturating_duration_since(winner.since));
        }
        for other in in_flight.attempts().filter(|attempt| self.is_gone(attempt, now)) {
            self.nodes.suspect(other.target);
        }
    }

    /// Notes a failed attempt; the next one is due after a pause.
    fn fail(&mut self, now: Instant, error: AttemptError) {
        // A refusal by a node says more than a later silence.
        let is_word = |error: &AttemptError| matches!(error, AttemptError::Refused { .. });
        if let AttemptError::Refused { refusal, .. } = &error
            && matches!(refusal.code(), ErrorCode::StaleLayout | ErrorCode::NotOwner)
        {
            self.nodes.outdated();
        }
        if is_word(&error) || !is_word(&self.last) {
            self.last = error;
        }
        let random = getrandom::u32().unwrap_or(u32::MAX / 2);
        self.next_at = now + self.budget.pause(now, random);
    }

    fn exhausted(&mut self) -> ClientError {
        let last = std::mem::replace(&mut self.last, AttemptError::NoNode);
        let attempts = self.budget.attempts();
        ClientError::exhausted(self.spec.timeout, attempts, last, self.maybe_applied)
    }
}

/// Returns the runtime's time, which a test can pause and advance.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Returns the time that a node is told it may take: less than the client waits, so that the node's own error still
/// arrives in time.
fn for_node(share: Duration) -> Duration {
    share.mul_f64(0.9)
}

/// Whether a request writes anything.
fn changes(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::Put(_) => true,
        ClientRequest::Admin(request) => matches!(
            request,
            AdminRequest::Stage { dry_run: false, .. }
                | AdminRequest::Unstage { .. }
                | AdminRequest::Commit { dry_run: false, .. }
                | AdminRequest::Drain { .. }
                | AdminRequest::BucketSet { .. }
                | AdminRequest::AccessSet(_)
                | AdminRequest::AccessRevoke(_)
                | AdminRequest::Repair { .. }
                | AdminRequest::SetBackground(_)
                | AdminRequest::Believe { .. }
        ),
        ClientRequest::Get(_) | ClientRequest::Scan(_) | ClientRequest::Topology => false,
    }
}
