//! Replacements and small changes as a table, and the laws of every next plan.

use alloc::format;
use alloc::string::ToString;

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;
use proptest::test_runner::Config;

use super::*;
use crate::{Balance, NodeId, PartitionCount, RingDiff, plan_first};

fn node(node: u64, zone: &str, weight: u32) -> RingNode {
    RingNode { node: NodeId(node), zone: zone.to_string(), weight }
}

/// Returns nodes 1, 2, ... in the given zones, each with weight 1.
fn alike(zones: &[&str]) -> Vec<RingNode> {
    zones.iter().zip(1..).map(|(zone, id)| node(id, zone, 1)).collect()
}

fn count(q: u32) -> PartitionCount {
    PartitionCount::new(q).unwrap()
}

fn holders(ring: &Ring) -> Vec<u64> {
    ring.partitions().partitions().map(|partition| ring.token_holder(partition).0).collect()
}

#[test]
fn small_changes_of_equal_nodes_move_the_least() {
    let one_zone = |nodes| alike(&["a"; 12][..nodes]);
    let zones = |per_zone: usize| alike(&["a", "b", "c"].repeat(per_zone));
    let ten_zones = |per_zone: usize| {
        alike(&"a b c d e f g h i j ".repeat(per_zone).split_whitespace().collect::<Vec<_>>())
    };
    for (name, before, after) in [
        ("three nodes to six", one_zone(3), one_zone(6)),
        ("six nodes to three", one_zone(6), one_zone(3)),
        ("three nodes to four", one_zone(3), one_zone(4)),
        ("one more in each of three zones", zones(1), zones(2)),
        ("one less in each of three zones", zones(3), zones(2)),
        ("one more in each of ten zones", ten_zones(3), ten_zones(4)),
        ("one less in each of ten zones", ten_zones(4), ten_zones(3)),
        (
            "one more in one of ten zones",
            ten_zones(3),
            [ten_zones(3), vec![node(99, "d", 1)]].concat(),
        ),
        ("one node to three", one_zone(1), one_zone(3)),
    ] {
        let ring = plan_first(before, count(256), 3).unwrap();
        let next = plan_next(&ring, after, 3).unwrap();
        let moves = RingDiff::between(&ring, &next, 3);
        assert_eq!(moves.total(), moves.least(), "{name}");
        for node in Balance::of(&next, 3).nodes {
            assert!(node.primaries.abs_diff(node.fair_primaries) <= 5, "{name}: {node:?}");
        }
    }
}

#[test]
fn a_node_that_takes_anothers_place_gets_exactly_its_tokens() {
    let ring = plan_first(alike(&["a", "b", "c", "a", "b", "c", "a"]), count(64), 3).unwrap();
    let mut nodes = alike(&["a", "b", "c", "a", "b", "c", "a"]);
    nodes[1].node = NodeId(99);
    let next = plan_next(&ring, nodes, 3).unwrap();
    let renamed = |node: u64| if node == 2 { 99 } else { node };
    assert_eq!(holders(&next), holders(&ring).into_iter().map(renamed).collect::<Vec<u64>>());
}

#[test]
fn of_several_new_nodes_each_inherits_from_one_of_its_own_weight() {
    let others = [node(1, "b", 2), node(2, "c", 2), node(3, "d", 2)];
    let with = |nodes: [RingNode; 2]| others.iter().cloned().chain(nodes).collect::<Vec<_>>();
    let before = with([node(11, "a", 1), node(12, "a", 3)]);
    let after = with([node(21, "a", 3), node(22, "a", 1)]);
    let ring = plan_first(before, count(64), 3).unwrap();
    let next = plan_next(&ring, after, 3).unwrap();
    let renamed = |node: u64| match node {
        11 => 22,
        12 => 21,
        other => other,
    };
    assert_eq!(holders(&next), holders(&ring).into_iter().map(renamed).collect::<Vec<u64>>());
}

#[test]
fn members_that_cannot_be_placed_are_refused() {
    let ring = plan_first(alike(&["a", "b"]), count(2), 3).unwrap();
    for (nodes, error) in [
        (vec![], PlanError::NoNodes),
        (alike(&["a"; 3]), PlanError::MoreNodesThanPartitions { nodes: 3, partitions: 2 }),
        (vec![node(1, "a", 0)], PlanError::ZeroWeight { node: NodeId(1) }),
        (vec![node(1, "a", 1), node(1, "b", 1)], PlanError::Duplicate { node: NodeId(1) }),
    ] {
        assert_eq!(plan_next(&ring, nodes, 3), Err(error));
    }
}

/// A thousand nodes; how long it takes is for `examples/planning.rs` to tell.
#[test]
fn a_great_cluster_loses_a_node_and_moves_only_its_copies() {
    let nodes: Vec<RingNode> = (1..=1000).map(|id| node(id, &format!("{}", id % 10), 1)).collect();
    let ring = plan_first(nodes.clone(), count(1 << 13), 3).unwrap();
    let next = plan_next(&ring, nodes[1..].to_vec(), 3).unwrap();
    let moves = RingDiff::between(&ring, &next, 3);
    assert!(moves.lost(NodeId(1)) > 0);
    assert!(10 * moves.total() <= 11 * moves.least(), "{} {}", moves.total(), moves.least());
}

/// Step that an admin may take with the members; an index picks the node.
#[derive(Debug, Clone)]
enum Step {
    Join(u8, u32),
    Leave(Index),
    Weigh(Index, u32),
    Rezone(Index, u8),
}

