//! The topology from the seed that answers first: at the start, and when no known node answers.
//!
//! Invariants: a silent seed, and a name whose look-up is slow, delay the others by [`DELAY_MAX`] at most; names are
//! looked up anew for each round.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jedlik_protocol::client::{ClientRequest, ClientResponse, Topology};
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::builder::Bounds;
use crate::calls::Coming;
use crate::hedge::DELAY_MAX;
use crate::in_flight::{Allotment, Attempt, InFlight};
use crate::links::Links;
use crate::request_loop::now;
use crate::retry::{Budget, backoff};
use crate::routes::Target;
use crate::{AttemptError, SeedError, StartError};

/// A client's seeds, and the result of their last look-up.
pub(crate) struct Seeds {
    names: Vec<String>,
    known: Mutex<LookedUp>,
}

/// Addresses of the seeds, and the seeds without one.
#[derive(Debug, Clone, Default)]
pub(crate) struct LookedUp {
    /// Addresses in the order of the seeds.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Errors of the seeds that can't be used.
    pub(crate) errors: Vec<SeedError>,
}

impl Seeds {
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self { names, known: Mutex::default() }
    }

    /// Returns the result of the last look-up.
    pub(crate) fn known(&self) -> LookedUp {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the seeds, round after round, until one answers or the time for a request is up.
    pub(crate) async fn topology(
        &self,
        links: &Links,
        bounds: &Bounds,
    ) -> Result<Topology, StartError> {
        if self.names.is_empty() {
            return Err(StartError::NoSeeds);
        }
        let mut budget = Budget::new(now(), bounds.timeout, bounds.attempt_timeout);
        let mut last = AttemptError::NoNode;
        for failures in 0.. {
            let LookedUp { addresses, mut errors } = self.look_up(budget.deadline()).await;
            if addresses.is_empty() && !errors.is_empty() {
                return Err(StartError::Seed(errors.swap_remove(0)));
            }
            match round(links, &addresses, &mut budget).await {
                Ok(topology) => return Ok(topology),
                Err(error) => last = error.unwrap_or(last),
            }
            let left = budget.deadline().saturating_duration_since(now());
            if last.is_hopeless() || left.is_zero() {
                return Err(StartError::Unreachable { seeds: addresses.len(), last });
            }
            tokio::time::sleep(backoff(failures).min(left)).await;
        }
        unreachable!("the rounds end with the time")
    }

    async fn look_up(&self, deadline: Instant) -> LookedUp {
        let known = look_up(&self.names, deadline, addresses).await;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&known);
        known
    }
}

/// Looks all names up at once. Once one address is known, slow names are not waited for.
async fn look_up<F>(names: &[String], deadline: Instant, lookup: impl Fn(String) -> F) -> LookedUp
where
    F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
{
    let mut found: Vec<Result<Vec<SocketAddr>, String>> = Vec::new();
    let mut lookups = JoinSet::new();
    for (index, name) in names.iter().enumerate() {
        let literal = name.parse().map(|address| vec![address]);
        if literal.is_err() {
            let looked_up = lookup(name.clone());
            lookups.spawn(async move { (index, looked_up.await) });
        }
        found.push(literal.map_err(|_| "the name service does not answer".into()));
    }
    let is_known = |found: &[Result<_, _>]| found.iter().any(Result::is_ok);
    let mut limit = if is_known(&found) { now() + DELAY_MAX } else { deadline };
    loop {
        tokio::select! {
            looked_up = lookups.join_next() => match looked_up {
                Some(Ok((index, result))) => {
                    if result.is_ok() && !is_known(&found) {
                        limit = now() + DELAY_MAX;
                    }
                    found[index] = result.map_err(|error| error.to_string());
                }
                Some(Err(_)) => {}
                None => break,
            },
            () = sleep_until(limit.into()) => break,
        }
    }
    let mut known = LookedUp::default();
    for (seed, result) in names.iter().zip(found) {
        match result {
            Ok(addresses) => known.addresses.extend(addresses),
            Err(reason) => known.errors.push(SeedError { seed: seed.clone(), reason }),
        }
    }
    known
}

async fn addresses(name: String) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host(name).await?.collect())
}

/// Asks each seed once; if none answers, returns the outcome of the last attempt.
async fn round(
    links: &Links,
    seeds: &[SocketAddr],
    budget: &mut Budget,
) -> Result<Topology, Option<AttemptError>> {
    let (mut last, mut seeds, mut in_flight) = (None, seeds.iter(), InFlight::new());
    loop {
        let now = now();
        let next = seeds.next().and_then(|address| Some((*address, budget.begin(now)?)));
        if let Some((address, share)) = next {
            let target = Target { node: None, address };
            let (delay, coming) = (DELAY_MAX, Coming::default());
            let attempt = Attempt { target, since: now, delay, changes: false, coming };
            in_flight.enter(attempt, ask(links, target, share));
        }
        if in_flight.is_empty() {
            return Err(last);
        }
        let more = seeds.len() > 0;
        tokio::select! {
            (_, outcome) = in_flight.outcome() => match outcome {
                Ok(topology) => return Ok(topology),
                Err(error) => last = Some(error),
            },
            () = tokio::time::sleep(DELAY_MAX), if more => {}
        }
    }
}

async fn ask(links: &Links, seed: Target, share: Duration) -> Result<Topology, AttemptError> {
    let address = seed.address;
    let answer = links.ask(seed, ClientRequest::Topology, Allotment::of(share)).await;
    // As a member, the node gets a connection that checks its identity.
    links.hang_up(seed, "the topology is learnt");
    match answer?.response {
        ClientResponse::Topology(topology) => Ok(topology),
        ClientResponse::Failed(failure) => {
            Err(AttemptError::Refused { address, refusal: failure.into() })
        }
        _ => Err(AttemptError::Mismatch { address }),
    }
}
