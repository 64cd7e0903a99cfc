//! Limit on the spans of a second, as tokens that come back with time.
//!
//! Invariant: no second sees more than twice the limit.

use std::time::{Duration, Instant};

/// Part of a second's spans that is kept for traces that have begun, so that few are cut short.
const KEPT_FOR_GOING_ON: f64 = 0.25;

/// Limit on spans, with what is left of it now.
#[derive(Debug)]
pub(crate) struct SpanLimit {
    per_s: f64,
    left: f64,
    at: Instant,
}

impl SpanLimit {
    pub(crate) fn new(per_s: u32, now: Instant) -> Self {
        Self { per_s: per_s.into(), left: per_s.into(), at: now }
    }

    /// Takes one span out of the limit. Returns whether there was one left: for a trace that begins, less is.
    pub(crate) fn take(&mut self, now: Instant, begins: bool) -> bool {
        let passed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        self.left = (self.left + self.per_s * Duration::as_secs_f64(&passed)).min(self.per_s);
        let kept = if begins { self.per_s * KEPT_FOR_GOING_ON } else { 0.0 };
        let may = self.left >= kept + 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::SpanLimit;

    #[test]
    fn what_is_past_the_limit_comes_back_with_time_and_traces_that_go_on_have_more_of_it() {
        let start = Instant::now();
        let mut limit = SpanLimit::new(100, start);
        let begun = (0..200).filter(|_| limit.take(start, true)).count();
        assert_eq!(begun, 75);
        let gone_on = (0..200).filter(|_| limit.take(start, false)).count();
        assert_eq!(gone_on, 25);
        let later = start + Duration::from_millis(100);
        assert!(!limit.take(later, true));
        assert_eq!((0..200).filter(|_| limit.take(later, false)).count(), 10);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..200).filter(|_| limit.take(much_later, false)).count(), 100);
        assert!(!limit.take(start, false), "time does not go back");
    }
}
