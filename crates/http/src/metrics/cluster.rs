//! Metrics of the cluster as this node sees it.
//!
//! Invariant: a member is labelled with its name and its identity, since names may be equal.

use std::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::{ClusterStatus, MemberState};

use crate::metrics::metric::{Metric, gauge};
use crate::metrics::scrape::{Labels, Scrape};

pub(crate) const ALIVE: Metric =
    gauge("jedlik_member_alive", "1 for a member that this node takes to be up.")
        .by(&["member", "node"]);
pub(crate) const MEMBERS: Metric =
    gauge("jedlik_members", "Members of the cluster by the phase of their membership.")
        .by(&["state"]);
pub(crate) const LAYOUT: Metric = gauge(
    "jedlik_layout_version",
    "Version of the newest layout that this node has; 0 before the first.",
);
pub(crate) const PARTITIONS: Metric =
    gauge("jedlik_layout_partitions", "Partitions of that layout.");
pub(crate) const FLIPPED: Metric = gauge(
    "jedlik_layout_partitions_flipped",
    "Partitions of that layout whose older owners are not asked any more.",
);
pub(crate) const STAGED: Metric =
    gauge("jedlik_staged_changes", "Changes that are staged for the next plan.");
pub(crate) const SKEW: Metric = gauge(
    "jedlik_clock_skew",
    "Lead of this node's calendar clock over the time that the members' clocks agree on; negative if it is behind.",
)
.seconds();

const STATES: [(MemberState, &str); 6] = [
    (MemberState::Joining, "joining"),
    (MemberState::Up, "up"),
    (MemberState::Away, "away"),
    (MemberState::Leaving, "leaving"),
    (MemberState::Left, "left"),
    (MemberState::Removed, "removed"),
];

/// Names of the members, for labels.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<NodeId, String>);

impl Names {
    pub(crate) fn of(status: &ClusterStatus) -> Self {
        let records = status.members.iter().map(|member| &member.record);
        Self(records.map(|record| (record.node, record.name.clone())).collect())
    }

    /// Returns the labels of a member. One without a known name goes by its identity.
    pub(crate) fn labels(&self, node: NodeId) -> Labels {
        let name = self.0.get(&node).cloned().unwrap_or_else(|| node.to_string());
        vec![("member", name), ("node", node.to_string())]
    }
}

/// Adds the cluster as the node sees it.
pub(crate) fn add(scrape: &mut Scrape, status: &ClusterStatus, names: &Names) {
    scrape.whole(LAYOUT, status.layout.version);
    scrape.whole(PARTITIONS, status.partitions);
    scrape.whole(FLIPPED, status.flipped);
    scrape.whole(STAGED, status.staging.changes.len() as u64);
    let skew_ms = status.clock_ms as f64 - status.agreed_ms as f64;
    scrape.real(SKEW, Labels::new(), skew_ms / 1e3);
    for (state, name) in STATES {
        let members = status.members.iter().filter(|member| member.state == state).count() as u64;
        scrape.labelled(MEMBERS, vec![("state", name.into())], members);
    }
    let gone = [MemberState::Left, MemberState::Removed];
    for member in status.members.iter().filter(|member| !gone.contains(&member.state)) {
        scrape.labelled(ALIVE, names.labels(member.record.node), member.alive);
    }
}
