//! The cache by itself; what it must not change in a shard is in the shard's own tests.

use jedlik_hashing::Partition;
use jedlik_protocol::{PlacedKey, StoredRecord};

use super::{CacheStats, ENTRY_BYTES, INLINE_BYTES, RecordCache};
use crate::fixtures::{key_of, record};

const ROOMY: u64 = 1 << 20;

fn key(number: u32) -> PlacedKey {
    key_of(0, u128::from(number), &number.to_string())
}

fn holding(limit_bytes: u64, keys: u32, record: &StoredRecord) -> RecordCache {
    let cache = RecordCache::new(limit_bytes);
    (0..keys).for_each(|number| cache.put(&key(number), Some(record)));
    cache
}

fn cached(cache: &RecordCache, keys: u32) -> Vec<u32> {
    (0..keys).filter(|number| cache.load(&key(*number)).is_some()).collect()
}

#[test]
fn the_last_record_put_is_answered_and_one_removed_is_not() {
    let cache = holding(ROOMY, 1, &record(1, 1, 10));
    cache.put(&key(0), Some(&record(1, 2, 20)));
    assert_eq!(cache.load(&key(0)), Some(record(1, 2, 20)));
    cache.put(&key(0), None);
    assert_eq!(cache.load(&key(0)), None);
    let CacheStats { bytes, hits, misses } = cache.stats();
    assert_eq!((bytes, hits, misses), (0, 1, 1));
}

#[test]
fn keys_at_one_position_are_told_apart() {
    let cache = RecordCache::new(ROOMY);
    let long = "n".repeat(INLINE_BYTES);
    let others = [key_of(0, 7, &long), key_of(0, 7, &(long + "n"))];
    let keys = [key_of(0, 7, "a"), key_of(0, 7, "b"), key_of(1, 7, "a")].into_iter().chain(others);
    let keys: Vec<PlacedKey> = keys.collect();
    for (key, counter) in keys.iter().zip(1..) {
        cache.put(key, Some(&record(1, counter, 10)));
    }
    for (key, counter) in keys.iter().zip(1..) {
        assert_eq!(cache.load(key), Some(record(1, counter, 10)));
    }
}

#[test]
fn a_dropped_partition_shows_only_what_was_put_afterwards() {
    let mut cache = RecordCache::new(ROOMY);
    let (here, there) = ([key_of(0, 1, "a"), key_of(0, 2, "b")], key_of(1, 1, "a"));
    for key in here.iter().chain([&there]) {
        cache.put(key, Some(&record(1, 1, 10)));
    }
    cache.drop_partition(Partition(0));
    assert!(here.iter().all(|key| cache.load(key).is_none()));
    assert!(cache.load(&there).is_some());
    cache.put(&here[0], Some(&record(1, 2, 10)));
    assert_eq!(cache.load(&here[0]), Some(record(1, 2, 10)));
    assert_eq!(cache.load(&here[1]), None);
}

#[test]
fn memory_is_bounded_and_what_is_read_often_stays() {
    let record = record(1, 1, 1_000);
    let entry_bytes = (ENTRY_BYTES + record.record.bytes().len()) as u64;
    let cache = holding(40 * entry_bytes, 10, &record);
    for number in 10..1_000 {
        cached(&cache, 10);
        cache.put(&key(number), Some(&record));
        assert!(cache.stats().bytes <= 40 * entry_bytes);
    }
    assert_eq!(cached(&cache, 10).len(), 10);
    assert!(cached(&cache, 1_000).len() > 20);
}

#[test]
fn room_that_others_need_is_given_up() {
    let mut cache = holding(ROOMY, 200, &record(1, 1, 1_000));
    let before = cache.stats().bytes;
    cache.leave(ROOMY - before / 2);
    assert!(cache.stats().bytes <= before / 2);
    assert!(!cached(&cache, 200).is_empty());
    cache.leave(2 * ROOMY);
    assert_eq!(cache.stats().bytes, 0);
    cache.put(&key(1), Some(&record(1, 1, 10)));
    assert!(cached(&cache, 200).is_empty());
    cache.leave(0);
    cache.put(&key(1), Some(&record(1, 1, 10)));
    assert_eq!(cached(&cache, 200), [1]);
}

#[test]
fn a_cache_without_room_holds_nothing() {
    let cache = holding(0, 10, &record(1, 1, 10));
    assert!(cached(&cache, 10).is_empty());
}
