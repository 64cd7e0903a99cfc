//! How a scan goes as a whole: whether pages still come, and how many are asked for at a time.
//!
//! Invariant: at least one page is asked for at a time, and never more than were allowed.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, SemaphorePermit};

/// After so many pages without a failure one more is asked for at a time, up to what was allowed.
const PAGES_TO_GROW: u32 = 32;

/// The pace of one scan.
pub(super) struct Course {
    at_once: Semaphore,
    state: Mutex<State>,
}

struct State {
    allowed: usize,
    /// So many pages may be asked for at a time now.
    places: usize,
    /// Since a page last failed.
    pages: u32,
    last_page: Option<Instant>,
}

impl Course {
    pub(super) fn new(allowed: usize) -> Self {
        let state = State { allowed, places: allowed, pages: 0, last_page: None };
        Self { at_once: Semaphore::new(allowed), state: Mutex::new(state) }
    }

    /// A place for one page, once there is one.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.at_once.acquire().await.ok()
    }

    /// A page has come.
    pub(super) fn came(&self, now: Instant) {
        let mut state = self.state();
        state.last_page = Some(now);
        state.pages += 1;
        if state.pages >= PAGES_TO_GROW && state.places < state.allowed {
            (state.pages, state.places) = (0, state.places + 1);
            self.at_once.add_permits(1);
        }
    }

    /// A page has failed: fewer are asked for at a time.
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

    /// Whether any page has come since.
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

    use super::{Course, PAGES_TO_GROW};
    use crate::request_loop::now;

    #[tokio::test]
    async fn fewer_pages_are_asked_for_at_a_time_after_failures_and_more_again_while_they_come() {
        let course = Course::new(3);
        for left in [2, 1, 1] {
            let place = course.place().await;
            course.failed(place);
            assert_eq!(course.at_once.available_permits(), left);
        }
        let begun = now();
        assert!(!course.goes_on(begun));
        for _ in 0..10 * PAGES_TO_GROW {
            course.came(begun + Duration::from_millis(1));
        }
        assert!(course.goes_on(begun));
        assert_eq!(course.at_once.available_permits(), 3, "never more than were allowed");
    }
}
