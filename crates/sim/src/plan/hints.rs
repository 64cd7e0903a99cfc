//! Hints that rot: a node is out, what another one keeps for it waits, and can't be read for a time or ever again.
//!
//! Invariant: such hints may be the only copies of what was acknowledged there, so they are the victim's.

use jedlik_protocol::admin::WorkKind;

use super::faults::{OUTAGES, what};
use super::{Fault, SPAN_US, Setting, WARM_UP_US, What};
use crate::chance::Chance;

/// Of a thousand plans so many have hints that rot.
const PLANS_PERMILLE: u64 = 200;
/// Of a thousand such faults so many never end.
const FOR_GOOD_PERMILLE: u64 = 300;
/// A delete of which a hint is not known is collected within this, where nothing holds it up.
const COLLECTED_US: u64 = 25_000_000;

/// What happens to the victim's hints.
pub(super) fn rotten_hints(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    if !chance.permille(PLANS_PERMILLE) {
        return Vec::new();
    }
    let count = chance.between(1, 3);
    (0..count).flat_map(|_| rotten(setting, chance)).collect()
}

fn rotten(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    let keeper = setting.victim;
    let after = chance.between(1, u64::from(setting.places()) - 1) as u8;
    let out = (keeper + after) % setting.places();
    let at_us = WARM_UP_US + chance.below(SPAN_US / 2);
    let out_us = chance.between(1_000_000, 8_000_000);
    let out = what(setting, out, chance.pick(&OUTAGES), chance);
    let rots_us = at_us + chance.between(out_us / 2, out_us);
    let for_good = chance.permille(FOR_GOOD_PERMILLE);
    let for_us = if for_good { SPAN_US } else { chance.magnitude(500_000, 2 * COLLECTED_US) };
    let mut faults = vec![
        Fault { at_us, for_us: out_us, what: out },
        Fault { at_us: rots_us, for_us, what: What::RotHints(keeper) },
    ];
    if chance.permille(700) {
        // An admin has them wait, so that they are not read meanwhile.
        let what = What::HoldUp(keeper, WorkKind::Handoff);
        let for_us = chance.between(out_us, COLLECTED_US + out_us);
        faults.push(Fault { at_us: at_us + chance.below(out_us / 2), for_us, what });
    }
    faults
}
