//! Hints that rot: a node is out, the hints that another keeps for it wait, and can't be read for a time or ever again.
//!
//! Invariant: such hints may be the only copies of acknowledged writes, so they are the victim's.

use core::ops::Range;

use jedlik_protocol::admin::WorkKind;

use super::faults::{OUTAGES, what};
use super::{Fault, Kind, Operation, SPAN_US, Setting, WARM_UP_US, What};
use crate::chance::Chance;

/// Plans per thousand that have hints that rot.
const PLANS_PERMILLE: u64 = 200;
/// Faults per thousand of these that never end.
const FOR_GOOD_PERMILLE: u64 = 300;
/// Faults per thousand of these that undisturbed deletes follow: there is no other fault or request until the deleted
/// keys would be collected if no hint kept them.
const DELETED_PERMILLE: u64 = 500;
/// Time within which a delete is collected if nothing holds it up, and no hint of the key is known.
pub(super) const COLLECTED_US: u64 = 25_000_000;

/// Adds rot of the victim's hints, and in some of the plans what clients do meanwhile.
pub(super) fn rotten_hints(
    setting: &Setting,
    faults: &mut Vec<Fault>,
    operations: &mut Vec<Operation>,
    chance: &mut Chance,
) {
    if !chance.permille(PLANS_PERMILLE) {
        return;
    }
    for _ in 0..chance.between(1, 3) {
        rotten(setting, faults, operations, chance);
    }
}

fn rotten(
    setting: &Setting,
    faults: &mut Vec<Fault>,
    operations: &mut Vec<Operation>,
    chance: &mut Chance,
) {
    let keeper = setting.victim;
    let after = chance.between(1, u64::from(setting.places()) - 1) as u8;
    let out = (keeper + after) % setting.places();
    let at_us = WARM_UP_US + chance.below(SPAN_US / 2);
    let out_us = chance.between(1_000_000, 8_000_000);
    let out = what(setting, out, chance.pick(&OUTAGES), chance);
    let rots_us = at_us + chance.between(out_us / 2, out_us);
    let deleted = chance.permille(DELETED_PERMILLE);
    let for_good = deleted || chance.permille(FOR_GOOD_PERMILLE);
    let for_us = if for_good { SPAN_US } else { chance.magnitude(500_000, 2 * COLLECTED_US) };
    if deleted {
        let calm_us = rots_us..at_us + out_us + COLLECTED_US;
        faults.retain(|fault| {
            fault.at_us + fault.for_us < calm_us.start || fault.at_us > calm_us.end
        });
        operations.retain(|operation| !calm_us.contains(&operation.at_us));
        delete_all(setting, operations, (at_us..rots_us, at_us + out_us), chance);
    }
    faults.push(Fault { at_us, for_us: out_us, what: out });
    faults.push(Fault { at_us: rots_us, for_us, what: What::RotHints(keeper) });
    if deleted || chance.permille(700) {
        // An admin pauses the delivery, so that the hints are not read meanwhile.
        let what = What::HoldUp(keeper, WorkKind::Handoff);
        let least_us = if deleted { out_us + COLLECTED_US } else { out_us };
        let for_us = chance.between(least_us, COLLECTED_US + out_us);
        faults.push(Fault { at_us: at_us + chance.below(out_us / 2), for_us, what });
    }
}

/// Puts every key in this time, while a node is out, and deletes it once the node is back and the others have noticed.
pub(super) fn delete_all(
    setting: &Setting,
    operations: &mut Vec<Operation>,
    (out_us, back_us): (Range<u64>, u64),
    chance: &mut Chance,
) {
    for key in 0..setting.keys {
        let put_us = chance.between(out_us.start, out_us.end);
        let deleted_us = back_us + chance.between(2_000_000, 5_000_000);
        for (at_us, kind) in [(put_us, Kind::GetThenPut), (deleted_us, Kind::GetThenDelete)] {
            operations.push(Operation {
                at_us,
                client: chance.below(setting.clients.into()) as u8,
                via: chance.below(setting.nodes.into()) as u8,
                key,
                kind,
                r: None,
                w: None,
                strict: false,
                ttl_ms: None,
                timeout_ms: chance.magnitude(500, 5_000) as u32,
            });
        }
    }
    operations.sort_by_key(|operation| operation.at_us);
}
