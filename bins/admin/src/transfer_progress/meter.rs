//! Totals and pace of received bytes, from counters that restart at zero with each start of a member.
//!
//! Invariant: a total never falls, even when a member restarts.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jedlik_client::NodeId;

use crate::transfer_progress::TransferProgress;

/// Span of time over which the pace is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// Meters of the bytes that members received, one for each member.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    nodes: BTreeMap<NodeId, Meter>,
}

/// Meter of one member's counter, which survives a restart of the member.
#[derive(Debug, Default)]
struct Meter {
    last: Option<u64>,
    total: u64,
    window: VecDeque<(Instant, u64)>,
}

impl Meters {
    pub(crate) fn note(&mut self, now: Instant, moving: &TransferProgress) {
        for told in &moving.told {
            if let Ok(report) = &told.answer {
                self.nodes.entry(told.member.node).or_default().note(now, report.received_bytes);
            }
        }
    }

    /// Returns the bytes received by all members since the first note.
    pub(crate) fn total(&self) -> u64 {
        self.nodes.values().map(|meter| meter.total).sum()
    }

    /// Returns the pace of all members together, in bytes per second.
    pub(crate) fn pace(&self) -> u64 {
        self.nodes.values().map(Meter::pace).sum()
    }

    /// Returns the pace of one member, in bytes per second.
    pub(crate) fn pace_of(&self, node: NodeId) -> u64 {
        self.nodes.get(&node).map_or(0, Meter::pace)
    }
}

impl Meter {
    fn note(&mut self, now: Instant, counter: u64) {
        if let Some(last) = self.last {
            // A counter below its last value has restarted from zero.
            self.total += counter.checked_sub(last).unwrap_or(counter);
        }
        self.last = Some(counter);
        self.window.push_back((now, self.total));
        while self.window.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.window.pop_front();
        }
    }

    fn pace(&self) -> u64 {
        let (Some((from, before)), Some((to, after))) = (self.window.front(), self.window.back())
        else {
            return 0;
        };
        let time = to.duration_since(*from).as_secs_f64();
        if time > 0.0 { ((after - before) as f64 / time) as u64 } else { 0 }
    }
}
