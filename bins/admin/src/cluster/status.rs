//! `cluster status`: every member as one node sees it, the staged changes, and the progress of moves.

use jedlik_amounts::{bytes, count};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use jedlik_doctor::{is_gone, leaver_remedy};
use jedlik_protocol::LayoutId;
use jedlik_protocol::admin::{ClusterStatus, MemberState, MemberStatus};
use jedlik_protocol::gossip::MemberRecord;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::cluster::own_words::OwnWords;
use crate::cluster::staged::{staged_json, staged_text};
use crate::members::short;
use crate::output::Output;
use crate::table::{Align, Table};

/// Show the members, how far data has moved, and what is staged
///
/// One node answers, and says which members it takes to be alive; `--via` asks another. The members themselves are asked
/// whether they are drained and have counted all that they hold.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jedlik-admin cluster status
  jedlik-admin cluster status --via n2 --json")]
pub(crate) struct StatusArgs {}

pub(crate) async fn run(
    cluster: &Cluster,
    StatusArgs {}: StatusArgs,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let status = cluster.status().await?;
    let own = OwnWords::ask(cluster, &status).await;
    output.print(&to_json(&status, &own), || to_text(&status, &own))?;
    Ok(ExitCode::SUCCESS)
}

/// Returns a member's state as a word.
pub(crate) fn state_name(state: MemberState) -> &'static str {
    match state {
        MemberState::Joining => "joining",
        MemberState::Up => "up",
        MemberState::Away => "away",
        MemberState::Leaving => "leaving",
        MemberState::Left => "left",
        MemberState::Removed => "removed",
    }
}

/// Returns a member's state, and the number of its partitions for which it has no vote yet.
fn state_word(member: &MemberStatus, own: &OwnWords) -> String {
    let (state, refilling) = (state_name(member.state), member.record.load.refilling);
    let state = if own.drained.contains(&member.record.node) { "drained" } else { state };
    match refilling {
        0 => state.into(),
        _ if is_gone(member) => state.into(),
        _ => format!("{state}, refilling {refilling}"),
    }
}

/// Returns the numbers of the shards whose former files were set aside.
fn shards_aside(member: &MemberStatus) -> Vec<u16> {
    (0..64).filter(|shard| member.record.load.set_aside & 1 << shard != 0).collect()
}

/// Returns the word by which commands know a member: its name, or its identity if another member has the same name.
pub(crate) fn handle(member: &MemberStatus, status: &ClusterStatus) -> String {
    let MemberRecord { node, name, .. } = &member.record;
    let mut others = status.members.iter().filter(|other| !is_gone(other));
    let is_shared = others.any(|other| other.record.node != *node && other.record.name == *name);
    if is_shared { node.to_string() } else { name.clone() }
}

pub(super) fn to_text(status: &ClusterStatus, own: &OwnWords) -> String {
    let mut table = Table::new([
        ("name", Align::Left),
        ("node", Align::Left),
        ("address", Align::Left),
        ("zone", Align::Left),
        ("weight", Align::Right),
        ("state", Align::Left),
        ("alive", Align::Left),
        ("tokens", Align::Right),
        ("ready/owned", Align::Right),
        ("holds", Align::Right),
        ("layout", Align::Right),
    ]);
    for member in &status.members {
        let record = &member.record;
        let (zone, weight) = share(member);
        let alive = if member.alive { "yes" } else { "no" };
        table.row([
            record.name.clone(),
            short(record.node),
            record.address.to_string(),
            zone.to_owned(),
            weight.to_string(),
            state_word(member, own),
            if is_gone(member) { "-" } else { alive }.into(),
            member.tokens.to_string(),
            format!("{}/{}", member.ready, member.owned),
            held(member, own),
            known(record.layout, status.layout),
        ]);
    }
    let layout = match status.layout.version {
        0 => "no layout yet: see `jedlik-admin cluster plan`".into(),
        _ => format!("layout {} of {} partitions", status.layout, status.partitions),
    };
    let viewer = status.members.iter().find(|member| member.record.node == status.node);
    let viewer = viewer.map_or_else(|| status.node.to_string(), |seen| seen.record.name.clone());
    let mut text = format!("cluster {}, {layout}, as {viewer} sees it\n{table}", status.cluster);
    text += &flipped(status);
    text += &drained(status, own);
    text += &unread(status, own);
    text += &silent_leavers(status);
    text += &rivals(status);
    text += &set_aside(status);
    text += &versions(status);
    if !status.staging.changes.is_empty() {
        text += &staged_text(&status.staging, status);
        text +=
            "See `jedlik-admin cluster plan`, or drop them with `jedlik-admin cluster clear`.\n";
    }
    text
}

/// Returns a member's zone and weight: as in the layout, or as the node was started if the layout does not have it.
fn share(member: &MemberStatus) -> (&str, u32) {
    let started = (member.record.zone.as_str(), member.record.weight);
    member.placed.as_ref().map_or(started, |(zone, weight)| (zone, *weight))
}

/// Formats the version of the layout that a member knows; one with the newest's version but another digest lost to it.
fn known(layout: LayoutId, newest: LayoutId) -> String {
    let rival = layout.version == newest.version && layout != newest;
    if rival { format!("{} (rival)", layout.version) } else { layout.version.to_string() }
}

