//! Warnings about a plan that an admin may have overlooked.
//!
//! Invariant: each warning is a sentence that says what is the case and, where there is a remedy, what it is.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::Balance;
use jedlik_protocol::admin::{CopiesAtRisk, PlannedNode};

use super::Facts;
use crate::layout_history::ActiveLayout;

/// Excess of a node's work over its share, in percent, past which it is worth a warning.
const OVERLOAD_PERCENT: u64 = 25;

impl Facts<'_> {
    pub(super) fn warnings(
        &self,
        balance: &Balance,
        nodes: &[PlannedNode],
        risk: &[CopiesAtRisk; 3],
    ) -> Vec<String> {
        let objections = self.objections().into_iter();
        let mut warnings: Vec<String> =
            objections.map(|why| format!("this plan can't be committed now: {why}")).collect();
        warnings.extend(self.of_absence(nodes));
        warnings.extend(self.of_movement());
        warnings.extend(self.of_endings());
        let lost = self.lost(risk);
        if lost > 0 {
            warnings.push(format!(
                "this plan loses the only copies of {lost} partitions; to commit it pass \
                 --accept-loss {lost}"
            ));
        } else if risk[1].one > risk[0].one {
            warnings.push(format!(
                "{} partitions have a single copy on nodes that are up until data has moved",
                risk[1].one
            ));
        }
        warnings.extend(self.of_faults(balance));
        warnings.extend(self.of_weights(balance, nodes));
        warnings
    }

    /// Warns of nodes that are down, whether they get partitions or none.
    fn of_absence(&self, nodes: &[PlannedNode]) -> Vec<String> {
        let down = |node: &&PlannedNode| {
            !(self.up)(node.node) && self.after.ring.node(node.node).is_some()
        };
        let mut warnings: Vec<String> = Vec::new();
        for PlannedNode { name, .. } in nodes.iter().filter(down) {
            warnings.push(format!("{name} is not up: what moves to it waits until it is"));
        }
        if self.known.newest().is_none() {
            let members = self.known.members().values();
            for record in members.filter(|record| !(self.up)(record.node)) {
                if self.after.ring.node(record.node).is_none() {
                    warnings.push(format!(
                        "{} is not up and gets no partitions; start it before the commit if it should",
                        record.name
                    ));
                }
            }
        }
        warnings
    }

    fn of_movement(&self) -> Option<String> {
        let newest = self.known.newest().filter(|newest| !newest.is_settled())?;
        // The first layout has nothing to move from.
        self.known.history().layouts().get(1)?;
        Some(moving(newest))
    }

    fn of_faults(&self, balance: &Balance) -> Vec<String> {
        let mut warnings = Vec::new();
        let (n, partitions) = (self.n, self.after.ring.partitions().get());
        if balance.node_faults > 0 {
            let nodes = self.after.ring.nodes().len();
            warnings.push(format!(
                "{} of {partitions} partitions have fewer than {n} owners: there are {nodes} nodes",
                balance.node_faults
            ));
        }
        if balance.zone_faults > 0 {
            let zones: BTreeSet<&str> =
                self.after.ring.nodes().iter().map(|node| node.zone.as_str()).collect();
            warnings.push(format!(
                "{} of {partitions} partitions have two of their {n} replicas in one zone: there are \
                 {} zones",
                balance.zone_faults,
                zones.len()
            ));
        }
        warnings
    }

    fn of_weights(&self, balance: &Balance, nodes: &[PlannedNode]) -> Vec<String> {
        let mut warnings = Vec::new();
        for part in &balance.nodes {
            let name = nodes.iter().find(|node| node.node == part.node).map_or("", |n| &n.name);
            if part.tokens == 0 {
                warnings.push(format!("{name} gets no partitions: its weight is too small"));
            }
            let work = u64::from(part.primaries) * 1000 * 100;
            let fair = part.fair_share_milli * u64::from(self.n);
            if part.tokens > 0 && work > fair * (100 + OVERLOAD_PERCENT) {
                warnings.push(format!(
                    "{name} holds replicas of {} partitions where its weight asks for {}: its zone has \
                     too little weight beside the others",
                    part.primaries,
                    fair / 1000
                ));
            }
        }
        warnings
    }
}

fn moving(newest: &ActiveLayout) -> String {
    format!(
        "data still moves to layout {}: {} of {} partitions have arrived; requests have to reach their \
         quorums under one layout more",
        newest.id().version,
        newest.flipped().len(),
        newest.layout().ring.partitions().get()
    )
}
