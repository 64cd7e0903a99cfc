//! The attempts at one request that are under way at the same time: [`WIDTH`] at most.
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

/// Most nodes that may have one request at the same time.
const WIDTH: usize = 2;

/// Time that one attempt may take.
#[derive(Debug, Clone)]
pub(crate) struct Allotment {
    /// Time that the attempt may take while its answer is not announced.
    pub(crate) share: Duration,
    /// Deadline that applies instead once the node has announced the answer.
    pub(crate) latest: Instant,
    /// Flag that the node has announced the answer.
    pub(crate) coming: Coming,
}

impl Allotment {
    /// Returns the allotment for an attempt whose answer is small, which is given up after `share`.
    pub(crate) fn of(share: Duration) -> Self {
        Self { share, latest: now() + share, coming: Coming::default() }
    }
}

/// Attempt at one node.
pub(crate) struct Attempt {
    /// Node that is asked.
    pub(crate) target: Target,
    /// Time at which the node was asked.
    pub(crate) since: Instant,
    /// Time without an answer after which another node is asked as well.
    pub(crate) delay: Duration,
    /// Whether the request writes anything.
    pub(crate) changes: bool,
    /// Flag that the node has announced the answer.
    pub(crate) coming: Coming,
}

impl Attempt {
    /// Whether the attempt's delay has passed without an answer.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        now >= self.since + self.delay
    }
}

/// Attempts under way, the oldest first. The first one needs no list: mostly there is no other.
pub(crate) struct InFlight<F> {
    first: Option<Running<F>>,
    rest: Vec<Running<F>>,
}

type Running<F> = (Attempt, Pin<Box<F>>);

impl<F: Future> InFlight<F> {
    pub(crate) fn new() -> Self {
        Self { first: None, rest: Vec::new() }
    }

    /// Adds an attempt; the caller has checked that there is room.
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

    /// Returns the attempts under way, the oldest first.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.first.iter().chain(&self.rest).map(|(attempt, _)| attempt)
    }

    /// Drops the oldest attempt for which `given_up` holds, and returns it.
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

    /// Waits for the next outcome, for ever if nothing is under way. Safe to cancel: nothing is lost.
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
