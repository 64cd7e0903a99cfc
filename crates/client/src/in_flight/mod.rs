//! The attempts at one request that are under way at once: [`WIDTH`] at most.
//!
//! Invariant: an attempt ends by its outcome or by being dropped, and is reported at most once.

#[cfg(test)]
mod tests;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::calls::Coming;
use crate::request_loop::now;
use crate::routes::Target;

/// How many nodes may have a request at the same time.
const WIDTH: usize = 2;

/// What an attempt is given.
#[derive(Debug, Clone)]
pub(crate) struct Allotment {
    /// How long it may take.
    pub(crate) share: Duration,
    /// Until when it may take, once the answer is known to be on its way.
    pub(crate) latest: Instant,
    /// Whether it is.
    pub(crate) coming: Coming,
}

impl Allotment {
    /// For an attempt whose answer is small.
    pub(crate) fn of(share: Duration) -> Self {
        Self { share, latest: now() + share, coming: Coming::default() }
    }
}

/// One attempt.
pub(crate) struct Attempt {
    /// At which node.
    pub(crate) target: Target,
    /// Since when.
    pub(crate) since: Instant,
    /// After how long without an answer another node is asked as well.
    pub(crate) delay: Duration,
    /// Whether its request changes anything.
    pub(crate) changes: bool,
    /// Whether its answer is known to be on its way.
    pub(crate) coming: Coming,
}

impl Attempt {
    /// Whether its answer should have been here.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        now >= self.since + self.delay
    }
}

/// The attempts, the oldest first.
pub(crate) struct InFlight<F> {
    running: Vec<(Attempt, Pin<Box<F>>)>,
}

impl<F: Future> InFlight<F> {
    pub(crate) fn new() -> Self {
        Self { running: Vec::with_capacity(1) }
    }

    /// Adds an attempt; the caller has seen to it that there is room.
    pub(crate) fn enter(&mut self, attempt: Attempt, outcome: F) {
        self.running.push((attempt, Box::pin(outcome)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.running.len() >= WIDTH
    }

    /// The attempts under way, the oldest first.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.running.iter().map(|(attempt, _)| attempt)
    }

    /// Drops the oldest of the attempts that are `given_up`.
    pub(crate) fn drop_one(&mut self, given_up: impl Fn(&Attempt) -> bool) -> Option<Attempt> {
        let index = self.running.iter().position(|(attempt, _)| given_up(attempt))?;
        Some(self.running.remove(index).0)
    }

    /// Waits for the next outcome, for ever if nothing is under way. Nothing is lost if the wait is
    /// given up.
    pub(crate) async fn outcome(&mut self) -> (Attempt, F::Output) {
        poll_fn(|context| {
            for index in 0..self.running.len() {
                if let Poll::Ready(outcome) = self.running[index].1.as_mut().poll(context) {
                    return Poll::Ready((self.running.remove(index).0, outcome));
                }
            }
            Poll::Pending
        })
        .await
    }
}
