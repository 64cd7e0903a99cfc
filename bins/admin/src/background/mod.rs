//! `jedlik-admin background`: how fast members may work in the background, and whether at all.

#[cfg(test)]
mod tests;

use jedlik_amounts::{bytes, span};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use jedlik_doctor::work_name;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, BackgroundChange, BackgroundReport, MergeReport,
};
use serde_json::{Map, Value, json};

use crate::connection::ConnectionArgs;
use crate::exit::UNAVAILABLE;
use crate::members::{self, Told, WhichArgs, node_json, permitted, report_silent};
use crate::output::Output;
use crate::table::{Align, Table};

#[derive(Debug, Subcommand)]
pub(crate) enum BackgroundCommand {
    /// Show what members do in the background, and how fast
    Show(WhichArgs),
    /// Hold background work up: hints, anti-entropy, tombstone collection, transfers
    ///
    /// Reads and writes go on, and reads repair what they see. Nothing else catches up until it is
    /// resumed. `jedlik-admin task pause` holds up one kind of work alone.
    Pause(WhichArgs),
    /// Let background work go on
    Resume(WhichArgs),
    /// Set the bounds of background work
    #[command(after_help = "\
Examples:
  jedlik-admin background set --limit 2000
  jedlik-admin background set --slowdown 150 --node n3")]
    Set(SetArgs),
}

/// New bounds of background work; bounds that are not given stay as they are.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The most steps per second; a step is a message, or four records or 16 KiB of a page
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(required_unless_present = "slowdown")]
    limit: Option<u32>,
    /// How slow requests may become, in percent of their 99th percentile while no background work runs
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(101..))]
    slowdown: Option<u32>,
    #[command(flatten)]
    which: WhichArgs,
}

type Reports = Vec<Told<BackgroundReport>>;

pub(crate) async fn run(
    connection: &ConnectionArgs,
    command: BackgroundCommand,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let (which, request) = request(command);
    let client = connection.connect().await?;
    let members = which.of(client.admin().topology().members)?;
    let report = |answer| match answer {
        AdminResponse::Background(report) => Some(*report),
        _ => None,
    };
    let told = permitted(members::ask(&client, &members, &request, report).await)?;
    output.print(&to_json(&told), || to_text(&told))?;
    Ok(if report_silent(&told) { UNAVAILABLE.into() } else { ExitCode::SUCCESS })
}

/// Splits a command into the members to ask and the request to send them.
fn request(command: BackgroundCommand) -> (WhichArgs, AdminRequest) {
    let paused = |paused| BackgroundChange { paused: Some(paused), ..BackgroundChange::default() };
    let (which, change) = match command {
        BackgroundCommand::Show(which) => return (which, AdminRequest::Background),
        BackgroundCommand::Pause(which) => (which, paused(true)),
        BackgroundCommand::Resume(which) => (which, paused(false)),
        BackgroundCommand::Set(SetArgs { limit, slowdown, which }) => {
            let (limit_per_s, slowdown_percent) = (limit, slowdown);
            (which, BackgroundChange { work: None, paused: None, limit_per_s, slowdown_percent })
        }
    };
    (which, AdminRequest::SetBackground(change))
}

fn to_text(told: &Reports) -> String {
    let mut table = Table::new([
        ("node", Align::Left),
        ("state", Align::Left),
        ("steps/s", Align::Right),
        ("limit", Align::Right),
        ("slowdown", Align::Right),
        ("p99 now", Align::Right),
        ("p99 quiet", Align::Right),
        ("steps so far", Align::Left),
    ]);
    for one in told {
        let node = one.member.name.clone();
        let Ok(report) = &one.answer else {
            let [pace, limit, slowdown, now, quiet] = std::array::from_fn(|_| "-".to_owned());
            let state = "no answer".into();
            table.row([node, state, pace, limit, slowdown, now, quiet, String::new()]);
            continue;
        };
        let steps: Vec<String> =
            report.steps.iter().map(|(what, count)| format!("{what} {count}")).collect();
        table.row([
            node,
            state(report),
            report.pace_per_s.to_string(),
            report.limit_per_s.to_string(),
            format!("{} %", report.slowdown_percent),
            latency(report.foreground_p99_us),
            latency(report.quiet_p99_us),
            steps.join(", "),
        ]);
    }
    let merges = merges_text(told);
    if merges.is_empty() { table.to_string() } else { format!("{table}\n{merges}") }
}

/// Returns a table of the members whose engines merge tables; nothing if there are none.
fn merges_text(told: &Reports) -> String {
    let mut table = Table::new([
        ("node", Align::Left),
        ("merges", Align::Left),
        ("runs waiting", Align::Right),
        ("so far", Align::Right),
        ("merged", Align::Right),
        ("garbage", Align::Right),
        ("last", Align::Left),
    ]);
    let mut any = false;
    for one in told {
        let merges = one.answer.as_ref().ok().and_then(|report| report.merges);
        let Some(merges) = merges else { continue };
        any = true;
        table.row([
            one.member.name.clone(),
            if merges.working > 0 { "working".into() } else { "resting".into() },
            merges.waiting_runs.to_string(),
            merges.merges.to_string(),
            bytes(merges.merged_bytes),
            bytes(merges.garbage_bytes),
            merges.last_age_ms.map_or_else(|| "-".into(), |ms| format!("{} ago", span(ms / 1000))),
        ]);
    }
    if any { table.to_string() } else { String::new() }
}

fn state(report: &BackgroundReport) -> String {
    let kinds: Vec<&str> = report.paused_kinds.iter().map(|kind| work_name(*kind)).collect();
    match (report.paused, kinds.as_slice()) {
        (true, _) => "paused".into(),
        (false, []) => "running".into(),
        (false, kinds) => format!("running, not {}", kinds.join(", ")),
    }
}

fn latency(us: u64) -> String {
    format!("{:.1} ms", Duration::from_micros(us).as_secs_f64() * 1000.0)
}

fn to_json(told: &Reports) -> Value {
    let members: Vec<_> = told.iter().map(|one| one.member.clone()).collect();
    let nodes: Vec<Value> = told
        .iter()
        .map(|one| {
            json!({
                "node": node_json(one.member.node, &members),
                "background": one.answer.as_ref().ok().map(report_json),
                "error": one.answer.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    json!({ "nodes": nodes })
}

fn report_json(report: &BackgroundReport) -> Value {
    let steps: Map<String, Value> =
        report.steps.iter().map(|(what, count)| (what.clone(), (*count).into())).collect();
    let paused_kinds: Vec<&str> = report.paused_kinds.iter().map(|kind| work_name(*kind)).collect();
    json!({
        "paused": report.paused,
        "paused_kinds": paused_kinds,
        "limit_per_s": report.limit_per_s,
        "slowdown_percent": report.slowdown_percent,
        "pace_per_s": report.pace_per_s,
        "foreground_p99_us": report.foreground_p99_us,
        "quiet_p99_us": report.quiet_p99_us,
        "steps": steps,
        "merges": report.merges.as_ref().map(merges_json),
    })
}

fn merges_json(merges: &MergeReport) -> Value {
    json!({
        "working": merges.working,
        "waiting_runs": merges.waiting_runs,
        "merges": merges.merges,
        "merged_bytes": merges.merged_bytes,
        "garbage_bytes": merges.garbage_bytes,
        "last_age_ms": merges.last_age_ms,
    })
}
