//! Time as an argument: the pure crates never read a clock.

/// One reading of both clocks, taken by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds on the node's monotonic clock, from an arbitrary start; for intervals.
    pub mono_us: u64,
    /// Milliseconds since the Unix epoch; may jump; for what is written into records, and by which they expire.
    pub wall_ms: u64,
    /// The same by the latest of the clocks that may be right; a version that is to expire is given its end by
    /// it. Equal to `wall_ms` unless clocks differ and nobody can say which of two is right, or
    /// [`UNHEARD_MS`](Self::UNHEARD_MS).
    pub latest_ms: u64,
}

impl Now {
    /// Stands as `latest_ms` while the node has heard no clock but its own, though there are other members: its
    /// own may be the wrong one.
    pub const UNHEARD_MS: u64 = u64::MAX;

    /// A moment whose calendar time nobody doubts.
    #[must_use]
    pub const fn new(mono_us: u64, wall_ms: u64) -> Self {
        Self { mono_us, wall_ms, latest_ms: wall_ms }
    }

    /// What versions expire by: the calendar, or its beginning while no other clock was heard, so that nothing
    /// expires early.
    #[must_use]
    pub const fn judged_ms(self) -> u64 {
        if self.latest_ms == Self::UNHEARD_MS { 0 } else { self.wall_ms }
    }

    /// When a version that is written now and lives so long expires; none while no other clock was heard.
    #[must_use]
    pub const fn end_ms(self, ttl_ms: u64) -> Option<u64> {
        match self.latest_ms {
            Self::UNHEARD_MS => None,
            latest_ms => Some(latest_ms.saturating_add(ttl_ms)),
        }
    }
}
