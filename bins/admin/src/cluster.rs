//! `jedlik-admin cluster`: members, and the layout that says who holds what.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Subcommand;
use jedlik_client::protocol::admin::{AdminRequest, AdminResponse, ClusterStatus, PlanReport};
use jedlik_client::protocol::gossip::Status;
use jedlik_client::protocol::{Digest, LayoutVersion};
use jedlik_client::{Client, ClientError};
use serde_json::{Value, json};

use crate::cert::hex;
use crate::connection::ConnectionArgs;
use crate::exit::{UNAVAILABLE, Usage};
use crate::output::Output;
use crate::table::{Align, Table};

const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Show the members, who is up, and the layout
    Status,
    /// Show what a commit would do now
    Plan,
    /// Make a plan the next layout
    ///
    /// The hash is the plan's; a plan that has changed since is refused. Waits until every member that
    /// is up has the layout.
    #[command(after_help = "Example:\n  jedlik-admin cluster commit 0123456789abcdef")]
    Commit {
        /// As `cluster plan` shows it
        hash: String,
        /// Don't wait for the members
        #[arg(long)]
        no_wait: bool,
        /// How long to wait
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        wait_seconds: u64,
    },
}

pub(crate) async fn run(
    connection: &ConnectionArgs,
    command: ClusterCommand,
    output: Output,
) -> anyhow::Result<ExitCode> {
    match command {
        ClusterCommand::Status => {
            let status = status(&connection.connect().await?).await?;
            output.print(&status_json(&status), || status_text(&status))?;
        }
        ClusterCommand::Plan => match connection.ask(AdminRequest::Plan).await? {
            AdminResponse::Plan(plan) => output.print(&plan_json(&plan), || plan_text(&plan))?,
            _ => return Err(ClientError::Mismatch.into()),
        },
        ClusterCommand::Commit { hash, no_wait, wait_seconds } => {
            let plan = Digest(hex(&hash).ok_or_else(|| {
                Usage(format!(
                    "{hash:?} is not a plan's hash: 16 hex digits, as `cluster plan` shows"
                ))
            })?);
            let wait = (!no_wait).then_some(Duration::from_secs(wait_seconds));
            return commit(&connection.connect().await?, plan, wait, output).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn commit(
    client: &Client,
    plan: Digest,
    wait: Option<Duration>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let answer = client
        .admin(AdminRequest::Commit { plan }, None)
        .await
        .context("the plan was not committed")?;
    let AdminResponse::Committed { layout } = answer else {
        return Err(ClientError::Mismatch.into());
    };
    let waiting = match wait {
        Some(limit) => wait_for(client, layout, limit).await?,
        None => Vec::new(),
    };
    let json = json!({ "layout": layout, "waiting_for": waiting });
    output.print(&json, || match wait {
        None => format!("Layout {layout} is committed and spreads to the members.\n"),
        Some(_) if waiting.is_empty() => {
            format!("Layout {layout} is committed, and every member that is up has it.\n")
        }
        Some(limit) => format!(
            "Layout {layout} is committed, but after {} s these don't have it yet: {}\n",
            limit.as_secs(),
            waiting.join(", ")
        ),
    })?;
    Ok(if waiting.is_empty() { ExitCode::SUCCESS } else { UNAVAILABLE.into() })
}

/// Waits until every member that is up has the layout; else the names of those that don't.
async fn wait_for(
    client: &Client,
    layout: LayoutVersion,
    limit: Duration,
) -> Result<Vec<String>, ClientError> {
    let deadline = Instant::now() + limit;
    loop {
        let behind = behind(&status(client).await?, layout);
        if behind.is_empty() || Instant::now() >= deadline {
            return Ok(behind);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn behind(status: &ClusterStatus, layout: LayoutVersion) -> Vec<String> {
    let members = status.members.iter().filter(|member| member.alive);
    let behind = members.filter(|member| member.record.layout < layout);
    behind.map(|member| member.record.name.clone()).collect()
}

async fn status(client: &Client) -> Result<ClusterStatus, ClientError> {
    match client.admin(AdminRequest::Status, None).await? {
        AdminResponse::Status(status) => Ok(status),
        _ => Err(ClientError::Mismatch),
    }
}

fn status_name(status: Status) -> &'static str {
    match status {
        Status::Up => "up",
        Status::Away => "away",
    }
}

fn status_json(status: &ClusterStatus) -> Value {
    let members: Vec<Value> = status
        .members
        .iter()
        .map(|member| {
            json!({
                "node": member.record.node.to_string(),
                "name": member.record.name,
                "address": member.record.address,
                "zone": member.record.zone,
                "weight": member.record.weight,
                "status": status_name(member.record.status),
                "alive": member.alive,
                "tokens": member.tokens,
                "layout": member.record.layout,
            })
        })
        .collect();
    json!({
        "cluster": status.cluster.to_string(),
        "node": status.node.to_string(),
        "layout": status.layout,
        "partitions": status.partitions,
        "members": members,
    })
}

fn status_text(status: &ClusterStatus) -> String {
    let mut table = Table::new([
        ("name", Align::Left),
        ("node", Align::Left),
        ("address", Align::Left),
        ("zone", Align::Left),
        ("weight", Align::Right),
        ("state", Align::Left),
        ("tokens", Align::Right),
        ("layout", Align::Right),
    ]);
    for member in &status.members {
        let state = if member.alive { status_name(member.record.status) } else { "down" };
        table.row([
            member.record.name.clone(),
            member.record.node.to_string(),
            member.record.address.to_string(),
            member.record.zone.clone(),
            member.record.weight.to_string(),
            state.into(),
            member.tokens.to_string(),
            member.record.layout.to_string(),
        ]);
    }
    let layout = match status.layout {
        0 => "no layout yet: see `jedlik-admin cluster plan`".into(),
        version => format!("layout {version} of {} partitions", status.partitions),
    };
    format!("cluster {}, {layout}, as {} sees it\n{table}", status.cluster, status.node)
}

fn plan_json(plan: &PlanReport) -> Value {
    let nodes: Vec<Value> = plan
        .nodes
        .iter()
        .map(|node| {
            json!({
                "node": node.node.to_string(),
                "name": node.name,
                "zone": node.zone,
                "weight": node.weight,
                "tokens": node.tokens,
                "fair_share": node.fair_share_milli as f64 / 1000.0,
            })
        })
        .collect();
    json!({
        "plan": hash_text(plan.plan),
        "layout": plan.layout,
        "partitions": plan.partitions,
        "nodes": nodes,
        "warnings": plan.warnings,
    })
}

fn plan_text(plan: &PlanReport) -> String {
    let mut table = Table::new([
        ("name", Align::Left),
        ("node", Align::Left),
        ("zone", Align::Left),
        ("weight", Align::Right),
        ("tokens", Align::Right),
        ("fair share", Align::Right),
    ]);
    for node in &plan.nodes {
        table.row([
            node.name.clone(),
            node.node.to_string(),
            node.zone.clone(),
            node.weight.to_string(),
            node.tokens.to_string(),
            format!("{:.1}", node.fair_share_milli as f64 / 1000.0),
        ]);
    }
    let hash = hash_text(plan.plan);
    let mut text = format!(
        "plan {hash}: layout {} of {} partitions on {} nodes\n{table}",
        plan.layout,
        plan.partitions,
        plan.nodes.len()
    );
    for warning in &plan.warnings {
        writeln!(text, "warning: {warning}").expect("writing into memory can't fail");
    }
    text + &format!("To make it so:\n  jedlik-admin cluster commit {hash}\n")
}

fn hash_text(plan: Digest) -> String {
    format!("{:016x}", plan.0)
}

#[cfg(test)]
mod tests {
    use jedlik_client::NodeId;
    use jedlik_client::protocol::admin::{ClusterStatus, MemberStatus, PlanReport, PlannedNode};
    use jedlik_client::protocol::gossip::{MemberRecord, Status};
    use jedlik_client::protocol::{ClusterId, Digest, Incarnation};

    use super::{behind, plan_json, plan_text, status_json, status_text};
    use crate::cert::hex;

    fn member(node: u64, alive: bool, layout: u64) -> MemberStatus {
        let record = MemberRecord {
            node: NodeId(node),
            name: format!("n{node}"),
            address: "127.0.0.1:7400".parse().unwrap(),
            zone: "z".into(),
            weight: 1,
            incarnation: Incarnation(1),
            generation: 1,
            version: 1,
            status: Status::Up,
            layout,
        };
        MemberStatus { record, alive, tokens: 85 }
    }

    fn status(members: Vec<MemberStatus>) -> ClusterStatus {
        ClusterStatus {
            cluster: ClusterId(1),
            node: NodeId(1),
            layout: 1,
            partitions: 256,
            members,
        }
    }

    #[test]
    fn only_members_that_are_up_are_waited_for() {
        let status = status(vec![member(1, true, 1), member(2, true, 0), member(3, false, 0)]);
        assert_eq!(behind(&status, 1), ["n2"]);
    }

    #[test]
    fn status_says_who_is_up_to_people_and_programs() {
        let status = status(vec![member(1, true, 1), member(2, false, 1)]);
        let json = status_json(&status);
        assert_eq!((&json["layout"], &json["members"][0]["alive"]), (&1.into(), &true.into()));
        assert_eq!(json["members"][1]["address"], "127.0.0.1:7400");
        let text = status_text(&status);
        assert!(
            text.contains("layout 1 of 256") && text.contains(" up ") && text.contains(" down ")
        );
        let none = ClusterStatus { layout: 0, ..status };
        assert!(status_text(&none).contains("no layout yet"));
    }

    #[test]
    fn a_plans_hash_is_the_one_that_commit_takes() {
        let node = PlannedNode {
            node: NodeId(1),
            name: "n1".into(),
            zone: "z".into(),
            weight: 1,
            tokens: 256,
            fair_share_milli: 256_000,
        };
        let plan = PlanReport {
            plan: Digest(0xab),
            layout: 1,
            partitions: 256,
            nodes: vec![node],
            warnings: vec!["one zone only".into()],
        };
        assert_eq!(hex(plan_json(&plan)["plan"].as_str().unwrap()), Some(0xab));
        let text = plan_text(&plan);
        assert!(text.contains("cluster commit 00000000000000ab"));
        assert!(text.contains("warning: one zone only"));
    }
}
