//! `jedlik-admin transfers`: the moves under way, with their sources, targets and pace, and their obstacles.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use jedlik_amounts::{bytes, count};
use jedlik_client::NodeId;
use jedlik_protocol::admin::{Transfer, TransferReport};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::connection::ConnectionArgs;
use crate::exit::UNAVAILABLE;
use crate::members::report_silent;
use crate::output::Output;
use crate::table::{Align, Table};
use crate::transfer_progress::{Meters, Obstacle, TransferProgress};

const WATCH: Duration = Duration::from_secs(1);

/// Show how data moves between members
///
/// Asks every member. Bytes count from each member's start; the pace is that of the last seconds.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code is 3 if a member can't be asked.

Examples:
  jedlik-admin transfers
  jedlik-admin transfers --watch")]
pub(crate) struct TransfersArgs {
    /// Show the transfers again each second, until nothing moves
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    args: TransfersArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::connect(connection, None).await?;
    let mut meters = Meters::default();
    let mut first = true;
    loop {
        let moving = TransferProgress::observe(&cluster).await?;
        meters.note(Instant::now(), &moving);
        let settled = moving.is_settled();
        // A pace needs two observations.
        if args.watch || settled || !first {
            output.print(&to_json(&moving, &meters), || to_text(&moving, &meters))?;
        }
        if settled || !args.watch && !first {
            let silent = report_silent(&moving.told);
            return Ok(if silent { UNAVAILABLE.into() } else { ExitCode::SUCCESS });
        }
        first = false;
        tokio::time::sleep(WATCH).await;
    }
}

fn to_text(moving: &TransferProgress, meters: &Meters) -> String {
    let totals = moving.totals();
    let mut text = table(moving, meters).to_string();
    for told in &moving.told {
        for one in told.answer.iter().flat_map(|report| &report.current) {
            writeln!(text, "{}", move_text(&told.member.name, one, moving))
                .expect("writing into memory can't fail");
        }
    }
    let (flipped, partitions) = (moving.status.flipped, moving.status.partitions);
    if moving.is_settled() {
        return text + &format!("nothing moves; all {partitions} partitions have flipped\n");
    }
    writeln!(
        text,
        "{flipped} of {partitions} partitions have flipped, {} under way, {}/s",
        count(totals.moves, "transfer"),
        bytes(meters.pace())
    )
    .expect("writing into memory can't fail");
    for obstacle in moving.obstacles() {
        writeln!(text, "  {obstacle}").expect("writing into memory can't fail");
    }
    text
}

fn table(moving: &TransferProgress, meters: &Meters) -> Table<11> {
    let mut table = Table::new([
        ("node", Align::Left),
        ("layout", Align::Right),
        ("state", Align::Left),
        ("ready/owned", Align::Right),
        ("leaving", Align::Right),
        ("unowned", Align::Right),
        ("dropped", Align::Right),
        ("received", Align::Right),
        ("per second", Align::Right),
        ("sent", Align::Right),
        ("holds", Align::Right),
    ]);
    for told in &moving.told {
        let node = told.member.name.clone();
        let Ok(report) = &told.answer else {
            let mut row: [String; 11] = std::array::from_fn(|_| "-".to_owned());
            (row[0], row[2]) = (node, "no answer".into());
            table.row(row);
            continue;
        };
        let state = match (report.paused, report.current.len()) {
            (true, _) => "paused".to_owned(),
            (false, 0) => "idle".to_owned(),
            (false, moves) => format!("moving {moves}"),
        };
        table.row([
            node,
            report.layout.version.to_string(),
            state,
            format!("{}/{}", report.ready, report.owned),
            report.leaving.to_string(),
            report.unowned.to_string(),
            report.dropped.to_string(),
            bytes(report.received_bytes),
            bytes(meters.pace_of(told.member.node)),
            bytes(report.sent_bytes),
            bytes(report.load.bytes),
        ]);
    }
    let totals = moving.totals();
    table.row([
        "all".into(),
        moving.newest().version.to_string(),
        String::new(),
        format!("{}/{}", totals.ready, totals.owned),
        totals.leaving.to_string(),
        totals.unowned.to_string(),
        totals.dropped.to_string(),
        bytes(totals.received_bytes),
        bytes(meters.pace()),
        bytes(totals.sent_bytes),
        String::new(),
    ]);
    table
}

fn move_text(node: &str, one: &Transfer, moving: &TransferProgress) -> String {
    let peer = name(one.peer, moving);
    let (from, to) = if one.outgoing { (node, &*peer) } else { (&*peer, node) };
    let role = if one.outgoing { "sends" } else { "takes over" };
    format!(
        "partition {}: {from} -> {to} ({node} {role}), {}",
        one.partition,
        count(one.records, "record")
    )
}

fn name(node: NodeId, moving: &TransferProgress) -> String {
    let member = moving.status.members.iter().find(|member| member.record.node == node);
    member.map_or_else(|| node.to_string(), |member| member.record.name.clone())
}

fn to_json(moving: &TransferProgress, meters: &Meters) -> Value {
    let nodes: Vec<Value> = moving
        .told
        .iter()
        .map(|told| {
            let report = told.answer.as_ref().ok();
            let transfers = report.map(|report| {
                let mut json = report_json(report, moving);
                json["received_bytes_per_s"] = meters.pace_of(told.member.node).into();
                json
            });
            json!({
                "node": told.member.node.to_string(),
                "name": told.member.name,
                "transfers": transfers,
                "error": told.answer.as_ref().err().map(ToString::to_string),
            })
        })
        .collect();
    let totals = moving.totals();
    json!({
        "settled": moving.is_settled(),
        "layout": moving.newest().version,
        "partitions": moving.status.partitions,
        "flipped": moving.status.flipped,
        "nodes": nodes,
        "all": {
            "owned": totals.owned,
            "ready": totals.ready,
            "leaving": totals.leaving,
            "unowned": totals.unowned,
            "dropped": totals.dropped,
            "received_records": totals.received_records,
            "received_bytes": totals.received_bytes,
            "received_bytes_per_s": meters.pace(),
            "sent_bytes": totals.sent_bytes,
            "moves": totals.moves,
        },
        "obstacles": moving.obstacles().iter().map(Obstacle::to_json).collect::<Vec<Value>>(),
    })
}

fn report_json(report: &TransferReport, moving: &TransferProgress) -> Value {
    let current = report.current.iter().map(|one| {
        json!({
            "partition": one.partition.0,
            "peer": { "node": one.peer.to_string(), "name": name(one.peer, moving) },
            "outgoing": one.outgoing,
            "records": one.records,
        })
    });
    json!({
        "layout": report.layout.version,
        "layout_digest": format!("{:016x}", report.layout.digest),
        "paused": report.paused,
        "owned": report.owned,
        "ready": report.ready,
        "flipped": report.flipped,
        "leaving": report.leaving,
        "unowned": report.unowned,
        "dropped": report.dropped,
        "received_records": report.received_records,
        "received_bytes": report.received_bytes,
        "sent_records": report.sent_records,
        "sent_bytes": report.sent_bytes,
        "records": report.load.records,
        "bytes": report.load.bytes,
        "hints": report.hints,
        "current": current.collect::<Vec<Value>>(),
        "blockers": report.blockers,
    })
}
