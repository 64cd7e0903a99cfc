//! The node's two clocks, read in one place.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jedlik_protocol::Now;

/// Reads time for the machines, which have no clock of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic time starts here.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Both clocks, now.
    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now { mono_us: self.start.elapsed().as_micros() as u64, wall_ms: wall.as_millis() as u64 }
    }

    /// How long it is until the monotonic clock shows `mono_us`; zero if it has.
    pub(crate) fn until(&self, mono_us: u64) -> Duration {
        Duration::from_micros(mono_us).saturating_sub(self.start.elapsed())
    }
}
