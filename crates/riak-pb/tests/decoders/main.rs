//! Requests as Riak's clients send them, damaged in any way.

mod bodies;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, proptest};
use proptest::sample::Index;

/// Seeds of the fuzzer: connections of well-behaved clients.
const SEEDS: [&[u8]; 4] = [
    include_bytes!("../../../../fuzz/corpus/riak_pb/objects"),
    include_bytes!("../../../../fuzz/corpus/riak_pb/listings"),
    include_bytes!("../../../../fuzz/corpus/riak_pb/properties"),
    include_bytes!("../../../../fuzz/corpus/riak_pb/refused"),
];

/// Damage: bytes that are changed, and the place at which the rest is cut off.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<Index>(), any::<u8>()), 0..6);
    (0..SEEDS.len(), changes, any::<Index>()).prop_map(|(seed, changes, end)| {
        let mut bytes = SEEDS[seed].to_vec();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        bytes.truncate(end.index(bytes.len() + 1));
        bytes
    })
}

#[test]
fn connections_of_well_behaved_clients_are_served() {
    for seed in SEEDS {
        bodies::connection(seed);
    }
}

proptest! {
    #[test]
    fn a_damaged_request_is_answered_or_refused(bytes in damaged()) {
        bodies::connection(&bytes);
    }

    #[test]
    fn any_bytes_are_answered_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        bodies::connection(&bytes);
    }
}
