//! How fast hints go, smoothed over a few seconds.

/// One sample of the rate.
const SAMPLE_US: u64 = 1_000_000;

/// Hints a second.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// When the present sample began.
    since_us: Option<u64>,
    count: u64,
    /// In thousandths of a hint a second.
    smoothed_milli: Option<u64>,
}

impl Rate {
    /// One more was delivered. The first only starts the clock.
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

    /// How long `count` more will take; `None` before the first sample.
    pub(crate) fn left_s(&self, count: u64) -> Option<u64> {
        Some(count.saturating_mul(1_000).div_ceil(self.smoothed_milli?))
    }
}
