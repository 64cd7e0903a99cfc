//! Copies of a node's directory: put back later in its place, or started beside it.
//!
//! Invariant: these destroy acknowledged copies, so they happen to the victim alone.

use super::{Fault, SPAN_US, Setting, WARM_UP_US, What};
use crate::chance::Chance;

/// What happens to copies of the victim's directory.
pub(super) fn lives(setting: &mut Setting, chance: &mut Chance) -> Vec<Fault> {
    let mut faults = Vec::new();
    if chance.permille(250) {
        for _ in 0..chance.between(1, 3) {
            faults.extend(restored(setting, chance));
        }
    }
    // The nodes of a split are a set of eight bits.
    if setting.spares == 0 && setting.nodes < 8 && chance.permille(150) {
        setting.cloned = true;
        faults.extend(cloned(setting, chance));
    }
    faults
}

/// An admin is content with what the victim still holds, soon after it has lost the rest.
pub(super) fn beliefs(setting: &Setting, faults: &[Fault], chance: &mut Chance) -> Vec<Fault> {
    if !chance.permille(250) {
        return Vec::new();
    }
    let lost =
        |fault: &&Fault| matches!(fault.what, What::LoseDisk(_) | What::PutBack(_) | What::Rot(..));
    let believed = |fault: &Fault| {
        let at_us = fault.at_us + fault.for_us + chance.magnitude(1_000, 5_000_000);
        Fault { at_us, for_us: 0, what: What::Believe(setting.victim) }
    };
    faults.iter().filter(lost).map(believed).collect()
}

/// A copy of the victim's directory is taken, and put back later.
fn restored(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    let node = setting.victim;
    let at_us = WARM_UP_US + chance.below(SPAN_US - 15_000_000);
    let stopped = chance.permille(600);
    let for_us = if stopped { chance.magnitude(50_000, 3_000_000) } else { 0 };
    let then_us = at_us + for_us + chance.magnitude(500_000, 40_000_000);
    let out_us = chance.magnitude(20_000, 8_000_000);
    let between_us = chance.between(at_us + for_us, then_us);
    let mut faults = vec![
        Fault { at_us, for_us, what: What::Copy(node, stopped) },
        Fault { at_us: then_us, for_us: out_us, what: What::PutBack(node) },
    ];
    // A copy of a running node is known for old once there was another life; after a stop the next start is one. (There is
    // no draw for it, so that what follows stays as it was.)
    if !stopped || between_us.is_multiple_of(2) {
        faults.push(Fault { at_us: between_us, for_us: 50_000, what: What::Kill(node) });
    }
    faults
}

/// The victim runs twice, from one state of its directory; some of the time one of the two is cut off.
fn cloned(setting: &Setting, chance: &mut Chance) -> Vec<Fault> {
    let at_us = WARM_UP_US + chance.below(SPAN_US - 10_000_000);
    let mut faults = vec![Fault { at_us, for_us: 0, what: What::Clone(setting.victim) }];
    if chance.permille(400) {
        let apart = chance.pick(&[setting.victim, setting.places()]);
        let from_us = at_us.saturating_sub(chance.magnitude(1_000, 3_000_000));
        let for_us = chance.magnitude(500_000, 15_000_000);
        faults.push(Fault { at_us: from_us, for_us, what: What::Isolate(apart) });
    }
    faults
}
