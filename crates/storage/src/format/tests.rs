//! Order, round trips, and no change unseen.

use jedlik_hashing::{Partition, Position};
use jedlik_protocol::{Key, PlacedKey};
use proptest::prelude::{Strategy, any};
use proptest::{collection, prop_assert_eq, proptest};

use super::{key_bytes, parse_key, parse_value, value_bytes};
use crate::fixtures::{record, with_local};

/// Names of few different bytes, so that one is often the beginning of another.
fn name() -> impl Strategy<Value = Vec<u8>> {
    collection::vec(proptest::sample::select(vec![0, 1, 0xfe, 0xff]), 1..4)
}

fn placed() -> impl Strategy<Value = PlacedKey> {
    (0..2u32, 0..2u128, name(), name()).prop_map(|(partition, position, bucket, key)| PlacedKey {
        partition: Partition(partition),
        position: Position(position),
        key: Key::new(bucket, key).unwrap(),
    })
}

proptest! {
    #[test]
    fn bytes_of_keys_sort_as_keys_do(a in placed(), b in placed()) {
        prop_assert_eq!(key_bytes(&a).cmp(&key_bytes(&b)), a.cmp(&b));
    }

    #[test]
    fn keys_read_back(key in placed()) {
        prop_assert_eq!(parse_key(&key_bytes(&key)), Some(key));
    }

    #[test]
    fn bytes_that_are_no_key_or_value_are_refused(bytes in collection::vec(any::<u8>(), 0..60)) {
        if let Some(key) = parse_key(&bytes) {
            prop_assert_eq!(key_bytes(&key), bytes.clone());
        }
        assert!(parse_value(b"key", &bytes).is_err());
    }
}

#[test]
fn a_value_reads_back_and_no_changed_bit_goes_unseen() {
    for stored in [record(1, 1, 20), with_local(record(1, 1, 20), 4)] {
        let bytes = value_bytes(b"key", &stored);
        assert_eq!(parse_value(b"key", &bytes), Ok(stored));
        assert!(parse_value(b"kez", &bytes).is_err(), "a value under another's key");
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_value(b"key", &bytes).is_err(), "bit {bit}");
        }
    }
}
