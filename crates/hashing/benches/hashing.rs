//! Benchmarks of a key's way to its nodes: position, partition, preference list.
//!
//! Invariant: benchmarks of a step on a request's path leave out what is computed once for each layout.

use divan::{Bencher, black_box};
use jedlik_hashing::{NodeId, PartitionCount, Position, Preferences, Ring, RingNode, plan_first};

const SEED: u64 = 7;
const N: u8 = 3;
/// Length of the preference lists: N primaries and as many fallbacks.
const LISTED: usize = 6;

fn main() {
    divan::main();
}

/// Plans the first ring of that many nodes, in three zones, over the default number of partitions.
fn ring(nodes: u64) -> Ring {
    let node =
        |number| RingNode { node: NodeId(number), zone: format!("zone-{}", number % 3), weight: 1 };
    plan_first((0..nodes).map(node).collect(), PartitionCount::DEFAULT, N)
        .expect("there are enough nodes for N, and not too many")
}

fn key(bytes: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(bytes).collect()
}

#[divan::bench(args = [16, 256, 4096])]
fn position_of_a_key(bencher: Bencher, key_bytes: usize) {
    let key = key(key_bytes);
    bencher.bench(|| Position::of(SEED, black_box(b"carts"), black_box(&key)));
}

#[divan::bench(args = [3, 100])]
fn nodes_of_a_key(bencher: Bencher, nodes: u64) {
    let preferences = Preferences::new(&ring(nodes), LISTED);
    let (partitions, key) = (PartitionCount::DEFAULT, key(16));
    bencher.bench(|| {
        let position = Position::of(SEED, black_box(b"carts"), black_box(&key));
        preferences.of(partitions.partition(position))[0]
    });
}

#[divan::bench(args = [3, 100])]
fn preference_lists_of_a_layout(bencher: Bencher, nodes: u64) {
    let ring = ring(nodes);
    bencher.bench(|| Preferences::new(black_box(&ring), LISTED));
}
