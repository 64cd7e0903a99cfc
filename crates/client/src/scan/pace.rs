//! The pace of a scan: whether pages still come, and how many are requested at a time.
//!
//! Invariant: at least one page is requested at a time, and never more than the caller allowed.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Pages without a failure after which one more is requested at a time, up to the caller's limit.
const PAGES_TO_GROW: u32 = 32;

/// Pace of one scan, which its readers share.
pub(super) struct ScanPace {
    at_once: Semaphore,
    state: Mutex<State>,
}

struct State {
    allowed: usize,
    /// Number of pages that may be requested at a time now, at least 1.
    places: usize,
    /// Number of pages that came since one last failed, or since `places` last grew.
    pages: u32,
    last_page: Option<Instant>,
}

impl ScanPace {
    pub(super) fn new(allowed: usize) -> Self {
        let state = State { allowed, places: allowed, pages: 0, last_page: None };
        Self { at_once: Semaphore::new(allowed), state: Mutex::new(state) }
    }

    /// Waits for a place for one page.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.at_once.acquire().await.ok()
    }

    /// Notes that a page has come; after enough of them one more is requested at a time.
    pub(super) fn came(&self, now: Instant) {
        let mut state = self.state();
        state.last_page = Some(now);
        state.pages += 1;
        if state.pages >= PAGES_TO_GROW && state.places < state.allowed {
            (state.pages, state.places) = (0, state.places + 1);
            self.at_once.add_permits(1);
        }
    }

    /// Notes that a page has failed: fewer are requested at a time.
    pub(super) fn failed(&self, place: Option<SemaphorePermit<'_>>) {
        let mut state = self.state();
        state.pages = 0;
        if let Some(place) = place
            && state.places > 1
        {
            state.places -= 1;
            place.forget();
        }
    }

    /// Whether any page has come since this time.
    pub(super) fn goes_on(&self, since: Instant) -> bool {
        self.state().last_page.is_some_and(|last| last >= since)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{PAGES_TO_GROW, ScanPace};
    use crate::request_loop::now;

    #[tokio::test]
    async fn fewer_pages_are_asked_for_at_a_time_after_failures_and_more_again_while_they_come() {
        let pace = ScanPace::new(3);
        for left in [2, 1, 1] {
            let place = pace.place().await;
            pace.failed(place);
            assert_eq!(pace.at_once.available_permits(), left);
        }
        let begun = now();
        assert!(!pace.goes_on(begun));
        for _ in 0..10 * PAGES_TO_GROW {
            pace.came(begun + Duration::from_millis(1));
        }
        assert!(pace.goes_on(begun));
        assert_eq!(pace.at_once.available_permits(), 3, "never more than were allowed");
    }
}
