//! One pace for all background work, steered by the foreground's tail latency (paper 6.5).
//!
//! A step is a message, or four records or 16 KiB of a page. Steps come out of a token bucket, and every half second
//! its rate is judged by what the foreground felt:
//!
//! - Slower than allowed: half the pace, and the latencies so far are forgotten, since they came about
//!   under another pace. Never below the floor: a repair that stands still is a copy at risk.
//! - Not slower, and the pace was used: a little more. A pace that is not used has not been tried, so
//!   it falls back to a cautious one and later work begins there.
//! - Hardly any requests: nobody to disturb, so a pace that is used doubles.
//!
//! "Slower" is against the quiet latency, which is learnt while the background does next to nothing.
//! Where it never rests, or clients appear that were never seen undisturbed, it is held at the floor
//! for a second every half minute to look; so a foreground that changes by itself is soon the measure.
//! Invariant: in any span no more steps are taken than the limit times its length, and one burst.

mod bucket;
mod foreground;
mod latencies;
mod look;

use bucket::TokenBucket;
use foreground::{Judgement, Watch};
use look::Look;

/// Interval between two judgements of the pace, in microseconds.
const REVIEW_US: u64 = 500_000;
/// Part of the limit at which work begins and to which an unused pace falls: a hundredth. So few steps go unnoticed by
/// clients, and since a pace doubles where there are none and grows by an eighth beside them, a good one is near.
const CAUTIOUS_PARTS: u32 = 100;
/// Least slowdown that can be set, in hundredths; below it the foreground's own noise would hold everything up.
const SLOWDOWN_LEAST_PERCENT: u32 = 101;

/// Limits of the pace of background work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetSettings {
    /// Most steps a second; at least 1. The caller divides a node's limit among its shards.
    pub limit_per_s: u32,
    /// Slowdown that the foreground may suffer, in hundredths of its quiet 99th percentile; at least 101.
    pub slowdown_percent: u32,
    /// Least steps a second, however slow the foreground; from 1 to the limit.
    pub floor_per_s: u32,
}

impl BudgetSettings {
    /// Default limits. 20,000 steps a second: more than a node of two cores can do, so that the latency
    /// decides, and still a bound for one without clients. 150 %: the pace overshoots by an eighth before it
    /// is cut, so clients stay below twice the quiet latency. 15 a second: quorums in two owner sets alone
    /// cost clients half as much again while a partition moves, so where processors are short the floor is
    /// the pace; it still moves some 200,000 records an hour and shard.
    pub const DEFAULT: Self = Self { limit_per_s: 20_000, slowdown_percent: 150, floor_per_s: 15 };

    /// Returns the nearest settings that are within their ranges.
    fn clamped(self) -> Self {
        let limit_per_s = self.limit_per_s.max(1);
        Self {
            limit_per_s,
            slowdown_percent: self.slowdown_percent.max(SLOWDOWN_LEAST_PERCENT),
            floor_per_s: self.floor_per_s.clamp(1, limit_per_s),
        }
    }
}

/// Kind of client request. Each is judged by itself: in a mixture the slower kind would hide what happens to
/// the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreground {
    /// Get: its time is mostly the network's and memory's.
    Get,
    /// Put: it waits for disks, too.
    Put,
}

/// Present pace of a budget, and the limits and latencies that explain it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BudgetReport {
    /// Whether nothing is allowed until [`Budget::resume`].
    pub paused: bool,
    /// Most steps a second, as set.
    pub limit_per_s: u32,
    /// Slowdown that the foreground may suffer, in hundredths of its quiet 99th percentile, as set.
    pub slowdown_percent: u32,
    /// Present pace in steps a second; it holds again after a pause.
    pub pace_per_s: u32,
    /// 99th percentile of the kind of request that suffers most, in microseconds, over the last two seconds
    /// or since the pace was last cut; 0 if there were too few.
    pub foreground_p99_us: u64,
    /// 99th percentile of the same kind while next to nothing runs in the background, in microseconds; 0
    /// until it is known.
    pub quiet_p99_us: u64,
}

/// Pace of one shard's background work, as a bucket of steps.
#[derive(Debug)]
pub struct Budget {
    settings: BudgetSettings,
    bucket: TokenBucket,
    gets: Watch,
    puts: Watch,
    look: Look,
    paused: bool,
    /// Time of the last review, in microseconds; `None` before the first call that tells the time.
    reviewed_at_us: Option<u64>,
    /// Steps taken since the last review.
    steps: u64,
}

impl Budget {
    /// Creates a budget that starts at a cautious pace. Settings out of their ranges are moved to the nearest end.
    #[must_use]
    pub fn new(settings: BudgetSettings) -> Self {
        let settings = settings.clamped();
        Self {
            settings,
            bucket: TokenBucket::new(cautious_per_s(settings)),
            gets: Watch::new(),
            puts: Watch::new(),
            look: Look::default(),
            paused: false,
            reviewed_at_us: None,
            steps: 0,
        }
    }

    /// Notes that a client's request was answered after `latency_us`.
    pub fn observe(&mut self, now_us: u64, kind: Foreground, latency_us: u64) {
        self.review(now_us);
        match kind {
            Foreground::Get => self.gets.add(latency_us),
            Foreground::Put => self.puts.add(latency_us),
        }
    }

