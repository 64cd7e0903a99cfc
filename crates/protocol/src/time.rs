//! Time as an argument: the pure crates never read a clock.

/// One reading of both clocks, taken by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds on the node's monotonic clock, from an arbitrary start; for intervals.
    pub mono_us: u64,
    /// Milliseconds since the Unix epoch; may jump; for what is written into records, and by which they expire.
    pub wall_ms: u64,
    /// The same by the latest of the clocks that may be right; a version that is to expire is given its end by
    /// it. Equal to `wall_ms` unless clocks differ and nobody can say which of two is right.
    pub latest_ms: u64,
}

impl Now {
    /// A moment whose calendar time nobody doubts.
    #[must_use]
    pub const fn new(mono_us: u64, wall_ms: u64) -> Self {
        Self { mono_us, wall_ms, latest_ms: wall_ms }
    }
}
