//! The faults of a plan: at any time, and in pairs that do more harm together.
//!
//! Invariant: acknowledged copies are destroyed on the victim alone.

use jedlik_protocol::Durability;
use jedlik_protocol::admin::WorkKind;

use super::{Fault, SPAN_US, Setting, WARM_UP_US, What, some_of};
use crate::chance::Chance;

/// Number of the kinds of faults that [`what`] distinguishes.
const FAULT_KINDS: u64 = 22;

/// Draws faults at any time; some follow one another closely, often on the same node.
pub(super) fn faults(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    let count = chance.between(3, 40);
    let mut faults: Vec<Fault> = Vec::new();
    let kinds = some_of(&(0..FAULT_KINDS).collect::<Vec<_>>(), chance);
    let (mut at_us, mut node) = (WARM_UP_US, 0);
    for _ in 0..count {
        let follows = chance.permille(400);
        at_us = if follows {
            at_us + chance.magnitude(1_000, 1_000_000)
        } else {
            WARM_UP_US + chance.below(SPAN_US)
        };
        if !(follows && chance.permille(600)) {
            node = chance.below(setting.places().into()) as u8;
        }
        let what = what(setting, node, chance.pick(&kinds), chance);
        // Each refused write costs a fresh actor; past 64 in one clock, less is promised.
        let refuses = matches!(what, What::FullDisk(_) | What::Overload(_));
        let most_us = if refuses { 300_000 } else { 15_000_000 };
        faults.push(Fault { at_us, for_us: chance.magnitude(5_000, most_us), what });
    }
    if chance.permille(400) {
        for _ in 0..chance.between(1, 3) {
            faults.extend(relay(setting, chance));
        }
    }
    if chance.permille(300) {
        for _ in 0..chance.between(1, 10) {
            faults.extend(restart(setting, chance));
        }
    }
    if chance.permille(400) {
        for _ in 0..chance.between(1, 4) {
            faults.extend(loss(setting, chance));
        }
    }
    faults.sort_by_key(|fault| fault.at_us);
    faults
}

/// Draws disks that are nearly full for a time, in a part of the plans.
pub(super) fn shortages(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    let count = if chance.permille(200) { chance.between(1, 4) } else { 0 };
    let shortage = |_| {
        let what = What::NoRoom(chance.below(setting.places().into()) as u8);
        let at_us = WARM_UP_US + chance.below(SPAN_US);
        Fault { at_us, for_us: chance.magnitude(100_000, 25_000_000), what }
    };
    (0..count).map(shortage).collect()
}

/// Draws storage that ends while its process goes on, in a part of the plans.
pub(super) fn ends_of_storage(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    let count = if chance.permille(200) { chance.between(1, 5) } else { 0 };
    let mut at_us = WARM_UP_US;
    let mut end = |_| {
        // What happens to a node that is still being refilled, or comes to itself, is worth as much as the first time.
        at_us = if chance.permille(300) {
            at_us + chance.magnitude(1_000, 5_000_000)
        } else {
            WARM_UP_US + chance.below(SPAN_US)
        };
        let synced = setting.level() == Durability::Synced;
        let any = chance.below(setting.places().into()) as u8;
        let what = match chance.permille(500) {
            true => What::FailSync(if synced { any } else { setting.victim }),
            false => What::SetAside(setting.victim),
        };
        Fault { at_us, for_us: chance.magnitude(1_000, 5_000_000), what }
    };
    (0..count).map(&mut end).collect()
}

/// Draws a node that misses writes. About when it is back, one that took them loses its copies, for which the first
/// can't stand in. Others may be out meanwhile, so that it is refilled from what is left.
fn loss(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    let mut other = || {
        let after = chance.between(1, u64::from(setting.places()) - 1) as u8;
        (setting.victim + after) % setting.places()
    };
    let (behind, third) = (other(), other());
    let at_us = WARM_UP_US + chance.below(SPAN_US - 20_000_000);
    let missed_us = chance.magnitude(200_000, 6_000_000);
    let missed = what(setting, behind, chance.pick(&OUTAGES), chance);
    let lost = what(setting, setting.victim, chance.pick(&LOSSES), chance);
    let lost_us = at_us + chance.between(missed_us / 2, missed_us + 500_000);
    let mut faults = vec![
        Fault { at_us, for_us: missed_us, what: missed },
        Fault { at_us: lost_us, for_us: chance.magnitude(5_000, 1_000_000), what: lost },
    ];
    if chance.permille(400) {
        let out = what(setting, third, chance.pick(&OUTAGES), chance);
        let out_us = at_us + chance.between(missed_us / 2, missed_us * 2);
        faults.push(Fault {
            at_us: out_us,
            for_us: chance.magnitude(200_000, 10_000_000),
            what: out,
        });
    }
    faults
}

