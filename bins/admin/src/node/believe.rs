//! `node believe`: takes a node's copies as complete where the owners that would know are lost.
//!
//! Invariant: nothing is believed unless the admin has named the number of partitions.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use jedlik_amounts::count;
use jedlik_client::ClientError;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use serde_json::Value;

use crate::connection::ConnectionArgs;
use crate::members::{node_json, resolve};
use crate::output::Output;

/// Take a node's copies as complete
///
/// A node that has lost its disk, or a damaged record, says of no key that it is absent until it has been compared with
/// enough other owners that hold all they ever acknowledged. If those are lost for good, it never can be: name here the
/// copies to believe. Keys that the node lacks are absent from then on where it is asked, and what only the lost copies
/// held is lost.
#[derive(Debug, Args)]
#[command(after_help = "\
Before this, bring back every node that can be brought back: `jedlik-admin doctor` names how many partitions \
the node is refilling.

Example:
  jedlik-admin node believe n2 --accept-loss 256")]
pub(crate) struct BelieveArgs {
    /// The node: its name, its identity, or the first digits of that
    #[arg(value_name = "NODE")]
    node: String,
    /// How many partitions the node is refilling now; the data that it lacks of them is given up
    #[arg(long, value_name = "PARTITIONS")]
    accept_loss: u32,
}

pub(super) async fn run(
    connection: &ConnectionArgs,
    args: BelieveArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.connect().await?;
    let members = client.admin().topology().members;
    let known = members.iter().map(|member| (member.node, member.name.as_str()));
    let node = resolve(&args.node, known)?;
    let member = members.iter().find(|member| member.node == node);
    let member = member.expect("a node was found among the members");
    let request = AdminRequest::Believe { partitions: args.accept_loss };
    let answer = client.admin().ask(request, Some(node)).await;
    let answer = answer.with_context(|| format!("{} was not told", member.name))?;
    let AdminResponse::Believed(believed) = answer else {
        return Err(ClientError::Mismatch.into());
    };
    let mut json: Value = node_json(node, std::slice::from_ref(member));
    json["believed_partitions"] = believed.into();
    output.print(&json, || {
        let partitions = count(u64::from(believed), "partition");
        format!("{} is believed on {partitions}: what it lacks of them is given up.\n", member.name)
    })?;
    Ok(ExitCode::SUCCESS)
}
