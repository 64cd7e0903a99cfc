//! `node drain`: prepares a node for a stop that no client notices, or reverts that.
//!
//! Invariant: "safe" is said only of a node that has said itself that nothing is left on it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use jedlik_amounts::count;
use jedlik_client::{Client, ClientError};
use jedlik_protocol::admin::{AdminRequest, AdminResponse, DrainReport};
use jedlik_protocol::client::MemberAddress;
use serde_json::Value;

use crate::connection::ConnectionArgs;
use crate::exit::UNAVAILABLE;
use crate::members::{node_json, resolve};
use crate::output::Output;

const POLL: Duration = Duration::from_millis(300);

/// Prepare a node to be stopped, for maintenance
///
/// The node tells the others that it is away, takes no more requests, and delivers the hints that it holds. It keeps
/// its partitions; to remove a node for good, use `cluster leave`.
#[derive(Debug, Args)]
#[command(after_help = "\
With --wait the exit code is 3 if the time is up first.

Examples:
  jedlik-admin node drain n2 --wait && ssh n2 systemctl stop jedlik
  jedlik-admin node drain n2 --undo")]
pub(crate) struct DrainArgs {
    /// The node: its name, its identity, or the first digits of that
    #[arg(value_name = "NODE")]
    node: String,
    /// Put the node back into service
    #[arg(long, conflicts_with_all = ["wait", "timeout"])]
    undo: bool,
    /// Wait until the node can be stopped
    #[arg(long)]
    wait: bool,
    /// How long to wait: 30s, 5m
    #[arg(long, value_name = "TIME", default_value = "300s", requires = "wait",
          value_parser = jedlik_console::duration_or_zero)]
    timeout: Duration,
}

pub(super) async fn run(
    connection: &ConnectionArgs,
    args: DrainArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.connect().await?;
    let members = client.admin().topology().members;
    let known = members.iter().map(|member| (member.node, member.name.as_str()));
    let node = resolve(&args.node, known)?;
    let member = members.iter().find(|member| member.node == node);
    let member = member.expect("a node was found among the members");
    let deadline = Instant::now() + args.timeout;
    let mut report = drain(&client, member, !args.undo).await?;
    while args.wait && !is_safe(report) && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
        report = drain(&client, member, true).await?;
    }
    output.print(&to_json(member, report), || to_text(&member.name, report, args.wait))?;
    let failed = args.wait && !is_safe(report);
    Ok(if failed { UNAVAILABLE.into() } else { ExitCode::SUCCESS })
}

/// Sends the request once; repeating it changes nothing, so the answer also tells the node's progress.
async fn drain(
    client: &Client,
    member: &MemberAddress,
    drained: bool,
) -> anyhow::Result<DrainReport> {
    let request = AdminRequest::Drain { drained };
    let answer = client.admin().ask(request, Some(member.node)).await;
    match answer.with_context(|| format!("{} was not told", member.name))? {
        AdminResponse::Drained(report) => Ok(report),
        _ => Err(ClientError::Mismatch.into()),
    }
}

fn is_safe(report: DrainReport) -> bool {
    report.drained && report.requests == 0 && report.hints == 0
}

fn to_text(name: &str, report: DrainReport, waited: bool) -> String {
    if !report.drained {
        return format!("{name} takes requests.\n");
    }
    if is_safe(report) {
        return format!("{name} is drained: it is safe to stop it now.\n");
    }
    let (requests, hints) = (count(report.requests, "request"), count(report.hints, "hint"));
    let next = if waited {
        "the time is up"
    } else {
        "the same command with --wait waits until it is safe to stop it"
    };
    format!("{name} takes no new requests; {requests} and {hints} are left on it; {next}\n")
}

fn to_json(member: &MemberAddress, report: DrainReport) -> Value {
    let mut json = node_json(member.node, std::slice::from_ref(member));
    json["drained"] = report.drained.into();
    json["requests"] = report.requests.into();
    json["hints"] = report.hints.into();
    json["safe_to_stop"] = is_safe(report).into();
    json
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::admin::DrainReport;

    use super::{to_json, to_text};
    use crate::members::tests::member;

    #[test]
    fn only_a_node_with_nothing_left_is_safe_to_stop() {
        let cases = [
            (true, 0, 0, true, "safe to stop"),
            (true, 1, 0, false, "1 request and 0 hints are left"),
            (true, 0, 2, false, "0 requests and 2 hints are left"),
            (false, 0, 0, false, "n2 takes requests"),
        ];
        for (drained, requests, hints, safe, words) in cases {
            let report = DrainReport { drained, requests, hints };
            assert_eq!(to_json(&member(2), report)["safe_to_stop"], safe);
            let text = to_text("n2", report, false);
            assert!(text.contains(words), "no {words:?} in {text}");
        }
    }
}
