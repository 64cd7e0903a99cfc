//! Laws that every seed's plan obeys.

use std::collections::BTreeSet;

use super::{MEMBERS_MIN, MemberChange, Number, Plan, Setting, members_at, troubled_limit};

fn setting(seed: u64, nodes: Number) -> Setting {
    Setting { seed, span_ms: 600_000, nodes, changes: true, server: false }
}

#[test]
fn a_plan_depends_on_its_setting_alone() {
    assert_eq!(Plan::new(&setting(7, 5)), Plan::new(&setting(7, 5)));
    assert_ne!(Plan::new(&setting(7, 5)), Plan::new(&setting(8, 5)));
}

#[test]
fn never_are_more_nodes_in_trouble_than_requests_can_do_without() {
    for (seed, nodes) in (0..200).flat_map(|seed| [3, 4, 5, 7].map(|nodes| (seed, nodes))) {
        let setting = setting(seed, nodes);
        let plan = Plan::new(&setting);
        for fault in &plan.faults {
            let at_ms = fault.at_ms;
            let members = members_at(&setting, &plan.steps, at_ms);
            assert!(members.contains(&fault.node), "{fault} of seed {seed}");
            let overlaps =
                |other: &&super::Fault| other.at_ms <= at_ms && other.at_ms + other.for_ms >= at_ms;
            let troubled: Vec<Number> =
                plan.faults.iter().filter(overlaps).map(|other| other.node).collect();
            let apart: BTreeSet<Number> = troubled.iter().copied().collect();
            assert_eq!(apart.len(), troubled.len(), "one node twice, seed {seed}");
            let missing = plan.steps.iter().filter(|step| step.leaves_a_gap_at(at_ms)).count();
            let limit = troubled_limit(members.len());
            assert!(troubled.len() + missing <= limit, "{at_ms} ms of seed {seed}");
        }
    }
}

#[test]
fn members_come_and_go_and_enough_are_left() {
    let mut kinds = BTreeSet::new();
    for (seed, nodes) in (0..100).flat_map(|seed| [3, 5].map(|nodes| (seed, nodes))) {
        let setting = setting(seed, nodes);
        let plan = Plan::new(&setting);
        let mut members: BTreeSet<Number> = (1..=nodes).collect();
        for step in &plan.steps {
            kinds.insert(step.change.name());
            if let Some(old) = step.change.goes() {
                assert!(members.remove(&old), "seed {seed}: {}", step.change);
            }
            if let Some(new) = step.change.comes() {
                assert!(members.insert(new), "seed {seed}: {}", step.change);
            }
            let least = match step.change {
                MemberChange::Leave(_) | MemberChange::Remove(_) => MEMBERS_MIN,
                MemberChange::Join(_) => 4,
                _ => 3,
            };
            assert!(members.len() >= least, "seed {seed}: {members:?}");
        }
    }
    let all = ["join", "leave", "lost disk", "old copy", "remove", "replace", "rot"];
    assert_eq!(Vec::from_iter(kinds), all);
}

#[test]
fn a_minute_has_faults_and_a_change() {
    for seed in 0..100 {
        let plan = Plan::new(&Setting { span_ms: 60_000, ..setting(seed, 5) });
        let (faults, steps) = (plan.faults.len(), plan.steps.len());
        // Around a destroyed copy there are fewer faults.
        assert!(faults >= 3 && steps >= 1 && faults + steps >= 6, "seed {seed}:\n{plan}");
    }
}

#[test]
fn a_server_has_one_fault_at_a_time_and_changes_nothing_else_in_the_plan() {
    for seed in 0..100 {
        let alone = Plan::new(&setting(seed, 5));
        assert_eq!(alone.server_faults, []);
        let Plan { faults, server_faults, steps } =
            Plan::new(&Setting { server: true, ..setting(seed, 5) });
        assert_eq!((&faults, &steps), (&alone.faults, &alone.steps));
        assert!(server_faults.len() > 15, "seed {seed}: {server_faults:?}");
        for pair in server_faults.windows(2) {
            assert!(pair[0].at_ms + pair[0].for_ms < pair[1].at_ms, "seed {seed}: {pair:?}");
        }
        let minute = Plan::new(&Setting { span_ms: 60_000, server: true, ..setting(seed, 5) });
        let ends = minute.server_faults.iter().map(|fault| fault.at_ms + fault.for_ms);
        assert!(minute.server_faults.len() > 1 && ends.max() < Some(60_000), "seed {seed}");
    }
}

#[test]
fn without_changes_the_faults_are_all_there_is() {
    let plan = Plan::new(&Setting { changes: false, ..setting(7, 5) });
    assert!(plan.steps.is_empty() && !plan.faults.is_empty());
}
