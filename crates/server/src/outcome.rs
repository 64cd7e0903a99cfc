//! Outcomes of requests to peers, thinned out on their way from the shards to the failure detector.
//!
//! Invariant: of a peer's successes at most one passes in each interval, and likewise of its failures,
//! so a busy node can't flood its own membership.

use std::collections::HashMap;

use jedlik_hashing::NodeId;

/// Time between two like outcomes of one peer, in microseconds.
const INTERVAL_US: u64 = 100_000;

/// Filter that lets through the first outcome of each kind and peer in an interval.
#[derive(Debug, Default)]
pub(crate) struct OutcomeFilter {
    passed_us: HashMap<(NodeId, bool), u64>,
}

impl OutcomeFilter {
    /// Whether this outcome is news.
    pub(crate) fn passes(&mut self, now_us: u64, node: NodeId, answered: bool) -> bool {
        // A change of mind is news at once: the other kind starts anew.
        let last = self.passed_us.get(&(node, answered));
        if last.is_some_and(|last_us| now_us < last_us + INTERVAL_US) {
            return false;
        }
        self.passed_us.insert((node, answered), now_us);
        self.passed_us.remove(&(node, !answered));
        true
    }
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::NodeId;

    use super::OutcomeFilter;

    #[test]
    fn one_outcome_of_a_kind_passes_in_an_interval_and_a_change_passes_at_once() {
        let mut filter = OutcomeFilter::default();
        let (a, b) = (NodeId(1), NodeId(2));
        for (now_us, node, answered, passes) in [
            (0, a, true, true),
            (1, a, true, false),
            (2, b, true, true),
            (3, a, false, true),
            (4, a, false, false),
            (5, a, true, true),
            (100_004, a, true, false),
            (100_005, a, true, true),
        ] {
            assert_eq!(filter.passes(now_us, node, answered), passes, "at {now_us}");
        }
    }
}
