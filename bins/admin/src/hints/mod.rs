//! `jedlik-admin hints`: the writes that members keep for others that were unreachable, and their delivery.

#[cfg(test)]
pub(crate) mod tests;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use jedlik_amounts::{age_s, bytes, count, span};
use jedlik_client::Client;
use jedlik_console::rfc3339_ms;
use jedlik_protocol::admin::{AdminRequest, AdminResponse, HintReport};
use jedlik_protocol::client::MemberAddress;
use serde_json::{Value, json};

use crate::clock::now_ms;
use crate::connection::ConnectionArgs;
use crate::exit::UNAVAILABLE;
use crate::members::{self, Told, name, node_json, report_silent};
use crate::output::Output;
use crate::table::{Align, Table};

const POLL: Duration = Duration::from_millis(500);
const WATCH: Duration = Duration::from_secs(1);

/// Show the hints that members hold for others
///
/// Asks every member. A hint is a write kept for a member that was unreachable; it is delivered when that member is
/// back.
#[derive(Debug, Args)]
#[command(after_help = "\
With --wait the exit code is 3 if hints are left when the time is up, or a member can't be asked.

Examples:
  jedlik-admin hints
  jedlik-admin hints --watch
  jedlik-admin hints --wait --timeout 60 && echo drained")]
pub(crate) struct HintsArgs {
    /// Show the hints again each second, until there are none
    #[arg(long, conflicts_with_all = ["wait", "timeout"])]
    watch: bool,
    /// Wait until every member answers and none has a hint
    #[arg(long)]
    wait: bool,
    /// How long to wait: 30s, 5m
    #[arg(long, value_name = "TIME", default_value = "300s", requires = "wait",
          value_parser = jedlik_console::duration_or_zero)]
    timeout: Duration,
}

type Reports = Vec<Told<Vec<HintReport>>>;

pub(crate) async fn run(
    connection: &ConnectionArgs,
    args: HintsArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.connect().await?;
    let show = |told: &Reports| {
        let members = client.admin().topology().members;
        let now_ms = now_ms();
        output.print(&to_json(told, &members), || to_text(told, &members, now_ms))
    };
    let deadline = Instant::now() + args.timeout;
    loop {
        let told = ask(&client).await;
        let drained = is_drained(&told);
        let over = !args.watch && (!args.wait || Instant::now() >= deadline);
        if !args.wait || drained || over {
            show(&told)?;
        }
        if drained || over {
            let silent = report_silent(&told);
            let failed = silent || args.wait && !drained;
            return Ok(if failed { UNAVAILABLE.into() } else { ExitCode::SUCCESS });
        }
        tokio::time::sleep(if args.watch { WATCH } else { POLL }).await;
    }
}

async fn ask(client: &Client) -> Reports {
    let members = client.admin().topology().members;
    let hints = |answer| match answer {
        AdminResponse::Hints(hints) => Some(hints),
        _ => None,
    };
    members::ask(client, &members, &AdminRequest::Hints, hints).await
}

/// Whether every member has answered and none has a hint.
fn is_drained(told: &Reports) -> bool {
    let none = |hints: &Vec<HintReport>| hints.iter().all(|report| report.count == 0);
    told.iter().all(|one| one.answer.as_ref().is_ok_and(none))
}

/// Returns the state of the hints for one target, in a word.
pub(crate) fn state(report: &HintReport) -> &'static str {
    match (report.count, report.delivering) {
        (0, _) => "delivered",
        (_, true) => "delivering",
        (_, false) => "waiting",
    }
}

fn to_text(told: &Reports, members: &[MemberAddress], now_ms: u64) -> String {
    let mut table = Table::new([
        ("holder", Align::Left),
        ("target", Align::Left),
        ("keys", Align::Right),
        ("bytes", Align::Right),
        ("oldest", Align::Right),
        ("state", Align::Left),
        ("left", Align::Right),
        ("delivered", Align::Right),
        ("last failure", Align::Left),
    ]);
    let dash = || "-".to_owned();
    for one in told {
        let holder = &one.member.name;
        let Ok(reports) = &one.answer else {
            let [keys, bytes, oldest, left, delivered] = std::array::from_fn(|_| dash());
            let (state, failure) = ("no answer".into(), String::new());
            let (holder, target) = (holder.clone(), dash());
            table.row([holder, target, keys, bytes, oldest, state, left, delivered, failure]);
            continue;
        };
        for report in reports {
            table.row([
                holder.clone(),
                name(report.target, members),
                report.count.to_string(),
                bytes(report.bytes),
                report.oldest_ms.map_or_else(dash, |since| span(age_s(now_ms, since))),
                state(report).into(),
                report.left_s.map_or_else(dash, span),
                report.delivered.to_string(),
                report.failure.clone().unwrap_or_default(),
            ]);
        }
    }
    let sum = |part: fn(&HintReport) -> u64| all(told).map(part).sum::<u64>();
    let (keys, size) = (sum(|report| report.count), sum(|report| report.bytes));
    let silent = told.iter().filter(|one| one.answer.is_err()).count() as u64;
    let mut total = match keys {
        0 => "no hints wait".to_owned(),
        keys => format!("{} of {} in hints", count(keys, "key"), bytes(size)),
    };
    if silent > 0 {
        total += &format!("; no answer from {}", count(silent, "member"));
    }
    let empty = all(told).next().is_none() && silent == 0;
    if empty { total + "\n" } else { format!("{table}{total}\n") }
}

fn all(told: &Reports) -> impl Iterator<Item = &HintReport> {
    told.iter().filter_map(|one| one.answer.as_ref().ok()).flatten()
}

fn to_json(told: &Reports, members: &[MemberAddress]) -> Value {
    let holders: Vec<Value> = told
        .iter()
        .map(|one| {
            let hints = one.answer.as_ref().ok().map(|reports| {
                let reports = reports.iter().map(|report| report_json(report, members));
                reports.collect::<Vec<Value>>()
            });
            json!({
                "holder": node_json(one.member.node, members),
                "hints": hints,
                "error": one.answer.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    json!({
        "holders": holders,
        "keys": all(told).map(|report| report.count).sum::<u64>(),
        "bytes": all(told).map(|report| report.bytes).sum::<u64>(),
        "drained": is_drained(told),
    })
}

fn report_json(report: &HintReport, members: &[MemberAddress]) -> Value {
    json!({
        "target": node_json(report.target, members),
        "keys": report.count,
        "bytes": report.bytes,
        "oldest": report.oldest_ms.map(rfc3339_ms),
        "state": state(report),
        "delivered": report.delivered,
        "left_s": report.left_s,
        "failure": report.failure,
    })
}
