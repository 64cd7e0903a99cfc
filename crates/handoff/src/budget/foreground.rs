//! The latency of one kind of client request, against its latency undisturbed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::latencies::Latencies;

/// Fewest requests in two seconds that are judged: fewer have no tail to speak of, and hardly anyone waits for them.
const REQUESTS_LEAST: u64 = 20;
/// Latency below which nothing counts as slow, in microseconds: it may as well be the system's timer or scheduler.
const SLOW_LEAST_US: u64 = 2_000;
/// Number of calm times whose median is the quiet latency: few enough that a foreground which changed by itself is the
/// measure after three looks, and enough that a disk's or a scheduler's hiccup in two of them is not.
const CALM_TIMES: usize = 5;
/// Divisor of the step by which a faster foreground lowers the quiet latency while the background works: it can't be
/// quieter than quiet, so the quiet was too slow. An eighth, since what is seen then is a little noisier.
const FASTER_PARTS: u64 = 8;

/// Judgement of the pace by one kind of request, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Judgement {
    /// There are hardly any requests.
    Absent,
    /// There were too few requests since the pace was cut.
    TooEarly,
    /// Requests are not slower than allowed.
    Fine,
    /// Requests are slower than allowed.
    Slow,
    /// Requests were never seen undisturbed.
    Unlearnt,
}

/// Latencies of one kind of request, and its quiet latency.
#[derive(Debug)]
pub(crate) struct Watch {
    latencies: Latencies,
    /// 99th percentile at the last review, in microseconds; 0 if there were too few.
    recent_p99_us: u64,
    quiet: Quiet,
    /// Number of reviews in a row that found the background calm.
    calm_reviews: usize,
    /// Number of reviews since the last calm time was noted.
    noted_before: usize,
}

/// 99th percentiles of the last calm times, which don't overlap.
#[derive(Debug, Default)]
struct Quiet {
    /// 99th percentiles in microseconds, the oldest first.
    noted_us: VecDeque<u64>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let latencies = Latencies::new();
        // Before the start nothing ran.
        let calm_reviews = latencies.begun();
        let noted_before = calm_reviews;
        Self { latencies, recent_p99_us: 0, quiet: Quiet::default(), calm_reviews, noted_before }
    }

    pub(crate) fn add(&mut self, latency_us: u64) {
        self.latencies.add(latency_us);
    }

    /// Learns from the latencies and judges the pace; `calm`: the background did next to nothing since the last time.
    pub(crate) fn judge(&mut self, calm: bool, slowdown_percent: u32) -> Judgement {
        self.calm_reviews = if calm { self.calm_reviews.saturating_add(1) } else { 0 };
        self.noted_before = self.noted_before.saturating_add(1);
        self.recent_p99_us = 0;
        if self.latencies.count() < REQUESTS_LEAST {
            let full = self.latencies.is_full();
            return if full { Judgement::Absent } else { Judgement::TooEarly };
        }
        let p99_us = self.latencies.p99_us();
        self.recent_p99_us = p99_us;
        let Some(quiet_us) = self.learn(p99_us) else {
            return Judgement::Unlearnt;
        };
        let allowed_us = quiet_us.saturating_mul(u64::from(slowdown_percent)) / 100;
        if p99_us > allowed_us.max(SLOW_LEAST_US) { Judgement::Slow } else { Judgement::Fine }
    }

    /// Begins so many new slices of time.
    pub(crate) fn turn(&mut self, slices: u64) {
        for _ in 0..slices.min(8) {
            self.latencies.turn();
        }
    }

    /// Forgets all latencies, since the pace is another.
    pub(crate) fn forget(&mut self) {
        self.latencies.forget();
    }

    pub(crate) fn recent_p99_us(&self) -> u64 {
        self.recent_p99_us
    }

    /// Returns the quiet 99th percentile in microseconds; 0 until it is known.
    pub(crate) fn quiet_p99_us(&self) -> u64 {
        self.quiet.median_us().unwrap_or(0)
    }

    /// Returns the slowdown against quiet, in hundredths.
    pub(crate) fn strain(&self) -> u64 {
        self.recent_p99_us.saturating_mul(100) / self.quiet_p99_us().max(1)
    }

    /// Learns the quiet latency from what was seen undisturbed, or at least faster than known, and returns it.
    fn learn(&mut self, p99_us: u64) -> Option<u64> {
        let looked_at = self.latencies.begun();
        // One more than was looked at: requests begun before end in the first.
        if self.calm_reviews > looked_at && self.noted_before >= looked_at {
            self.noted_before = 0;
            self.quiet.note(p99_us);
        }
        let quiet_us = self.quiet.median_us()?;
        if self.calm_reviews == 0 && p99_us < quiet_us {
            self.quiet.cap(quiet_us - (quiet_us - p99_us) / FASTER_PARTS);
        }
        self.quiet.median_us()
    }
}

impl Quiet {
    fn note(&mut self, p99_us: u64) {
        if self.noted_us.len() == CALM_TIMES {
            self.noted_us.pop_front();
        }
        self.noted_us.push_back(p99_us);
    }

    /// Caps the noted percentiles, since none can have been slower than this.
    fn cap(&mut self, most_us: u64) {
        self.noted_us.iter_mut().for_each(|noted_us| *noted_us = most_us.min(*noted_us));
    }

    /// Returns the median, of an even number the lower one; `None` before the first.
    fn median_us(&self) -> Option<u64> {
        let mut sorted: Vec<u64> = self.noted_us.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}
