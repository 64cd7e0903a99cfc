//! Answers as callers see them.

use std::time::{Duration, SystemTime};

use jedlik_protocol::client as wire;
use jedlik_protocol::{Blob, Value};
use jedlik_vclock::Content;

use super::{Entry, Found};

fn version(content: Content<Value>, tag: u64) -> wire::Version {
    wire::Version { content, tag, written_at_ms: 1_500, expires_at_ms: Some(2_000) }
}

fn answer(versions: Vec<wire::Version>) -> wire::GetAnswer {
    let context = Some(Blob::from("seen"));
    wire::GetAnswer { versions, context, answered: 2, primaries: 1, partial: false }
}

#[test]
fn siblings_are_values_and_tombstones_with_their_times() {
    let versions =
        vec![version(Content::Value("tea".into()), 0xab), version(Content::Tombstone, 2)];
    let found = Found::from(answer(versions));
    assert_eq!(found.values().collect::<Vec<_>>(), ["tea"]);
    let [value, tombstone] = found.siblings() else { panic!("{found:?}") };
    assert_eq!((value.value().unwrap(), tombstone.value()), (&"tea".into(), None));
    assert!(tombstone.is_tombstone() && !value.is_tombstone());
    assert_eq!(value.tag().to_string(), "00000000000000ab");
    assert_eq!(value.written_at(), SystemTime::UNIX_EPOCH + Duration::from_millis(1_500));
    assert_eq!(value.expires_at(), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(2)));
    assert_eq!(found.context().unwrap().as_bytes(), "seen");
}

#[test]
fn a_key_with_tombstones_alone_is_absent() {
    assert!(Found::from(answer(vec![version(Content::Tombstone, 1)])).is_absent());
    assert!(Found::from(answer(Vec::new())).is_absent());
    assert!(!Found::from(answer(vec![version(Content::Value("".into()), 1)])).is_absent());
}

#[test]
fn siblings_keep_the_allocation_that_they_came_in() {
    let versions = vec![version(Content::Value("tea".into()), 1)];
    let before = versions.as_ptr() as usize;
    let found = Found::from(answer(versions));
    assert_eq!(found.siblings().as_ptr() as usize, before, "a get allocates nothing more");
    let (bucket, key) = (Blob::from("carts"), Blob::from("alice"));
    let versions = vec![version(Content::Value("tea".into()), 1)];
    let before = versions.as_ptr() as usize;
    let entry = Entry::from(wire::ScanItem { bucket, key, value_bytes: 3, versions });
    assert_eq!(entry.siblings().as_ptr() as usize, before);
}
