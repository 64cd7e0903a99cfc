//! What a client needs to start, and the bounds it keeps.

use std::net::SocketAddr;
use std::time::Duration;

use jedlik_net::Credentials;
use jedlik_protocol::limits::TIMEOUT_DEFAULT_MS;

use crate::StartError;
use crate::profile::Profile;

/// How to start a client.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Any of the cluster's nodes: the first that answers tells about the rest.
    pub seeds: Vec<SocketAddr>,
    /// What is wrong with other seeds of the profile, for people: the client goes on without them.
    pub unusable_seeds: Vec<String>,
    /// As whom.
    pub credentials: Credentials,
    /// What a request may take, all its attempts together, unless its options say otherwise.
    pub timeout: Duration,
    /// What its first attempts may take each. A node that says nothing holds a request up for less:
    /// another is asked beside it after 200 ms at most.
    pub attempt_timeout: Duration,
    /// The most requests under way; more wait their turn.
    pub in_flight_limit: usize,
    /// How often the topology is fetched when nothing says that it has changed.
    pub refresh_interval: Duration,
}

impl ClientConfig {
    /// The usual bounds.
    #[must_use]
    pub fn new(seeds: Vec<SocketAddr>, credentials: Credentials) -> Self {
        Self {
            seeds,
            unusable_seeds: Vec::new(),
            credentials,
            timeout: Duration::from_millis(TIMEOUT_DEFAULT_MS.into()),
            attempt_timeout: Duration::from_secs(1),
            in_flight_limit: 4096,
            refresh_interval: Duration::from_secs(10),
        }
    }

    /// The usual bounds with a profile's seeds and certificates.
    ///
    /// # Errors
    /// No seed can be used or a certificate can't be; the error names it.
    pub fn from_profile(profile: &Profile) -> Result<Self, StartError> {
        let credentials = Credentials::load(&profile.ca, &profile.cert, &profile.key)
            .map_err(StartError::Credentials)?;
        let (seeds, unusable) = profile.addresses()?;
        let unusable_seeds = unusable.iter().map(ToString::to_string).collect();
        Ok(Self { unusable_seeds, ..Self::new(seeds, credentials) })
    }
}
