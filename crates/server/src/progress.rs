//! Whether a shard's thread goes on, or has been at one thing for so long that it must be taken to stand still: a
//! read that the disk does not answer, as a rule.
//!
//! Invariant: who gives the thread something to do, and who looks at it, never waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jedlik_protocol::admin::{ShardTrouble, TroubleKind};

/// The thread waits for something to do.
const IDLE: u64 = 0;

/// What one thread is at.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    /// When it began with what it is at, or was given something while it waited, in microseconds past `started` and at least 1.
    busy_since_us: AtomicU64,
    stall_after: Duration,
}

impl Progress {
    pub(crate) fn new(stall_after: Duration) -> Self {
        Self { started: Instant::now(), busy_since_us: AtomicU64::new(IDLE), stall_after }
    }

    /// It begins with the next thing.
    pub(crate) fn begin(&self) {
        let now_us = self.started.elapsed().as_micros() as u64;
        self.busy_since_us.store(now_us.max(1), Ordering::Relaxed);
    }

    /// It is about to be given something to do: if it does not come to that, it stands still.
    pub(crate) fn expect(&self) {
        if self.busy_since_us.load(Ordering::Relaxed) == IDLE {
            let now_us = (self.started.elapsed().as_micros() as u64).max(1);
            // Whoever was faster has as good a time.
            let _other = self.busy_since_us.compare_exchange(
                IDLE,
                now_us,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }

    /// It waits.
    pub(crate) fn rest(&self) {
        self.busy_since_us.store(IDLE, Ordering::Relaxed);
    }

    /// For how long it has stood still, if it does.
    pub(crate) fn stalled(&self) -> Option<Duration> {
        let since = Duration::from_micros(match self.busy_since_us.load(Ordering::Relaxed) {
            IDLE => return None,
            since_us => since_us,
        });
        let busy = self.started.elapsed().saturating_sub(since);
        Some(busy).filter(|busy| *busy >= self.stall_after)
    }
}

/// What is said of a shard whose thread has stood still for so long.
pub(crate) fn trouble(shard: u16, stalled: Duration) -> ShardTrouble {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since_ms = now.saturating_sub(stalled).as_millis() as u64;
    let what = "a read of its engine, or something else that its thread does, is under way".into();
    ShardTrouble { shard, kind: TroubleKind::Stalled, since_ms, what }
}
