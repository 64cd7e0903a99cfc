//! Clocks of the node, the monotonic and the calendar's, read in one place.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jedlik_protocol::Now;

/// Clock that reads time for the machines, which have none of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Returns a clock whose monotonic time starts here.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Returns the time now, by the monotonic and by the system's calendar clock.
    pub(crate) fn now(&self) -> Now {
        Now::new(self.mono_us(), self.wall_ms())
    }

    /// Returns the time now by the system's calendar clock, in milliseconds.
    pub(crate) fn wall_ms(&self) -> u64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        wall.as_millis() as u64
    }

    /// Returns the time now by the monotonic clock, in microseconds.
    fn mono_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Returns the time until the monotonic clock shows `mono_us`; zero if it has.
    pub(crate) fn until(&self, mono_us: u64) -> Duration {
        Duration::from_micros(mono_us).saturating_sub(self.start.elapsed())
    }
}

/// Value that stands for a time before the members' clocks were heard of.
const UNHEARD: i64 = i64::MIN;

/// Clock of the node as the shards read it: with the calendar time that the members agree on. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AgreedClock {
    clock: Clock,
    /// Milliseconds by which the agreed calendar is ahead of the monotonic clock.
    ahead_ms: Arc<AtomicI64>,
    /// Milliseconds by which the latest of the clocks that may be right is ahead of the monotonic clock.
    latest_ahead_ms: Arc<AtomicI64>,
}

impl AgreedClock {
    /// Returns a clock that shows the node's own time, by which nothing expires, until [`Self::agree`].
    pub(crate) fn new(clock: Clock) -> Self {
        let unheard = || Arc::new(AtomicI64::new(UNHEARD));
        Self { clock, ahead_ms: unheard(), latest_ahead_ms: unheard() }
    }

    /// Sets the time that the members agreed on at a moment; it goes on from there with the monotonic clock.
    pub(crate) fn agree(&self, then: Now) {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let ahead_ms = |wall_ms| signed(wall_ms).saturating_sub(signed(then.mono_us / 1_000));
        let latest_ms = match then.latest_ms {
            Now::UNHEARD_MS => UNHEARD,
            latest_ms => ahead_ms(latest_ms),
        };
        self.latest_ahead_ms.store(latest_ms, Ordering::Relaxed);
        self.ahead_ms.store(ahead_ms(then.wall_ms), Ordering::Relaxed);
    }

    /// Returns the time now, by the monotonic clock and by the agreed calendar.
    pub(crate) fn now(&self) -> Now {
        let mono_us = self.clock.mono_us();
        let read = |ahead_ms: &AtomicI64| match ahead_ms.load(Ordering::Relaxed) {
            UNHEARD => None,
            ahead_ms => {
                Some(ahead_ms.saturating_add_unsigned(mono_us / 1_000).try_into().unwrap_or(0))
            }
        };
        // One of the two may be of a moment before the other's; neither is before the earlier of the two moments.
        let wall_ms = read(&self.ahead_ms).unwrap_or_else(|| self.clock.wall_ms());
        let latest_ms = read(&self.latest_ahead_ms).unwrap_or(Now::UNHEARD_MS);
        Now { latest_ms: latest_ms.max(wall_ms), ..Now::new(mono_us, wall_ms) }
    }

    /// Returns the time until the monotonic clock shows `mono_us`; zero if it has.
    pub(crate) fn until(&self, mono_us: u64) -> Duration {
        self.clock.until(mono_us)
    }
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::Now;

    use super::{AgreedClock, Clock};

    #[test]
    fn shards_read_what_the_members_agreed_on_and_it_goes_on() {
        let agreed = AgreedClock::new(Clock::start());
        let shared = agreed.clone();
        let own = shared.now();
        assert!(own.wall_ms > 1_600_000_000_000, "before anything is heard it is the machine's");
        assert_eq!((own.judged_ms(), own.end_ms(1)), (0, None), "and nothing expires by it");
        agreed.agree(Now { latest_ms: 1_000_905, ..Now::new(5_000, 1_000_005) });
        let (before, after) = (shared.now(), shared.now());
        assert_eq!(before.wall_ms, 1_000_000 + before.mono_us / 1_000);
        assert!(after.wall_ms >= before.wall_ms);
        assert_eq!(before.latest_ms, before.wall_ms + 900);
        agreed.agree(Now { latest_ms: Now::UNHEARD_MS, ..Now::new(5_000, 1_000_005) });
        assert_eq!(shared.now().end_ms(1), None, "nobody was heard");
    }
}
