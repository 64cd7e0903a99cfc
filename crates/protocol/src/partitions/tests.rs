//! Sets of partitions, made in different ways.

use alloc::vec::Vec;

use jedlik_hashing::{Partition, PartitionCount};

use super::PartitionSet;

fn set(partitions: &[u32]) -> PartitionSet {
    partitions.iter().copied().map(Partition).collect()
}

#[test]
fn a_set_holds_what_was_put_in_and_nothing_else() {
    let held = set(&[0, 63, 64, 200]);
    for partition in 0..300 {
        assert_eq!(held.contains(Partition(partition)), [0, 63, 64, 200].contains(&partition));
    }
    assert_eq!(held.len(), 4);
    assert_eq!(held.iter().map(|partition| partition.0).collect::<Vec<_>>(), [0, 63, 64, 200]);
}

#[test]
fn equal_sets_are_equal_values_however_they_were_made() {
    let mut grown = set(&[200]);
    assert!(grown.union(&set(&[3])));
    assert!(!grown.union(&set(&[3])), "nothing is new the second time");
    assert_eq!(grown, set(&[3, 200]));
    assert!(!grown.insert(Partition(3)));
}

#[test]
fn a_full_set_has_every_partition() {
    let count = PartitionCount::new(256).expect("a power of two");
    let full = PartitionSet::full(count);
    assert!(full.is_full(count));
    assert!(!set(&[1, 2]).is_full(count));
}

#[test]
fn a_set_with_partitions_that_there_are_not_is_not_well_formed() {
    assert!(set(&[255]).is_well_formed(256));
    assert!(!set(&[256]).is_well_formed(256));
    assert!(PartitionSet::default().is_well_formed(1));
}
