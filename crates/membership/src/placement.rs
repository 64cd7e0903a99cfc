//! The layout that a commit would make.
//!
//! Invariant: the first layout depends on the members that are up alone, any later one on the layout in force and the
//! staged changes alone; so the digest of a plan names it on every node.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, PartitionCount, RingNode, plan_first, plan_next};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{MemberRecord, StagedChange, Staging};
use jedlik_protocol::limits::DEPARTED_MAX;
use jedlik_protocol::{Departed, Layout, LayoutId, PartitionSet, WireLayout};

use crate::layout_history::{ActiveLayout, LayoutHistory};

/// Numbers of nodes and replicas that a layout has to have room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Required {
    /// Number of partitions (Q) of the first layout.
    pub(crate) partitions: PartitionCount,
    /// Most replicas that any key has, and so the least number of nodes.
    pub(crate) least_nodes: u8,
    /// Number of replicas for which neighbours are kept apart.
    pub(crate) n: u8,
}

/// Makes the layout that the first commit would make of the members that are `up`.
pub(crate) fn first_layout(
    up: &[&MemberRecord],
    partitions: PartitionCount,
    n: u8,
) -> Result<Layout, Failure> {
    if up.len() < usize::from(n) {
        return Err(Failure::new(
            ErrorCode::NotReady,
            format!(
                "{} nodes are up, and keys have {n} replicas: start more nodes, or set n lower in \
                 the configuration of each node",
                up.len()
            ),
        ));
    }
    let node = |record: &&MemberRecord| RingNode {
        node: record.node,
        zone: record.zone.clone(),
        weight: record.weight,
    };
    let ring = plan_first(up.iter().map(node).collect(), partitions, n).map_err(invalid)?;
    Ok(Layout { version: 1, parent: LayoutId::default(), ring, departed: Vec::new() })
}

/// Makes the layout that follows the `current` one with the staged changes.
pub(crate) fn successor(
    current: Option<&ActiveLayout>,
    staging: &Staging,
    required: Required,
) -> Result<Layout, Failure> {
    let nodes = current.map_or(&[][..], |known| known.layout().ring.nodes());
    let former = nodes.len();
    let mut nodes = nodes.to_vec();
    let mut departed = current.map_or(Vec::new(), |known| known.layout().departed.clone());
    for (node, change) in &staging.changes {
        change_nodes(&mut nodes, &mut departed, *node, change);
    }
    check_count(nodes.len(), former, required.least_nodes)?;
    if departed.len() > DEPARTED_MAX {
        return Err(invalid(format!(
            "a cluster remembers at most {DEPARTED_MAX} nodes that are gone; make a new cluster"
        )));
    }
    let parent = current.map_or(LayoutId::default(), ActiveLayout::id);
    let ring = match current {
        Some(known) => plan_next(&known.layout().ring, nodes, required.n),
        None => plan_first(nodes, required.partitions, required.n),
    };
    Ok(Layout { version: parent.version + 1, parent, ring: ring.map_err(invalid)?, departed })
}

/// Makes the layout that has to follow the one in force because a rival that is still active has removed nodes by
/// force: the same without them. `None` if the layout in force neither keeps such a node nor has one leave.
///
/// A removal by force is final, whichever rival wins. Until the winner was heard of, others have acted upon the
/// removal: they have forgotten tombstones of which the removed node never heard, and would take from it what was
/// deleted. Every node that knows both rivals plans the same follower, so nobody has to be asked.
pub(crate) fn without_removed(history: &LayoutHistory, n: u8) -> Option<WireLayout> {
    let newest = history.newest()?;
    let layout = newest.layout();
    // It has a place, or is to leave in its own time, which it will not: it ends once it hears of the removal.
    let is_kept = |departed: &&Departed| {
        let leaves = layout.departed(departed.node).is_some_and(|there| !there.forced);
        departed.forced && (leaves || layout.ring.node(departed.node).is_some())
    };
    let departed =
        history.layouts().iter().flat_map(|known| &known.layout().departed).filter(is_kept);
    let removed: BTreeSet<NodeId> = departed.map(|departed| departed.node).collect();
    if removed.is_empty() || planted::on(Bug::RemovalUndoneByRival) {
        return None;
    }
    let changes = removed.into_iter().map(|node| (node, StagedChange::Remove)).collect();
    let staging = Staging { base: newest.id(), revision: 1, changes };
    // Fewer nodes than replicas are better than one that must not be heard; an admin adds others.
    let required = Required { partitions: newest.layout().ring.partitions(), least_nodes: 0, n };
    let follower = successor(Some(newest), &staging, required).ok()?;
    Some(WireLayout { layout: follower, flipped: PartitionSet::default() })
}

fn change_nodes(
    nodes: &mut Vec<RingNode>,
    departed: &mut Vec<Departed>,
    node: NodeId,
    change: &StagedChange,
) {
    let place = nodes.iter().position(|placed| placed.node == node);
    match change {
        StagedChange::Join { zone, weight } => {
            // A node that was to leave, and has not yet, stays.
            departed.retain(|departed| departed.node != node || departed.forced);
            if place.is_none() {
                nodes.push(RingNode { node, zone: zone.clone(), weight: *weight });
            }
        }
        StagedChange::Leave | StagedChange::Remove => {
            nodes.retain(|placed| placed.node != node);
            go(departed, node, *change == StagedChange::Remove);
        }
        StagedChange::Replace { by, zone, forced } => {
            // With the same zone and weight as the replaced node, the substitute takes exactly its tokens.
            if let Some(index) = place {
                let weight = nodes[index].weight;
                nodes[index] = RingNode { node: *by, zone: zone.clone(), weight };
            }
            go(departed, node, *forced);
        }
        StagedChange::Set { zone, weight } => {
            if let Some(index) = place {
                let placed = &mut nodes[index];
                placed.weight = weight.unwrap_or(placed.weight);
                if let Some(zone) = zone {
                    placed.zone.clone_from(zone);
                }
            }
        }
    }
}

/// Adds a node to the departed, or notes that one that leaves was removed after all.
fn go(departed: &mut Vec<Departed>, node: NodeId, forced: bool) {
    match departed.binary_search_by_key(&node, |departed| departed.node) {
        Ok(index) => departed[index].forced |= forced,
        Err(index) => departed.insert(index, Departed { node, forced }),
    }
}

/// Checks that a cluster that shrinks keeps a node for each replica; one that has too few may grow by one node at a
/// time.
fn check_count(nodes: usize, former: usize, n: u8) -> Result<(), Failure> {
    if nodes == 0 {
        return Err(invalid("the last node can't leave: nobody would hold the data"));
    }
    if nodes < usize::from(n) && nodes < former.max(1) {
        return Err(invalid(format!(
            "{nodes} nodes would be left, and keys have {n} replicas: lower n first (`jedlik-admin \
             bucket set`, or n in the nodes' configuration), or add nodes in the same plan"
        )));
    }
    Ok(())
}

fn invalid(fault: impl core::fmt::Display) -> Failure {
    Failure::new(ErrorCode::InvalidRequest, format!("{fault}"))
}
