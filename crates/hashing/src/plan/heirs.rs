//! Who sits on each token when a plan begins: its holder, the holder's heir, or a ghost.
//!
//! Invariant: a node that stays is its own heir; a new node inherits from at most one that is gone,
//! and from one of its own zone, so that a replacement is a change of names.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::{NodeId, Ring, RingNode};

/// For each node of `current`, its seat: the index in `nodes` of itself or of its heir; the seats
/// from `nodes.len()` on are ghosts, nodes that left without an heir.
///
/// New nodes inherit from gone ones of their zone and weight, then from any other of their zone.
/// `nodes` are in the order of their identities.
pub(crate) fn seats(current: &Ring, nodes: &[RingNode]) -> Vec<u16> {
    let index_of =
        |node: NodeId| nodes.binary_search_by_key(&node, |candidate| candidate.node).ok();
    let mut seats: Vec<Option<usize>> =
        current.nodes.iter().map(|node| index_of(node.node)).collect();
    let mut is_new: Vec<bool> = nodes.iter().map(|_| true).collect();
    seats.iter().flatten().for_each(|seat| is_new[*seat] = false);
    let exactly = |node: &RingNode| (node.zone.clone(), node.weight);
    inherit(&mut seats, &mut is_new, current, nodes, exactly);
    inherit(&mut seats, &mut is_new, current, nodes, |node| (node.zone.clone(), 0));
    let mut ghosts = nodes.len()..;
    let seat = |seat: Option<usize>| seat.or_else(|| ghosts.next()).map(|seat| seat as u16);
    seats.into_iter().filter_map(seat).collect()
}

/// Gives the gone nodes of each kind to the new ones of that kind: by identity on both sides, so
/// that the order of either ring's nodes does not matter.
fn inherit<Kind: Ord>(
    seats: &mut [Option<usize>],
    is_new: &mut [bool],
    current: &Ring,
    nodes: &[RingNode],
    kind: impl Fn(&RingNode) -> Kind,
) {
    let mut waiting: BTreeMap<Kind, Vec<usize>> = BTreeMap::new();
    for index in (0..nodes.len()).rev().filter(|index| is_new[*index]) {
        waiting.entry(kind(&nodes[index])).or_default().push(index);
    }
    let mut gone: Vec<usize> = (0..seats.len()).filter(|old| seats[*old].is_none()).collect();
    gone.sort_by_key(|old| current.nodes[*old].node);
    for old in gone {
        let heirs = waiting.get_mut(&kind(&current.nodes[old]));
        if let Some(heir) = heirs.and_then(Vec::pop) {
            seats[old] = Some(heir);
            is_new[heir] = false;
        }
    }
}
