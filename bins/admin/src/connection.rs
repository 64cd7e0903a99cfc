//! From flags and profile to a connected client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jedlik_client::profile::{Overrides, Profile, Surroundings};
use jedlik_client::{Client, ClientConfig, ClientError, StartError};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};

use crate::output;

/// Some answers wait for other nodes, and a node that is gone costs no attempt its time: another is
/// asked beside it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// Who has just come is to be known soon: commands watch members come and go.
const REFRESH: Duration = Duration::from_secs(1);

/// How to reach the cluster; a profile saves giving these each time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The profile file to use
    #[arg(long, global = true, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// A node to ask first, host:port; may be given several times
    #[arg(long, global = true, value_name = "HOST:PORT")]
    seed: Vec<String>,
    /// The admin's certificate
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The certificate's private key
    // An id of its own, since `explain` has a positional argument `key`.
    #[arg(id = "private_key", long = "key", global = true, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificate of the cluster's authority
    #[arg(long, global = true, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Connects as the flags and the profile say.
    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        self.connect_through(self.seed.clone()).await
    }

    /// Connects to one node, and learns of the others from that one.
    pub(crate) async fn connect_to(&self, address: SocketAddr) -> Result<Client, ClientError> {
        self.connect_through(vec![address.to_string()]).await
    }

    async fn connect_through(&self, seeds: Vec<String>) -> Result<Client, ClientError> {
        let overrides = Overrides {
            profile: self.profile.clone(),
            seeds,
            ca: self.ca_cert.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
        };
        let profile =
            Profile::load(overrides, &Surroundings::of_process()).map_err(StartError::from)?;
        let config = ClientConfig::from_profile(&profile)?;
        for why in &config.unusable_seeds {
            output::say(&format_args!("jedlik-admin: {why}; going on with the other seeds"));
        }
        let config =
            ClientConfig { attempt_timeout: ATTEMPT_TIMEOUT, refresh_interval: REFRESH, ..config };
        Client::connect(config).await
    }

    /// Connects and asks any node.
    pub(crate) async fn ask(&self, request: AdminRequest) -> Result<AdminResponse, ClientError> {
        self.connect().await?.admin(request, None).await
    }
}
