//! Small clusters as a table, and the laws of every plan.

use alloc::format;
use alloc::string::ToString;

use proptest::prelude::{Just, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;

use alloc::vec;

use super::*;
use crate::{Balance, NodeBalance, Partition, Preferences};

fn node(node: u64, zone: &str, weight: u32) -> RingNode {
    RingNode { node: NodeId(node), zone: zone.to_string(), weight }
}

/// Returns `per_zone[z]` nodes in zone z, each with weight 1.
fn zoned(per_zone: &[usize]) -> Vec<RingNode> {
    let zones = per_zone.iter().enumerate();
    let zones = zones.flat_map(|(zone, nodes)| (0..*nodes).map(move |_| format!("z{zone}")));
    zones.enumerate().map(|(index, zone)| node(index as u64 + 1, &zone, 1)).collect()
}

fn count(q: u32) -> PartitionCount {
    PartitionCount::new(q).unwrap()
}

fn holders(ring: &Ring) -> Vec<u64> {
    ring.partitions().partitions().map(|partition| ring.token_holder(partition).0).collect()
}

#[test]
fn tiny_clusters_are_placed_like_this() {
    let cases = [
        ("one node", zoned(&[1]), 4, [1, 1, 1, 1]),
        ("two nodes", zoned(&[2]), 4, [1, 2, 1, 2]),
        ("two zones", zoned(&[1, 1]), 4, [1, 2, 1, 2]),
        ("four nodes", zoned(&[4]), 4, [1, 2, 3, 4]),
        ("two by two", zoned(&[2, 2]), 4, [1, 3, 2, 4]),
        (
            "twice the weight",
            vec![node(1, "a", 1), node(2, "b", 2), node(3, "c", 1)],
            4,
            [2, 1, 2, 3],
        ),
    ];
    for (name, nodes, q, expected) in cases {
        let ring = plan_first(nodes, count(q), 3).unwrap();
        assert_eq!(holders(&ring), expected, "{name}");
    }
}

#[test]
fn members_that_cannot_be_placed_are_refused_with_the_reason() {
    let cases = [
        (vec![], PlanError::NoNodes),
        (zoned(&[5]), PlanError::MoreNodesThanPartitions { nodes: 5, partitions: 4 }),
        (vec![node(3, "a", 0)], PlanError::ZeroWeight { node: NodeId(3) }),
        (vec![node(3, "a", 1), node(3, "b", 1)], PlanError::Duplicate { node: NodeId(3) }),
        (zoned(&[NODES_MAX + 1]), PlanError::TooManyNodes { nodes: NODES_MAX + 1 }),
    ];
    for (nodes, error) in cases {
        assert_eq!(plan_first(nodes, count(4), 3), Err(error));
    }
}

#[test]
fn a_balance_counts_what_replicas_share() {
    let faults = |nodes, n| {
        let balance = Balance::of(&plan_first(nodes, count(16), n).unwrap(), n);
        (balance.node_faults, balance.zone_faults)
    };
    assert_eq!(faults(zoned(&[1, 1, 1]), 3), (0, 0));
    assert_eq!(faults(zoned(&[3]), 3), (0, 16), "one zone for all three");
    assert_eq!(faults(zoned(&[2, 2]), 3), (0, 16));
    assert_eq!(faults(zoned(&[1, 1]), 3), (16, 0), "two nodes for three replicas");
}

#[test]
fn one_zone_without_room_for_distinct_neighbours_still_gives_three_distinct_primaries() {
    let ring = plan_first(zoned(&[3]), count(256), 3).unwrap();
    for partition in ring.partitions().partitions() {
        let distinct: BTreeSet<NodeId> = ring.preference_list(partition).into_iter().collect();
        assert_eq!(distinct.len(), 3);
    }
}

/// Generates three to seven zones of the same size, or with one node more or less.
fn alike_zones() -> impl Strategy<Value = Vec<RingNode>> {
    (3..8_usize, 1..15_usize).prop_flat_map(|(zones, size)| {
        proptest::collection::vec(size..=size + 1, zones).prop_map(|sizes| zoned(&sizes))
    })
}

fn partition_counts() -> impl Strategy<Value = PartitionCount> {
    (6..=12_u32).prop_map(|bits| count(1 << bits))
}

fn weighted(most: u32) -> impl Strategy<Value = Vec<RingNode>> {
    proptest::collection::vec((0..6_u8, 1..=most), 3..=100).prop_map(|nodes| {
        let nodes = nodes.into_iter().enumerate();
        nodes
            .map(|(index, (zone, weight))| node(index as u64, &format!("z{zone}"), weight))
            .collect()
    })
}

fn no_node_is_a_token_from_its_share(balance: &Balance) -> bool {
    balance.nodes.iter().all(|node| {
        let tokens = u64::from(node.tokens) * 1000;
        tokens.abs_diff(node.fair_share_milli) <= 1000
    })
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    #[test]
    fn alike_zones_give_three_primaries_on_distinct_nodes_and_zones(
        nodes in alike_zones(), partitions in partition_counts(),
    ) {
        proptest::prop_assume!(nodes.len() <= 100.min(partitions.get() as usize));
        let ring = plan_first(nodes, partitions, 3).unwrap();
        let balance = Balance::of(&ring, 3);
        prop_assert_eq!((balance.node_faults, balance.zone_faults), (0, 0));
        prop_assert!(no_node_is_a_token_from_its_share(&balance));
        prop_assert_eq!(ring.check(), Ok(()));
    }

    #[test]
    fn alike_zones_share_the_primaries_work_by_their_tokens(
        nodes in alike_zones(), partitions in partition_counts(),
    ) {
        proptest::prop_assume!(nodes.len() <= 64);
        let zones: BTreeSet<&str> = nodes.iter().map(|node| node.zone.as_str()).collect();
        let per_zone = |zone| nodes.iter().filter(|node| node.zone == zone).count();
        let sizes: BTreeSet<usize> = zones.iter().map(|zone| per_zone(*zone)).collect();
        proptest::prop_assume!(sizes.len() == 1);
        let balance = Balance::of(&plan_first(nodes, partitions, 3).unwrap(), 3);
        for node in &balance.nodes {
            prop_assert!(node.primaries.abs_diff(3 * node.tokens) <= 2, "{:?}", node);
        }
    }

    #[test]
    fn any_members_get_their_fair_share(
        nodes in prop_oneof![weighted(1), weighted(4), weighted(1000)],
        partitions in partition_counts(), n in 1..6_u8,
    ) {
        let nodes = nodes.into_iter().take(partitions.get() as usize).collect();
        let ring = plan_first(nodes, partitions, n).unwrap();
        prop_assert!(no_node_is_a_token_from_its_share(&Balance::of(&ring, n)));
        prop_assert_eq!(ring.check(), Ok(()));
        let lists = Preferences::new(&ring, usize::from(n));
        let distinct: BTreeSet<&NodeId> = lists.of(Partition(7)).iter().collect();
        prop_assert_eq!(distinct.len(), usize::from(n).min(ring.nodes().len()));
    }

    #[test]
    fn the_order_in_which_nodes_are_named_does_not_matter(
        (nodes, shuffled) in weighted(9).prop_flat_map(|nodes| {
            (Just(nodes.clone()), Just(nodes).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(
            plan_first(nodes, count(256), 3), plan_first(shuffled, count(256), 3)
        );
    }
}

/// Returns the most that a node's work as a primary is above its share of all of it, in percent.
fn worst_overload(nodes: Vec<RingNode>, q: u32) -> u64 {
    let balance = Balance::of(&plan_first(nodes, count(q), 3).unwrap(), 3);
    let overload =
        |node: &NodeBalance| u64::from(node.primaries) * 100_000 / (3 * node.fair_share_milli);
    balance.nodes.iter().map(overload).max().unwrap_or(0).saturating_sub(100)
}

#[test]
fn primaries_work_stays_near_the_weights() {
    for (name, nodes, q, most_percent) in [
        ("three nodes", zoned(&[1, 1, 1]), 256, 0),
        ("five nodes in one zone", zoned(&[5]), 256, 2),
        ("ten nodes in one zone", zoned(&[10]), 256, 2),
        ("a hundred nodes in one zone", zoned(&[100]), 4096, 3),
        ("three zones of ten", zoned(&[10, 10, 10]), 1024, 3),
        ("four zones, one smaller", zoned(&[5, 5, 5, 4]), 1024, 2),
        ("three zones, one smaller", zoned(&[5, 5, 4]), 1024, 22),
        ("seven zones", zoned(&[3, 3, 3, 3, 3, 3, 3]), 1024, 3),
    ] {
        let worst = worst_overload(nodes, q);
        assert!(worst <= most_percent, "{name}: {worst} % over the share");
    }
}
