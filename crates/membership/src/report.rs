//! Report on a plan, in figures and sentences.
//!
//! Invariant: copies are counted only where all of a partition's data is: on the owners of the oldest layout that
//! counts for it, and on those newer ones that say that they are ready.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::{Balance, NodeBalance, NodeId, Partition, Preferences, Ring, RingDiff};
use jedlik_protocol::Layout;
use jedlik_protocol::admin::{CopiesAtRisk, PlanReport, PlannedNode};
use jedlik_protocol::gossip::StagedChange;

use crate::knowledge::Knowledge;
use crate::layout_history::ActiveLayout;

mod endings;
mod objections;
mod warnings;

/// Rate at which a node is taken to receive data: a fraction of what a disk and a network do, since clients come
/// first.
const PACE_BYTES_PER_S: u64 = 20 << 20;

/// Facts that a plan is judged by.
pub(crate) struct Facts<'a> {
    pub(crate) known: &'a Knowledge,
    /// Layout that the plan would make.
    pub(crate) after: &'a Layout,
    /// Staged changes that the layout is made of.
    pub(crate) changes: &'a [(NodeId, StagedChange)],
    /// Number of replicas of a key, unless its bucket says otherwise.
    pub(crate) n: u8,
    /// Reason for which a first layout can't be made here; `None` if it can.
    pub(crate) founding: Option<String>,
    /// Whether this node takes a member to be up.
    pub(crate) up: &'a dyn Fn(NodeId) -> bool,
}

