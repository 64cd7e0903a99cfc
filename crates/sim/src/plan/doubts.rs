//! Moves to a new owner while one of the older owners has lost its past, and the only other that has a write is cut off.
//!
//! Invariant: each acknowledged write is still on two nodes' disks as the victim's is lost.

use core::ops::Range;

use jedlik_protocol::admin::WorkKind;

use super::changes::PLACES_MAX;
use super::{
    Alteration, BucketPlan, Fault, Kind, Operation, PlannedChange, Quorums, SPAN_US, Setting,
    WARM_UP_US, What,
};
use crate::chance::Chance;

/// Plans per thousand, of those without another change of the layout, that have such a move.
const PLANS_PERMILLE: u64 = 60;
/// Two of the three older owners meet every quorum, so that one of them need not be asked.
const QUORUMS: Quorums = Quorums { n: 3, r: 2, w: 2 };
/// Time before the newcomer's join from which two nodes take writes alone.
const ALONE_US: u64 = 8_000_000;
/// Time before the join at which the one of them loses its disk and the other is cut off.
const LOST_US: u64 = 3_000_000;
/// Time after the join at which the other one is back, at most.
const BACK_US: u64 = 9_000_000;
/// Time after the join until which clients ask for what both had.
const ASKED_US: u64 = 15_000_000;

/// Makes the victim and another node take writes alone before a node joins. Then the victim loses its disk and the
/// other one is cut off, so that the newcomer can be told by owners that never had the writes, and by one that has lost
/// them. There is no other fault or request meanwhile, and neither repairs nor hints tell the others.
pub(super) fn doubts(
    setting: &mut Setting,
    changes: &mut Vec<PlannedChange>,
    faults: &mut Vec<Fault>,
    operations: &mut Vec<Operation>,
    chance: &mut Chance,
) {
    let newcomer = setting.nodes;
    let has_room = setting.spares == 0 && !setting.cloned && newcomer < PLACES_MAX;
    if !has_room || !chance.permille(PLANS_PERMILLE) {
        return;
    }
    setting.spares = 1;
    for bucket in &mut setting.buckets {
        *bucket = BucketPlan { quorums: QUORUMS, min_w: 2, later: None, ..*bucket };
    }
    for operation in operations.iter_mut() {
        let fits = |count: &u8| (2..=QUORUMS.n).contains(count);
        (operation.r, operation.w) = (operation.r.filter(fits), operation.w.filter(fits));
    }
    let join_us = WARM_UP_US + chance.between(ALONE_US, SPAN_US - ASKED_US);
    let weight = chance.between(1, 3) as u32;
    let what = Alteration::Join(newcomer, weight);
    changes.push(PlannedChange { at_us: join_us, side: None, what });
    let keeper = other_than(setting, setting.victim, chance);
    let (alone_us, asked_us) = (join_us - ALONE_US, join_us + ASKED_US);
    let lost_us = join_us - LOST_US + chance.below(1_000_000);
    let back_us = join_us + chance.between(BACK_US / 3, BACK_US);
    faults.retain(|fault| fault.at_us + fault.for_us < alone_us || fault.at_us > asked_us);
    operations.retain(|operation| !(alone_us..asked_us).contains(&operation.at_us));
    let mut add = |from_us: u64, until_us: u64, what: What| {
        faults.push(Fault { at_us: from_us, for_us: until_us - from_us, what });
    };
    // The two are apart from the rest a little longer than until then, so that they tell nobody.
    add(alone_us, lost_us + 10_000, What::Split(1 << setting.victim | 1 << keeper));
    add(lost_us, back_us, What::Isolate(keeper));
    let begins_us = lost_us + chance.magnitude(20_000, 1_000_000);
    add(lost_us, begins_us, What::LoseDisk(setting.victim));
    for node in 0..setting.places() {
        for work in [WorkKind::Repair, WorkKind::Handoff] {
            // A newcomer runs since shortly before its join.
            let from_us = if node < setting.nodes { begins_us + 1_000 } else { join_us };
            add(from_us, asked_us, What::HoldUp(node, work));
        }
    }
    for key in 0..setting.keys {
        let put_us = alone_us + 1_000_000..lost_us - 500_000;
        operations.push(strict(setting, Kind::GetThenPut, key, (put_us, setting.victim), chance));
        for _ in 0..5 {
            let via = other_than(setting, keeper, chance);
            operations.push(strict(setting, Kind::Get, key, (join_us..asked_us, via), chance));
        }
    }
    operations.sort_by_key(|operation| operation.at_us);
}

