//! The clocks of a node: a monotonic one, and a calendar that may be set.
//!
//! Invariant: neither shows the simulator's own time, so that nothing depends on clocks that agree.

use jedlik_protocol::Now;

use crate::chance::Chance;

/// Calendar time at which the world begins, in milliseconds.
const EPOCH_MS: u64 = 1_790_000_000_000;

/// Clocks of a node, both of which may run a little too fast or too slow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) started_us: u64,
    drift_ppm: i64,
    pub(crate) set_by_ms: i64,
}

impl Clock {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let drift_ppm = chance.below(400) as i64 - 200;
        Self { started_us: 0, drift_ppm, set_by_ms: chance.below(2_000) as i64 - 1_000 }
    }

    pub(crate) fn now(&self, true_us: u64) -> Now {
        let mono_us = self.scaled(true_us - self.started_us, 1_000_000 + self.drift_ppm, 1_000_000);
        Now::new(mono_us, calendar_ms(true_us).saturating_add_signed(self.set_by_ms))
    }

    /// Returns the latest time at which the monotonic clock shows `mono_us`.
    pub(crate) fn until(&self, mono_us: u64) -> u64 {
        self.started_us + self.scaled(mono_us, 1_000_000, 1_000_000 + self.drift_ppm) + 1
    }

    fn scaled(&self, us: u64, by: i64, of: i64) -> u64 {
        // A run takes hours at most, so this is far from the largest number.
        (us as i64 * by / of) as u64
    }
}

/// Returns what a calendar clock shows that was never set, in milliseconds.
pub(crate) fn calendar_ms(true_us: u64) -> u64 {
    EPOCH_MS + true_us / 1_000
}
