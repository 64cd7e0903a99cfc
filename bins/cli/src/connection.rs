//! The way from flags and a profile to a connected client, and the flags that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jedlik_client::{Client, ClientError, GetOptions, PutOptions, Quorum};
use jedlik_console::profile::{Environment, Overrides, Profile};

use crate::output;

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
    /// The certificate of the cluster's authority
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate of this client
    #[arg(long, global = true, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// The certificate's private key
    // The id differs, since commands have a positional argument `key`.
    #[arg(id = "private_key", long = "key", global = true, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Connects as the flags and the profile say.
    pub(crate) async fn connect(&self) -> anyhow::Result<Client> {
        let overrides = Overrides {
            profile: self.profile.clone(),
            seeds: self.seed.clone(),
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.key.clone(),
        };
        let profile = Profile::load(overrides, &Environment::of_process())?;
        let client = profile.client().map_err(ClientError::from)?.connect().await?;
        for why in client.unusable_seeds() {
            output::say(&format_args!("jedlik: {why}; going on with the other seeds"));
        }
        Ok(client)
    }
}

/// Flags for the quorums of a read.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Replicas that must answer: a number, one, quorum, all or default
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) r: Quorum,
    /// How many of the replicas that answer must be primaries
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) pr: Quorum,
}

/// Flags for the quorums of a write.
#[derive(Debug, Args)]
pub(crate) struct WriteArgs {
    /// Replicas that must acknowledge: a number, one, quorum, all or default
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) w: Quorum,
    /// How many of the replicas that acknowledge must be primaries
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) pw: Quorum,
    /// How many of the replicas that acknowledge must have the write on disk
    #[arg(long, default_value = "default", value_name = "QUORUM")]
    pub(crate) dw: Quorum,
}

/// Flags for any request of one key.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// Replicas to use, at most the bucket's n
    #[arg(long, value_name = "COUNT")]
    pub(crate) n: Option<u8>,
    /// Longest time, retries included: 500ms, 5s, 2m
    #[arg(long, value_name = "TIME", value_parser = jedlik_console::duration)]
    pub(crate) timeout: Option<Duration>,
}

impl RequestArgs {
    /// Returns the options of a get.
    pub(crate) fn read(&self, read: &ReadArgs) -> GetOptions {
        GetOptions::new().n(self.n).r(read.r).pr(read.pr).timeout(self.timeout)
    }

    /// Returns the options of a put or a delete.
    pub(crate) fn write(&self, write: &WriteArgs) -> PutOptions {
        let options = PutOptions::new().n(self.n).timeout(self.timeout);
        options.w(write.w).pw(write.pw).dw(write.dw)
    }
}
