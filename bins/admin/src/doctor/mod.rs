//! `jedlik-admin doctor`: asks every member for its state, and says what is wrong, what that holds up and what to do.

mod counters;
mod diagnosis;
mod drained;
mod names;
mod observed;
mod settings;
mod storage;
#[cfg(test)]
mod tests;
mod transfers;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jedlik_client::Client;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use serde_json::{Value, json};

use crate::amounts::{count, now_ms};
use crate::connection::ConnectionArgs;
use crate::doctor::diagnosis::{Finding, Severity, diagnose};
use crate::doctor::observed::{Observed, ObservedMember};
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
    let wrong = findings.iter().any(|finding| finding.severity != Severity::Note);
    Ok(if wrong { FOUND.into() } else { ExitCode::SUCCESS })
}

async fn observe(client: &Client) -> anyhow::Result<Observed> {
    let members = client.admin().topology().members;
    let largest_n = largest_n(client).await?;
    let told = members::ask(client, &members, &AdminRequest::Status, Some).await;
    let mut observed: Vec<ObservedMember> =
        members.iter().map(|member| ObservedMember::silent(member.clone())).collect();
    names::tell_apart(&mut observed);
    note(&mut observed, told);
    // A member that has not answered the first question is not asked the others.
    let present: Vec<_> = observed
        .iter()
        .filter(|member| member.status.is_some())
        .map(|member| member.member.clone())
        .collect();
    for request in [
        AdminRequest::Hints,
        AdminRequest::Stats,
        AdminRequest::RepairProgress,
        AdminRequest::Background,
        AdminRequest::Transfers,
    ] {
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

fn to_text(findings: &[Finding], members: usize) -> String {
    let number =
        |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let mut text = String::new();
    for finding in findings {
        let severity = finding.severity.name();
        writeln!(text, "{severity}: {}", finding.what).expect("writing into memory can't fail");
        if let Some(blocks) = &finding.blocks {
            writeln!(text, "  holds up: {blocks}").expect("writing into memory can't fail");
        }
        writeln!(text, "  to do: {}\n", finding.remedy).expect("writing into memory can't fail");
    }
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    let asked = count(members as u64, "member");
    text + &match errors + warnings {
        0 => format!("Nothing is wrong with the {asked}.\n"),
        _ => format!("{} and {} on {asked}.\n", count(errors, "error"), count(warnings, "warning")),
    }
}

fn to_json(findings: &[Finding]) -> Value {
    let findings: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "severity": finding.severity.name(),
                "what": finding.what,
                "holds_up": finding.blocks,
                "to_do": finding.remedy,
            })
        })
        .collect();
    json!({ "findings": findings })
}
