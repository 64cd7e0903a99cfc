//! `jedlik-admin repair`: makes members compare their records with the other owners, and shows the progress.
//!
//! Invariant: the report counts the work since the command began, as long as no member restarts.

#[cfg(test)]
mod tests;

use std::io::{IsTerminal as _, stderr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jedlik_amounts::bytes;
use jedlik_client::admin::Partition;
use jedlik_client::{Client, ClientError};
use jedlik_protocol::admin::{AdminRequest, AdminResponse, RepairReport};
use jedlik_protocol::client::MemberAddress;
use serde_json::{Value, json};

use crate::connection::ConnectionArgs;
use crate::exit::{UNAVAILABLE, Usage};
use crate::members::{self, Told, WhichArgs, largest_n, node_json, permitted, report_silent};
use crate::output::Output;
use crate::table::{Align, Table};

const POLL: Duration = Duration::from_millis(300);

/// Compare members' records with the other owners, and repair the differences
///
/// Members do this all the time at their own pace; this command starts a round now, and waits until it is done.
/// Interrupting the command does not stop the round.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 3 if a member can't be asked or can't finish a comparison.

Examples:
  jedlik-admin repair
  jedlik-admin repair --partition 17
  jedlik-admin repair --node n3 --no-wait")]
pub(crate) struct RepairArgs {
    /// Only this partition, on the members that own it
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,
    /// Don't wait until the round is done
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    which: WhichArgs,
}

/// One member's progress: its report when the command began, and its latest one.
struct Part {
    before: RepairReport,
    now: RepairReport,
}

impl Part {
    fn is_done(&self) -> bool {
        self.now.done >= self.now.partitions
    }

    /// Returns the work that was done between the two reports.
    fn since(&self) -> RepairReport {
        let (now, before) = (&self.now, &self.before);
        let since = |count: fn(&RepairReport) -> u64| count(now).saturating_sub(count(before));
        RepairReport {
            partitions: now.partitions,
            done: now.done,
            building: now.building,
            exchanges: since(|report| report.exchanges),
            agreed: since(|report| report.agreed),
            failed: since(|report| report.failed),
            to_retry: now.to_retry,
            hash_requests: since(|report| report.hash_requests),
            digest_requests: since(|report| report.digest_requests),
            keys_compared: since(|report| report.keys_compared),
            pulled: since(|report| report.pulled),
            pushed: since(|report| report.pushed),
            bytes: since(|report| report.bytes),
            damaged: since(|report| report.damaged),
            trees_corrected: since(|report| report.trees_corrected),
        }
    }
}

type Parts = Vec<Told<Part>>;

pub(crate) async fn run(
    connection: &ConnectionArgs,
    args: RepairArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let client = connection.connect().await?;
    let members = args.which.of(client.admin().topology().members)?;
    let members = match args.partition {
        Some(partition) => owners(&client, Partition(partition), members).await?,
        None => members,
    };
    let request = AdminRequest::Repair { partition: args.partition.map(Partition) };
    let started = permitted(members::ask(&client, &members, &request, repair).await)?;
    let mut parts: Parts = started
        .into_iter()
        .map(|Told { member, answer }| Told {
            member,
            answer: answer.map(|now| Part { before: now.clone(), now }),
        })
        .collect();
    if !args.no_wait {
        watch(&client, &mut parts).await;
    }
    output.print(&to_json(&parts), || to_text(&parts, args.no_wait))?;
    let silent = report_silent(&parts);
    let failed = !args.no_wait && sum(&parts).failed > 0;
    Ok(if silent || failed { UNAVAILABLE.into() } else { ExitCode::SUCCESS })
}

/// Returns those of `members` that own a partition for some bucket.
async fn owners(
    client: &Client,
    partition: Partition,
    members: Vec<MemberAddress>,
) -> anyhow::Result<Vec<MemberAddress>> {
    let layout = client.admin().topology().layout.ok_or(ClientError::NoLayout)?;
    let partitions = layout.ring.partitions().get();
    if partition.0 >= partitions {
        let text =
            format!("there is no partition {partition}: they go from 0 to {}", partitions - 1);
        return Err(Usage(text).into());
    }
    let mut owners = layout.ring.preference_list(partition);
    owners.truncate(largest_n(client).await?.into());
    let names = members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
    let members: Vec<MemberAddress> =
        members.into_iter().filter(|member| owners.contains(&member.node)).collect();
    if members.is_empty() {
        return Err(Usage(format!("{names} does not own partition {partition}")).into());
    }
    Ok(members)
}

fn repair(answer: AdminResponse) -> Option<RepairReport> {
    match answer {
        AdminResponse::Repair(report) => Some(*report),
        _ => None,
    }
}

/// Asks for progress until every member is done or has stopped answering.
async fn watch(client: &Client, parts: &mut Parts) {
    let bar = bar();
    loop {
        let total = sum(parts);
        bar.set_length(total.partitions.into());
        bar.set_position(total.done.into());
        bar.set_message(format!(
            "{} exchanges, {} records moved, {}",
            total.exchanges,
            total.pulled + total.pushed,
            bytes(total.bytes)
        ));
        let working: Vec<MemberAddress> = parts
            .iter()
            .filter(|part| part.answer.as_ref().is_ok_and(|part| !part.is_done()))
            .map(|part| part.member.clone())
            .collect();
        if working.is_empty() {
            return bar.finish_and_clear();
        }
        tokio::time::sleep(POLL).await;
        for told in members::ask(client, &working, &AdminRequest::RepairProgress, repair).await {
            let same = |part: &&mut Told<Part>| part.member.node == told.member.node;
            let Some(part) = parts.iter_mut().find(same) else { continue };
            match (told.answer, &mut part.answer) {
                (Ok(report), Ok(part)) => part.now = report,
                (Err(error), answer) => *answer = Err(error),
                (Ok(_), Err(_)) => {}
            }
        }
    }
}

/// Returns a bar on standard error, hidden unless that is a terminal.
fn bar() -> ProgressBar {
    let terminal = stderr().is_terminal();
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let template = "{bar:40} {pos}/{len} partitions  {msg}  {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Sums the work of all members that answered.
fn sum(parts: &Parts) -> RepairReport {
    let all = parts.iter().filter_map(|part| part.answer.as_ref().ok()).map(Part::since);
    all.fold(RepairReport::default(), |sum, part| RepairReport {
        partitions: sum.partitions + part.partitions,
        done: sum.done + part.done,
        building: sum.building + part.building,
        exchanges: sum.exchanges + part.exchanges,
        agreed: sum.agreed + part.agreed,
        failed: sum.failed + part.failed,
        to_retry: sum.to_retry + part.to_retry,
        hash_requests: sum.hash_requests + part.hash_requests,
        digest_requests: sum.digest_requests + part.digest_requests,
        keys_compared: sum.keys_compared + part.keys_compared,
        pulled: sum.pulled + part.pulled,
        pushed: sum.pushed + part.pushed,
        bytes: sum.bytes + part.bytes,
        damaged: sum.damaged + part.damaged,
        trees_corrected: sum.trees_corrected + part.trees_corrected,
    })
}

fn to_text(parts: &Parts, no_wait: bool) -> String {
    if no_wait {
        let started = parts.iter().filter(|part| part.answer.is_ok());
        let names: Vec<&str> = started.map(|part| part.member.name.as_str()).collect();
        return match names.as_slice() {
            [] => "no member has begun\n".into(),
            names => format!("begun on {}; `jedlik-admin repair` waits for it\n", names.join(", ")),
        };
    }
    let mut table = Table::new([
        ("node", Align::Left),
        ("partitions", Align::Right),
        ("exchanges", Align::Right),
        ("agreed", Align::Right),
        ("failed", Align::Right),
        ("keys compared", Align::Right),
        ("pulled", Align::Right),
        ("pushed", Align::Right),
        ("bytes", Align::Right),
        ("damaged", Align::Right),
    ]);
    for part in parts {
        let report = part.answer.as_ref().ok().map(Part::since);
        table.row(row(part.member.name.clone(), report.as_ref()));
    }
    if parts.len() > 1 {
        table.row(row("all".into(), Some(&sum(parts))));
    }
    let total = sum(parts);
    let corrected = match total.trees_corrected {
        0 => String::new(),
        count => format!("trees that did not match their records, corrected: {count}\n"),
    };
    format!("{table}{corrected}")
}

fn row(node: String, report: Option<&RepairReport>) -> [String; 10] {
    let Some(report) = report else {
        let mut row: [String; 10] = std::array::from_fn(|_| "-".to_owned());
        (row[0], row[1]) = (node, "no answer".into());
        return row;
    };
    [
        node,
        format!("{}/{}", report.done, report.partitions),
        report.exchanges.to_string(),
        report.agreed.to_string(),
        report.failed.to_string(),
        report.keys_compared.to_string(),
        report.pulled.to_string(),
        report.pushed.to_string(),
        bytes(report.bytes),
        report.damaged.to_string(),
    ]
}

fn to_json(parts: &Parts) -> Value {
    let members: Vec<MemberAddress> = parts.iter().map(|part| part.member.clone()).collect();
    let nodes: Vec<Value> = parts
        .iter()
        .map(|part| {
            json!({
                "node": node_json(part.member.node, &members),
                "report": part.answer.as_ref().ok().map(|part| report_json(&part.since())),
                "error": part.answer.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    json!({ "nodes": nodes, "all": report_json(&sum(parts)) })
}

fn report_json(report: &RepairReport) -> Value {
    json!({
        "partitions": report.partitions,
        "done": report.done,
        "building": report.building,
        "exchanges": report.exchanges,
        "agreed": report.agreed,
        "failed": report.failed,
        "to_retry": report.to_retry,
        "hash_requests": report.hash_requests,
        "digest_requests": report.digest_requests,
        "keys_compared": report.keys_compared,
        "pulled": report.pulled,
        "pushed": report.pushed,
        "bytes": report.bytes,
        "damaged": report.damaged,
        "trees_corrected": report.trees_corrected,
    })
}