fn steps(zones: u8, most: u32) -> impl Strategy<Value = Vec<Step>> {
    let step = proptest::prop_oneof![
        (0..zones, 1..=most).prop_map(|(zone, weight)| Step::Join(zone, weight)),
        any::<Index>().prop_map(Step::Leave),
        (any::<Index>(), 1..=most).prop_map(|(node, weight)| Step::Weigh(node, weight)),
        (any::<Index>(), 0..zones).prop_map(|(node, zone)| Step::Rezone(node, zone)),
    ];
    proptest::collection::vec(step, 1..8)
}

fn members(zones: u8, most: u32, size: usize) -> impl Strategy<Value = Vec<RingNode>> {
    proptest::collection::vec((0..zones, 1..=most), size..3 * size).prop_map(|nodes| {
        let nodes = nodes.into_iter().zip(1..);
        nodes.map(|((zone, weight), id)| node(id, &format!("z{zone}"), weight)).collect()
    })
}

fn take(nodes: &mut Vec<RingNode>, step: &Step, id: u64) {
    match step {
        Step::Join(zone, weight) => nodes.push(node(id, &format!("z{zone}"), *weight)),
        Step::Leave(index) if nodes.len() > 1 => drop(nodes.remove(index.index(nodes.len()))),
        Step::Leave(_) => {}
        Step::Weigh(index, weight) => index.get_mut(nodes).weight = *weight,
        Step::Rezone(index, zone) => index.get_mut(nodes).zone = format!("z{zone}"),
    }
}

/// Runs the steps one after another; `law` sees the ring before and after each.
fn follow(
    mut nodes: Vec<RingNode>,
    steps: &[Step],
    q: u32,
    n: u8,
    mut law: impl FnMut(&Ring, &Ring) -> Result<(), proptest::test_runner::TestCaseError>,
) -> Result<(), proptest::test_runner::TestCaseError> {
    let mut ring = plan_first(nodes.clone(), count(q), n).unwrap();
    for (step, id) in steps.iter().zip(1000..) {
        take(&mut nodes, step, id);
        let next = plan_next(&ring, nodes.clone(), n).unwrap();
        law(&ring, &next)?;
        ring = next;
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    #[test]
    fn any_change_gives_a_well_formed_ring_of_fair_shares_and_no_more_faults_than_a_first_plan(
        nodes in members(5, 20, 3), steps in steps(5, 20), bits in 5..9_u32, n in 1..5_u8,
    ) {
        follow(nodes, &steps, 1 << bits, n, |_, next| {
            prop_assert_eq!(next.check(), Ok(()));
            prop_assert!(next.nodes().is_sorted_by_key(|node| node.node));
            let balance = Balance::of(next, n);
            for node in &balance.nodes {
                let tokens = 1000 * u64::from(node.tokens);
                prop_assert!(tokens.abs_diff(node.fair_share_milli) <= 1000, "{:?}", node);
            }
            let first = plan_first(next.nodes().to_vec(), next.partitions(), n).unwrap();
            let first = Balance::of(&first, n);
            prop_assert!(balance.node_faults <= first.node_faults);
            prop_assert!(balance.zone_faults <= first.zone_faults);
            Ok(())
        })?;
    }

    #[test]
    fn a_ring_that_suits_its_nodes_stays_as_it_is(
        nodes in members(5, 20, 3), steps in steps(5, 20), n in 1..5_u8,
    ) {
        follow(nodes, &steps, 64, n, |ring, next| {
            prop_assert_eq!(&plan_next(ring, ring.nodes().to_vec(), n).unwrap(), ring);
            prop_assert_eq!(&plan_next(next, next.nodes().to_vec(), n).unwrap(), next);
            Ok(())
        })?;
    }

    #[test]
    fn with_room_for_distinct_neighbours_at_most_a_tenth_more_than_the_least_moves(
        nodes in members(1, 2, 10), steps in steps(1, 2), n in 1..4_u8,
    ) {
        follow(nodes, &steps, 512, n, |ring, next| {
            let moves = RingDiff::between(ring, next, n);
            prop_assert!(
                moves.total() <= moves.least() * 11 / 10 + 2 * u32::from(n),
                "{} of {}", moves.total(), moves.least(),
            );
            Ok(())
        })?;
    }

    #[test]
    fn the_order_in_which_nodes_are_named_does_not_matter(
        before in members(4, 5, 3),
        (nodes, shuffled) in members(4, 5, 3).prop_flat_map(|nodes| {
            (Just(nodes.clone()), Just(nodes).prop_shuffle())
        }),
    ) {
        let ring = plan_first(before, count(64), 3).unwrap();
        prop_assert_eq!(plan_next(&ring, nodes, 3), plan_next(&ring, shuffled, 3));
    }

    #[test]
    fn a_replaced_node_leaves_its_tokens_to_its_heir(
        nodes in members(4, 5, 3), steps in steps(4, 5), gone in any::<Index>(),
    ) {
        follow(nodes, &steps, 128, 3, |_, ring| {
            let mut nodes = ring.nodes().to_vec();
            let gone = &mut gone.get_mut(&mut nodes).node;
            let old = core::mem::replace(gone, NodeId(0)).0;
            let next = plan_next(ring, nodes, 3).unwrap();
            let renamed = |node: u64| if node == old { 0 } else { node };
            let expected: Vec<u64> = holders(ring).into_iter().map(renamed).collect();
            prop_assert_eq!(holders(&next), expected);
            Ok(())
        })?;
    }
}