/// Draws one of the first layout's other nodes.
fn other_than(setting: &Setting, node: u8, chance: &mut Chance) -> u8 {
    let after = chance.between(1, u64::from(setting.nodes) - 1) as u8;
    (node + after) % setting.nodes
}

fn strict(
    setting: &Setting,
    kind: Kind,
    key: u8,
    (at_us, via): (Range<u64>, u8),
    chance: &mut Chance,
) -> Operation {
    Operation {
        at_us: chance.between(at_us.start, at_us.end),
        client: chance.below(setting.clients.into()) as u8,
        via,
        key,
        kind,
        r: None,
        w: None,
        strict: true,
        ttl_ms: None,
        timeout_ms: chance.magnitude(500, 5_000) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, WorkKind};
    use crate::plan::{Alteration, Fault, Operation, Plan, What};

    /// Returns the time from which two nodes are apart from the rest, until which one of them stays cut off; and that
    /// node.
    fn doubtful(plan: &Plan) -> Option<(Fault, Fault)> {
        let lost_us = |fault: &&Fault| fault.what == What::LoseDisk(plan.setting.victim);
        let lost = plan.faults.iter().filter(lost_us);
        let cut_off = |lost: &Fault| {
            let cut_off = |fault: &&Fault| {
                fault.at_us == lost.at_us && matches!(fault.what, What::Isolate(_))
            };
            plan.faults.iter().find(cut_off).copied()
        };
        lost.filter_map(|lost| cut_off(lost).map(|cut_off| (*lost, cut_off))).next()
    }

    #[test]
    fn both_nodes_that_took_writes_alone_are_out_as_a_newcomer_is_told() {
        let found: Vec<(Plan, (Fault, Fault))> = (0..500)
            .map(|seed| Plan::of(seed, 5))
            .filter_map(|plan| doubtful(&plan).map(|faults| (plan, faults)))
            .collect();
        assert!(found.len() > 5, "in {} plans of 500", found.len());
        for (plan, (lost, cut_off)) in found {
            let [change] = plan.changes[..] else { panic!("seed {}: one change", plan.seed) };
            assert!(matches!(change.what, Alteration::Join(5, _)), "{}", plan.seed);
            let joins_us = lost.at_us + lost.for_us..cut_off.at_us + cut_off.for_us;
            assert!(joins_us.contains(&change.at_us), "{}", plan.seed);
            let meanwhile = |asked: &&Operation| {
                asked.at_us + 4_000_000 > lost.at_us && asked.at_us < joins_us.end
            };
            let writes: Vec<&Operation> = plan
                .operations
                .iter()
                .filter(meanwhile)
                .filter(|asked| asked.kind != Kind::Get)
                .collect();
            assert!(writes.iter().all(|put| put.at_us < lost.at_us && put.strict), "{}", plan.seed);
            let breaks = |fault: &&Fault| {
                let admins =
                    matches!(fault.what, What::HoldUp(_, WorkKind::Repair | WorkKind::Handoff));
                let believed = matches!(fault.what, What::Believe(_));
                joins_us.contains(&fault.at_us) && !admins && !believed
            };
            assert_eq!(plan.faults.iter().find(breaks), None, "{}", plan.seed);
        }
    }
}
