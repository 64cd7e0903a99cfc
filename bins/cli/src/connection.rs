//! From flags and profile to a connected client, and the wishes that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jedlik_client::profile::{Overrides, Profile, Surroundings};
use jedlik_client::{Client, ClientConfig, ClientError, StartError};
use jedlik_protocol::Quorum;

use crate::{output, parse};

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
    /// The certificate of the cluster's authority
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// This client's certificate
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The certificate's private key
    // An id of its own, since commands have a positional argument `key`.
    #[arg(id = "private_key", long = "key", global = true, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Connects as the flags and the profile say.
    pub(crate) async fn connect(&self) -> Result<Client, ClientError> {
        let overrides = Overrides {
            profile: self.profile.clone(),
            seeds: self.seed.clone(),
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
        };
        let profile =
            Profile::load(overrides, &Surroundings::of_process()).map_err(StartError::from)?;
        let config = ClientConfig::from_profile(&profile)?;
        for why in &config.unusable_seeds {
            output::say(&format_args!("jedlik: {why}; going on with the other seeds"));
        }
        Client::connect(config).await
    }
}

/// Wishes for reads.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Replicas that must answer: a number, one, quorum, all or default
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) r: Quorum,
    /// How many of them must be primaries
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) pr: Quorum,
}

/// Wishes for writes.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Replicas that must acknowledge: a number, one, quorum, all or default
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) w: Quorum,
    /// How many of them must be primaries
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) pw: Quorum,
    /// How many of them must have the write on disk
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) dw: Quorum,
}

/// Wishes for any request of one key.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// Replicas to use, at most the bucket's n
    #[arg(long, value_name = "COUNT")]
    pub(crate) n: Option<u8>,
    /// Longest time, retries included: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = parse::duration)]
    pub(crate) timeout: Option<Duration>,
}
