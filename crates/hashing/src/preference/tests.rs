//! Small rings and the lists they give.

use alloc::vec::Vec;

use super::*;
use crate::PartitionCount;
use crate::ring::tests::ring;

fn list(zones: &[&str], tokens: &[u16], partition: u32) -> Vec<u64> {
    let nodes = ring(zones, tokens).preference_list(Partition(partition));
    nodes.into_iter().map(|node| node.0).collect()
}

#[test]
fn small_rings_give_these_lists() {
    type Case = (&'static str, &'static [&'static str], &'static [u16], u32, &'static [u64]);
    let cases: [Case; 8] = [
        ("one node", &["a"], &[0, 0], 1, &[0]),
        ("ring order", &["a", "b", "c"], &[0, 1, 2, 0], 1, &[1, 2, 0]),
        ("around the end", &["a", "b", "c"], &[1, 0, 1, 2], 3, &[2, 1, 0]),
        ("distinct zones first", &["a", "a", "b", "c"], &[0, 1, 2, 3], 0, &[0, 2, 3, 1]),
        ("then ring order", &["a", "a", "b", "b"], &[0, 1, 2, 3], 1, &[1, 2, 3, 0]),
        ("one zone", &["a", "a", "a"], &[2, 2, 0, 1], 1, &[2, 0, 1]),
        ("a node without tokens is last", &["a", "b", "c"], &[2, 2, 0, 0], 0, &[2, 0, 1]),
        ("a zone without tokens too", &["a", "a", "b"], &[1, 0, 1, 0], 0, &[1, 0, 2]),
    ];
    for (name, zones, tokens, partition, expected) in cases {
        assert_eq!(list(zones, tokens, partition), expected, "{name}");
    }
}

#[test]
fn a_shorter_list_is_a_prefix_of_a_longer_one() {
    let ring = ring(&["a", "a", "b", "c", "b"], &[0, 1, 2, 3, 4, 0, 0, 2]);
    for limit in 0..=6 {
        let preferences = Preferences::new(&ring, limit);
        for partition in PartitionCount::new(8).unwrap().partitions() {
            let whole = ring.preference_list(partition);
            assert_eq!(preferences.of(partition), &whole[..limit.min(5)], "{limit} {partition}");
        }
    }
}
