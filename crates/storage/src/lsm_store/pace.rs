//! Pace of the merges: how they leave the processor to others, and how they are made to end.
//!
//! Invariant: once [`Pace::stop`] has returned, nothing in the background touches the tree's files any more.

use std::panic::RefUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use lsm_tree::compaction::filter::Context;
use lsm_tree::compaction::{CompactionFilter, Factory, ItemAccessor, Verdict};

/// Number of rows that a merge passes on between two looks at the clock.
const BURST_ROWS: u32 = 2048;
/// Longest rest after a burst, and after a merge.
const REST_MAX: Duration = Duration::from_millis(20);

/// Pace of one tree's merges.
#[derive(Debug, Default)]
pub(super) struct Pace {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether merges are to end for good.
    stopped: AtomicBool,
    /// Whether the merge under way is to end, since the tree is to be opened anew.
    interrupted: AtomicBool,
    /// Whether a merge was made to fail.
    cut_short: AtomicBool,
    /// Whether merges fall behind, and are to take no rests.
    hurried: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Whether there may be something to merge.
    is_due: bool,
    /// Thread that merges, from its start to its end.
    worker: Option<ThreadId>,
}

impl Pace {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the calling thread merges from now on.
    pub(super) fn begin(&self) {
        self.state().worker = Some(thread::current().id());
    }

    /// Notes that nobody merges any more.
    pub(super) fn end(&self) {
        self.state().worker = None;
        self.changed.notify_all();
    }

    /// Says that there may be something to merge.
    pub(super) fn wake(&self) {
        self.state().is_due = true;
        self.changed.notify_all();
    }

    /// Waits until there may be something to merge. Returns false once merges are to end.
    pub(super) fn wait(&self) -> bool {
        let state = self.state();
        let due = self.changed.wait_while(state, |state| !state.is_due && !self.is_stopped());
        due.unwrap_or_else(PoisonError::into_inner).is_due = false;
        !self.is_stopped()
    }

    /// Waits until `time`, or until there may be something to merge. Returns false once merges are to end.
    pub(super) fn wait_until(&self, time: Instant) -> bool {
        let pause = time.saturating_duration_since(Instant::now());
        let waits = |state: &mut State| !state.is_due && !self.is_stopped();
        let waited = self.changed.wait_timeout_while(self.state(), pause, waits);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_due = false;
        !self.is_stopped()
    }

    /// Rests for a while, or until merges are to end.
    pub(super) fn rest(&self, pause: Duration) {
        let state = self.state();
        drop(self.changed.wait_timeout_while(state, pause, |_| !self.is_stopped()));
    }

    /// Rests for a while, unless merges fall behind or the one under way is to end.
    pub(super) fn rest_unless_hurried(&self, pause: Duration) {
        let is_hurried = self.hurried.load(Ordering::Relaxed);
        if !is_hurried && !self.interrupted.load(Ordering::SeqCst) {
            self.rest(pause);
        }
    }

    /// Rests after a piece of work, as long as that took.
    pub(super) fn rest_after(&self, began: Instant) {
        if !self.hurried.load(Ordering::Relaxed) {
            self.rest(began.elapsed().min(REST_MAX));
        }
    }

    /// Waits until `is_over`, at most for `patience`. Looks again after each merge. Returns whether it is over.
    pub(super) fn wait_for(&self, patience: Duration, is_over: impl Fn() -> bool) -> bool {
        let until = Instant::now() + patience;
        loop {
            if is_over() || self.is_stopped() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let state = self.state();
            drop(self.changed.wait_timeout(state, left.min(REST_MAX)));
        }
    }

    /// Ends merges for good, and waits until the one under way has ended; unless that is the caller's.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.changed.notify_all();
        let me = thread::current().id();
        let state = self.state();
        // Told while the lock is held, so that nobody falls asleep over it.
        self.changed.notify_all();
        let ended =
            self.changed.wait_while(state, |state| state.worker.is_some_and(|worker| worker != me));
        drop(ended);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Says whether the merge under way is to end.
    pub(super) fn interrupt(&self, interrupted: bool) {
        self.interrupted.store(interrupted, Ordering::SeqCst);
    }

    /// Whether a merge that failed was made to fail, since the last call.
    pub(super) fn was_cut_short(&self) -> bool {
        self.cut_short.swap(false, Ordering::SeqCst)
    }

    fn cuts_short(&self) -> bool {
        let cuts = self.is_stopped() || self.interrupted.load(Ordering::SeqCst);
        self.cut_short.fetch_or(cuts, Ordering::SeqCst);
        cuts
    }

    /// Says whether merges are to take no rests.
    pub(super) fn hurry(&self, hurried: bool) {
        self.hurried.store(hurried, Ordering::Relaxed);
    }
}

/// Maker of the filters by which merges keep to their pace.
pub(super) struct PacedFilters {
    pace: Arc<Pace>,
}

impl PacedFilters {
    pub(super) fn new(pace: Arc<Pace>) -> Self {
        Self { pace }
    }
}

impl RefUnwindSafe for PacedFilters {}

impl Factory for PacedFilters {
    fn name(&self) -> &str {
        "pace"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(PacedFilter { pace: Arc::clone(&self.pace), rows: 0, began: Instant::now() })
    }
}

/// Filter that keeps every row, and is asked about each: lsm-tree's own signal to stop installs half a merge.
struct PacedFilter {
    pace: Arc<Pace>,
    rows: u32,
    began: Instant,
}

impl CompactionFilter for PacedFilter {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        if self.pace.cuts_short() {
            return Err(std::io::Error::other("the merge is cut short").into());
        }
        self.rows += 1;
        if self.rows == BURST_ROWS {
            self.pace.rest_after(self.began);
            (self.rows, self.began) = (0, Instant::now());
        }
        Ok(Verdict::Keep)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Pace;

    #[test]
    fn whoever_falls_behind_or_is_to_end_takes_no_rest() {
        for (hurried, interrupted, stopped) in
            [(true, false, false), (false, true, false), (false, false, true)]
        {
            let pace = Pace::default();
            pace.hurry(hurried);
            pace.interrupt(interrupted);
            if stopped {
                pace.stop();
            }
            let began = Instant::now();
            pace.rest_unless_hurried(Duration::from_secs(600));
            assert!(began.elapsed() < Duration::from_secs(60));
        }
        let began = Instant::now();
        Pace::default().rest_unless_hurried(Duration::from_millis(10));
        assert!(began.elapsed() >= Duration::from_millis(10));
    }
}