    /// Takes `cost` steps if at least one is left, and returns whether it did. A cost above what is left is
    /// granted and paid for before the next, so that dear work is not starved by cheap.
    pub fn take(&mut self, now_us: u64, cost: u32) -> bool {
        self.review(now_us);
        let granted = !self.paused && self.bucket.take(now_us, cost);
        if granted {
            self.steps += u64::from(cost);
        }
        granted
    }

    /// Charges for a granted step that turned out to weigh `cost` more: that is paid for before the next one.
    pub fn charge(&mut self, now_us: u64, cost: u32) {
        self.review(now_us);
        self.bucket.charge(cost);
        self.steps += u64::from(cost);
    }

    /// Returns when a refused [`Self::take`] is worth another try, in microseconds on the monotonic clock;
    /// `None` while paused.
    #[must_use]
    pub fn next_us(&self, now_us: u64) -> Option<u64> {
        (!self.paused).then(|| self.bucket.next_us(now_us))
    }

    /// Allows nothing until [`Self::resume`].
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Ends a pause; the pace is the one before it.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// Sets other limits. What was learnt stays, but under a higher limit work begins anew at that limit's
    /// cautious pace. Settings out of their ranges are moved to the nearest end.
    pub fn set(&mut self, now_us: u64, settings: BudgetSettings) {
        let settings = settings.clamped();
        let raised = settings.limit_per_s > self.settings.limit_per_s;
        self.settings = settings;
        let least_per_s = if raised { cautious_per_s(settings) } else { 0 };
        self.set_pace(now_us, self.bucket.rate_per_s().max(least_per_s));
    }

    /// Returns the present pace in steps a second; `None` while paused. Costs nothing, unlike [`Self::report`].
    #[must_use]
    pub fn pace_per_s(&self) -> Option<u32> {
        (!self.paused).then(|| self.bucket.rate_per_s())
    }

    /// Returns the present pace, and the limits and latencies that explain it.
    #[must_use]
    pub fn report(&self) -> BudgetReport {
        let watch = if self.puts.strain() > self.gets.strain() { &self.puts } else { &self.gets };
        BudgetReport {
            paused: self.paused,
            limit_per_s: self.settings.limit_per_s,
            slowdown_percent: self.settings.slowdown_percent,
            pace_per_s: self.bucket.rate_per_s(),
            foreground_p99_us: watch.recent_p99_us(),
            quiet_p99_us: watch.quiet_p99_us(),
        }
    }

    fn review(&mut self, now_us: u64) {
        let since_us = *self.reviewed_at_us.get_or_insert(now_us);
        let elapsed_us = now_us.saturating_sub(since_us);
        if elapsed_us < REVIEW_US {
            return;
        }
        let used_per_s = self.steps.saturating_mul(1_000_000) / elapsed_us;
        let used_per_s = u32::try_from(used_per_s).unwrap_or(u32::MAX);
        let floor_per_s = self.settings.floor_per_s;
        // What the floor allows, and a little for where the review falls.
        let calm = used_per_s <= floor_per_s.saturating_add(floor_per_s / 4 + 2);
        let percent = self.settings.slowdown_percent;
        let judgement = self.gets.judge(calm, percent).max(self.puts.judge(calm, percent));
        let wanted_per_s = self.next_pace(judgement, used_per_s);
        let pace_per_s = self.look.review(judgement, calm, wanted_per_s).unwrap_or(floor_per_s);
        let cut = judgement == Judgement::Slow && pace_per_s < self.bucket.rate_per_s();
        for watch in [&mut self.gets, &mut self.puts] {
            if cut || self.look.has_turned() {
                watch.forget();
            } else {
                watch.turn(elapsed_us / REVIEW_US);
            }
        }
        self.set_pace(now_us, pace_per_s);
        self.reviewed_at_us = Some(now_us);
        self.steps = 0;
    }

    fn next_pace(&self, judgement: Judgement, used_per_s: u32) -> u32 {
        let pace_per_s = self.bucket.rate_per_s();
        let cautious_per_s = cautious_per_s(self.settings);
        let used = used_per_s >= pace_per_s / 2;
        match judgement {
            Judgement::Unlearnt => pace_per_s.min(cautious_per_s),
            Judgement::Slow => pace_per_s / 2,
            Judgement::TooEarly => pace_per_s,
            Judgement::Absent | Judgement::Fine if !used => {
                pace_per_s.min(cautious_per_s.max(used_per_s.saturating_mul(2)).max(pace_per_s / 2))
            }
            Judgement::Absent => pace_per_s.saturating_mul(2),
            // In shares, since a good pace may be anywhere, and a bit so that the least goes up too.
            Judgement::Fine => {
                let more_per_s = pace_per_s / 8 + self.settings.floor_per_s / 5 + 1;
                pace_per_s.saturating_add(more_per_s)
            }
        }
    }

    /// Sets the pace to the nearest one within the limits.
    fn set_pace(&mut self, now_us: u64, pace_per_s: u32) {
        let BudgetSettings { floor_per_s, limit_per_s, .. } = self.settings;
        self.bucket.set_rate(now_us, pace_per_s.clamp(floor_per_s, limit_per_s));
    }
}

fn cautious_per_s(settings: BudgetSettings) -> u32 {
    (settings.limit_per_s / CAUTIOUS_PARTS).max(settings.floor_per_s)
}

#[cfg(test)]
mod tests;
