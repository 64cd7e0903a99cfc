//! Copies of a node's directory: put back later in its place, or started beside it.
//!
//! Invariant: these faults destroy acknowledged copies, so they happen to the victim alone.

use super::hints::{COLLECTED_US, delete_all};
use super::{Fault, Kind, Operation, SPAN_US, Setting, WARM_UP_US, What};
use crate::chance::Chance;

/// Draws the faults with copies of the victim's directory.
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

/// Draws an admin who declares the victim's copies complete, soon after it has lost some.
pub(super) fn beliefs(setting: &Setting, faults: &[Fault], chance: &mut Chance) -> Vec<Fault> {
    if !chance.permille(250) {
        return Vec::new();
    }
    let lost = |fault: &&Fault| {
        matches!(
            fault.what,
            What::LoseDisk(_) | What::PutBack(_) | What::Rot(..) | What::SetAside(_)
        )
    };
    let believed = |fault: &Fault| {
        let at_us = fault.at_us + fault.for_us + chance.magnitude(1_000, 5_000_000);
        Fault { at_us, for_us: 0, what: What::Believe(setting.victim) }
    };
    faults.iter().filter(lost).map(believed).collect()
}

/// Draws a copy of the victim's directory that is put back later.
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
    // A copy of a running node is recognised as old once there was another life; after a stop the next start is one.
    // (No random number is drawn for it, so that what follows stays as it was.)
    if !stopped || between_us.is_multiple_of(2) {
        faults.push(Fault { at_us: between_us, for_us: 50_000, what: What::Kill(node) });
    }
    faults
}

/// Plans per thousand, of those in which the victim runs twice, whose first process stands still meanwhile.
const STANDSTILLS_PERMILLE: u64 = 500;

/// Makes the victim's first process stand still, in a part of the plans in which it runs twice, from before the start
/// of the second one until long after all keys were deleted, so that the deletes may be forgotten. There is no other
/// fault or request meanwhile. As the process goes on, clients ask it for every key.
pub(super) fn standstills(
    setting: &Setting,
    faults: &mut Vec<Fault>,
    operations: &mut Vec<Operation>,
    chance: &mut Chance,
) {
    if !setting.cloned || !chance.permille(STANDSTILLS_PERMILLE) {
        return;
    }
    let at_us = WARM_UP_US + chance.between(5_000_000, SPAN_US / 2);
    let cloned_us = at_us + chance.magnitude(10_000, 1_000_000);
    let still_us = chance.between(COLLECTED_US / 2, COLLECTED_US);
    let calm_us = at_us - 4_000_000..at_us + still_us;
    faults.retain(|fault| {
        let beside = fault.at_us + fault.for_us < calm_us.start || fault.at_us > calm_us.end;
        beside && !matches!(fault.what, What::Clone(_))
    });
    operations.retain(|operation| !calm_us.contains(&operation.at_us));
    let put_us = calm_us.start..at_us - 500_000;
    delete_all(setting, operations, (put_us, cloned_us), chance);
    ask_again(setting, operations, calm_us.end, chance);
    faults.push(Fault { at_us, for_us: still_us, what: What::Pause(setting.victim) });
    faults.push(Fault { at_us: cloned_us, for_us: 0, what: What::Clone(setting.victim) });
}

/// Gets every key from the victim's first process as it goes on, by clients that know of no other one.
fn ask_again(
    setting: &Setting,
    operations: &mut Vec<Operation>,
    awake_us: u64,
    chance: &mut Chance,
) {
    for key in 0..setting.keys {
        operations.push(Operation {
            at_us: awake_us + chance.magnitude(1, 5_000),
            client: chance.below(setting.clients.into()) as u8,
            via: setting.victim,
            key,
            kind: Kind::Get,
            r: None,
            w: None,
            strict: false,
            ttl_ms: None,
            timeout_ms: chance.magnitude(500, 5_000) as u32,
        });
    }
    operations.sort_by_key(|operation| operation.at_us);
}

/// Makes the victim run twice, from one state of its directory; at times one of the two is cut off.
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

#[cfg(test)]
mod tests {
    use super::{COLLECTED_US, Kind, What};
    use crate::plan::{Fault, Plan};

    /// Returns the fault in which the first of two processes stands still while the other one serves.
    fn standstill(plan: &Plan) -> Option<Fault> {
        let victim = plan.setting.victim;
        let cloned = plan.faults.iter().find(|fault| fault.what == What::Clone(victim))?;
        let stands_still = |fault: &&Fault| {
            let cloned_us = cloned.at_us.checked_sub(fault.at_us);
            fault.what == What::Pause(victim)
                && fault.for_us >= COLLECTED_US / 2
                && cloned_us.is_some_and(|after_us| after_us <= 1_000_000)
        };
        plan.faults.iter().find(stands_still).copied()
    }

    #[test]
    fn while_the_first_of_two_processes_stands_still_every_key_is_deleted_and_nothing_else_breaks()
    {
        let plans = (0..500).map(|seed| Plan::of(seed, 5));
        let found: Vec<(Plan, Fault)> =
            plans.filter_map(|plan| standstill(&plan).map(|fault| (plan, fault))).collect();
        assert!(found.len() > 5, "in {} plans of 500", found.len());
        for (plan, fault) in found {
            let still_us = fault.at_us..fault.at_us + fault.for_us;
            let kinds = |kind: Kind| {
                let of = plan.operations.iter().filter(move |asked| asked.kind == kind);
                of.filter(|asked| still_us.contains(&asked.at_us)).count()
            };
            assert_eq!(kinds(Kind::GetThenDelete), usize::from(plan.setting.keys), "{}", plan.seed);
            assert_eq!(kinds(Kind::Put) + kinds(Kind::GetThenPut), 0, "{}", plan.seed);
            let breaks = |other: &&Fault| {
                let admins = matches!(other.what, What::Believe(_) | What::Clone(_));
                !admins && **other != fault && still_us.contains(&other.at_us)
            };
            assert_eq!(plan.faults.iter().find(breaks), None, "{}", plan.seed);
        }
    }
}
