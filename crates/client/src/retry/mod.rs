//! The time of one request: the deadline, each attempt's share, and the pauses between attempts.
//!
//! Invariant: no attempt and no pause reaches past the deadline.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Limit on the growth of an attempt's share, as a multiple of the first attempt's.
const ATTEMPT_GROWTH_MAX: u32 = 8;

/// Deadline of one request, and the shares of its attempts.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    deadline: Instant,
    attempt: Duration,
    /// Additional time for each attempt, because the request is large.
    allowance: Duration,
    attempts: u32,
}

impl Budget {
    /// Makes a budget that ends `timeout` after `now`; each of the first attempts may take `attempt`.
    pub(crate) fn new(now: Instant, timeout: Duration, attempt: Duration) -> Self {
        Self { deadline: now + timeout, attempt, allowance: Duration::ZERO, attempts: 0 }
    }

    /// Sets the additional time for each attempt.
    pub(crate) fn allow(&mut self, allowance: Duration) {
        self.allowance = allowance;
    }

    /// Returns the time by which the request must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns the number of attempts so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Begins an attempt and returns the time that it may take; `None` when the time is up.
    ///
    /// Later attempts get more time, so that a request that is slow everywhere still ends.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Duration> {
        let left = self.deadline.checked_duration_since(now).filter(|left| !left.is_zero())?;
        let growth = (1 << (self.attempts / 2).min(8)).min(ATTEMPT_GROWTH_MAX);
        self.attempts += 1;
        Some(left.min((self.attempt + self.allowance) * growth))
    }

    /// Returns the pause after a failed attempt. It is zero after the first, since another node is asked next. After
    /// that it is half to all of a time that doubles, chosen by `random`; large requests pause longer, so that refused
    /// ones don't fill what the nodes can receive.
    pub(crate) fn pause(&self, now: Instant, random: u32) -> Duration {
        if self.attempts < 2 {
            return Duration::ZERO;
        }
        let whole = backoff(self.attempts - 2) + self.allowance / 2;
        let pause = whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX));
        pause.min(self.deadline.saturating_duration_since(now))
    }
}

/// Returns the full pause after this many failures, which doubles up to a bound.
pub(crate) fn backoff(failures: u32) -> Duration {
    (PAUSE_FIRST * (1 << failures.min(10))).min(PAUSE_MAX)
}
