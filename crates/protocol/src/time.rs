//! Time as an argument: the pure crates never read a clock.

/// One reading of both clocks, taken by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Microseconds on the node's monotonic clock, from an arbitrary start; for intervals.
    pub mono_us: u64,
    /// Milliseconds since the Unix epoch; may jump; for what is written into records.
    pub wall_ms: u64,
}
