//! The cluster as the answering node sees it: members, layouts, and what is under way.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use jedlik_door::unexpected;
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::WireLayout;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, BackgroundReport, ClusterStatus, HintReport, MemberState,
    MemberStatus, NodeStats, RepairReport, TransferReport, TroubleKind,
};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::error::ErrorCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::access::Asked;
use crate::path::segment;
use crate::problem::Problem;
use crate::v1::buckets::ask;
use crate::v1::options::nothing;

/// Place of a member's identity in the path, counted from 0.
const MEMBER: usize = 2;
/// Digits of a member's identity.
const IDENTITY_DIGITS: usize = 16;

/// Shows the members and their states.
pub(crate) async fn status(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match ask(&shared, AdminRequest::Status).await? {
        AdminResponse::Status(status) => Ok(answer(&status_json(&status))),
        other => Err(mismatch(other)),
    }
}

/// Shows the active layouts, the newest first, with the owners of each partition.
pub(crate) async fn layouts(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match ask(&shared, AdminRequest::Layouts).await? {
        AdminResponse::Layouts(layouts) => {
            let layouts: Vec<Value> = layouts.iter().map(layout_json).collect();
            Ok(answer(&json!({ "layouts": layouts })))
        }
        other => Err(mismatch(other)),
    }
}

/// Shows what moves to a member and from it.
pub(crate) async fn transfers(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match of_member(&shared, &uri, AdminRequest::Transfers).await? {
        AdminResponse::Transfers(report) => Ok(answer(&transfers_json(&report))),
        other => Err(mismatch(other)),
    }
}

/// Shows the hints that a member holds for others.
pub(crate) async fn hints(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match of_member(&shared, &uri, AdminRequest::Hints).await? {
        AdminResponse::Hints(reports) => {
            let hints: Vec<Value> = reports.iter().map(hints_json).collect();
            Ok(answer(&json!({ "hints": hints })))
        }
        other => Err(mismatch(other)),
    }
}

/// Shows how far a member's repairs have come.
pub(crate) async fn repair(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match of_member(&shared, &uri, AdminRequest::RepairProgress).await? {
        AdminResponse::Repair(report) => Ok(answer(&repair_json(&report))),
        other => Err(mismatch(other)),
    }
}

/// Shows the state and the bounds of a member's background work.
pub(crate) async fn background(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match of_member(&shared, &uri, AdminRequest::Background).await? {
        AdminResponse::Background(report) => Ok(answer(&background_json(&report))),
        other => Err(mismatch(other)),
    }
}

/// Shows a member's counters, and the troubles of its storage.
pub(crate) async fn stats(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    nothing(&uri)?;
    match of_member(&shared, &uri, AdminRequest::Stats).await? {
        AdminResponse::Stats(stats) => Ok(answer(&stats_json(&stats))),
        other => Err(mismatch(other)),
    }
}

/// Asks the member that a path names what it reports of itself.
async fn of_member(
    shared: &Asked,
    uri: &Uri,
    request: AdminRequest,
) -> Result<AdminResponse, Problem> {
    let name = segment(uri.path(), MEMBER).unwrap_or_default().into_owned();
    let name = String::from_utf8_lossy(&name).into_owned();
    if name == "self" {
        return ask(shared, request).await;
    }
    let identity = (name.len() == IDENTITY_DIGITS).then(|| u64::from_str_radix(&name, 16).ok());
    let Some(member) = identity.flatten().map(NodeId) else { return Err(no_member(&name)) };
    match shared.node.ask_member(&shared.caller(), member, request).await.response {
        ClientResponse::Admin(response) => Ok(response),
        other => {
            let failure = unexpected(other);
            // Members that are down are asked again later, strangers are not.
            if failure.code == ErrorCode::Unavailable && is_stranger(shared, member).await {
                return Err(no_member(&name));
            }
            Err(failure.into())
        }
    }
}

/// Whether the node knows that there is no such member.
async fn is_stranger(shared: &Asked, identity: NodeId) -> bool {
    let status = ask(shared, AdminRequest::Status).await;
    let is_member = |member: &MemberStatus| member.record.node == identity;
    matches!(status, Ok(AdminResponse::Status(status)) if !status.members.iter().any(is_member))
}

fn no_member(name: &str) -> Problem {
    let message = format!("{name:?} is no member: use an identity from /v1/cluster, or self");
    Problem::with_status(StatusCode::NOT_FOUND, message)
}

fn answer(document: &impl Serialize) -> Response {
    super::json(StatusCode::OK, "application/json", document)
}

fn mismatch(response: AdminResponse) -> Problem {
    unexpected(ClientResponse::Admin(response)).into()
}

pub(crate) fn status_json(status: &ClusterStatus) -> Value {
    let staged = status.staging.changes.iter().map(|(node, _)| node.to_string());
    json!({
        "cluster": status.cluster.to_string(),
        "node": status.node.to_string(),
        "layout": status.layout.version,
        "layout_digest": format!("{:016x}", status.layout.digest),
        "partitions": status.partitions,
        "flipped": status.flipped,
        "staged": staged.collect::<Vec<String>>(),
        "clock_ms": status.clock_ms,
        "agreed_ms": status.agreed_ms,
        "members": status.members.iter().map(member_json).collect::<Vec<Value>>(),
    })
}

