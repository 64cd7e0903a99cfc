//! Positions that may never change, and partitions as their top bits.

use alloc::vec::Vec;

use super::*;

#[test]
fn positions_never_change_since_they_are_on_disks() {
    let position = |bucket: &str, key: &str| Position::of(7, bucket.as_bytes(), key.as_bytes()).0;
    assert_eq!(position("carts", "alice"), 67_233_816_790_510_068_219_927_285_132_224_819_135);
    assert_eq!(position("c", ""), 29_388_189_977_147_026_158_482_263_076_339_105_105);
}

#[test]
fn the_seed_and_the_border_between_bucket_and_key_count() {
    let base = Position::of(1, b"ab", b"c");
    assert_ne!(base, Position::of(2, b"ab", b"c"));
    assert_ne!(base, Position::of(1, b"a", b"bc"));
}

#[test]
fn a_count_of_partitions_is_a_power_of_two_up_to_65536() {
    for (q, valid) in [(0, false), (1, true), (3, false), (256, true), (65_536, true)] {
        assert_eq!(PartitionCount::new(q).map(PartitionCount::get), valid.then_some(q), "{q}");
    }
    assert_eq!(PartitionCount::new(131_072), None);
    assert_eq!(PartitionCount::DEFAULT.get(), 256);
}

#[test]
fn a_partition_is_the_top_bits_of_a_position() {
    let cases = [
        (1, u128::MAX, 0),
        (2, u128::MAX >> 1, 0),
        (2, 1 << 127, 1),
        (256, 0xAB << 120, 0xAB),
        (65_536, u128::MAX, 65_535),
    ];
    for (q, position, partition) in cases {
        let count = PartitionCount::new(q).unwrap();
        assert_eq!(count.partition(Position(position)), Partition(partition), "{q} {position:x}");
    }
}

#[test]
fn partitions_come_in_ring_order() {
    let partitions: Vec<Partition> = PartitionCount::new(4).unwrap().partitions().collect();
    assert_eq!(partitions, [Partition(0), Partition(1), Partition(2), Partition(3)]);
}
