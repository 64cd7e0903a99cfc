//! Keys: their limits, and the order in which they are stored.

use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::PartitionCount;

use super::{ClusterId, Key, PlacedKey};
use crate::error::InvalidKey;
use crate::limits::{BUCKET_LIMIT_BYTES, KEY_LIMIT_BYTES};

#[test]
fn a_bucket_and_a_key_keep_to_their_limits() {
    for (bucket, key, expected) in [
        (1, 1, Ok(())),
        (BUCKET_LIMIT_BYTES, KEY_LIMIT_BYTES, Ok(())),
        (0, 1, Err(InvalidKey::EmptyBucket)),
        (1, 0, Err(InvalidKey::EmptyKey)),
        (257, 1, Err(InvalidKey::BucketTooLong { length: 257 })),
        (1, 4097, Err(InvalidKey::KeyTooLong { length: 4097 })),
    ] {
        let made = Key::new(vec![b'b'; bucket], vec![b'k'; key]);
        assert_eq!(made.map(|_| ()), expected, "{bucket} and {key} bytes");
    }
}

#[test]
fn a_position_depends_on_the_cluster_the_bucket_and_the_key() {
    let position =
        |cluster, bucket, key| Key::new(bucket, key).unwrap().position(ClusterId(cluster));
    let here = position(1, "ab", "c");
    assert_eq!(here, position(1, "ab", "c"));
    assert_ne!(here, position(2, "ab", "c"));
    assert_ne!(here, position(1, "a", "bc"));
}

#[test]
fn placed_keys_are_sorted_by_partition_then_position_then_key() {
    let partitions = PartitionCount::DEFAULT;
    let mut placed: Vec<PlacedKey> = (0..100_u32)
        .map(|index| Key::new("bucket", &index.to_le_bytes()[..]).unwrap())
        .map(|key| PlacedKey::new(ClusterId(1), partitions, key))
        .collect();
    placed.sort();
    assert!(placed.is_sorted_by_key(|placed| (placed.partition, placed.position)));
    assert!(placed.iter().all(|key| key.partition == partitions.partition(key.position)));
}
