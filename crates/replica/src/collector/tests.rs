//! What the reaper remembers.

use alloc::format;

use jedlik_hashing::PartitionCount;
use jedlik_protocol::{Blob, ClusterId, Key, PlacedKey};

use super::{GRAVES_MAX, Reaper, Rite};

fn placed(key: Key) -> PlacedKey {
    PlacedKey::new(ClusterId(42), PartitionCount::new(16).expect("a power of two"), key)
}

fn named(name: &str) -> PlacedKey {
    placed(Key::new("carts", name).expect("a short name"))
}

#[test]
fn what_is_due_late_makes_way_for_what_is_due_soon_and_memory_stays_bounded() {
    let mut reaper = Reaper::new(1_000);
    for number in 0..GRAVES_MAX {
        reaper.notice(&named(&format!("expires {number}")), 1_000_000 + number as u64);
    }
    reaper.notice(&named("later"), 9_000_000);
    reaper.notice(&named("sooner"), 500);
    reaper.notice(&named("sooner"), 600);
    assert_eq!((reaper.graves.len(), reaper.due.len()), (GRAVES_MAX, GRAVES_MAX));
    assert_eq!(reaper.due_us(), Some(500));
    // It was to expire then, and was deleted since.
    reaper.notice(&named("sooner"), 400);
    assert_eq!(reaper.due.len(), GRAVES_MAX);
    assert_eq!(reaper.step(399), None);
    assert_eq!(reaper.step(400), Some((named("sooner"), Rite::Read)));
    let last = reaper.due.last().map(|(due_us, _)| *due_us);
    assert_eq!(last, Some(1_000_000 + GRAVES_MAX as u64 - 2), "the last one went");
}

#[test]
fn a_key_is_remembered_without_the_message_that_it_came_in() {
    let mut reaper = Reaper::new(1_000);
    let message = Blob::from("carts/alice and a value of many megabytes").into_bytes();
    let part = |range| Blob::from(message.slice(range));
    let key = placed(Key::new(part(0..5), part(6..11)).expect("a short name"));
    reaper.notice(&key, 500);
    drop(key);
    assert!(message.is_unique());
    assert_eq!(reaper.step(500), Some((named("alice"), Rite::Read)));
}
