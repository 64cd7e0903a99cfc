//! `cluster join|leave|remove|replace|set|clear`: staging of the changes that make up the next plan.
//!
//! Invariant: staging moves nothing. A change that makes no sense in a node's state is refused before it is sent, and a
//! command's changes are staged together or not at all.

use std::process::ExitCode;

use clap::{ArgGroup, Args};
use jedlik_client::{ClientError, NodeId};
use jedlik_doctor::is_gone;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, ClusterStatus, MemberState, MemberStatus,
};
use jedlik_protocol::gossip::{StagedChange, Staging};
use serde_json::json;

use crate::cluster::Cluster;
use crate::cluster::staged::{find, name, staged_json, staged_text};
use crate::cluster::status::state_name;
use crate::exit::Usage;
use crate::members::resolve;
use crate::output::Output;

/// Stage that running nodes get partitions
///
/// A node that is to join already runs, with a certificate of its own and a seed of this cluster.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik-admin cluster join n4
  jedlik-admin cluster join n4 n5 --zone b --weight 2")]
pub(crate) struct JoinArgs {
    /// The nodes that join: names, identities, or the first digits of those
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// The failure domain; by default the one that the node was started with
    #[arg(long, value_name = "NAME", value_parser = zone)]
    zone: Option<String>,
    /// The node's share relative to others; by default the one that it was started with
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    weight: Option<u32>,
    #[command(flatten)]
    dry: DryRunArgs,
}

/// Stage that nodes give up their partitions and stop
///
/// The nodes hand their data over and serve meanwhile. They stop by themselves once others hold it all. Their
/// identities are not used again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik-admin cluster leave n2
  jedlik-admin cluster leave n4 n5 n6 --dry-run")]
pub(crate) struct LeaveArgs {
    /// The nodes that leave: names, identities, or the first digits of those
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    dry: DryRunArgs,
}

/// Stage that the cluster gives up a dead node at once
///
/// The copies on that node are given up, so the plan says what could be lost. A node that runs must `leave` instead. A
/// removed node that comes back is refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  jedlik-admin cluster remove n3")]
pub(crate) struct RemoveArgs {
    /// The dead node: its name, its identity, or the first digits of that
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    dry: DryRunArgs,
}

/// Stage that a node's partitions all go to another node, which has none
///
/// An old node that runs hands its data over and then stops. If it is down, the cluster gives it up at once, as with
/// `remove`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  jedlik-admin cluster replace n3 n7")]
pub(crate) struct ReplaceArgs {
    /// The node that goes
    old: String,
    /// The node that comes: it runs, and the layout does not have it
    new: String,
    /// The new node's failure domain; by default the one that it was started with
    #[arg(long, value_name = "NAME", value_parser = zone)]
    zone: Option<String>,
    #[command(flatten)]
    dry: DryRunArgs,
}

/// Stage another weight or failure domain for a node
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").args(["weight", "zone"]).required(true).multiple(true)))]
#[command(after_help = "\
Examples:
  jedlik-admin cluster set n3 --weight 2
  jedlik-admin cluster set n3 --zone b --dry-run")]
pub(crate) struct SetArgs {
    /// The node to change: its name, its identity, or the first digits of that
    #[arg(value_name = "NODE")]
    node: String,
    /// The node's share relative to others
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    weight: Option<u32>,
    /// The node's failure domain
    #[arg(long, value_name = "NAME", value_parser = zone)]
    zone: Option<String>,
    #[command(flatten)]
    dry: DryRunArgs,
}

/// Drop staged changes, of all nodes or of some
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik-admin cluster clear
  jedlik-admin cluster clear n4")]
pub(crate) struct ClearArgs {
    /// The nodes whose changes are dropped; all if none is named
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    #[command(flatten)]
    dry: DryRunArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DryRunArgs {
    /// Only say what would be staged
    #[arg(long)]
    dry_run: bool,
}

fn zone(text: &str) -> Result<String, &'static str> {
    if text.is_empty() { Err("a zone has a name") } else { Ok(text.to_owned()) }
}

