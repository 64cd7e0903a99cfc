//! The first topology, from whichever seed answers first.
//!
//! Invariant: a seed that says nothing holds the next one up for [`DELAY_MAX`] only.

use std::net::SocketAddr;
use std::time::Duration;

use jedlik_protocol::client::{ClientRequest, ClientResponse, Topology};

use crate::calls::Coming;
use crate::hedge::DELAY_MAX;
use crate::in_flight::{Allotment, Attempt, InFlight};
use crate::links::Links;
use crate::request_loop::now;
use crate::retry::{Budget, backoff};
use crate::routes::Target;
use crate::{AttemptError, ClientConfig, StartError};

/// Goes round the seeds until one answers, or the time for a request is up.
pub(crate) async fn first_topology(
    links: &Links,
    config: &ClientConfig,
) -> Result<Topology, StartError> {
    let mut budget = Budget::new(now(), config.timeout, config.attempt_timeout);
    let mut last = AttemptError::NoNode;
    if config.seeds.is_empty() {
        return Err(StartError::NoSeeds);
    }
    for failures in 0.. {
        match round(links, &config.seeds, &mut budget).await {
            Ok(topology) => return Ok(topology),
            Err(error) => last = error.unwrap_or(last),
        }
        let left = budget.deadline().saturating_duration_since(now());
        if last.is_hopeless() || left.is_zero() {
            return Err(StartError::Unreachable { seeds: config.seeds.len(), last });
        }
        tokio::time::sleep(backoff(failures).min(left)).await;
    }
    unreachable!("the rounds end with the time")
}

/// Asks each seed once; with none that answers, what became of the last attempt.
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
    // As a member the node gets a connection that checks its identity.
    links.hang_up(seed, "the topology is learnt");
    match answer?.response {
        ClientResponse::Topology(topology) => Ok(topology),
        ClientResponse::Failed(failure) => Err(AttemptError::Refused { address, failure }),
        _ => Err(AttemptError::Mismatch { address }),
    }
}
