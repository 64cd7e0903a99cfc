//! A running estimate of the usual latency, for hedging.
//!
//! Invariant: needs no history: each sample moves the estimate by a step that balances at the
//! quantile (a frugal stream estimate).

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
