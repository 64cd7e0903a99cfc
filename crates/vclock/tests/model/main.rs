//! Records against causal histories kept in full, over random histories of one key
//! ([design 2](../../../../docs/design.md#2-data)).
//!
//! Beside each record the model keeps the set of all writes that the record ever learnt of, and for each
//! write the set of those its client had seen. Then a record's siblings must be exactly the writes that no
//! other write of its set has seen: nothing is lost, and nothing that was replaced comes back. The rules can
//! be broken one by one, to show that the model notices.

mod world;

use proptest::prelude::{Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use world::{CLIENTS, NODES, Rule, Step, World};

fn step(truncating: bool) -> impl Strategy<Value = Step> {
    let node = || 0..NODES;
    let client = || 0..CLIENTS;
    prop_oneof![
        6 => (node(), client()).prop_map(|(at, client)| Step::Put { at, client }),
        2 => node().prop_map(|at| Step::PutBlind { at }),
        4 => (client(), 1..1_u8 << NODES).prop_map(|(client, of)| Step::Get { client, of }),
        8 => (node(), node()).prop_map(|(from, to)| Step::Send { from, to }),
        6 => any::<usize>().prop_map(|which| Step::Deliver { which, again: false }),
        1 => any::<usize>().prop_map(|which| Step::Deliver { which, again: true }),
        2 => any::<usize>().prop_map(|which| Step::LoseMessage { which }),
        4 => node().prop_map(|node| Step::Sync { node }),
        1 => node().prop_map(|node| Step::StopCleanly { node }),
        2 => node().prop_map(|node| Step::Crash { node }),
        1 => node().prop_map(|node| Step::LoseDisk { node }),
        1 => (node(), node()).prop_map(|(from, to)| Step::HandOff { from, to }),
        1 => (0..1_u8 << NODES).prop_map(|pruning| Step::Settle { pruning }),
        2 => (1..1_u8 << NODES).prop_map(|at| Step::Prune { at }),
        2 => (node(), 0..3_usize).prop_map(move |(node, limit)| {
            if truncating { Step::Truncate { node, limit } } else { Step::Sync { node } }
        }),
    ]
}

fn history(truncating: bool) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(truncating), 1..100)
}

fn run(rule: Rule, steps: &[Step]) -> Result<(), String> {
    let mut world = World::new(rule);
    for (index, step) in steps.iter().enumerate() {
        world.apply(*step);
        world.check().map_err(|error| format!("after step {index}, {step:?}: {error}"))?;
    }
    world.check_merged_survivors()
}

/// Returns how many of so many histories the model objects to.
fn objections(rule: Rule, histories: usize) -> usize {
    let mut runner = TestRunner::deterministic();
    let strategy = history(false);
    (0..histories)
        .filter(|_| {
            let steps = strategy.new_tree(&mut runner).expect("nothing is filtered").current();
            run(rule, &steps).is_err()
        })
        .count()
}

proptest! {
    #[test]
    fn siblings_are_exactly_the_writes_that_no_other_has_seen(steps in history(false)) {
        prop_assert_eq!(run(Rule::Kept, &steps), Ok(()));
    }

    #[test]
    fn truncation_at_any_time_loses_no_write(steps in history(true)) {
        prop_assert_eq!(run(Rule::Kept, &steps), Ok(()));
    }
}

#[test]
fn the_model_has_no_objections_while_the_rules_are_kept() {
    assert_eq!(objections(Rule::Kept, 200), 0);
}

#[test]
fn the_model_objects_to_one_actor_for_each_node() {
    assert!(objections(Rule::OneActorPerNode, 200) > 10);
}

#[test]
fn the_model_objects_to_an_actor_kept_across_an_unclean_start() {
    assert!(objections(Rule::KeptAcrossUncleanStart, 200) > 0);
}

#[test]
fn the_model_objects_to_an_actor_kept_after_its_entry_was_pruned() {
    assert!(objections(Rule::KeptAfterPruning, 200) > 0);
}

#[test]
fn the_model_objects_to_pruning_at_any_time() {
    assert!(objections(Rule::PrunedAtAnyTime, 200) > 10);
}

#[test]
fn the_model_objects_to_an_actor_kept_after_its_entry_was_truncated() {
    // Node 0 writes twice under its actor, node 1 hears of the first, node 2 of both and replaces them.
    // Node 0 truncates; if its actor lives on, node 1 brings the entry back and the second dot is
    // issued again, to be dropped by node 2, which has seen it.
    let steps = [
        Step::Put { at: 0, client: 0 },
        Step::Send { from: 0, to: 1 },
        Step::Deliver { which: 0, again: false },
        Step::Put { at: 0, client: 0 },
        Step::Send { from: 0, to: 2 },
        Step::Deliver { which: 0, again: false },
        Step::Put { at: 2, client: 0 },
        Step::Send { from: 2, to: 0 },
        Step::Deliver { which: 0, again: false },
        Step::Truncate { node: 0, limit: 1 },
        Step::Send { from: 1, to: 0 },
        Step::Deliver { which: 0, again: false },
        Step::PutBlind { at: 0 },
    ];
    assert_eq!(run(Rule::Kept, &steps), Ok(()));
    assert!(run(Rule::KeptAfterTruncation, &steps).is_err());
}
