//! The paper's figure 8: how even the load is for how much metadata, for three ways of placing keys on
//! 30 nodes with three replicas. `cargo run --release -p jedlik-hashing --example strategies`.
//!
//! Efficiency is mean over greatest load, in percent; for strategies 1 and 2 the mean of several
//! draws. Strategy 2 is given the partitions of the last line.

use jedlik_hashing::comparison::{RandomTokens, efficiency_of_ring, metadata_bytes_of_ring};
use jedlik_hashing::{NodeId, PartitionCount, PlanError, RingNode, plan_first};

const NODES: u16 = 30;
const N: u8 = 3;
const DRAWS: u64 = 20;

fn mean_percent(efficiency: impl Fn(u64) -> f64) -> f64 {
    100.0 * (0..DRAWS).map(efficiency).sum::<f64>() / DRAWS as f64
}

fn main() -> Result<(), PlanError> {
    let most = PartitionCount::new(1 << 15).expect("a power of two");
    println!("{:>12} {:>12} {:>12} {:>12}", "bytes", "strategy 1", "strategy 2", "strategy 3");
    for tokens_per_node in [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] {
        let draw = |seed| RandomTokens::draw(seed, NODES, tokens_per_node);
        let first = mean_percent(|seed| draw(seed).efficiency_by_token(N));
        let second = mean_percent(|seed| draw(seed).efficiency_by_partition(most, N));
        println!("{:>12} {first:>12.1} {second:>12.1}", draw(0).metadata_bytes());
    }
    for bits in 5..=15 {
        let partitions = PartitionCount::new(1 << bits).expect("a power of two");
        let node = |node| RingNode { node: NodeId(node), zone: format!("{}", node % 3), weight: 1 };
        let ring = plan_first((0..u64::from(NODES)).map(node).collect(), partitions, N)?;
        let third = 100.0 * efficiency_of_ring(&ring, N);
        println!("{:>12} {:>12} {:>12} {third:>12.1}", metadata_bytes_of_ring(&ring), "", "");
    }
    Ok(())
}
