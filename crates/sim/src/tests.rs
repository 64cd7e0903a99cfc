//! One plan, one run.

use crate::{Plan, WARM_UP_US, run};

/// Returns a plan that ends early, since test builds are slow.
fn short(seed: u64) -> Plan {
    let plan = Plan::of(seed, 5);
    Plan { end_us: WARM_UP_US + 8_000_000, ..plan }
}

#[test]
fn the_same_seed_gives_the_same_run_event_for_event() {
    for seed in 0..6 {
        let (first, second) = (run(&short(seed), true), run(&short(seed), true));
        assert!(first.lines.len() > 300, "{} lines", first.lines.len());
        assert_eq!(first.lines, second.lines);
        assert_eq!(first.counts, second.counts);
        assert_eq!(first.breach, None);
    }
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(run(&short(1), true).lines, run(&short(2), true).lines);
}

#[test]
fn keeping_a_trace_changes_nothing_of_it() {
    let plan = short(4);
    assert_eq!(run(&plan, true).counts, run(&plan, false).counts);
}