pub(super) async fn join(
    cluster: &Cluster,
    args: JoinArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    let changes = joins(&args, &status)?;
    stage(cluster, &status, changes, args.dry, output).await
}

pub(super) async fn leave(
    cluster: &Cluster,
    args: LeaveArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    let changes = leaves(&args, &status)?;
    stage(cluster, &status, changes, args.dry, output).await
}

pub(super) async fn remove(
    cluster: &Cluster,
    args: RemoveArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    let member = named(&args.node, &status)?;
    let changes = vec![(member.record.node, StagedChange::Remove)];
    stage(cluster, &status, changes, args.dry, output).await
}

pub(super) async fn replace(
    cluster: &Cluster,
    args: ReplaceArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    let changes = replacement(&args, &status)?;
    stage(cluster, &status, changes, args.dry, output).await
}

pub(super) async fn set(
    cluster: &Cluster,
    args: SetArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    let member = placed(&args.node, &status)?;
    let changes = StagedChange::Set { zone: args.zone, weight: args.weight };
    stage(cluster, &status, vec![(member.record.node, changes)], args.dry, output).await
}

pub(super) async fn clear(
    cluster: &Cluster,
    args: ClearArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    let nodes = staged_nodes(&args.nodes, &status)?;
    let staging = if args.dry.dry_run {
        let mut staging = status.staging.clone();
        staging.changes.retain(|(node, _)| !nodes.is_empty() && !nodes.contains(node));
        staging
    } else {
        staging(cluster.ask(&AdminRequest::Unstage { nodes }).await?)?
    };
    show(&staging, &status, args.dry.dry_run, output)
}

async fn stage(
    cluster: &Cluster,
    status: &ClusterStatus,
    changes: Vec<(NodeId, StagedChange)>,
    DryRunArgs { dry_run }: DryRunArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let request = AdminRequest::Stage { changes, dry_run };
    let staging = staging(cluster.ask(&request).await?)?;
    show(&staging, status, dry_run, output)
}

fn staging(answer: AdminResponse) -> Result<Staging, ClientError> {
    match answer {
        AdminResponse::Staged(staging) => Ok(staging),
        _ => Err(ClientError::Mismatch),
    }
}

