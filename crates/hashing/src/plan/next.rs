//! The next layout's ring: the one in force, changed as little as the new members demand.
//!
//! Invariant: the plan depends on the ring in force and the set of nodes alone; every node's tokens
//! are its fair share rounded down or up; and a ring that is balanced for its nodes stays as it is.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use super::draft::{Draft, DraftInput};
use super::even::even;
use super::shift::shift;
use super::successors::placements;
use super::{PlanError, by_zone, check, token_counts};
use crate::goals::goals;
use crate::{Preferences, Ring, RingNode};

#[cfg(test)]
mod tests;

/// Plans a ring that places the partitions of `current`, a well-formed ring, on another set of nodes, or on
/// the same with other weights or zones, for keys with up to `n` replicas.
///
/// A new node of a zone that lost one inherits that one's tokens; if their weights are equal, nothing else
/// moves on its account. Otherwise a token moves only from a node with too many to one with too few, to a
/// place where `n` neighbours stay on distinct nodes and in distinct zones if there is one. Then about as
/// many copies move as [`crate::RingDiff::least`] says, at most a tenth more. That is not to be had where a zone
/// or node has, or had, close to an `n`-th of the weight or more: its tokens have no room to stay apart, so
/// lists reach past some of them, and what they reach changes with every neighbour. There a node may hold
/// fewer copies than its tokens stand for, since evening it out may cost only a few more moves;
/// [`crate::Balance`] tells.
///
/// Lists never have more faults than those of a first plan for the same nodes: these depend on which nodes
/// hold tokens at all, and both plans give a token to each node that would be left without, zones first. So
/// there is no case in which a first plan would have to be taken instead.
///
/// # Errors
/// Those of [`crate::plan_first`].
pub fn plan_next(current: &Ring, mut nodes: Vec<RingNode>, n: u8) -> Result<Ring, PlanError> {
    check(&nodes, current.partitions)?;
    nodes.sort_by_key(|node| node.node);
    let placements = placements(current, &nodes);
    let holders: Vec<u16> =
        current.tokens.iter().map(|token| placements[usize::from(*token)]).collect();
    let targets = targets(current, &nodes, &holders);
    let vacant_from = nodes.len() as u16;
    let mut draft = Draft::new(input(current, &nodes, &placements, holders, &targets, n));
    let moved = shift(&mut draft, &targets, vacant_from);
    even(&mut draft, &moved);
    Ok(Ring { partitions: current.partitions, nodes, tokens: draft.into_holders() })
}

fn targets(current: &Ring, nodes: &[RingNode], holders: &[u16]) -> Vec<u64> {
    let vacant = current.nodes.len();
    let mut held = vec![0; nodes.len() + vacant];
    holders.iter().for_each(|placement| held[usize::from(*placement)] += 1);
    let zones = by_zone(nodes);
    let counts = token_counts(nodes, &zones, current.partitions, &held);
    let mut targets = vec![0; nodes.len() + vacant];
    for (index, count) in zones.iter().flatten().zip(counts.iter().flatten()) {
        targets[*index] = *count;
    }
    targets
}

fn input(
    current: &Ring,
    nodes: &[RingNode],
    placements: &[u16],
    holders: Vec<u16>,
    targets: &[u64],
    n: u8,
) -> DraftInput {
    let mut numbers: BTreeMap<&str, u16> = BTreeMap::new();
    let mut zones = vec![0; targets.len()];
    let vacant = current
        .nodes
        .iter()
        .zip(placements)
        .filter(|(_, placement)| usize::from(**placement) >= nodes.len());
    let vacant = vacant.map(|(node, placement)| (usize::from(*placement), node));
    for (placement, node) in nodes.iter().enumerate().chain(vacant) {
        let next = numbers.len() as u16;
        zones[placement] = *numbers.entry(&node.zone).or_insert(next);
    }
    let place_of: BTreeMap<_, _> = current
        .nodes
        .iter()
        .zip(placements)
        .map(|(node, placement)| (node.node, *placement))
        .collect();
    let preferences = Preferences::new(current, usize::from(n));
    let owners = current
        .partitions
        .partitions()
        .map(|partition| preferences.of(partition).iter().map(|node| place_of[node]).collect());
    let owners = owners.collect();
    let limit = usize::from(n.max(1)).min(targets.iter().filter(|target| **target > 0).count());
    let in_use: BTreeSet<u16> = zones
        .iter()
        .zip(targets)
        .filter(|(_, target)| **target > 0)
        .map(|(zone, _)| *zone)
        .collect();
    let mut goals = goals(nodes, holders.len() as u64, limit as u64);
    goals.resize(targets.len(), 0);
    DraftInput { holders, zones, owners, goals, limit, spread: limit.min(in_use.len()) }
}