/// Draws a node that is out and, when it is back, another that is out for longer: hints for the first wait with the
/// second while the cluster goes on without them.
fn relay(setting: &Setting, chance: &mut Chance) -> [Fault; 2] {
    let first = chance.below(setting.places().into()) as u8;
    let second =
        (first + chance.between(1, u64::from(setting.places()) - 1) as u8) % setting.places();
    let at_us = WARM_UP_US + chance.below(SPAN_US - 25_000_000);
    let for_us = chance.between(2_000_000, 8_000_000);
    let next_us = at_us + chance.between(for_us / 2, for_us);
    let next_for_us = chance.between(10_000_000, 30_000_000);
    let mut out = |node| what(setting, node, chance.pick(&OUTAGES), chance);
    let (first, second) = (out(first), out(second));
    [
        Fault { at_us, for_us, what: first },
        Fault { at_us: next_us, for_us: next_for_us, what: second },
    ]
}

/// Draws trouble with a node's disk, and a restart or end of the node soon after or later.
fn restart(setting: &Setting, chance: &mut Chance) -> [Fault; 2] {
    let node = chance.below(setting.places().into()) as u8;
    let at_us = WARM_UP_US + chance.below(SPAN_US - 20_000_000);
    let for_us = chance.magnitude(20_000, 300_000);
    // An immediate restart may meet changes that have not got through; a later one, trouble long past.
    let soon = chance.permille(700);
    let then_us = chance.magnitude(for_us / 4, if soon { for_us } else { 20_000_000 });
    let then_for_us = chance.magnitude(10_000, if soon { 200_000 } else { 5_000_000 });
    let trouble = what(setting, node, chance.pick(&TROUBLES), chance);
    let end = what(setting, node, chance.pick(&ENDS), chance);
    [
        Fault { at_us, for_us, what: trouble },
        Fault { at_us: at_us + then_us, for_us: then_for_us, what: end },
    ]
}

/// Kinds of faults of disks.
const TROUBLES: [u64; 4] = [10, 11, 11, 12];
/// Kinds of ends of a process.
const ENDS: [u64; 4] = [0, 0, 2, 4];

/// Kinds of faults in which a node is out for a time.
pub(super) const OUTAGES: [u64; 4] = [0, 2, 7, 14];

/// Kinds of faults in which the victim loses its data.
const LOSSES: [u64; 3] = [8, 8, 9];

/// Kinds of background work that an admin may pause.
const WORKS: [WorkKind; 4] =
    [WorkKind::Handoff, WorkKind::Repair, WorkKind::Collection, WorkKind::Transfer];

/// Makes a fault within the bound: acknowledged copies are destroyed on the victim alone.
pub(super) fn what(setting: &Setting, node: u8, kind: u64, chance: &mut Chance) -> What {
    let other =
        (node + chance.between(1, u64::from(setting.places()) - 1) as u8) % setting.places();
    let victim = setting.victim;
    let kills = if setting.level() == Durability::Buffered { victim } else { node };
    let cuts = if setting.level() == Durability::Synced { node } else { victim };
    // Where versions expire, fewer than half of the clocks may be wrong.
    let set = if setting.expires { victim } else { node };
    match kind {
        0 | 1 => What::Stop(node),
        2 | 3 => What::Kill(kills),
        4 | 5 => What::PowerCut(cuts),
        6 if setting.level() == Durability::Synced => What::Blackout,
        6 | 7 => What::Pause(node),
        8 => What::LoseDisk(victim),
        9 => What::Rot(victim, chance.below(setting.keys.into()) as u8),
        10 => What::FullDisk(node),
        11 => What::Overload(node),
        12 => What::SlowDisk(node),
        13 => What::Cut(node, other),
        14 => What::Isolate(node),
        15 => What::Split(chance.between(1, (1_u64 << setting.places()) - 2) as u8),
        16 => What::SlowLink(node, other),
        17 => What::Disconnect(node, other),
        20 => What::Drain(node),
        21 => What::HoldUp(node, chance.pick(&WORKS)),
        18 => What::ClockJump(set, chance.magnitude(1, 3_600_000) as i64),
        _ => What::ClockJump(set, -(chance.magnitude(1, 3_600_000) as i64)),
    }
}
