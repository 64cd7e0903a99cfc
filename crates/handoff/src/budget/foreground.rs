//! How one kind of client request fares, against how it fares undisturbed.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::latencies::Latencies;

/// Fewer in two seconds have no tail to speak of, and hardly anyone waits for them.
const REQUESTS_LEAST: u64 = 20;
/// Below this nothing counts as slow: it may as well be the system's timer or scheduler.
const SLOW_LEAST_US: u64 = 2_000;
/// Calm times that quiet is the median of: few enough that a foreground which changed by itself is the
/// measure after three looks, and enough that a disk's or a scheduler's hiccup in two of them is not.
const CALM_TIMES: usize = 5;
/// What a faster foreground adds while the background works: it can't be quieter than quiet, so the
/// quiet was too slow. An eighth, since what is seen then is a little noisier.
const FASTER_PARTS: u64 = 8;

/// What the requests say about the pace, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Judgement {
    /// There are hardly any.
    Absent,
    /// There were too few since the pace was cut.
    TooEarly,
    /// Not slower than allowed.
    Fine,
    /// Slower than allowed.
    Slow,
    /// They were never seen undisturbed.
    Unlearnt,
}

/// One kind of request.
#[derive(Debug)]
pub(crate) struct Watch {
    latencies: Latencies,
    /// At the last review; 0 if there were too few.
    recent_p99_us: u64,
    quiet: Quiet,
    /// How many reviews in a row found the background calm.
    calm_reviews: usize,
    /// How many reviews ago the last calm time was noted.
    noted_before: usize,
}

/// The 99th percentile of the last calm times, none of which is part of another.
#[derive(Debug, Default)]
struct Quiet {
    /// The oldest first.
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

    /// Learns and judges; `calm` says that the background did next to nothing since the last time.
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

    /// Starts to look anew: the pace is another.
    pub(crate) fn forget(&mut self) {
        self.latencies.forget();
    }

    pub(crate) fn recent_p99_us(&self) -> u64 {
        self.recent_p99_us
    }

    /// 0 until it is known.
    pub(crate) fn quiet_p99_us(&self) -> u64 {
        self.quiet.median_us().unwrap_or(0)
    }

    /// How much slower than quiet, in hundredths.
    pub(crate) fn strain(&self) -> u64 {
        self.recent_p99_us.saturating_mul(100) / self.quiet_p99_us().max(1)
    }

    /// The quiet latency by what was seen: all of it undisturbed, or at least faster than known.
    fn learn(&mut self, p99_us: u64) -> Option<u64> {
        let looked_at = self.latencies.begun();
        // One more than was looked at: what was begun before comes to its end in the first.
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

    /// None of them was slower than this, as is known now.
    fn cap(&mut self, most_us: u64) {
        self.noted_us.iter_mut().for_each(|noted_us| *noted_us = most_us.min(*noted_us));
    }

    /// Of an even number the lower one; `None` before the first.
    fn median_us(&self) -> Option<u64> {
        let mut sorted: Vec<u64> = self.noted_us.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().saturating_sub(1) / 2).copied()
    }
}
