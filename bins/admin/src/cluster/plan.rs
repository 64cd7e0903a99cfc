//! `cluster plan`: the effects of a commit, and the command that does it.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jedlik_amounts::{bytes, count, span};
use jedlik_protocol::Digest;
use jedlik_protocol::admin::{CopiesAtRisk, PlanReport, PlannedNode};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::members::short;
use crate::output::Output;
use crate::table::{Align, Table};

/// Show what a commit would do now: which node gets what, what moves, and what could be lost
///
/// Nothing is changed. The same changes make the same plan, whichever node is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
The last line is the command that makes the plan the next layout.

Examples:
  jedlik-admin cluster plan
  jedlik-admin --json cluster plan | jq -r .plan")]
pub(crate) struct PlanArgs {}

pub(crate) async fn run(
    cluster: &Cluster,
    PlanArgs {}: PlanArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let plan = cluster.plan().await?;
    output.print(&to_json(&plan), || to_text(&plan))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the command line that commits the plan.
fn commit_command(plan: &PlanReport) -> String {
    let lost = plan.lost;
    let loss = if lost > 0 { format!(" --accept-loss {lost}") } else { String::new() };
    format!("jedlik-admin cluster commit {}{loss}", hash_text(plan.plan))
}

fn hash_text(plan: Digest) -> String {
    format!("{:016x}", plan.0)
}

pub(super) fn to_text(plan: &PlanReport) -> String {
    let mut text = format!(
        "plan {}: layout {} of {} partitions, n = {}, {}\n{}",
        hash_text(plan.plan),
        plan.version,
        plan.partitions,
        plan.n,
        match plan.base.version {
            0 => "the first".to_owned(),
            _ => format!("made from layout {}", plan.base),
        },
        nodes_table(&plan.nodes)
    );
    for line in facts(plan) {
        writeln!(text, "{line}").expect("writing into memory can't fail");
    }
    for warning in &plan.warnings {
        writeln!(text, "warning: {warning}").expect("writing into memory can't fail");
    }
    if plan.lost > 0 {
        let partitions = count(plan.lost.into(), "partition").to_uppercase();
        writeln!(text, "THE DATA OF {partitions} IS LOST BY THIS PLAN.")
            .expect("writing into memory can't fail");
    }
    text + &format!("To make it so:\n  {}\n", commit_command(plan))
}

fn nodes_table(nodes: &[PlannedNode]) -> Table<10> {
    let mut table = Table::new([
        ("name", Align::Left),
        ("node", Align::Left),
        ("zone", Align::Left),
        ("weight", Align::Right),
        ("tokens", Align::Right),
        ("fair share", Align::Right),
        ("owned", Align::Right),
        ("gains", Align::Right),
        ("receives", Align::Right),
        ("loses", Align::Right),
    ]);
    for node in nodes {
        table.row([
            node.name.clone(),
            short(node.node),
            node.zone.clone(),
            node.weight.to_string(),
            change(node.tokens_before, node.tokens),
            format!("{:.1}", node.fair_share_milli as f64 / 1000.0),
            change(node.owned_before, node.owned),
            node.gains.to_string(),
            bytes(node.gains_bytes),
            node.loses.to_string(),
        ]);
    }
    table
}

fn change(before: u32, after: u32) -> String {
    if before == after { after.to_string() } else { format!("{before} -> {after}") }
}

/// Returns lines about the plan as a whole: moves, faults of zones and nodes, and copies at risk.
fn facts(plan: &PlanReport) -> Vec<String> {
    let mut facts = Vec::new();
    if plan.base.version > 0 {
        let ratio = match plan.least_moves {
            0 => String::new(),
            least => format!(", {:.2} times that", f64::from(plan.moves) / f64::from(least)),
        };
        facts.push(format!(
            "moves: {} of partitions (the least possible: {}{ratio}), about {} in about {}",
            copies(plan.moves),
            plan.least_moves,
            bytes(plan.bytes),
            span(plan.estimate_s)
        ));
    }
    let faults = [
        ("with two copies in one zone", plan.zone_faults),
        ("with fewer owners than n", plan.node_faults),
    ];
    for (what, (now, then)) in faults {
        if now > 0 || then > 0 {
            facts.push(format!("partitions {what}: {now} now, {then} then"));
        }
    }
    if plan.risk.iter().any(|risk| *risk != CopiesAtRisk::default()) {
        facts.push(format!("copies at risk, of {} on nodes that are up:", plan.n));
        let moments = ["now", "while data moves", "then"];
        for (moment, risk) in moments.iter().zip(&plan.risk) {
            facts.push(format!("  {moment}: {}", risk_text(risk, plan.n)));
        }
    }
    facts
}

fn copies(copies: u32) -> String {
    if copies == 1 { "1 copy".into() } else { format!("{copies} copies") }
}

/// Describes the copies at risk at one moment in words.
fn risk_text(risk: &CopiesAtRisk, n: u8) -> String {
    let cases = [
        (risk.none, "no copy".to_owned()),
        (risk.one, "one copy".to_owned()),
        (risk.few, format!("fewer than {n}")),
    ];
    let words: Vec<String> = cases
        .iter()
        .filter(|(partitions, _)| *partitions > 0)
        .map(|(partitions, what)| {
            let verb = if *partitions == 1 { "has" } else { "have" };
            format!("{} {verb} {what}", count((*partitions).into(), "partition"))
        })
        .collect();
    if words.is_empty() { format!("every partition has all {n}") } else { words.join(", ") }
}

pub(super) fn to_json(plan: &PlanReport) -> Value {
    let risk = plan.risk.each_ref();
    let [now, moving, then] =
        risk.map(|risk| json!({ "none": risk.none, "one": risk.one, "few": risk.few }));
    json!({
        "plan": hash_text(plan.plan),
        "base": plan.base.version,
        "base_digest": format!("{:016x}", plan.base.digest),
        "layout": plan.version,
        "partitions": plan.partitions,
        "n": plan.n,
        "nodes": plan.nodes.iter().map(node_json).collect::<Vec<Value>>(),
        "moves": plan.moves,
        "least_moves": plan.least_moves,
        "bytes": plan.bytes,
        "estimate_s": plan.estimate_s,
        "zone_faults": { "now": plan.zone_faults.0, "then": plan.zone_faults.1 },
        "node_faults": { "now": plan.node_faults.0, "then": plan.node_faults.1 },
        "copies_at_risk": { "now": now, "moving": moving, "then": then },
        "lost": plan.lost,
        "warnings": plan.warnings,
        "command": commit_command(plan),
    })
}

fn node_json(node: &PlannedNode) -> Value {
    json!({
        "node": node.node.to_string(),
        "name": node.name,
        "zone": node.zone,
        "weight": node.weight,
        "tokens_before": node.tokens_before,
        "tokens": node.tokens,
        "fair_share": node.fair_share_milli as f64 / 1000.0,
        "owned_before": node.owned_before,
        "owned": node.owned,
        "gains": node.gains,
        "loses": node.loses,
        "gains_bytes": node.gains_bytes,
    })
}
