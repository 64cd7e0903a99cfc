//! The builder of a client: what it needs to start, and the bounds that it keeps.

use std::time::Duration;

use jedlik_protocol::limits::TIMEOUT_DEFAULT_MS;

use crate::{Client, ClientError, Identity, StartError};

/// How to start a [`Client`]: seeds and an identity, and bounds that have their usual values.
#[derive(Debug, Clone, Default)]
#[must_use = "a client is started by `connect`"]
pub struct ClientBuilder {
    seeds: Vec<String>,
    identity: Option<Identity>,
    bounds: Bounds,
}

/// The bounds that a client keeps.
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
    /// Any of the cluster's nodes as `host:port`: the first that answers tells about the rest. Names are looked up
    /// at the start, and again whenever no node that is known answers.
    pub fn seeds<S: ToString>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds.extend(seeds.into_iter().map(|seed| seed.to_string()));
        self
    }

    /// Shows these certificates to the nodes.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Limits a request, all its attempts together, unless it says otherwise: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.bounds.timeout = timeout;
        self
    }

    /// Limits each of a request's first attempts: 1 s. A node that says nothing holds a request up for less:
    /// another is asked beside it after 200 ms at most.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.attempt_timeout = timeout;
        self
    }

    /// The most requests under way, 4,096; more wait their turn.
    pub fn in_flight_limit(mut self, requests: usize) -> Self {
        self.bounds.in_flight_limit = requests.max(1);
        self
    }

    /// How often the cluster's layout is fetched when nothing says that it has changed: every 10 s.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.bounds.refresh_interval = interval;
        self
    }

    /// Asks the seeds, one after another, who is in the cluster.
    ///
    /// # Errors
    /// There are no seeds or no identity, no name can be looked up, no node answers, or the socket can't be had.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let identity = self.identity.ok_or(StartError::NoIdentity)?;
        Client::start(self.seeds, &identity, self.bounds).await
    }
}