fn show(
    staging: &Staging,
    status: &ClusterStatus,
    dry_run: bool,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let json = json!({ "dry_run": dry_run, "staged": staged_json(staging, status) });
    output.print(&json, || {
        let note = if dry_run { "nothing was changed; with this " } else { "" };
        let next = match (dry_run, staging.changes.is_empty()) {
            (false, false) => "Nothing moves yet: see `jedlik-admin cluster plan`.\n",
            _ => "",
        };
        format!("{note}{}{next}", staged_text(staging, status))
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn joins(
    args: &JoinArgs,
    status: &ClusterStatus,
) -> Result<Vec<(NodeId, StagedChange)>, Usage> {
    let change = |wanted: &String| {
        let record =
            &returning(wanted, status).map_or_else(|| newcomer(wanted, status), Ok)?.record;
        let zone = args.zone.clone().unwrap_or_else(|| record.zone.clone());
        let weight = args.weight.unwrap_or(record.weight);
        Ok((record.node, StagedChange::Join { zone, weight }))
    };
    args.nodes.iter().map(change).collect()
}

pub(super) fn leaves(
    args: &LeaveArgs,
    status: &ClusterStatus,
) -> Result<Vec<(NodeId, StagedChange)>, Usage> {
    let change = |wanted: &String| Ok((placed(wanted, status)?.record.node, StagedChange::Leave));
    args.nodes.iter().map(change).collect()
}

pub(super) fn replacement(
    args: &ReplaceArgs,
    status: &ClusterStatus,
) -> Result<Vec<(NodeId, StagedChange)>, Usage> {
    let (old, new) = (placed(&args.old, status)?, newcomer(&args.new, status)?);
    let zone = args.zone.clone().unwrap_or_else(|| new.record.zone.clone());
    let forced = !old.alive;
    Ok(vec![(old.record.node, StagedChange::Replace { by: new.record.node, zone, forced })])
}

/// Finds the member with this name or identity; departed members don't count.
fn named<'a>(wanted: &str, status: &'a ClusterStatus) -> Result<&'a MemberStatus, Usage> {
    let known = |gone: bool| {
        let members = status.members.iter().filter(move |member| is_gone(member) == gone);
        members.map(|member| (member.record.node, member.record.name.as_str()))
    };
    let node = resolve(wanted, known(false)).map_err(|unknown| {
        let Some(member) = resolve(wanted, known(true)).ok().and_then(|gone| find(gone, status))
        else {
            return unknown;
        };
        let gone = if member.state == MemberState::Left { "has left" } else { "was removed" };
        Usage(format!(
            "{} {gone}, and its identity is not used again; start it on an empty data directory with \
             a new certificate",
            member.record.name
        ))
    })?;
    Ok(find(node, status).expect("a node was found among the members"))
}

/// Finds a member that the layout has.
fn placed<'a>(wanted: &str, status: &'a ClusterStatus) -> Result<&'a MemberStatus, Usage> {
    let member = named(wanted, status)?;
    let name = &member.record.name;
    if member.state == MemberState::Leaving {
        return Err(Usage(format!(
            "{name} is leaving already; `cluster wait` says when it is done, `cluster join {name}` takes it \
             back, and if it died on the way, `cluster remove {name}` does without it"
        )));
    }
    if member.placed.is_none() {
        return Err(Usage(format!(
            "{name} is not in the layout: `cluster join {name}` gives it partitions, with --zone and \
             --weight, and `cluster clear {name}` forgets that"
        )));
    }
    Ok(member)
}

/// Finds a member that is leaving, for which joining cancels the leave.
fn returning<'a>(wanted: &str, status: &'a ClusterStatus) -> Option<&'a MemberStatus> {
    named(wanted, status).ok().filter(|member| member.state == MemberState::Leaving)
}

/// Finds a member that the layout does not have.
fn newcomer<'a>(wanted: &str, status: &'a ClusterStatus) -> Result<&'a MemberStatus, Usage> {
    let is_new = |member: &MemberStatus| {
        member.placed.is_none() && !is_gone(member) && member.state != MemberState::Leaving
    };
    let member = named(wanted, status)?;
    if is_new(member) {
        return Ok(member);
    }
    let name = &member.record.name;
    let waiting = status.members.iter().filter(|member| is_new(member));
    let waiting: Vec<&str> = waiting.map(|member| member.record.name.as_str()).collect();
    let waiting = match waiting.as_slice() {
        [] => "no other node was started".to_owned(),
        names => format!("nodes that are not: {}", names.join(", ")),
    };
    if member.state == MemberState::Leaving {
        return Err(Usage(format!(
            "{name} is leaving, and its identity is not used again; {waiting}"
        )));
    }
    Err(Usage(format!(
        "{name} is in the layout already ({}); `cluster set {name}` changes its weight and zone; \
         {waiting}",
        state_name(member.state)
    )))
}

/// Returns the named nodes, each of which must have a staged change.
pub(super) fn staged_nodes(
    wanted: &[String],
    status: &ClusterStatus,
) -> Result<Vec<NodeId>, Usage> {
    let staged = &status.staging.changes;
    let node = |wanted: &String| {
        let node = named(wanted, status)?.record.node;
        if staged.iter().any(|(staged, _)| *staged == node) {
            return Ok(node);
        }
        let names: Vec<String> = staged.iter().map(|(node, _)| name(*node, status)).collect();
        Err(Usage(match names.as_slice() {
            [] => format!("nothing is staged for {wanted}, nor for any other node"),
            names => format!("nothing is staged for {wanted}; there is for {}", names.join(", ")),
        }))
    };
    wanted.iter().map(node).collect()
}
