//! The number of copies that a change of the members moves, how evenly they lie then, and how long planning
//! takes: `cargo run --release -p jedlik-hashing --example planning`.
//!
//! Each line is one change of a sequence. "Low" and "high" are the least and the most copies of a node, in
//! percent of its fair number, beside what a first plan for the same nodes would give.

use std::time::Instant;

use jedlik_hashing::{
    Balance, NodeBalance, NodeId, PartitionCount, PlanError, Ring, RingDiff, RingNode, plan_first,
    plan_next,
};

const N: u8 = 3;

/// Returns nodes in zones of the given sizes, all of weight 1; the same zone and place give the same node.
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

/// Returns the least and the most that a node holds, in percent of its fair number of copies.
fn load_percent(ring: &Ring) -> (u32, u32) {
    let load = |node: &NodeBalance| 100 * node.primaries / node.fair_primaries;
    let loads: Vec<u32> = Balance::of(ring, N).nodes.iter().map(load).collect();
    (loads.iter().min().copied().unwrap_or(0), loads.iter().max().copied().unwrap_or(0))
}

fn run(name: &str, q: u32, steps: &[Vec<RingNode>]) -> Result<(), PlanError> {
    let partitions = PartitionCount::new(q).expect("the cases name powers of two");
    let mut ring = plan_first(steps[0].clone(), partitions, N)?;
    for nodes in &steps[1..] {
        let begun = Instant::now();
        let next = plan_next(&ring, nodes.clone(), N)?;
        let took_ms = begun.elapsed().as_millis();
        let moves = RingDiff::between(&ring, &next, N);
        let (total, least) = (moves.total(), moves.least());
        let ratio = f64::from(total) / f64::from(least.max(1));
        let (low, high) = load_percent(&next);
        let (first_low, first_high) = load_percent(&plan_first(nodes.clone(), partitions, N)?);
        println!(
            "{name:<33} {q:>6} {total:>6} {least:>6} {ratio:>6.3} {low:>5} {high:>5} \
             {first_low:>6} {first_high:>6} {took_ms:>5}"
        );
        ring = next;
    }
    Ok(())
}

fn zones(sizes: &[&[usize]]) -> Vec<Vec<RingNode>> {
    sizes.iter().map(|sizes| zoned(sizes)).collect()
}

fn main() -> Result<(), PlanError> {
    println!(
        "{:<33} {:>6} {:>6} {:>6} {:>6} {:>5} {:>5} {:>6} {:>6} {:>5}",
        "change", "Q", "moved", "least", "ratio", "low %", "high", "first", "first", "ms"
    );
    small_clusters()?;
    uneven_clusters()?;
    large_clusters()
}

fn small_clusters() -> Result<(), PlanError> {
    run("3 nodes to 4, 5, 6 and back", 256, &zones(&[&[3], &[4], &[5], &[6], &[5], &[4], &[3]]))?;
    run("3 nodes to 6 and back", 256, &zones(&[&[3], &[6], &[3]]))?;
    run("3 zones, one more in each", 256, &zones(&[&[1; 3], &[2; 3], &[3; 3], &[2; 3], &[1; 3]]))?;
    run("3 zones of 5, one more in each", 1024, &zones(&[&[5; 3], &[6; 3], &[5; 3]]))?;
    let all = zoned(&[20]);
    run("20 nodes, one leaves and comes", 1024, &[all.clone(), without(all.clone(), 7), all])?;
    let heavier = weighted(&[1, 2, 1, 1, 1, 1]);
    run("twice the weight and back", 256, &[weighted(&[1; 6]), heavier, weighted(&[1; 6])])?;
    let heavier = weighted(&[2, 1, 1, 1, 1]);
    run("one of five gets twice the weight", 256, &[weighted(&[1; 5]), heavier])?;
    run("100 nodes to 110 and back", 4096, &zones(&[&[100], &[110], &[100]]))?;
    run("10 zones of 10 to 11 and back", 4096, &zones(&[&[10; 10], &[11; 10], &[10; 10]]))
}

/// Runs cases in which weights or zones keep replicas from lying evenly, before the change or after it.
fn uneven_clusters() -> Result<(), PlanError> {
    let one_by_one: [&[usize]; 7] =
        [&[1; 3], &[2, 1, 1], &[2, 2, 1], &[2; 3], &[2, 2, 1], &[2, 1, 1], &[1; 3]];
    run("3 zones, one node after another", 256, &zones(&one_by_one))?;
    run("3 zones of 5, one joins, leaves", 1024, &zones(&[&[5; 3], &[6, 5, 5], &[5; 3]]))?;
    run("4 zones of 5, one joins, leaves", 1024, &zones(&[&[5; 4], &[6, 5, 5, 5], &[5; 4]]))?;
    run("a fourth zone comes and goes", 1024, &zones(&[&[4; 3], &[4; 4], &[4; 3]]))?;
    run("a fourth zone goes and comes", 1024, &zones(&[&[4; 4], &[4; 3], &[4; 4]]))?;
    run("a third zone comes and goes", 1024, &zones(&[&[4; 2], &[4; 3], &[4; 2]]))
}

fn large_clusters() -> Result<(), PlanError> {
    let q = 65536;
    let all = zoned(&[1000]);
    run("1,000 nodes, one leaves, comes", q, &[all.clone(), without(all.clone(), 7), all])?;
    run("500 nodes to 1,000 and back", q, &zones(&[&[500], &[1000], &[500]]))?;
    run("20 zones of 25 to 50 and back", q, &zones(&[&[25; 20], &[50; 20], &[25; 20]]))?;
    run("3 zones of 166 to 333 and back", q, &zones(&[&[166; 3], &[333; 3], &[166; 3]]))?;
    run("3 zones, one leaves, comes", q, &zones(&[&[333; 3], &[332, 333, 333], &[333; 3]]))?;
    let (great, greater) = ([100, 5, 5, 5, 5, 5], [120, 5, 5, 5, 5, 5]);
    run("a zone of one node", q, &zones(&[&[499, 499, 1], &[500, 499, 1], &[499, 499, 1]]))?;
    run("5 small zones and a great one", q, &zones(&[&great, &greater, &great]))
}
