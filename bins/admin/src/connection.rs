//! The way from flags and a profile to a connected client.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jedlik_client::{Client, ClientError};
use jedlik_console::profile::{Environment, Overrides, Profile};
use jedlik_protocol::admin::{AdminRequest, AdminResponse};

use crate::output;

/// Time for each attempt at a request. Some answers wait for other nodes; a node that is gone costs no more, since
/// another is asked beside it.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
/// Time between fetches of the topology. It is short, since commands watch members come and go.
const REFRESH: Duration = Duration::from_secs(1);

/// Flags that say how to reach the cluster; a profile replaces them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// The profile file to use
    #[arg(long, global = true, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// A node to ask first, host:port; may be given several times
    #[arg(long, global = true, value_name = "HOST:PORT")]
    seed: Vec<String>,
    /// The certificate of this admin
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The certificate's private key
    // The id differs, since `explain` has a positional argument `key`.
    #[arg(id = "private_key", long = "key", global = true, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The certificate of the cluster's authority
    #[arg(long, global = true, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Connects as the flags and the profile say.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        self.connect_through(self.seed.clone()).await
    }

    /// Connects to one node, and learns the other members from it.
    pub(crate) async fn connect_to(&self, address: SocketAddr) -> anyhow::Result<Client> {
        self.connect_through(vec![address.to_string()]).await
    }

    async fn connect_through(&self, seeds: Vec<String>) -> anyhow::Result<Client> {
        let overrides = Overrides {
            profile: self.profile.clone(),
            seeds,
            ca: self.ca_cert.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
        };
        let profile = Profile::load(overrides, &Environment::of_process())?;
        let builder = profile.client().map_err(ClientError::from)?;
        let builder = builder.attempt_timeout(ATTEMPT_TIMEOUT).refresh_interval(REFRESH);
        let client = builder.connect().await?;
        for why in client.unusable_seeds() {
            output::say(&format_args!("jedlik-admin: {why}; going on with the other seeds"));
        }
        Ok(client)
    }

    /// Connects and sends the request to any node.
    pub(crate) async fn ask(&self, request: AdminRequest) -> anyhow::Result<AdminResponse> {
        Ok(self.connect().await?.admin().ask(request, None).await?)
    }
}
