//! Staged changes as text for people and JSON for programs.

use jedlik_client::NodeId;
use jedlik_protocol::admin::{ClusterStatus, MemberStatus};
use jedlik_protocol::gossip::{StagedChange, Staging};
use serde_json::{Value, json};

use crate::table::{Align, Table};

/// Finds a member by its identity.
pub(super) fn find(node: NodeId, status: &ClusterStatus) -> Option<&MemberStatus> {
    status.members.iter().find(|member| member.record.node == node)
}

/// Returns a node's name, or its identity if no member has it.
pub(super) fn name(node: NodeId, status: &ClusterStatus) -> String {
    find(node, status).map_or_else(|| node.to_string(), |member| member.record.name.clone())
}

/// Lists the staged changes, a line each.
pub(super) fn staged_text(staging: &Staging, status: &ClusterStatus) -> String {
    if staging.changes.is_empty() {
        return "no change is staged\n".into();
    }
    let mut table = Table::new([("staged for", Align::Left), ("change", Align::Left)]);
    for (node, change) in &staging.changes {
        table.row([name(*node, status), change_text(change, status)]);
    }
    let void = match staging.base == status.layout {
        true => String::new(),
        false => format!(
            "void: staged for layout {}, and layout {} is in force\n",
            staging.base, status.layout
        ),
    };
    format!("{table}{void}")
}

fn change_text(change: &StagedChange, status: &ClusterStatus) -> String {
    match change {
        StagedChange::Join { zone, weight } => format!("join in zone {zone} with weight {weight}"),
        StagedChange::Leave => "leave".into(),
        StagedChange::Remove => "remove by force, giving up what it holds".into(),
        StagedChange::Replace { by, zone, forced } => {
            let by = name(*by, status);
            let how = if *forced { ", giving up what it holds" } else { "" };
            format!("replace by {by} in zone {zone}{how}")
        }
        StagedChange::Set { zone, weight } => {
            let zone = zone.as_ref().map(|zone| format!("zone {zone}"));
            let weight = weight.map(|weight| format!("weight {weight}"));
            let set: Vec<String> = zone.into_iter().chain(weight).collect();
            format!("set {}", set.join(", "))
        }
    }
}

pub(super) fn staged_json(staging: &Staging, status: &ClusterStatus) -> Vec<Value> {
    let one = |(node, change): &(NodeId, StagedChange)| {
        let mut json = match change {
            StagedChange::Join { zone, weight } => {
                json!({ "change": "join", "zone": zone, "weight": weight })
            }
            StagedChange::Leave => json!({ "change": "leave" }),
            StagedChange::Remove => json!({ "change": "remove" }),
            StagedChange::Replace { by, zone, forced } => json!({
                "change": "replace", "by": by.to_string(), "zone": zone, "forced": forced,
            }),
            StagedChange::Set { zone, weight } => {
                json!({ "change": "set", "zone": zone, "weight": weight })
            }
        };
        json["node"] = node.to_string().into();
        json["name"] = name(*node, status).into();
        json
    };
    staging.changes.iter().map(one).collect()
}