impl Facts<'_> {
    /// Makes the whole report on the plan.
    pub(crate) fn report(&self) -> PlanReport {
        let ring = &self.after.ring;
        let after = Balance::of(ring, self.n);
        let before = self.before().map(|before| Balance::of(before, self.n));
        let moves = self.before().map(|before| RingDiff::between(before, ring, self.n));
        let copy_bytes = self.copy_bytes();
        let nodes = self.nodes(before.as_ref(), &after, moves.as_ref(), copy_bytes);
        let most_bytes = nodes.iter().map(|node| node.gains_bytes).max().unwrap_or(0);
        let total = moves.as_ref().map_or(0, RingDiff::total);
        let risk = self.risk();
        let faults = |count: fn(&Balance) -> u32| (before.as_ref().map_or(0, count), count(&after));
        PlanReport {
            plan: self.after.digest(),
            base: self.after.parent,
            version: self.after.version,
            partitions: ring.partitions().get(),
            n: self.n,
            moves: total,
            least_moves: moves.as_ref().map_or(0, RingDiff::least),
            bytes: u64::from(total) * copy_bytes,
            estimate_s: most_bytes.div_ceil(PACE_BYTES_PER_S),
            zone_faults: faults(|balance| balance.zone_faults),
            node_faults: faults(|balance| balance.node_faults),
            lost: self.lost(&risk),
            risk,
            warnings: self.warnings(&after, &nodes, &risk),
            nodes,
        }
    }

    /// Counts the partitions of which no node that is up would be left to hand the data on, if the plan removes nodes
    /// by force.
    fn lost(&self, risk: &[CopiesAtRisk; 3]) -> u32 {
        if self.forced().is_empty() { 0 } else { risk[1].none }
    }

    /// Returns the ring in force; `None` before the first commit.
    fn before(&self) -> Option<&Ring> {
        self.known.newest().map(|newest| &newest.layout().ring)
    }

    /// Returns the nodes that the plan removes by force.
    fn forced(&self) -> BTreeSet<NodeId> {
        let removed = self
            .after
            .departed
            .iter()
            .filter(|departed| departed.forced)
            .map(|departed| departed.node);
        let before = self.known.newest().map(ActiveLayout::layout);
        let was_not = |node: &NodeId| {
            !before.and_then(|b| b.departed(*node)).is_some_and(|departed| departed.forced)
        };
        removed.filter(was_not).collect()
    }

    /// Estimates the size of one copy of one partition, in bytes.
    fn copy_bytes(&self) -> u64 {
        let loads = self.known.members().values().map(|record| record.load.bytes);
        let copies = u64::from(self.after.ring.partitions().get()) * u64::from(self.n.max(1));
        // A peer may say anything.
        loads.fold(0, u64::saturating_add) / copies
    }

    /// Returns each node's part, in the order of identities.
    fn nodes(
        &self,
        before: Option<&Balance>,
        after: &Balance,
        moves: Option<&RingDiff>,
        copy_bytes: u64,
    ) -> Vec<PlannedNode> {
        let parts = |balance: &Balance| -> BTreeMap<NodeId, NodeBalance> {
            balance.nodes.iter().map(|part| (part.node, part.clone())).collect()
        };
        let (befores, afters) = (before.map(parts).unwrap_or_default(), parts(after));
        let former = self.before().into_iter().flat_map(Ring::nodes);
        let placed: BTreeMap<NodeId, _> =
            former.chain(self.after.ring.nodes()).map(|node| (node.node, node)).collect();
        let planned = placed.into_iter().map(|(node, placed)| {
            let (was, is) = (befores.get(&node), afters.get(&node));
            let gains = moves.map_or(0, |moves| moves.gained(node));
            PlannedNode {
                node,
                name: self.name(node),
                zone: placed.zone.clone(),
                weight: placed.weight,
                tokens_before: was.map_or(0, |part| part.tokens),
                tokens: is.map_or(0, |part| part.tokens),
                owned_before: was.map_or(0, |part| part.primaries),
                owned: is.map_or(0, |part| part.primaries),
                gains,
                loses: moves.map_or(0, |moves| moves.lost(node)),
                gains_bytes: u64::from(gains) * copy_bytes,
                fair_share_milli: is.map_or(0, |part| part.fair_share_milli),
            }
        });
        planned.collect()
    }

    fn name(&self, node: NodeId) -> String {
        let record = self.known.members().get(&node);
        record.map_or_else(|| alloc::format!("node {node}"), |record| record.name.clone())
    }

    /// Counts partitions by how many copies are on nodes that are up: before the commit, while data moves, and after.
    fn risk(&self) -> [CopiesAtRisk; 3] {
        let n = usize::from(self.n);
        let forced = self.forced();
        let after = Preferences::new(&self.after.ring, n);
        let mut risk = [CopiesAtRisk::default(); 3];
        for partition in self.after.ring.partitions().partitions() {
            let up = |node: &&NodeId| (self.up)(**node);
            if self.before().is_some() {
                let holders = self.holders(partition);
                let now = holders.iter().filter(up).count();
                let moving = holders.iter().filter(up).filter(|node| !forced.contains(*node));
                count(&mut risk[0], now, n);
                count(&mut risk[1], moving.count(), n);
            }
            count(&mut risk[2], after.of(partition).iter().filter(up).count(), n);
        }
        risk
    }

    /// Returns the nodes that now hold all of a partition.
    fn holders(&self, partition: Partition) -> Vec<NodeId> {
        let n = usize::from(self.n);
        let mut holders = Vec::new();
        let layouts = self.known.history().layouts();
        let newest = self.known.history().newest_id();
        for (index, known) in layouts.iter().enumerate() {
            let is_last = known.flipped().contains(partition) || index + 1 == layouts.len();
            for node in known.preference_list(partition).iter().take(n) {
                let ready = self.known.members().get(node).map(|record| &record.ready);
                let is_ready = known.id() == newest
                    && ready.is_some_and(|ready| {
                        ready.layout == newest && ready.partitions.contains(partition)
                    });
                if (is_last || is_ready) && !holders.contains(node) {
                    holders.push(*node);
                }
            }
            if is_last {
                break;
            }
        }
        holders
    }
}

fn count(risk: &mut CopiesAtRisk, copies: usize, n: usize) {
    match copies {
        0 => risk.none += 1,
        1 if n > 1 => risk.one += 1,
        copies if copies < n => risk.few += 1,
        _ => {}
    }
}
