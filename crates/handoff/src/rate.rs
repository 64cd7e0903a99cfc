//! The rate at which hints are delivered, smoothed over a few seconds.

/// Length of one sample of the rate, in microseconds.
const SAMPLE_US: u64 = 1_000_000;

/// Smoothed rate of deliveries, in hints a second.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// Time at which the present sample began, in microseconds.
    since_us: Option<u64>,
    count: u64,
    /// Smoothed rate in thousandths of a hint a second; `None` before the first sample.
    smoothed_milli: Option<u64>,
}

impl Rate {
    /// Counts one delivery. The first only starts the clock.
    pub(crate) fn count(&mut self, now_us: u64) {
        let Some(since_us) = self.since_us else {
            self.since_us = Some(now_us);
            return;
        };
        self.count += 1;
        let elapsed_us = now_us.saturating_sub(since_us);
        if elapsed_us >= SAMPLE_US {
            let sample = self.count.saturating_mul(1_000_000_000) / elapsed_us;
            let smoothed = self.smoothed_milli.map_or(sample, |past| (past * 3 + sample) / 4);
            *self =
                Self { since_us: Some(now_us), count: 0, smoothed_milli: Some(smoothed.max(1)) };
        }
    }

    /// Returns how long `count` more deliveries will take, in seconds; `None` before the first sample.
    pub(crate) fn left_s(&self, count: u64) -> Option<u64> {
        Some(count.saturating_mul(1_000).div_ceil(self.smoothed_milli?))
    }
}
