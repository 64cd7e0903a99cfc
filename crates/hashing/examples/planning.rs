//! How many copies a change of the members moves, how evenly they lie then, and how long it takes
//! to plan: `cargo run --release -p jedlik-hashing --example planning`.
//!
//! Each case is a sequence of changes; the figures are of the last. "Over" is the most that a
//! node's work as a primary is above its weight's share, beside what a first plan would give.

use std::time::Instant;

use jedlik_hashing::{
    Balance, Moves, NodeId, PartitionCount, PlanError, Ring, RingNode, plan_first, plan_next,
};

const N: u8 = 3;

/// Nodes in zones of the given sizes, all of weight 1; the same zone and place give the same node.
fn zoned(sizes: &[usize]) -> Vec<RingNode> {
    let sizes = sizes.iter().enumerate();
    sizes.flat_map(|(zone, size)| (0..*size).map(move |place| node(zone, place, 1))).collect()
}

fn node(zone: usize, place: usize, weight: u32) -> RingNode {
    let node = NodeId((place * 1000 + zone) as u64);
    RingNode { node, zone: format!("zone-{zone}"), weight }
}

fn weighted(weights: &[u32]) -> Vec<RingNode> {
    weights.iter().enumerate().map(|(place, weight)| node(0, place, *weight)).collect()
}

fn without(mut nodes: Vec<RingNode>, gone: usize) -> Vec<RingNode> {
    nodes.remove(gone);
    nodes
}

/// The greatest work as a primary, in thousandths of a fair share, less one share.
fn over_percent(ring: &Ring) -> f64 {
    let balance = Balance::of(ring, N);
    let copies: u32 = balance.nodes.iter().map(|node| node.primaries).sum();
    let per_token = f64::from(copies) / f64::from(ring.partitions().get());
    let over = |node: &jedlik_hashing::NodeBalance| {
        1000.0 * f64::from(node.primaries) / (per_token * node.fair_share_milli as f64) - 1.0
    };
    100.0 * balance.nodes.iter().map(over).fold(f64::MIN, f64::max)
}

fn run(name: &str, q: u32, steps: &[Vec<RingNode>]) -> Result<(), PlanError> {
    let partitions = PartitionCount::new(q).expect("the cases name powers of two");
    let mut ring = plan_first(steps[0].clone(), partitions, N)?;
    for nodes in &steps[1..] {
        let begun = Instant::now();
        let next = plan_next(&ring, nodes.clone(), N)?;
        let took_ms = begun.elapsed().as_millis();
        let moves = Moves::between(&ring, &next, N);
        let (total, least) = (moves.total(), moves.least());
        let ratio = f64::from(total) / f64::from(least.max(1));
        let first = over_percent(&plan_first(nodes.clone(), partitions, N)?);
        let over = over_percent(&next);
        println!(
            "{name:<34} {q:>6} {total:>7} {least:>7} {ratio:>6.3} {over:>7.1} {first:>7.1} {took_ms:>6}"
        );
        ring = next;
    }
    Ok(())
}

fn main() -> Result<(), PlanError> {
    println!(
        "{:<34} {:>6} {:>7} {:>7} {:>6} {:>7} {:>7} {:>6}",
        "change", "Q", "moved", "least", "ratio", "over %", "first %", "ms"
    );
    let zones = |sizes: &[&[usize]]| sizes.iter().map(|sizes| zoned(sizes)).collect::<Vec<_>>();
    run("3 nodes to 4, 5, 6, 5, 4, 3", 256, &zones(&[&[3], &[4], &[5], &[6], &[5], &[4], &[3]]))?;
    run("3 nodes to 6 and back", 256, &zones(&[&[3], &[6], &[3]]))?;
    run(
        "3 zones, one node after another",
        256,
        &zones(&[
            &[1, 1, 1],
            &[2, 1, 1],
            &[2, 2, 1],
            &[2, 2, 2],
            &[3, 2, 2],
            &[3, 3, 2],
            &[3, 3, 3],
            &[3, 3, 2],
            &[3, 2, 2],
            &[2, 2, 2],
            &[2, 2, 1],
            &[2, 1, 1],
            &[1, 1, 1],
        ]),
    )?;
    run(
        "3 zones, one in each",
        256,
        &zones(&[&[1, 1, 1], &[2, 2, 2], &[3, 3, 3], &[2, 2, 2], &[1, 1, 1]]),
    )?;
    run("3 zones of 5, one in each", 1024, &zones(&[&[5, 5, 5], &[6, 6, 6], &[5, 5, 5]]))?;
    run("3 zones of 5, one joins, leaves", 1024, &zones(&[&[5, 5, 5], &[6, 5, 5], &[5, 5, 5]]))?;
    run(
        "4 zones of 5, one joins, leaves",
        1024,
        &zones(&[&[5, 5, 5, 5], &[6, 5, 5, 5], &[5, 5, 5, 5]]),
    )?;
    run("a fourth zone comes and goes", 1024, &zones(&[&[4, 4, 4], &[4, 4, 4, 4], &[4, 4, 4]]))?;
    run("a fourth zone goes and comes", 1024, &zones(&[&[4, 4, 4, 4], &[4, 4, 4], &[4, 4, 4, 4]]))?;
    run("a third zone comes and goes", 1024, &zones(&[&[4, 4], &[4, 4, 4], &[4, 4]]))?;
    run(
        "twice the weight and back",
        256,
        &[weighted(&[1; 6]), weighted(&[1, 2, 1, 1, 1, 1]), weighted(&[1; 6])],
    )?;
    run(
        "20 nodes, one leaves, comes",
        1024,
        &[zoned(&[20]), without(zoned(&[20]), 7), zoned(&[20])],
    )?;
    run("100 nodes to 110 and back", 4096, &zones(&[&[100], &[110], &[100]]))?;
    run("10 zones of 10 to 11", 4096, &zones(&[&[10; 10], &[11; 10], &[10; 10]]))?;
    run(
        "1,000 nodes, one leaves, comes",
        65536,
        &[zoned(&[1000]), without(zoned(&[1000]), 7), zoned(&[1000])],
    )?;
    run("500 nodes to 1,000 and back", 65536, &zones(&[&[500], &[1000], &[500]]))?;
    run("20 zones of 25 to 50 and back", 65536, &zones(&[&[25; 20], &[50; 20], &[25; 20]]))?;
    run("3 zones of 166 to 333 and back", 65536, &zones(&[&[166; 3], &[333; 3], &[166; 3]]))?;
    run(
        "3 zones of 333, one leaves, comes",
        65536,
        &zones(&[&[333; 3], &[332, 333, 333], &[333; 3]]),
    )?;
    run(
        "5 small zones and a great one",
        65536,
        &zones(&[&[100, 5, 5, 5, 5, 5], &[120, 5, 5, 5, 5, 5], &[100, 5, 5, 5, 5, 5]]),
    )
}
