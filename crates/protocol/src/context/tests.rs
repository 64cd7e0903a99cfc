//! Contexts: one row a damage.

use alloc::vec::Vec;

use jedlik_vclock::{ActorId, Dot, VectorClock};

use super::Context;
use crate::error::InvalidContext;
use crate::limits::{CLOCK_ENTRIES_MAX, CONTEXT_LIMIT_BYTES};
use crate::{Blob, ClusterId, Key};

const CLUSTER: ClusterId = ClusterId(1);

fn key(key: &str) -> Key {
    Key::new("bucket", key).unwrap()
}

fn context() -> Context {
    let mut clock = VectorClock::new();
    clock.extend(Dot { actor: ActorId(1), counter: 5 }, 1_000);
    Context(clock)
}

#[test]
fn a_context_comes_back_for_its_key() {
    for context in [Context::default(), context()] {
        let token = context.encode(CLUSTER, &key("tea"));
        assert_eq!(Context::decode(&token, CLUSTER, &key("tea")), Ok(context));
    }
}

#[test]
fn another_key_bucket_or_cluster_is_told() {
    let token = context().encode(CLUSTER, &key("tea"));
    let elsewhere = Key::new("other", "tea").unwrap();
    for (cluster, key) in [(CLUSTER, key("milk")), (CLUSTER, elsewhere), (ClusterId(2), key("tea"))]
    {
        assert_eq!(Context::decode(&token, cluster, &key), Err(InvalidContext::Checksum));
    }
}

#[test]
fn each_damage_has_its_error() {
    let token = context().encode(CLUSTER, &key("tea"));
    let changed = |index: usize| {
        let mut bytes = token.to_vec();
        bytes[index] ^= 0x80;
        bytes
    };
    let last = token.len() - 1;
    for (why, bytes, expected) in [
        ("empty", Vec::new(), InvalidContext::TooShort { length: 0 }),
        ("a checksum's length", token[..8].to_vec(), InvalidContext::TooShort { length: 8 }),
        ("another format", changed(0), InvalidContext::UnknownFormat { format: 0x81 }),
        ("a changed clock", changed(1), InvalidContext::Checksum),
        ("a changed checksum", changed(last), InvalidContext::Checksum),
        ("cut by a byte", token[..last].to_vec(), InvalidContext::Checksum),
        ("longer by a byte", [&token[..], b"x"].concat(), InvalidContext::Checksum),
    ] {
        let decoded = Context::decode(&Blob::from(bytes), CLUSTER, &key("tea"));
        assert_eq!(decoded, Err(expected), "{why}");
    }
}

/// A clock with `entries` entries, as anybody can make one up.
fn clock(entries: usize) -> VectorClock {
    let mut clock = VectorClock::new();
    for actor in 1..=entries as u64 {
        clock.extend(Dot { actor: ActorId(actor), counter: actor }, 1);
    }
    clock
}

#[test]
fn the_longest_context_that_a_get_gives_out_is_taken_and_a_longer_one_is_not_looked_into() {
    let longest = Context(clock(CLOCK_ENTRIES_MAX));
    let token = longest.encode(CLUSTER, &key("tea"));
    assert!(token.len() <= CONTEXT_LIMIT_BYTES, "{} bytes", token.len());
    assert_eq!(Context::decode(&token, CLUSTER, &key("tea")), Ok(longest));
    let token = Context(clock(CLOCK_ENTRIES_MAX + 2)).encode(CLUSTER, &key("tea"));
    let too_long = InvalidContext::TooLong { length: token.len() };
    assert_eq!(Context::decode(&token, CLUSTER, &key("tea")), Err(too_long));
    let garbage = Blob::from(alloc::vec![0xff; CONTEXT_LIMIT_BYTES + 1]);
    let too_long = InvalidContext::TooLong { length: CONTEXT_LIMIT_BYTES + 1 };
    assert_eq!(Context::decode(&garbage, CLUSTER, &key("tea")), Err(too_long));
}

#[test]
fn a_checksum_does_not_make_up_for_a_clock_that_is_none() {
    let mut bytes = alloc::vec![super::FORMAT, 1, 2, 3];
    let checksum = super::checksum(&bytes, CLUSTER, &key("tea"));
    bytes.extend_from_slice(&checksum);
    let decoded = Context::decode(&Blob::from(bytes), CLUSTER, &key("tea"));
    assert_eq!(decoded, Err(InvalidContext::Checksum));
}
