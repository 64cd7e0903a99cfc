//! `jedlik-admin doctor`: asks every member for its state, and says what is wrong, what that holds up and what to do.

use std::process::ExitCode;

use clap::Args;
use jedlik_client::Client;
use jedlik_doctor::{Finding, Observed, ObservedMember, diagnose, is_wrong, to_text};
use jedlik_protocol::admin::AdminResponse;
use serde_json::{Value, json};

use crate::clock::now_ms;
use crate::connection::ConnectionArgs;
use crate::exit::FOUND;
use crate::members::{self, Told, largest_n};
use crate::output::Output;

/// Say what is wrong with the cluster, what that holds up, and what to do
///
/// Asks every member for its view of the cluster, its hints, counters, repairs, transfers and background work.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 0 if nothing is wrong, notes aside, and 1 if there are errors or warnings.

Examples:
  jedlik-admin doctor
  jedlik-admin doctor --json")]
pub(crate) struct DoctorArgs {}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    DoctorArgs {}: DoctorArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.connect().await?;
    let observed = observe(&client).await?;
    let findings = diagnose(&observed);
    output.print(&to_json(&findings), || to_text(&findings, observed.members.len()))?;
    Ok(if is_wrong(&findings) { FOUND.into() } else { ExitCode::SUCCESS })
}

async fn observe(client: &Client) -> anyhow::Result<Observed> {
    let members = client.admin().topology().members;
    let largest_n = largest_n(client).await?;
    let told = members::ask(client, &members, &jedlik_doctor::FIRST, Some).await;
    let mut observed: Vec<ObservedMember> =
        members.iter().map(|member| ObservedMember::silent(member.clone())).collect();
    jedlik_doctor::tell_apart(&mut observed);
    note(&mut observed, told);
    // A member that has not answered the first question is not asked the others.
    let present: Vec<_> = observed
        .iter()
        .filter(|member| member.status.is_some())
        .map(|member| member.member.clone())
        .collect();
    for request in jedlik_doctor::OTHERS {
        note(&mut observed, members::ask(client, &present, &request, Some).await);
    }
    Ok(Observed { members: observed, largest_n, now_ms: now_ms() })
}

/// Files each member's answer among the observations.
fn note(observed: &mut [ObservedMember], told: Vec<Told<AdminResponse>>) {
    for Told { member, answer } in told {
        if let Some(seen) = observed.iter_mut().find(|seen| seen.member.node == member.node) {
            seen.note(answer.map_err(|error| error.to_string()));
        }
    }
}

fn to_json(findings: &[Finding]) -> Value {
    let findings: Vec<Value> =
        findings.iter().map(|finding| finding.fields().into_iter().collect()).collect();
    json!({ "findings": findings })
}
