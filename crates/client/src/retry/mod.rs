//! How one request spends its time: the deadline, each attempt's share of it, and the pauses between.
//!
//! Invariant: no attempt and no pause reaches past the deadline.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// An attempt's share doubles with every round up to this many times the first.
const ATTEMPT_GROWTH_MAX: u32 = 8;

/// The time of one request.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    deadline: Instant,
    attempt: Duration,
    /// Time that each attempt has beside that because the request is large.
    allowance: Duration,
    attempts: u32,
}

impl Budget {
    /// Time until `timeout` from `now`; the first attempts may take `attempt` each.
    pub(crate) fn new(now: Instant, timeout: Duration, attempt: Duration) -> Self {
        Self { deadline: now + timeout, attempt, allowance: Duration::ZERO, attempts: 0 }
    }

    /// Gives each attempt so much more time.
    pub(crate) fn allow(&mut self, allowance: Duration) {
        self.allowance = allowance;
    }

    /// When the request must have ended.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How many attempts were made.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Begins an attempt: how long it may take; `None` when the time is up.
    ///
    /// Later attempts get more, so that a request that is slow everywhere still ends.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Duration> {
        let left = self.deadline.checked_duration_since(now).filter(|left| !left.is_zero())?;
        let growth = (1 << (self.attempts / 2).min(8)).min(ATTEMPT_GROWTH_MAX);
        self.attempts += 1;
        Some(left.min((self.attempt + self.allowance) * growth))
    }

    /// How long to wait after a failed attempt: nothing after the first, since another node is
    /// asked next; then half to all of a time that doubles, and is longer where the request is large, so that
    /// refused ones don't take all that the nodes can receive. `random` chooses within the half.
    pub(crate) fn pause(&self, now: Instant, random: u32) -> Duration {
        if self.attempts < 2 {
            return Duration::ZERO;
        }
        let whole = backoff(self.attempts - 2) + self.allowance / 2;
        let pause = whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX));
        pause.min(self.deadline.saturating_duration_since(now))
    }
}

/// The whole pause after so many failures: doubles up to a bound.
pub(crate) fn backoff(failures: u32) -> Duration {
    (PAUSE_FIRST * (1 << failures.min(10))).min(PAUSE_MAX)
}
