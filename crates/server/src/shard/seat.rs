//! Seat of a shard's driver: whoever has it does the shard's work, its own thread or a visitor.
//!
//! Invariant: one at a time works, and what came first is dealt with first. A visitor never waits: not for the seat, and
//! not for an engine, which may take as long as a disk does. What it can't do at once is left to the shard's thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use jedlik_storage::StoreError;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::clock::AgreedClock;
use crate::inbox::InboxReader;

use super::ShardDriver;
use super::visit::Visit;

/// Seat of one shard's driver; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Seat {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Driver of the shard's present life; `None` while it has no storage.
    driver: Mutex<Option<ShardDriver>>,
    /// Time at which the shard's thread looks again at the latest, in microseconds of the monotonic clock.
    thread_looks_us: AtomicU64,
    /// Time at which the task that keeps timers does.
    timers_look_us: AtomicU64,
    /// Call of that task, because it is to look earlier.
    earlier: Notify,
}

impl Seat {
    /// Works as the shard's thread until the shard is told to close, or its storage fails: then the failure is returned.
    pub(super) fn work(
        &self,
        driver: ShardDriver,
        inbox: &InboxReader,
    ) -> (ShardDriver, Option<StoreError>) {
        let (clock, mut patience) = (driver.around.clock.clone(), driver.patience());
        let mut seat = self.take();
        *seat = Some(driver);
        let failure = loop {
            // While the seat is taken, so that a visitor knows which timers the thread does not.
            let looks_us = clock.now().mono_us + patience.as_micros() as u64;
            self.shared.thread_looks_us.store(looks_us, Ordering::Release);
            drop(seat);
            inbox.wait(patience);
            seat = self.take();
            let driver = seat.as_mut().expect("only this thread takes it away");
            if !driver.turn() {
                break None;
            }
            if let Some(failure) = driver.storage.failure() {
                break Some(failure);
            }
            patience = driver.patience();
        };
        (seat.take().expect("it has just worked"), failure)
    }

    /// Returns the seat, after a visitor if there is one.
    pub(super) fn take(&self) -> MutexGuard<'_, Option<ShardDriver>> {
        self.shared.driver.lock().expect("a panic with the seat taken ends the process")
    }

    /// Does what can be done without waiting; `None` if somebody else is at work, or there is no storage.
    pub(super) fn visit(&self) -> Option<Visit> {
        // A panic with the seat taken ends the process.
        let mut driver = self.shared.driver.try_lock().ok()?;
        driver.as_mut().map(ShardDriver::visit)
    }

    /// Has [`Self::timer`] end at this time, unless the shard's thread looks by then.
    pub(super) fn remember(&self, due_us: Option<u64>) {
        let thread_looks_us = self.shared.thread_looks_us.load(Ordering::Acquire);
        let Some(due_us) = due_us.filter(|due_us| *due_us < thread_looks_us) else { return };
        if due_us < self.shared.timers_look_us.fetch_min(due_us, Ordering::AcqRel) {
            self.shared.earlier.notify_one();
        }
    }

    /// Waits until a timer is due that a visitor has set: the shard's thread may sleep past it.
    pub(super) async fn timer(&self, clock: &AgreedClock) {
        loop {
            let due_us = self.shared.timers_look_us.load(Ordering::Acquire);
            tokio::select! {
                // Nearly for ever, where no timer is set.
                () = sleep(clock.until(due_us)) => {
                    self.shared.timers_look_us.store(u64::MAX, Ordering::Release);
                    return;
                }
                () = self.shared.earlier.notified() => {}
            }
        }
    }
}