fn member_json(member: &MemberStatus) -> Value {
    let record = &member.record;
    let started = (record.zone.clone(), record.weight);
    let (zone, weight) = member.placed.clone().unwrap_or(started);
    json!({
        "node": record.node.to_string(),
        "name": record.name,
        "address": record.address.to_string(),
        "zone": zone,
        "weight": weight,
        "state": state(member.state),
        "alive": member.alive,
        "tokens": member.tokens,
        "owned": member.owned,
        "ready": member.ready,
        "layout": record.layout.version,
        "refilling": record.load.refilling,
        "records": record.load.records,
        "bytes": record.load.bytes,
    })
}

fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Joining => "joining",
        MemberState::Up => "up",
        MemberState::Away => "away",
        MemberState::Leaving => "leaving",
        MemberState::Left => "left",
        MemberState::Removed => "removed",
    }
}

pub(crate) fn layout_json(placed: &WireLayout) -> Value {
    let ring = &placed.layout.ring;
    let n = usize::from(BucketProps::default().n);
    let nodes = ring.nodes().iter().map(|node| {
        json!({
            "node": node.node.to_string(),
            "zone": node.zone,
            "weight": node.weight,
            "tokens": ring.tokens_of(node.node),
        })
    });
    let owners = (0..ring.partitions().get()).map(|partition| {
        let list = ring.preference_list(Partition(partition));
        list.iter().take(n).map(ToString::to_string).collect::<Vec<String>>()
    });
    let id = placed.layout.id();
    json!({
        "layout": id.version,
        "layout_digest": format!("{:016x}", id.digest),
        "partitions": ring.partitions().get(),
        "flipped": placed.flipped.iter().map(|partition| partition.0).collect::<Vec<u32>>(),
        "n": n,
        "nodes": nodes.collect::<Vec<Value>>(),
        "owners": owners.collect::<Vec<Vec<String>>>(),
    })
}

pub(crate) fn transfers_json(report: &TransferReport) -> Value {
    let current = report.current.iter().map(|one| {
        json!({
            "partition": one.partition.0,
            "peer": one.peer.to_string(),
            "outgoing": one.outgoing,
            "records": one.records,
        })
    });
    json!({
        "layout": report.layout.version,
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
        "refilling": report.load.refilling,
        "hints": report.hints,
        "current": current.collect::<Vec<Value>>(),
        "blockers": report.blockers,
    })
}

pub(crate) fn hints_json(report: &HintReport) -> Value {
    json!({
        "target": report.target.to_string(),
        "keys": report.count,
        "bytes": report.bytes,
        "oldest_ms": report.oldest_ms,
        "delivering": report.delivering,
        "delivered": report.delivered,
        "left_s": report.left_s,
        "failure": report.failure,
    })
}

pub(crate) fn repair_json(report: &RepairReport) -> Value {
    json!({
        "partitions": report.partitions,
        "done": report.done,
        "building": report.building,
        "exchanges": report.exchanges,
        "agreed": report.agreed,
        "failed": report.failed,
        "to_retry": report.to_retry,
        "keys_compared": report.keys_compared,
        "pulled": report.pulled,
        "pushed": report.pushed,
        "bytes": report.bytes,
        "damaged": report.damaged,
    })
}

pub(crate) fn background_json(report: &BackgroundReport) -> Value {
    let steps = report.steps.iter().map(|(name, steps)| (name.clone(), Value::from(*steps)));
    let merges = report.merges.as_ref().map(|merges| {
        json!({
            "working": merges.working,
            "waiting_runs": merges.waiting_runs,
            "merges": merges.merges,
            "merged_bytes": merges.merged_bytes,
            "garbage_bytes": merges.garbage_bytes,
            "last_age_ms": merges.last_age_ms,
        })
    });
    json!({
        "paused": report.paused,
        "limit_per_s": report.limit_per_s,
        "slowdown_percent": report.slowdown_percent,
        "pace_per_s": report.pace_per_s,
        "foreground_p99_us": report.foreground_p99_us,
        "quiet_p99_us": report.quiet_p99_us,
        "steps": steps.collect::<Map<String, Value>>(),
        "merges": merges,
    })
}

pub(crate) fn stats_json(stats: &NodeStats) -> Value {
    let counters = stats.counters.iter().map(|(name, value)| (name.clone(), Value::from(*value)));
    let troubles = stats.troubles.iter().map(|trouble| {
        json!({
            "shard": trouble.shard,
            "kind": trouble_kind(trouble.kind),
            "since_ms": trouble.since_ms,
            "what": trouble.what,
        })
    });
    json!({
        "counters": counters.collect::<Map<String, Value>>(),
        "troubles": troubles.collect::<Vec<Value>>(),
    })
}

fn trouble_kind(kind: TroubleKind) -> &'static str {
    match kind {
        TroubleKind::Reopening => "reopening",
        TroubleKind::SetAside => "set_aside",
        TroubleKind::Stalled => "stalled",
        TroubleKind::Full => "full",
        TroubleKind::ReadOnly => "read_only",
        TroubleKind::EarlierCopy => "earlier_copy",
        TroubleKind::FilesGone => "files_gone",
    }
}
