//! The builder of a client: what a client needs to start, and the bounds that it keeps.

use std::time::Duration;

use jedlik_protocol::limits::TIMEOUT_DEFAULT_MS;

use crate::{Client, ClientError, Identity, StartError};

/// Builder of a [`Client`]. Seeds and an identity are needed; the bounds have defaults.
#[derive(Debug, Clone, Default)]
#[must_use = "a client is started by `connect`"]
pub struct ClientBuilder {
    seeds: Vec<String>,
    identity: Option<Identity>,
    bounds: Bounds,
}

/// Limits of time and number that a client keeps.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) timeout: Duration,
    pub(crate) attempt_timeout: Duration,
    pub(crate) in_flight_limit: usize,
    pub(crate) refresh_interval: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(TIMEOUT_DEFAULT_MS.into()),
            attempt_timeout: Duration::from_secs(1),
            in_flight_limit: 4096,
            refresh_interval: Duration::from_secs(10),
        }
    }
}

impl ClientBuilder {
    /// Adds seeds: any of the cluster's nodes, as `host:port`. The first that answers gives the whole topology. Names
    /// are looked up at the start, and again whenever no known node answers.
    pub fn seeds<S: ToString>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds.extend(seeds.into_iter().map(|seed| seed.to_string()));
        self
    }

    /// Sets the certificates that the client shows to nodes and checks nodes by.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sets the time for a request with all its attempts, unless the request says otherwise; 5 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.bounds.timeout = timeout;
        self
    }

    /// Sets the time for each of a request's first attempts; 1 s by default. A silent node delays a request by less:
    /// another node is asked beside it after 200 ms at most.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.attempt_timeout = timeout;
        self
    }

    /// Sets the largest number of requests under way, at least 1; 4,096 by default. Requests above it wait their turn.
    pub fn in_flight_limit(mut self, requests: usize) -> Self {
        self.bounds.in_flight_limit = requests.max(1);
        self
    }

    /// Sets the time between fetches of the topology while nothing says that it has changed; 10 s by default.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.bounds.refresh_interval = interval;
        self
    }

    /// Asks the seeds for the cluster's topology and starts the client.
    ///
    /// # Errors
    /// There are no seeds or no identity, no name can be looked up, no node answers, or the socket can't be had.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let identity = self.identity.ok_or(StartError::NoIdentity)?;
        Client::start(self.seeds, &identity, self.bounds).await
    }
}
