//! How one kind of client request fares, against how it fares undisturbed.

use super::latencies::Latencies;

/// Fewer in two seconds have no tail to speak of, and hardly anyone waits for them.
const REQUESTS_LEAST: u64 = 20;
/// Below this nothing counts as slow: it may as well be the system's timer or scheduler.
const SLOW_LEAST_US: u64 = 2_000;
/// What a calm review adds to what is known of the quiet: half the difference, as there may be only
/// one in half a minute.
const CALM_PARTS: u64 = 2;
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
    quiet_p99_us: Option<u64>,
    /// How many reviews in a row found the background calm.
    calm_reviews: usize,
}

impl Watch {
    pub(crate) fn new() -> Self {
        let latencies = Latencies::new();
        // Before the start nothing ran.
        let calm_reviews = latencies.begun();
        Self { latencies, recent_p99_us: 0, quiet_p99_us: None, calm_reviews }
    }

    pub(crate) fn add(&mut self, latency_us: u64) {
        self.latencies.add(latency_us);
    }

    /// Learns and judges; `calm` says that the background did next to nothing since the last time.
    pub(crate) fn judge(&mut self, calm: bool, slowdown_percent: u32) -> Judgement {
        self.calm_reviews = if calm { self.calm_reviews.saturating_add(1) } else { 0 };
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
        self.quiet_p99_us.unwrap_or(0)
    }

    /// How much slower than quiet, in hundredths.
    pub(crate) fn strain(&self) -> u64 {
        self.recent_p99_us.saturating_mul(100) / self.quiet_p99_us().max(1)
    }

    /// The quiet latency by what was seen: all of it undisturbed, or at least faster than known.
    fn learn(&mut self, p99_us: u64) -> Option<u64> {
        // One more than was looked at: what was begun before comes to its end in the first.
        let undisturbed = self.calm_reviews > self.latencies.begun();
        self.quiet_p99_us = match self.quiet_p99_us {
            None => undisturbed.then_some(p99_us),
            Some(quiet_us) if undisturbed && p99_us > quiet_us => {
                Some(quiet_us + (p99_us - quiet_us).div_ceil(CALM_PARTS))
            }
            Some(quiet_us) => {
                let parts = if undisturbed { CALM_PARTS } else { FASTER_PARTS };
                Some(quiet_us - quiet_us.saturating_sub(p99_us) / parts)
            }
        };
        self.quiet_p99_us
    }
}
