//! How much has come in and how fast, from counters that start anew with each start of a member.
//!
//! Invariant: a total never falls, also when a member was restarted.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use jedlik_client::NodeId;

use crate::moving::Moving;

/// The pace is that of so long ago until now.
const WINDOW: Duration = Duration::from_secs(10);

/// Bytes that members received, each by itself.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    nodes: BTreeMap<NodeId, Meter>,
}

/// One counter.
#[derive(Debug, Default)]
struct Meter {
    last: Option<u64>,
    total: u64,
    window: VecDeque<(Instant, u64)>,
}

impl Meters {
    pub(crate) fn note(&mut self, now: Instant, moving: &Moving) {
        for told in &moving.told {
            if let Ok(report) = &told.answer {
                self.nodes.entry(told.member.node).or_default().note(now, report.received_bytes);
            }
        }
    }

    /// Since the first note.
    pub(crate) fn total(&self) -> u64 {
        self.nodes.values().map(|meter| meter.total).sum()
    }

    /// Of all members together, in bytes a second.
    pub(crate) fn pace(&self) -> u64 {
        self.nodes.values().map(Meter::pace).sum()
    }

    /// Of one member, in bytes a second.
    pub(crate) fn pace_of(&self, node: NodeId) -> u64 {
        self.nodes.get(&node).map_or(0, Meter::pace)
    }
}

impl Meter {
    fn note(&mut self, now: Instant, counter: u64) {
        if let Some(last) = self.last {
            // Below the last it has begun anew, from nothing.
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
