//! Tokens set by hand, and the order in which the paper ranks the strategies.

use alloc::format;

use super::*;
use crate::{NodeId, RingNode, plan_first};

/// Returns the tokens of two nodes; node 0 holds the quarter that ends at 1/4 and node 1 the rest.
fn quarter() -> RandomTokens {
    RandomTokens { nodes: 2, tokens: vec![(0, 1), (1 << 62, 0)] }
}

#[test]
fn a_range_belongs_to_the_token_at_its_end() {
    assert!((quarter().efficiency_by_token(1) - 0.5 / 0.75).abs() < 1e-9);
}

#[test]
fn a_partition_belongs_to_the_first_token_from_its_end_on() {
    let partitions = PartitionCount::new(4).unwrap();
    assert!((quarter().efficiency_by_partition(partitions, 1) - 2.0 / 3.0).abs() < 1e-9);
}

#[test]
fn with_as_many_replicas_as_nodes_all_loads_are_equal() {
    let tokens = RandomTokens::draw(1, 5, 7);
    let partitions = PartitionCount::DEFAULT;
    for n in [5, 9] {
        assert!((tokens.efficiency_by_token(n) - 1.0).abs() < 1e-9);
        assert!((tokens.efficiency_by_partition(partitions, n) - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_seed_gives_the_same_tokens_again() {
    assert_eq!(RandomTokens::draw(7, 3, 4), RandomTokens::draw(7, 3, 4));
    assert_ne!(RandomTokens::draw(7, 3, 4), RandomTokens::draw(8, 3, 4));
    assert_eq!(RandomTokens::draw(7, 3, 4).metadata_bytes(), 3 * 4 * TOKEN_BYTES);
}

#[test]
fn equal_partitions_with_tokens_dealt_out_are_the_most_even_for_less_metadata() {
    let node = |node| RingNode { node: NodeId(node), zone: format!("z{}", node % 3), weight: 1 };
    let partitions = PartitionCount::new(1024).unwrap();
    let ring = plan_first((0..30).map(node).collect(), partitions, 3).unwrap();
    let third = efficiency_of_ring(&ring, 3);
    for seed in 0..10 {
        let tokens = RandomTokens::draw(seed, 30, 100);
        assert!(tokens.metadata_bytes() > metadata_bytes_of_ring(&ring));
        assert!(third > tokens.efficiency_by_token(3));
        assert!(third > tokens.efficiency_by_partition(partitions, 3));
    }
}
