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

/// Time that an attempt is given.
#[derive(Debug, Clone)]
pub(crate) struct Allotment {
    /// How long it may take.
    pub(crate) share: Duration,
    /// Until when it may take, once the answer is known to be on its way.
    pub(crate) latest: Instant,
    /// Whether the answer is known to be on its way.
    pub(crate) coming: Coming,
}

impl Allotment {
    /// For an attempt whose answer is small.
    pub(crate) fn of(share: Duration) -> Self {
        Self { share, latest: now() + share, coming: Coming::default() }
    }
}

/// One attempt at one node.
pub(crate) struct Attempt {
    /// The node that is asked.
    pub(crate) target: Target,
    /// The time at which it was asked.
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

/// The attempts, the oldest first. The first takes no allocation beside its own, and mostly there is no other.
pub(crate) struct InFlight<F> {
    first: Option<Running<F>>,
    rest: Vec<Running<F>>,
}

type Running<F> = (Attempt, Pin<Box<F>>);

impl<F: Future> InFlight<F> {
    pub(crate) fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    /// Adds an attempt; the caller has seen to it that there is room.
    pub(crate) fn enter(&mut self, attempt: Attempt, outcome: F) {
        let running = (attempt, Box::pin(outcome));
        if self.first.is_none() {
            self.first = Some(running);
        } else {
            self.rest.push(running);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.first.is_some() && self.rest.len() + 1 >= WIDTH
    }

    /// The attempts under way, the oldest first.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.rest).map(|(attempt, _)| attempt)
    }

    /// Drops the oldest of the attempts that are `given_up`.
    pub(crate) fn drop_one(&mut self, given_up: impl Fn(&Attempt) -> bool) -> Option<Attempt> {
        let index = self.attempts().position(given_up)?;
        self.remove(index)
    }

    fn remove(&mut self, index: usize) -> Option<Attempt> {
        if index > 0 {
            return Some(self.rest.remove(index - 1).0);
        }
        let next = if self.rest.is_empty() { None } else { Some(self.rest.remove(0)) };
        std::mem::replace(&mut self.first, next).map(|(attempt, _)| attempt)
    }

    /// Waits for the next outcome, for ever if nothing is under way. Nothing is lost if the wait is
    /// given up.
    pub(crate) async fn outcome(&mut self) -> (Attempt, F::Output) {
        poll_fn(|context| {
            let running = self.first.iter_mut().chain(&mut self.rest);
            let outcome = running.enumerate().find_map(|(index, (_, outcome))| {
                match outcome.as_mut().poll(context) {
                    Poll::Ready(outcome) => Some((index, outcome)),
                    Poll::Pending => None,
                }
            });
            match outcome.and_then(|(index, outcome)| Some((self.remove(index)?, outcome))) {
                Some(ended) => Poll::Ready(ended),
                None => Poll::Pending,
            }
        })
        .await
    }
}
