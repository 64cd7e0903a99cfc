//! The changes of the layout in a plan, and the faults that meet them.
//!
//! Invariant: at least as many nodes stay as there are replicas, and only the victim is removed by force.

use jedlik_protocol::Durability;

use super::faults::what;
use super::{
    Alteration, BucketPlan, Fault, PlannedChange, Quorums, SPAN_US, Setting, Side, WARM_UP_US, What,
};
use crate::chance::Chance;

/// Most nodes of one run.
pub(super) const PLACES_MAX: u8 = 8;
/// Fewest nodes that stay, unless some bucket has more replicas.
const STAY_MIN: u8 = 3;
/// Least time with clients after a change.
const MARGIN_US: u64 = 10_000_000;
/// Kinds of faults that meet a move: stops, ends, power cuts, stillness, cuts, slow disks.
const MET_WITH: [u64; 11] = [0, 2, 4, 4, 5, 7, 12, 13, 14, 15, 16];

/// Members and spares once all changes so far are in force.
struct Roles {
    members: Vec<u8>,
    spares: Vec<u8>,
    removed: bool,
}

/// Draws changes for half of the plans, with faults around them.
pub(super) fn changes(
    setting: &mut Setting,
    chance: &mut Chance,
) -> (Vec<PlannedChange>, Vec<Fault>) {
    if chance.permille(500) {
        return (Vec::new(), Vec::new());
    }
    setting.spares = PLACES_MAX.saturating_sub(setting.nodes).min(3);
    if chance.permille(200) {
        // A single unready owner of three does harm then.
        setting.buckets[0].quorums = Quorums { n: 3, r: 1, w: 3 };
    }
    setting.zones = if chance.permille(500) { 3 } else { 4 };
    if chance.permille(500) {
        // The pace is slow enough that much happens while partitions move.
        setting.steps_per_s = chance.magnitude(15, 250) as u32;
    }
    let mut roles = Roles {
        members: (0..setting.nodes).collect(),
        spares: (setting.nodes..setting.places()).rev().collect(),
        removed: false,
    };
    let (mut changes, mut faults) = (Vec::new(), Vec::new());
    let latest_us = WARM_UP_US + SPAN_US - MARGIN_US;
    let mut at_us = WARM_UP_US + chance.below(SPAN_US / 2);
    for _ in 0..chance.between(1, 4) {
        if chance.permille(250) {
            rivals(setting, &mut roles, at_us, chance, (&mut changes, &mut faults));
        } else if let Some(change) = change(setting, &mut roles, at_us, chance) {
            faults.extend(death(setting, &change, chance));
            changes.push(change);
        }
        faults.extend(met_with(setting, at_us, chance));
        faults.extend(missed(setting, at_us, chance));
        at_us = if chance.permille(600) {
            at_us + chance.magnitude(50_000, 4_000_000)
        } else {
            WARM_UP_US + chance.below(SPAN_US)
        };
        at_us = at_us.min(latest_us);
    }
    if setting.zones == 3 && chance.permille(600) {
        faults.push(zone_outage(setting, chance));
    }
    changes.sort_by_key(|change: &PlannedChange| change.at_us);
    (changes, faults)
}

fn change(
    setting: &Setting,
    roles: &mut Roles,
    at_us: u64,
    chance: &mut Chance,
) -> Option<PlannedChange> {
    let some = chance.pick(&roles.members);
    let weight = chance.between(1, 3) as u32;
    let most = setting.buckets.iter().map(BucketPlan::most_n).max();
    let stay = usize::from(most.unwrap_or_default().max(STAY_MIN));
    let what = match chance.below(12) {
        0..4 => Alteration::Join(roles.spares.pop()?, weight),
        4..6 if roles.members.len() > stay => Alteration::Leave(some),
        6..8 if roles.members.len() > stay && roles.may_remove(setting) => {
            Alteration::Remove(setting.victim)
        }
        8..10 => {
            let by = roles.spares.pop()?;
            let forced = roles.may_remove(setting) && chance.permille(500);
            let node = if forced { setting.victim } else { some };
            Alteration::Replace { node, by, forced }
        }
        _ => Alteration::Weigh(some, weight + 1),
    };
    roles.follow(&what);
    Some(PlannedChange { at_us, side: None, what })
}

impl Roles {
    fn may_remove(&self, setting: &Setting) -> bool {
        !self.removed && self.members.contains(&setting.victim)
    }

    fn follow(&mut self, what: &Alteration) {
        match what {
            Alteration::Join(node, _) => self.members.push(*node),
            Alteration::Leave(node) => self.members.retain(|member| member != node),
            Alteration::Remove(node) => {
                self.members.retain(|member| member != node);
                self.removed = true;
            }
            Alteration::Replace { node, by, forced } => {
                self.members.retain(|member| member != node);
                self.members.push(*by);
                self.removed |= forced;
            }
            Alteration::Weigh(..) => {}
        }
    }
}

