//! `node keep`: says which of two processes of one node stays.
//!
//! Invariant: the process that is asked is the one that stays, or nothing is changed.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use jedlik_client::ClientError;
use jedlik_client::protocol::admin::{AdminRequest, AdminResponse};
use serde_json::json;

use crate::connection::ConnectionArgs;
use crate::members::{node_json, resolve};
use crate::output::Output;

/// Say which of two processes that run under one node's identity stays
///
/// Two such processes, as of a cloned machine, notice one another within seconds, and neither coordinates puts
/// until one of them has been chosen. The one that stays starts again and is refilled by the other nodes, since
/// it lacks what the other one was given; the other one ends, and its data directory is not used again.
/// What the other one alone was given is on the other nodes as well, unless W is 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Both addresses are in `jedlik-admin doctor` and in the nodes' logs.

Examples:
  jedlik-admin node keep n3 --address 10.0.0.3:7400
  jedlik-admin node keep n3 --address 10.0.0.3:7400 --json")]
pub(crate) struct KeepArgs {
    /// Its name, its identity, or the first digits of that
    #[arg(value_name = "NODE")]
    node: String,
    /// Where the process listens that stays
    #[arg(long, value_name = "HOST:PORT")]
    address: SocketAddr,
}

pub(super) async fn run(
    connection: &ConnectionArgs,
    args: KeepArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    // The cluster may know either address: the process itself tells its own.
    let client = connection.connect_to(args.address).await?;
    let members = client.topology().members;
    let known = members.iter().map(|member| (member.node, member.name.as_str()));
    let node = resolve(&args.node, known)?;
    let member = members.iter().find(|member| member.node == node);
    let member = member.expect("a node was found among the members");
    if member.address != args.address {
        bail!("{} listens at {}, and not at {}", member.name, member.address, args.address);
    }
    let request = AdminRequest::Keep { address: args.address };
    let answer = client.admin(request, Some(node)).await;
    let AdminResponse::Kept(rival) =
        answer.with_context(|| format!("{} was not told", member.name))?
    else {
        return Err(ClientError::Mismatch.into());
    };
    let mut shown = node_json(node, std::slice::from_ref(member));
    shown["kept"] = json!(args.address.to_string());
    shown["ended"] = json!(rival.address.to_string());
    output.print(&shown, || {
        format!(
            "{} stays at {}; the process at {} ends, and its data directory is not used again.\n",
            member.name, args.address, rival.address
        )
    })?;
    Ok(ExitCode::SUCCESS)
}
