//! The delay after which a request that has had no answer goes to a second node, while the first keeps it.
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

/// Shortest delay before a hedge, however quick the node usually is.
const DELAY_MIN: Duration = Duration::from_millis(50);
/// Delay before a hedge while the node has not answered anything yet.
const DELAY_FIRST: Duration = Duration::from_millis(150);
/// Longest delay before a hedge, however slow the node usually is. Two nodes in a row that have stopped then cost a
/// request less than half a second.
pub(crate) const DELAY_MAX: Duration = Duration::from_millis(200);
/// Slowest rate at which a value may reach the replicas' disks without being late. Sending it again sooner would double
/// the load that delays it.
const BYTES_PER_MS: u32 = 4 << 10;
/// Slowest rate at which a page of values may be read, merged and sent without being late.
const PAGE_BYTES_PER_MS: u32 = 1 << 10;
/// Answers that earn one hedge past a node that answers others.
const ANSWERS_PER_HEDGE: u32 = 8;
/// Most hedges that can be saved up.
const HEDGES_SAVED: u32 = 32;

/// Estimate of how quickly one node answers.
///
/// Follows the 99th percentile without keeping samples: an answer that took longer raises it by a
/// tenth, any other lowers it by a thousandth, and the two balance when about one in a hundred is
/// longer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeLatency {
    usual: Duration,
    heard: Option<Instant>,
    /// Count of arrivals from the node at the time `heard`.
    arrivals: u64,
}

impl NodeLatency {
    pub(crate) fn new() -> Self {
        Self { usual: DELAY_FIRST / 2, heard: None, arrivals: 0 }
    }

    /// Notes that the node answered any request, and the count of arrivals so far.
    pub(crate) fn hear(&mut self, now: Instant, arrivals: u64) {
        self.heard = Some(now);
        self.arrivals = arrivals;
    }

    /// Notes the count of arrivals from the node: one that grows while a large answer arrives shows that the node is
    /// there.
    pub(crate) fn notice(&mut self, now: Instant, arrivals: u64) {
        if arrivals != self.arrivals {
            self.hear(now, arrivals);
        }
    }

    /// Notes the time that the node took for a request for one key.
    pub(crate) fn learn(&mut self, took: Duration) {
        let next = if took > self.usual { self.usual * 11 / 10 } else { self.usual * 1023 / 1024 };
        self.usual = next.clamp(DELAY_MIN / 2, DELAY_MAX / 2);
    }

    /// Returns the time that the node may take for a request for one key before another node is asked.
    pub(crate) fn delay(&self) -> Duration {
        (self.usual * 2).clamp(DELAY_MIN, DELAY_MAX)
    }

    /// Whether nothing has come from the node for `time`. A node that answers others is slow, not gone.
    pub(crate) fn is_silent(&self, now: Instant, time: Duration) -> bool {
        self.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= time)
    }
}

/// Budget of the load that a client may still add to nodes that answer, earned by answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    credit: u32,
}

impl Allowance {
    pub(crate) fn new() -> Self {
        Self { credit: HEDGES_SAVED * ANSWERS_PER_HEDGE }
    }

    /// Notes an answer, which earns a part of a hedge.
    pub(crate) fn earn(&mut self) {
        self.credit = (self.credit + 1).min(HEDGES_SAVED * ANSWERS_PER_HEDGE);
    }

    /// Takes one hedge from the budget; `false` if none is left.
    pub(crate) fn spend(&mut self) -> bool {
        let left = self.credit.checked_sub(ANSWERS_PER_HEDGE);
        self.credit = left.unwrap_or(self.credit);
        left.is_some()
    }
}

/// Returns the additional time that a request may take because it is large.
pub(crate) fn allowance_for_size(request: &ClientRequest) -> Duration {
    match request {
        ClientRequest::Put(PutRequest { content: Content::Value(value), .. }) => {
            let bytes = u32::try_from(value.size()).unwrap_or(u32::MAX);
            Duration::from_millis((bytes / BYTES_PER_MS).into())
        }
        // A full page: several nodes read it and one merges it.
        ClientRequest::Scan(scan) if scan.values => {
            Duration::from_millis(SCAN_PAGE_BYTES as u64 / u64::from(PAGE_BYTES_PER_MS))
        }
        _ => Duration::ZERO,
    }
}
