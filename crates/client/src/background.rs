//! Work between requests: keeps the topology fresh, and looks after suspect nodes.
//!
//! Invariant: no task here keeps a client alive; each ends when the last handle is gone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use jedlik_protocol::client::{ClientRequest, ClientResponse, Topology};

use crate::ClientError;
use crate::client::Shared;
use crate::in_flight::Allotment;
use crate::request_loop::Idempotency;
use crate::retry::backoff;
use crate::routes::{Route, Routes, Target};

/// Shortest time between two fetches of the topology, however many answers ask for one.
const REFRESH_PAUSE: Duration = Duration::from_millis(50);
/// Time in which a suspect node has to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Starts the task that fetches the topology when notified, and otherwise once per refresh interval.
pub(crate) fn keep_fresh(shared: &Arc<Shared>) {
    let (weak, refresh) = (Arc::downgrade(shared), shared.refresh.clone());
    let interval = shared.bounds.refresh_interval;
    tokio::spawn(async move {
        loop {
            // Whether notified or not: it is time to fetch.
            let _ = tokio::time::timeout(interval, refresh.notified()).await;
            let Some(shared) = weak.upgrade() else { return };
            match fetch_or_begin_anew(&shared).await {
                Ok(topology) => shared.install(Routes::new(topology)),
                Err(error) => tracing::debug!(%error, "the topology could not be fetched"),
            }
            drop(shared);
            tokio::time::sleep(REFRESH_PAUSE).await;
        }
    });
}

/// Starts the task that probes a suspect node until it answers, so that no request has to find out.
pub(crate) fn probe(shared: &Arc<Shared>, target: Target) {
    tracing::debug!(address = %target.address, "a node is suspect");
    tokio::spawn(probing(Arc::downgrade(shared), target));
}

async fn probing(weak: Weak<Shared>, target: Target) {
    let mut failures = 0;
    loop {
        {
            let Some(shared) = weak.upgrade() else { return };
            if !shared.knows(target) {
                return shared.links.retain(|other| other != target);
            }
            let allotment = Allotment::of(PROBE_TIMEOUT);
            match shared.links.ask(target, ClientRequest::Topology, allotment).await {
                Ok(_) => return shared.links.trust(target),
                Err(_) => shared.links.hang_up(target, "no answer"),
            }
        }
        tokio::time::sleep(backoff(failures)).await;
        failures += 1;
    }
}

/// Asks any known node for the topology; if none answers, asks the seeds, looked up anew: all nodes may have moved.
async fn fetch_or_begin_anew(shared: &Arc<Shared>) -> Result<Topology, ClientError> {
    match fetch(shared).await {
        Err(ClientError::Timeout { .. }) => {
            Ok(shared.seeds.topology(&shared.links, &shared.bounds).await?)
        }
        fetched => fetched,
    }
}

/// Asks any known node for the topology.
async fn fetch(shared: &Arc<Shared>) -> Result<Topology, ClientError> {
    let request = |_| ClientRequest::Topology;
    match shared.run(Route::Any, Idempotency::Idempotent, None, request).await? {
        ClientResponse::Topology(topology) => Ok(topology),
        _ => Err(ClientError::Mismatch),
    }
}