/// Draws the end of a node before its removal, for good or for a time: then it comes back.
fn death(setting: &Setting, change: &PlannedChange, chance: &mut Chance) -> Option<Fault> {
    let (Alteration::Remove(node) | Alteration::Replace { node, forced: true, .. }) = change.what
    else {
        return None;
    };
    let before_us = chance.between(200_000, 4_000_000).min(change.at_us - WARM_UP_US);
    let what = match chance.below(8) {
        0..3 => What::Kill(node),
        3..5 => What::PowerCut(node),
        5 => What::Pause(node),
        6 => What::Isolate(node),
        _ => What::LoseDisk(node),
    };
    let for_us = chance.magnitude(4_000_000, 40_000_000);
    debug_assert_eq!(node, setting.victim);
    Some(Fault { at_us: change.at_us - before_us, for_us, what })
}

/// Draws a disk, often a newcomer's, that is slow from about a change on until long after it. Data that its node is
/// given meanwhile is in memory alone for seconds, also while others drop what they no longer own.
pub(super) fn slow_disks(
    setting: &Setting,
    changes: &[PlannedChange],
    chance: &mut Chance,
) -> Vec<Fault> {
    let slow = |change: &PlannedChange| {
        let newcomer = change.what.newcomer().filter(|_| chance.permille(600));
        let any = chance.below(setting.places().into()) as u8;
        let at_us = change.at_us + chance.below(6_000_000);
        let for_us = chance.between(5_000_000, 25_000_000);
        let what = What::SlowDisk(newcomer.unwrap_or(any));
        chance.permille(350).then_some(Fault { at_us, for_us, what })
    };
    changes.iter().filter_map(slow).collect()
}

/// Draws the faults that meet a move of partitions.
fn met_with(setting: &Setting, at_us: u64, chance: &mut Chance) -> Vec<Fault> {
    let count = if chance.permille(600) { chance.between(1, 4) } else { 0 };
    let fault = |_| {
        let node = chance.below(setting.places().into()) as u8;
        let kind = chance.pick(&MET_WITH);
        let what = what(setting, node, kind, chance);
        let at_us = at_us + chance.magnitude(10_000, 8_000_000);
        Fault { at_us, for_us: chance.magnitude(50_000, 12_000_000), what }
    };
    (0..count).map(fault).collect()
}

/// Draws a node that misses a change: it stands still or is cut off while others move on, for so short a time that its
/// clients still wait, or for so long that it is given up.
fn missed(setting: &Setting, at_us: u64, chance: &mut Chance) -> Option<Fault> {
    if chance.permille(500) {
        return None;
    }
    let node = chance.below(setting.nodes.into()) as u8;
    let before_us = chance.magnitude(1_000, 2_000_000).min(at_us - WARM_UP_US);
    let what = if chance.permille(500) { What::Pause(node) } else { What::Isolate(node) };
    let for_us = before_us + chance.magnitude(400_000, 15_000_000);
    Some(Fault { at_us: at_us - before_us, for_us, what })
}

/// Draws a split, with an admin on each of its sides who commits a change.
fn rivals(
    setting: &Setting,
    roles: &mut Roles,
    at_us: u64,
    chance: &mut Chance,
    (changes, faults): (&mut Vec<PlannedChange>, &mut Vec<Fault>),
) {
    let set = chance.between(1, (1_u64 << setting.nodes) - 2) as u8;
    let spares = chance.below(256) as u8 & !((1_u16 << setting.nodes) - 1) as u8;
    let set = set | spares;
    let for_us = chance.between(4_000_000, 14_000_000);
    let split_us = (at_us + chance.between(200_000, 2_500_000)).saturating_sub(1_500_000);
    let split_us = split_us.max(WARM_UP_US);
    faults.push(Fault { at_us: split_us, for_us, what: What::Split(set) });
    for nodes in [set, !set] {
        let after_us = chance.magnitude(1_000, 1_500_000);
        if let Some(mut change) = change(setting, roles, split_us + after_us, chance) {
            change.side = Some(Side { nodes, until_us: split_us + for_us });
            changes.push(change);
        }
    }
}

/// Draws an outage of all nodes of a zone at once.
fn zone_outage(setting: &Setting, chance: &mut Chance) -> Fault {
    let zone = chance.below(setting.zones.into()) as u8;
    let ends = setting.level() == Durability::Synced && chance.permille(500);
    let what = if ends { What::ZoneCut(zone) } else { What::ZoneApart(zone) };
    let at_us = WARM_UP_US + chance.below(SPAN_US - MARGIN_US);
    Fault { at_us, for_us: chance.between(3_000_000, 15_000_000), what }
}
