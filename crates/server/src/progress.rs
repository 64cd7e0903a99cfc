//! Progress of a shard's thread: whether it goes on, or has been at one thing for so long that it must be taken to
//! stand still: a read that the disk does not answer, as a rule.
//!
//! Invariant: neither the sender of something to do nor an observer ever waits for the thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jedlik_protocol::admin::{ShardTrouble, TroubleKind};

/// Value of `busy_since_us` while the thread waits for something to do.
const IDLE: u64 = 0;

/// Progress of one thread with what it is at.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    /// Time at which the thread began with what it is at, or was given something while it waited, in microseconds past
    /// `started` and at least 1.
    busy_since_us: AtomicU64,
    stall_after: Duration,
}

impl Progress {
    pub(crate) fn new(stall_after: Duration) -> Self {
        Self { started: Instant::now(), busy_since_us: AtomicU64::new(IDLE), stall_after }
    }

    /// Notes that the thread begins with the next thing.
    pub(crate) fn begin(&self) {
        let now_us = self.started.elapsed().as_micros() as u64;
        self.busy_since_us.store(now_us.max(1), Ordering::Relaxed);
    }

    /// Notes that the thread is about to be given something to do: if it does not come to that, it stands still.
    pub(crate) fn expect(&self) {
        if self.busy_since_us.load(Ordering::Relaxed) == IDLE {
            let now_us = (self.started.elapsed().as_micros() as u64).max(1);
            // A faster thread has set as good a time.
            let _other = self.busy_since_us.compare_exchange(
                IDLE,
                now_us,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// Notes that the thread waits.
    pub(crate) fn rest(&self) {
        self.busy_since_us.store(IDLE, Ordering::Relaxed);
    }

    /// Returns how long the thread has stood still; `None` if it does not.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        let since = Duration::from_micros(match self.busy_since_us.load(Ordering::Relaxed) {
            IDLE => return None,
            since_us => since_us,
        });
        let busy = self.started.elapsed().saturating_sub(since);
        Some(busy).filter(|busy| *busy >= self.stall_after)
    }
}

/// Returns the trouble of a shard whose thread has stood still for so long.
pub(crate) fn trouble(shard: u16, stalled: Duration) -> ShardTrouble {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_ms = now.saturating_sub(stalled).as_millis() as u64;
    let what = "a read of its engine, or something else that its thread does, is under way".into();
    ShardTrouble { shard, kind: TroubleKind::Stalled, since_ms, what }
}
