//! The records that the collector remembers.

use alloc::format;

use jedlik_hashing::PartitionCount;
use jedlik_protocol::{Blob, ClusterId, Key, PlacedKey};

use super::{CANDIDATES_MAX, CollectionStep, Collector};

fn placed(key: Key) -> PlacedKey {
    PlacedKey::new(ClusterId(42), PartitionCount::new(16).expect("a power of two"), key)
}

fn named(name: &str) -> PlacedKey {
    placed(Key::new("carts", name).expect("a short name"))
}

#[test]
fn what_is_due_late_makes_way_for_what_is_due_soon_and_memory_stays_bounded() {
    let mut collector = Collector::new(1_000);
    for number in 0..CANDIDATES_MAX {
        collector.notice(&named(&format!("expires {number}")), 1_000_000 + number as u64);
    }
    collector.notice(&named("later"), 9_000_000);
    collector.notice(&named("sooner"), 500);
    collector.notice(&named("sooner"), 600);
    assert_eq!((collector.candidates.len(), collector.due.len()), (CANDIDATES_MAX, CANDIDATES_MAX));
    assert_eq!(collector.due_us(), Some(500));
    // It was to expire then, and was deleted since.
    collector.notice(&named("sooner"), 400);
    assert_eq!(collector.due.len(), CANDIDATES_MAX);
    assert_eq!(collector.step(399), None);
    assert_eq!(collector.step(400), Some((named("sooner"), CollectionStep::Read)));
    let last = collector.due.last().map(|(due_us, _)| *due_us);
    assert_eq!(last, Some(1_000_000 + CANDIDATES_MAX as u64 - 2), "the last one went");
}

#[test]
fn a_key_is_remembered_without_the_message_that_it_came_in() {
    let mut collector = Collector::new(1_000);
    let message = Blob::from("carts/alice and a value of many megabytes").into_bytes();
    let part = |range| Blob::from(message.slice(range));
    let key = placed(Key::new(part(0..5), part(6..11)).expect("a short name"));
    collector.notice(&key, 500);
    drop(key);
    assert!(message.is_unique());
    assert_eq!(collector.step(500), Some((named("alice"), CollectionStep::Read)));
}
