//! `node keep`: chooses which of two processes of one node stays.
//!
//! Invariant: the process that is asked is the one that stays, or nothing is changed.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use jedlik_client::ClientError;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::gossip::MemberRecord;
use serde_json::json;

use crate::connection::ConnectionArgs;
use crate::members::{node_json, resolve};
use crate::output::Output;

/// Choose which of two processes that run under one node's identity stays
///
/// Two such processes, as of a cloned machine, notice one another within seconds. Neither carries out what clients ask,
/// or is asked by other nodes, until one of them has been chosen. The one that stays starts again and is refilled by
/// the other nodes, since it lacks what the other one was given. The other one ends, and its data directory is not used
/// again. What it alone was given is on the other nodes as well, unless W is 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Both addresses are in `jedlik-admin doctor` and in the nodes' logs.

Examples:
  jedlik-admin node keep n3 --address 10.0.0.3:7400
  jedlik-admin node keep n3 --address 10.0.0.3:7400 --json")]
pub(crate) struct KeepArgs {
    /// The node: its name, its identity, or the first digits of that
    #[arg(value_name = "NODE")]
    node: String,
    /// The address on which the process that stays listens
    #[arg(long, value_name = "HOST:PORT")]
    address: SocketAddr,
}

pub(super) async fn run(
    connection: &ConnectionArgs,
    args: KeepArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    // The cluster may know either address; the process itself tells its own.
    let client = match connection.connect_to(args.address).await {
        Ok(client) => client,
        Err(error) => {
            let told = addresses(connection, &args.node).await;
            return Err(error.context(wrong_address(&args, &told)));
        }
    };
    let members = client.admin().topology().members;
    let known = members.iter().map(|member| (member.node, member.name.as_str()));
    let node = resolve(&args.node, known)?;
    let member = members.iter().find(|member| member.node == node);
    let member = member.expect("a node was found among the members");
    if member.address != args.address {
        bail!("{}", wrong_address(&args, &addresses(connection, &args.node).await));
    }
    let request = AdminRequest::Keep { address: args.address };
    let answer = client.admin().ask(request, Some(node)).await;
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

/// Returns the addresses of a node's processes, as another member knows them; empty if no member answers.
async fn addresses(connection: &ConnectionArgs, wanted: &str) -> Vec<SocketAddr> {
    let Ok(AdminResponse::Status(status)) = connection.ask(AdminRequest::Status).await else {
        return Vec::new();
    };
    let known = status.members.iter().map(|seen| (seen.record.node, seen.record.name.as_str()));
    let Ok(node) = resolve(wanted, known) else { return Vec::new() };
    let record = status.members.iter().map(|seen| &seen.record).find(|record| record.node == node);
    let both = |record: &MemberRecord| {
        [Some(record.address), record.life.rival.map(|rival| rival.address)].into_iter().flatten()
    };
    record.into_iter().flat_map(both).collect()
}

fn wrong_address(args: &KeepArgs, addresses: &[SocketAddr]) -> String {
    let KeepArgs { node, address } = args;
    let found: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    match found.as_slice() {
        [] => format!("no process of {node} was found at {address}"),
        [one] => format!(
            "{node} listens at {one}, and not at {address}; nobody knows of another process of it"
        ),
        both => {
            format!("{node}'s processes listen at {}, and not at {address}", both.join(" and at "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KeepArgs, wrong_address};

    #[test]
    fn a_wrong_address_is_answered_with_those_that_there_are() {
        let at = |port: u16| ([127, 0, 0, 1], port).into();
        let args = KeepArgs { node: "n3".into(), address: at(9) };
        for (known, said) in [
            (vec![], "no process of n3 was found at 127.0.0.1:9"),
            (vec![at(1)], "n3 listens at 127.0.0.1:1, and not at 127.0.0.1:9"),
            (
                vec![at(1), at(2)],
                "n3's processes listen at 127.0.0.1:1 and at 127.0.0.1:2, and not at",
            ),
        ] {
            let text = wrong_address(&args, &known);
            assert!(text.starts_with(said), "{text}");
        }
    }
}