fn flipped(status: &ClusterStatus) -> String {
    match (status.partitions, status.flipped) {
        (0, _) => String::new(),
        (all, flipped) if flipped >= all => format!("all {all} partitions have flipped\n"),
        (all, flipped) => format!(
            "{flipped} of {all} partitions have flipped; `jedlik-admin transfers` shows how the rest \
             comes on\n"
        ),
    }
}

/// Names the members that are drained, and the way back.
fn drained(status: &ClusterStatus, own: &OwnWords) -> String {
    let drained = |member: &&MemberStatus| own.drained.contains(&member.record.node);
    let line = |member: &MemberStatus| {
        format!(
            "{} is drained and takes no requests; `jedlik-admin node drain {} --undo` puts it back into service\n",
            member.record.name,
            handle(member, status)
        )
    };
    status.members.iter().filter(drained).map(line).collect()
}

/// Returns the size of what a member holds, as far as it has counted that.
fn held(member: &MemberStatus, own: &OwnWords) -> String {
    let size = bytes(member.record.load.bytes);
    if own.unread.contains_key(&member.record.node) { format!("{size}, counting") } else { size }
}

/// Names the members that have not counted yet all that they hold.
fn unread(status: &ClusterStatus, own: &OwnWords) -> String {
    let lines = status.members.iter().filter_map(|member| {
        let unread = count((*own.unread.get(&member.record.node)?).into(), "partition");
        let name = &member.record.name;
        Some(format!(
            "{name} has yet to read its records of {unread}, as after a restart, and may hold more than is counted\n"
        ))
    });
    lines.collect()
}

/// Warns of each member that is leaving, still has data to hand over, and is down.
fn silent_leavers(status: &ClusterStatus) -> String {
    let silent = |member: &&MemberStatus| member.state == MemberState::Leaving && !member.alive;
    let line = |member: &MemberStatus| {
        let (name, remedy) = (&member.record.name, leaver_remedy(&handle(member, status)));
        format!("{name} is leaving and does not answer; to do: {remedy}\n")
    };
    status.members.iter().filter(silent).map(line).collect()
}

/// Warns of each member whose identity two processes share.
fn rivals(status: &ClusterStatus) -> String {
    let lines = status.members.iter().filter_map(|member| {
        let (record, rival) = (&member.record, member.record.life.rival?);
        Some(format!(
            "{name} is two processes, at {} and at {}; neither carries out what clients ask: see `jedlik-admin \
             node keep --help`\n",
            record.address,
            rival.address,
            name = record.name
        ))
    });
    lines.collect()
}

/// Names the members whose shards were damaged or an earlier copy, and were set aside.
fn set_aside(status: &ClusterStatus) -> String {
    let lines = status.members.iter().filter(|member| !is_gone(member)).filter_map(|member| {
        let shards: Vec<String> = shards_aside(member).iter().map(u16::to_string).collect();
        let (name, shards) = (&member.record.name, shards.join(", "));
        let said = "were set aside, and began anew; `jedlik-admin doctor` says where they lie";
        (!shards.is_empty()).then(|| format!("{name}: the files of shards {shards} {said}\n"))
    });
    lines.collect()
}

/// Compares the members' builds: the protocol and storage versions of each, if they differ.
fn versions(status: &ClusterStatus) -> String {
    let mut builds: BTreeMap<(u16, u16, u16), Vec<&str>> = BTreeMap::new();
    for member in status.members.iter().filter(|member| !is_gone(member)) {
        let speaks = member.record.speaks;
        let build = (speaks.protocol_min, speaks.protocol_max, speaks.storage);
        builds.entry(build).or_default().push(&member.record.name);
    }
    if builds.len() < 2 {
        return String::new();
    }
    let mut text = "members' builds differ:\n".to_owned();
    for ((min, max, storage), names) in builds {
        writeln!(text, "  protocol {min} to {max}, storage format {storage}: {}", names.join(", "))
            .expect("writing into memory can't fail");
    }
    text
}

pub(super) fn to_json(status: &ClusterStatus, own: &OwnWords) -> Value {
    let members = status.members.iter().map(|member| member_json(member, own));
    let members: Vec<Value> = members.collect();
    json!({
        "cluster": status.cluster.to_string(),
        "node": status.node.to_string(),
        "layout": status.layout.version,
        "layout_digest": format!("{:016x}", status.layout.digest),
        "partitions": status.partitions,
        "flipped": status.flipped,
        "staged": staged_json(&status.staging, status),
        "members": members,
    })
}

fn member_json(member: &MemberStatus, own: &OwnWords) -> Value {
    let record = &member.record;
    let (zone, weight) = share(member);
    json!({
        "node": record.node.to_string(),
        "name": record.name,
        "address": record.address,
        "zone": zone,
        "weight": weight,
        "started_zone": record.zone,
        "started_weight": record.weight,
        "placed": member.placed.is_some(),
        "state": state_name(member.state),
        "alive": member.alive,
        "drained": own.drained.contains(&record.node),
        "tokens": member.tokens,
        "owned": member.owned,
        "ready": member.ready,
        "records": record.load.records,
        "bytes": record.load.bytes,
        "unread_partitions": own.unread.get(&record.node).copied().unwrap_or(0),
        "refilling": record.load.refilling,
        "set_aside_shards": shards_aside(member),
        "layout": record.layout.version,
        "layout_digest": format!("{:016x}", record.layout.digest),
        "protocol_min": record.speaks.protocol_min,
        "protocol_max": record.speaks.protocol_max,
        "storage_format": record.speaks.storage,
    })
}
