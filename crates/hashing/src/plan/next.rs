//! The next layout's ring: the one in force, changed as little as the new members demand.
//!
//! Invariant: the plan depends on the ring in force and the set of nodes alone; every node's tokens
//! are its fair share rounded down or up; and a ring that is balanced for its nodes stays as it is.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use super::draft::{Draft, Outline};
use super::heirs::seats;
use super::shift::shift;
use super::{PlanError, by_zone, check, token_counts};
use crate::{Preferences, Ring, RingNode};

/// Places the partitions of `current`, a well-formed ring, on another set of nodes, or on the same
/// with other weights or zones, for keys with up to `n` replicas.
///
/// # Errors
/// Those of [`crate::plan_first`].
pub fn plan_next(current: &Ring, mut nodes: Vec<RingNode>, n: u8) -> Result<Ring, PlanError> {
    check(&nodes, current.partitions)?;
    nodes.sort_by_key(|node| node.node);
    let seats = seats(current, &nodes);
    let holders: Vec<u16> = current.tokens.iter().map(|token| seats[usize::from(*token)]).collect();
    let targets = targets(current, &nodes, &holders);
    let ghosts_from = nodes.len() as u16;
    let mut draft = Draft::new(outline(current, &nodes, &seats, holders, &targets, n));
    let _moved = shift(&mut draft, &targets, ghosts_from);
    Ok(Ring { partitions: current.partitions, nodes, tokens: draft.into_holders() })
}

fn targets(current: &Ring, nodes: &[RingNode], holders: &[u16]) -> Vec<u64> {
    let ghosts = current.nodes.len();
    let mut held = vec![0; nodes.len() + ghosts];
    holders.iter().for_each(|seat| held[usize::from(*seat)] += 1);
    let zones = by_zone(nodes);
    let counts = token_counts(nodes, &zones, current.partitions, &held);
    let mut targets = vec![0; nodes.len() + ghosts];
    for (index, count) in zones.iter().flatten().zip(counts.iter().flatten()) {
        targets[*index] = *count;
    }
    targets
}

fn outline(
    current: &Ring,
    nodes: &[RingNode],
    seats: &[u16],
    holders: Vec<u16>,
    targets: &[u64],
    n: u8,
) -> Outline {
    let mut numbers: BTreeMap<&str, u16> = BTreeMap::new();
    let mut zones = vec![0; targets.len()];
    let ghosts =
        current.nodes.iter().zip(seats).filter(|(_, seat)| usize::from(**seat) >= nodes.len());
    let ghosts = ghosts.map(|(node, seat)| (usize::from(*seat), node));
    for (seat, node) in nodes.iter().enumerate().chain(ghosts) {
        let next = numbers.len() as u16;
        zones[seat] = *numbers.entry(&node.zone).or_insert(next);
    }
    let seat_of: BTreeMap<_, _> =
        current.nodes.iter().zip(seats).map(|(node, seat)| (node.node, *seat)).collect();
    let preferences = Preferences::new(current, usize::from(n));
    let owners = current
        .partitions
        .partitions()
        .map(|partition| preferences.of(partition).iter().map(|node| seat_of[node]).collect());
    let owners = owners.collect();
    let limit = usize::from(n.max(1)).min(targets.iter().filter(|target| **target > 0).count());
    let in_use: BTreeSet<u16> = zones
        .iter()
        .zip(targets)
        .filter(|(_, target)| **target > 0)
        .map(|(zone, _)| *zone)
        .collect();
    Outline { holders, zones, owners, limit, spread: limit.min(in_use.len()) }
}
