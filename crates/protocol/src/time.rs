//! Time as an argument: the pure crates never read a clock.

/// One reading of both clocks, taken by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds on the node's monotonic clock, from an arbitrary start; for intervals.
    pub mono_us: u64,
    /// Milliseconds since the Unix epoch on the node's calendar clock, which may jump; written into records, and
    /// expiry is judged by it.
    pub wall_ms: u64,
    /// Milliseconds since the Unix epoch by the latest of the clocks that may be right, from which the expiry of a
    /// new version is counted. Equal to `wall_ms` unless clocks differ and it is unknown which of two is right, or
    /// [`UNHEARD_MS`](Self::UNHEARD_MS).
    pub latest_ms: u64,
}

impl Now {
    /// Value of `latest_ms` while the node has heard no clock but its own although there are other members: its own
    /// may be the wrong one.
    pub const UNHEARD_MS: u64 = u64::MAX;

    /// Returns a reading whose calendar time is not in dispute.
    #[must_use]
    pub const fn new(mono_us: u64, wall_ms: u64) -> Self {
        Self { mono_us, wall_ms, latest_ms: wall_ms }
    }

    /// Returns the time by which versions expire, in milliseconds since the Unix epoch: the calendar clock's, or 0
    /// while no other clock was heard, so that nothing expires early.
    #[must_use]
    pub const fn judged_ms(self) -> u64 {
        if self.latest_ms == Self::UNHEARD_MS { 0 } else { self.wall_ms }
    }

    /// Returns when a version that is written now with this time to live expires; `None` while no other clock was
    /// heard.
    #[must_use]
    pub const fn end_ms(self, ttl_ms: u64) -> Option<u64> {
        match self.latest_ms {
            Self::UNHEARD_MS => None,
            latest_ms => Some(latest_ms.saturating_add(ttl_ms)),
        }
    }
}
