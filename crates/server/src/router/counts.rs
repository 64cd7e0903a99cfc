//! Counts that the node keeps itself, whatever its shards do.

use std::sync::atomic::Ordering;

use jedlik_traces::Tracer;

use super::Router;
use crate::stats::NodeCounts;

impl Router {
    /// Returns the counts as they are now.
    pub(super) fn counts(&self) -> NodeCounts {
        let now_us = self.clock.now().mono_us;
        let heard_us = self.gossip_heard_us.load(Ordering::Relaxed);
        let (connections_refused, connections_faulted) = self.refusals.counts();
        NodeCounts {
            uptime_s: now_us / 1_000_000,
            state_unsaved_s: self.save_health.failing_s(now_us),
            overloads: self.overloads.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            peers_connected: self.peers.connected() as u64,
            connections_refused,
            connections_faulted,
            gossip_age_ms: now_us.saturating_sub(heard_us) / 1_000,
            spans: self.tracer.as_ref().map(Tracer::counts).unwrap_or_default(),
        }
    }
}
