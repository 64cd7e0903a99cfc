//! Running estimates of latencies: of all requests, for hedging, and of each node's reads, for asking the nearest.
//!
//! Invariant: needs no history: each sample moves an estimate by a step. Those that balance at a quantile are frugal
//! stream estimates, the others moving averages.

use alloc::collections::BTreeMap;

use jedlik_coordinator::ListedNode;
use jedlik_hashing::NodeId;

/// Share of reads that are faster than the estimate, in thousandths: about one in a hundred is slower.
const BELOW_PERMILLE: u64 = 990;
const START_US: u64 = 20_000;
const LEAST_US: u64 = 1_000;
const MOST_US: u64 = 250_000;

/// Estimate of the 99th percentile of a stream of latencies, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LatencyEstimate {
    /// Estimate in nanoseconds, so that small steps add up.
    estimate_ns: u64,
}

impl LatencyEstimate {
    pub(crate) fn new() -> Self {
        Self { estimate_ns: START_US * 1_000 }
    }

    pub(crate) fn add(&mut self, sample_us: u64) {
        let step_ns = self.estimate_ns / 16;
        let above = sample_us.saturating_mul(1_000) > self.estimate_ns;
        self.estimate_ns = if above {
            self.estimate_ns + step_ns * BELOW_PERMILLE / 1_000
        } else {
            self.estimate_ns - step_ns * (1_000 - BELOW_PERMILLE) / 1_000
        };
        self.estimate_ns = self.estimate_ns.clamp(LEAST_US * 1_000, MOST_US * 1_000);
    }

    pub(crate) fn get_us(self) -> u64 {
        self.estimate_ns / 1_000
    }
}

/// Share of the difference by which one answer moves a node's average.
const SAMPLE_SHARE: u64 = 16;
/// Average below which all nodes are equally near, in microseconds. Beyond it each doubling counts, since less is chance.
const NEAR_US: u64 = 1_000;

/// Usual times that other nodes take to answer a read.
#[derive(Debug, Default)]
pub(crate) struct Nearness {
    /// Averages times [`SAMPLE_SHARE`], in microseconds.
    sums_us: BTreeMap<NodeId, u64>,
}

impl Nearness {
    pub(crate) fn add(&mut self, node: NodeId, sample_us: u64) {
        let sum_us = self.sums_us.entry(node).or_default();
        *sum_us = *sum_us - *sum_us / SAMPLE_SHARE + sample_us.min(MOST_US);
    }

    /// Puts this node first, then the nearest. Those that are away keep their order, by which others stand in for them.
    pub(crate) fn sort(&self, me: NodeId, primaries: &mut [ListedNode]) {
        primaries.sort_by_key(|listed| {
            let distance = if listed.alive { self.distance(listed.node) } else { 0 };
            (listed.node != me, distance)
        });
    }

    /// Returns how far away a node is: the same for nodes that hardly differ. One that has answered nothing yet is near,
    /// so that it is asked.
    fn distance(&self, node: NodeId) -> u32 {
        let sum_us = self.sums_us.get(&node).copied().unwrap_or_default();
        (sum_us / SAMPLE_SHARE / NEAR_US + 1).ilog2()
    }

    /// Forgets the nodes that are no longer `wanted`.
    pub(crate) fn retain(&mut self, wanted: impl Fn(NodeId) -> bool) {
        self.sums_us.retain(|node, _| wanted(*node));
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use jedlik_coordinator::ListedNode;
    use jedlik_hashing::NodeId;

    use super::Nearness;

    const NODE: NodeId = NodeId(7);

    fn after(samples_us: impl IntoIterator<Item = u64>) -> u32 {
        let mut nearness = Nearness::default();
        samples_us.into_iter().for_each(|us| nearness.add(NODE, us));
        nearness.distance(NODE)
    }

    #[test]
    fn nodes_that_hardly_differ_are_equally_near() {
        for (us, distance) in
            [(0, 0), (80, 0), (999, 0), (1_000, 1), (2_999, 1), (3_000, 2), (40_000, 5)]
        {
            assert_eq!(after([us; 300]), distance, "{us} us");
        }
        assert_eq!(after([]), 0, "it is to be asked");
        assert_eq!(after([u64::MAX]), after([250_000]), "what took for ever is soon made up for");
    }

    #[test]
    fn one_slow_answer_makes_no_node_distant_and_many_do() {
        assert_eq!(after([9_000]), 0, "it may have been a handshake");
        assert_eq!(after([200, 200, 9_000]), 0);
        assert!(after([200; 5].into_iter().chain([9_000; 30])) >= 3);
        assert_eq!(after([9_000; 30].into_iter().chain([200; 100])), 0, "and it comes back");
    }

    #[test]
    fn this_node_comes_first_then_the_nearest_and_those_away_stay_in_order() {
        let mut nearness = Nearness::default();
        for _ in 0..100 {
            for (node, us) in [(1, 700), (2, 20_000), (3, 300), (4, 21_000), (5, 90_000)] {
                nearness.add(NodeId(node), us);
            }
        }
        let sorted = |listed: &[(u64, bool)]| {
            let listed = listed.iter().map(|(node, alive)| (NodeId(*node), *alive));
            let mut all: Vec<ListedNode> =
                listed.map(|(node, alive)| ListedNode { node, alive }).collect();
            nearness.sort(NodeId(9), &mut all);
            all.into_iter().map(|listed| listed.node.0).collect::<Vec<u64>>()
        };
        let up = [4, 1, 2, 9, 3].map(|node| (node, true));
        assert_eq!(sorted(&up), [9, 1, 3, 4, 2], "equally near ones stay in the list's order");
        let some_away = [(4, false), (5, true), (2, false), (1, true)];
        assert_eq!(sorted(&some_away), [4, 2, 1, 5]);
    }

    #[test]
    fn who_is_no_longer_wanted_is_forgotten() {
        let mut nearness = Nearness::default();
        nearness.add(NODE, 50_000);
        nearness.retain(|node| node != NODE);
        assert_eq!(nearness.distance(NODE), 0);
    }
}
