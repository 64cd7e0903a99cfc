//! One seed, one run; and a bounded number of runs.

use crate::{Plan, run};

#[test]
fn the_same_seed_gives_the_same_run_event_for_event() {
    for seed in [1, 2, 3] {
        let plan = Plan::of(seed, 5);
        let (first, second) = (run(&plan, true), run(&plan, true));
        assert!(first.lines.len() > 1_000, "{} lines", first.lines.len());
        assert_eq!(first.lines, second.lines);
        assert_eq!(first.counts, second.counts);
    }
}

#[test]
fn telling_the_story_changes_nothing_of_it() {
    let plan = Plan::of(4, 5);
    assert_eq!(run(&plan, true).counts, run(&plan, false).counts);
}
