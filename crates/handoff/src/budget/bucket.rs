//! A token bucket in integers.
//!
//! Invariant: over any span it grants at most the rate times its length, a burst, and what was
//! charged for the last grants.

/// One token in the unit of the level: a rate in tokens a second times microseconds needs no division.
const TOKEN: i64 = 1_000_000;
/// Time whose tokens make a burst, at least one token, in microseconds: one turn of a shard's thread, so that
/// a pace is kept by a thread that does other things in between.
const BURST_US: i64 = 20_000;

/// Bucket of tokens that accrue at a rate.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate_per_s: u32,
    /// Tokens left, in millionths; below zero after more was charged than there was.
    level: i64,
    /// Time up to which tokens have accrued, in microseconds; `None` before the first use.
    filled_at_us: Option<u64>,
}

impl TokenBucket {
    /// Creates a full bucket; the rate is at least 1.
    pub(crate) fn new(rate_per_s: u32) -> Self {
        Self { rate_per_s, level: capacity(rate_per_s), filled_at_us: None }
    }

    pub(crate) fn rate_per_s(&self) -> u32 {
        self.rate_per_s
    }

    /// Sets the rate from now on; the tokens up to now accrue at the old one.
    pub(crate) fn set_rate(&mut self, now_us: u64, rate_per_s: u32) {
        self.fill(now_us);
        self.rate_per_s = rate_per_s;
        self.level = self.level.min(capacity(rate_per_s));
    }

    pub(crate) fn take(&mut self, now_us: u64, cost: u32) -> bool {
        self.fill(now_us);
        let granted = self.level >= TOKEN;
        if granted {
            self.charge(cost);
        }
        granted
    }

    /// Charges for what was granted already, whatever is left.
    pub(crate) fn charge(&mut self, cost: u32) {
        self.level = self.level.saturating_sub(i64::from(cost) * TOKEN);
    }

    /// Returns when there is a token, in microseconds.
    pub(crate) fn next_us(&self, now_us: u64) -> u64 {
        let missing = u64::try_from(TOKEN - self.level).unwrap_or(0);
        let since_us = self.filled_at_us.unwrap_or(now_us);
        since_us.saturating_add(missing.div_ceil(u64::from(self.rate_per_s))).max(now_us)
    }

    fn fill(&mut self, now_us: u64) {
        let since_us = *self.filled_at_us.get_or_insert(now_us);
        let elapsed_us = i64::try_from(now_us.saturating_sub(since_us)).unwrap_or(i64::MAX);
        let accrued = elapsed_us.saturating_mul(i64::from(self.rate_per_s));
        self.level = self.level.saturating_add(accrued).min(capacity(self.rate_per_s));
        self.filled_at_us = Some(now_us.max(since_us));
    }
}

fn capacity(rate_per_s: u32) -> i64 {
    (i64::from(rate_per_s) * BURST_US).max(TOKEN)
}

#[cfg(test)]
mod tests;
