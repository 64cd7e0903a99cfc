//! The holder of each token when a plan begins: its holder so far, that one's successor, or a vacant placement.
//!
//! Invariant: a node that stays is its own successor; a new node inherits from at most one that is gone, and from one
//! of its own zone, so that a replacement is a change of names.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::{NodeId, Ring, RingNode};

/// Returns the placement of each node of `current`: the index in `nodes` of itself or of its successor.
/// Placements from `nodes.len()` on are vacant: nodes that left without a successor.
///
/// New nodes inherit from gone ones of their zone and weight, then from any other of their zone. `nodes` are
/// in the order of their identities.
pub(crate) fn placements(current: &Ring, nodes: &[RingNode]) -> Vec<u16> {
    let index_of =
        |node: NodeId| nodes.binary_search_by_key(&node, |candidate| candidate.node).ok();
    let mut placements: Vec<Option<usize>> =
        current.nodes.iter().map(|node| index_of(node.node)).collect();
    let mut is_new: Vec<bool> = nodes.iter().map(|_| true).collect();
    placements.iter().flatten().for_each(|placement| is_new[*placement] = false);
    let exactly = |node: &RingNode| (node.zone.clone(), node.weight);
    inherit(&mut placements, &mut is_new, current, nodes, exactly);
    inherit(&mut placements, &mut is_new, current, nodes, |node| (node.zone.clone(), 0));
    let mut vacant = nodes.len()..;
    let placement = |placement: Option<usize>| {
        placement.or_else(|| vacant.next()).map(|placement| placement as u16)
    };
    placements.into_iter().filter_map(placement).collect()
}

/// Makes the new nodes of each kind successors of the gone ones of that kind: by identity on both sides, so
/// that the order of either ring's nodes does not matter.
fn inherit<Kind: Ord>(
    placements: &mut [Option<usize>],
    is_new: &mut [bool],
    current: &Ring,
    nodes: &[RingNode],
    kind: impl Fn(&RingNode) -> Kind,
) {
    let mut waiting: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
    for index in (0..nodes.len()).rev().filter(|index| is_new[*index]) {
        waiting.entry(kind(&nodes[index])).or_default().push(index);
    }
    let mut gone: Vec<usize> =
        (0..placements.len()).filter(|old| placements[*old].is_none()).collect();
    gone.sort_by_key(|old| current.nodes[*old].node);
    for old in gone {
        let successors = waiting.get_mut(&kind(&current.nodes[old]));
        if let Some(successor) = successors.and_then(Vec::pop) {
            placements[old] = Some(successor);
            is_new[successor] = false;
        }
    }
}
