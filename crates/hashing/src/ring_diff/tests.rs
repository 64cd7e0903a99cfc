//! Two small rings, compared by hand.

use alloc::vec::Vec;

use super::*;
use crate::ring::tests::ring;

#[test]
fn copies_are_counted_for_each_node() {
    let before = ring(&["a", "b", "c"], &[0, 1, 0, 1]);
    let after = ring(&["a", "b", "c"], &[0, 1, 2, 1]);
    let moves = RingDiff::between(&before, &after, 2);
    let additions: Vec<_> = moves.additions().map(|(at, node)| (at.0, node.0)).collect();
    let removals: Vec<_> = moves.removals().map(|(at, node)| (at.0, node.0)).collect();
    assert_eq!(additions, [(1, 2), (2, 2)]);
    assert_eq!(removals, [(1, 0), (2, 0)]);
    assert_eq!([0, 1, 2, 9].map(|node| moves.gained(NodeId(node))), [0, 0, 2, 0]);
    assert_eq!([0, 1, 2, 9].map(|node| moves.lost(NodeId(node))), [2, 0, 0, 0]);
    assert_eq!((moves.total(), moves.least()), (2, 2));
}

#[test]
fn a_node_that_gives_what_it_takes_counts_for_nothing_in_the_least() {
    let before = ring(&["a", "a"], &[0, 1]);
    let after = ring(&["a", "a"], &[1, 0]);
    let moves = RingDiff::between(&before, &after, 1);
    assert_eq!((moves.total(), moves.least()), (2, 0));
}

#[test]
fn a_node_on_one_ring_only_is_named() {
    let before = ring(&["a", "b"], &[0, 1]);
    let after = ring(&["a"], &[0, 0]);
    let moves = RingDiff::between(&before, &after, 3);
    let nodes: Vec<_> = moves.nodes().map(|(node, moves)| (node.0, moves.lost)).collect();
    assert_eq!(nodes, [(0, 0), (1, 2)]);
}
