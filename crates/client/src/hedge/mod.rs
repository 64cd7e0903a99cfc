//! When a request that has had no answer goes to a second node as well, while the first keeps it.
//!
//! Invariants: the delay stays within its bounds, so a node that has stopped holds no request up for
//! longer than [`DELAY_MAX`]; nodes that answer, though slowly, are hedged past in a bounded share of
//! the requests, so hedging adds little to an overload.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use jedlik_protocol::client::{ClientRequest, PutRequest};
use jedlik_protocol::limits::SCAN_PAGE_BYTES;
use jedlik_vclock::Content;

/// However quick a node is otherwise, a pause of this length is nothing yet.
const DELAY_MIN: Duration = Duration::from_millis(50);
/// Before the node has been heard.
const DELAY_FIRST: Duration = Duration::from_millis(150);
/// However slow a node is otherwise. Two nodes that have stopped and stand one after the other in a
/// key's order then cost less than half a second.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(200);
/// A value may reach the replicas' disks this slowly without being late. Sending it again sooner would add as much
/// again to what holds it up.
const BYTES_PER_MS: u32 = 4 << 10;
/// A page of values may be read, merged and sent this slowly without being late.
const PAGE_BYTES_PER_MS: u32 = 1 << 10;
/// One hedge past a node that answers others is earned by so many answers.
const ANSWERS_PER_HEDGE: u32 = 8;
/// So many hedges can be saved up.
const HEDGES_SAVED: u32 = 32;

/// How quickly one node answers.
///
/// Follows the 99th percentile without keeping samples: an answer that took longer raises it by a
/// tenth, any other lowers it by a thousandth, and the two balance when about one in a hundred is
/// longer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeLatency {
    usual: Duration,
    heard: Option<Instant>,
    /// How often anything had come by then.
    arrivals: u64,
}

impl NodeLatency {
    pub(crate) fn new() -> Self {
        Self { usual: DELAY_FIRST / 2, heard: None, arrivals: 0 }
    }

    /// Notes that the node gave an answer, to whatever, and how often anything has come by now.
    pub(crate) fn hear(&mut self, now: Instant, arrivals: u64) {
        self.heard = Some(now);
        self.arrivals = arrivals;
    }

    /// Notes how often anything has come from the node: while a large answer arrives, it is heard.
    pub(crate) fn notice(&mut self, now: Instant, arrivals: u64) {
        if arrivals != self.arrivals {
            self.hear(now, arrivals);
        }
    }

    /// Notes how long the node took over a request for one key.
    pub(crate) fn learn(&mut self, took: Duration) {
        let next = if took > self.usual { self.usual * 11 / 10 } else { self.usual * 1023 / 1024 };
        self.usual = next.clamp(DELAY_MIN / 2, DELAY_MAX / 2);
    }

    /// How long the node may take over a request for one key before another is asked.
    pub(crate) fn delay(&self) -> Duration {
        (self.usual * 2).clamp(DELAY_MIN, DELAY_MAX)
    }

    /// Whether nothing at all has come from the node for `time`: a node that answers others is slow,
    /// not gone.
    pub(crate) fn is_silent(&self, now: Instant, time: Duration) -> bool {
        self.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= time)
    }
}

/// Load that a client may still add to nodes that answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    credit: u32,
}

impl Allowance {
    pub(crate) fn new() -> Self {
        Self { credit: HEDGES_SAVED * ANSWERS_PER_HEDGE }
    }

    /// Notes that an answer came.
    pub(crate) fn earn(&mut self) {
        self.credit = (self.credit + 1).min(HEDGES_SAVED * ANSWERS_PER_HEDGE);
    }

    /// Takes one hedge, if one is left.
    pub(crate) fn spend(&mut self) -> bool {
        let left = self.credit.checked_sub(ANSWERS_PER_HEDGE);
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }
}

/// How much longer than others a request may take because it is large.
pub(crate) fn allowance_for_size(request: &ClientRequest) -> Duration {
    match request {
        ClientRequest::Put(PutRequest { content: Content::Value(value), .. }) => {
            let bytes = u32::try_from(value.len()).unwrap_or(u32::MAX);
            Duration::from_millis((bytes / BYTES_PER_MS).into())
        }
        // A full page, which several nodes read and one merges.
        ClientRequest::Scan(scan) if scan.values => {
            Duration::from_millis(SCAN_PAGE_BYTES as u64 / u64::from(PAGE_BYTES_PER_MS))
        }
        _ => Duration::ZERO,
    }
}
