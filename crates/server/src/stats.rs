//! Counters of the node, by name: what the shards report, and what the system says of the process.
//!
//! Invariant: names carry their units and keep their order, so two answers can be compared line by line.

use std::fs;
use std::time::Duration;

use jedlik_door::Measures;
use jedlik_protocol::admin::{
    BackgroundReport, HintReport, NodeStats, RepairReport, ShardTrouble, TransferReport,
};
use jedlik_replica::Counter;
use jedlik_storage::{MergeStats, ShardStats};
use jedlik_traces::Counts;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::inbox::{Inbox, Mail};
use crate::request_counts::RequestCounts;
use crate::{descriptors, progress, threads};

/// Counters of the replica with their names, in the order in which they are shown.
const COUNTERS: [(Counter, &str); 19] = [
    (Counter::Gets, "gets"),
    (Counter::Puts, "puts"),
    (Counter::Scans, "scans"),
    (Counter::Forwards, "forwards"),
    (Counter::ReadRepairsMissing, "read_repairs_missing"),
    (Counter::ReadRepairsStale, "read_repairs_stale"),
    (Counter::ReadRepairsFallback, "read_repairs_fallback"),
    (Counter::Hedges, "hedges"),
    (Counter::PutHedges, "put_hedges"),
    (Counter::RetriedPuts, "retried_puts"),
    (Counter::TruncatedEntries, "truncated_entries"),
    (Counter::DamagedRecords, "damaged_reads"),
    (Counter::StaleLayouts, "stale_layouts"),
    (Counter::TooOldMessages, "too_old_messages"),
    (Counter::HintsKept, "hints_kept"),
    (Counter::HintsDelivered, "hints_delivered"),
    (Counter::Deliveries, "deliveries"),
    (Counter::Collected, "collected"),
    (Counter::Pruned, "pruned"),
];

/// Counts of one shard's replica, in the order of `COUNTERS`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplicaCounts([u64; COUNTERS.len()]);

impl ReplicaCounts {
    pub(crate) fn add(&mut self, counter: Counter) {
        if let Some(index) = COUNTERS.iter().position(|(known, _)| *known == counter) {
            self.0[index] += 1;
        }
    }
}

/// Report of one shard about itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShardReport {
    pub(crate) counts: ReplicaCounts,
    pub(crate) requests: RequestCounts,
    pub(crate) refusals: u64,
    pub(crate) storage: ShardStats,
    pub(crate) operations: u64,
    pub(crate) hints: Vec<HintReport>,
    pub(crate) repair: RepairReport,
    pub(crate) background: BackgroundReport,
    pub(crate) transfers: TransferReport,
    pub(crate) troubles: Vec<ShardTrouble>,
    /// Whether the shard serves; false while its storage is being opened anew: then the rest says nothing.
    pub(crate) serves: bool,
    /// Number of partitions of which the shard can't say what is absent.
    pub(crate) refilling: u32,
    /// Number of keys whose record can't be merged with another node's.
    pub(crate) clashing: u64,
    /// Number of times since the node's start that the storage failed and was opened anew, undamaged.
    pub(crate) reopenings: u64,
}

/// Counts that the node itself keeps.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NodeCounts {
    pub(crate) uptime_s: u64,
    /// Time for which the membership's state could not be saved, in seconds; 0 while it can.
    pub(crate) state_unsaved_s: u64,
    pub(crate) overloads: u64,
    pub(crate) connections: u64,
    pub(crate) peers_connected: u64,
    /// Number of connections that were refused, and of those closed for a fault.
    pub(crate) connections_refused: u64,
    pub(crate) connections_faulted: u64,
    /// Time since another member was last heard in gossip, or since the start, in milliseconds.
    pub(crate) gossip_age_ms: u64,
    /// Numbers of spans, by what became of them.
    pub(crate) spans: Counts,
}

/// Time between two looks at whether a shard that is waited for stands still.
const STALL_CHECK: Duration = Duration::from_millis(100);

/// Asks every shard for its report; one that has stopped has none.
pub(crate) async fn collect(shards: &[Inbox]) -> Vec<ShardReport> {
    let ask = |shard: &Inbox| {
        let (sender, receiver) = oneshot::channel();
        // Questions to a shard that stands still must not pile up.
        shard.stalled().is_none().then(|| shard.push(Mail::Report(sender)));
        receiver
    };
    let asked: Vec<oneshot::Receiver<ShardReport>> = shards.iter().map(ask).collect();
    let mut reports = Vec::with_capacity(asked.len());
    for (index, (shard, receiver)) in shards.iter().zip(asked).enumerate() {
        reports.extend(report_of(index as u16, shard, receiver).await);
    }
    reports
}

/// Returns a shard's report, or one that says that it stands still; `None` if it has stopped.
async fn report_of(
    index: u16,
    shard: &Inbox,
    mut receiver: oneshot::Receiver<ShardReport>,
) -> Option<ShardReport> {
    loop {
        match timeout(STALL_CHECK, &mut receiver).await {
            Ok(Ok(report)) => return Some(report),
            Ok(Err(_)) => break,
            Err(_) if shard.stalled().is_some() => break,
            Err(_) => {}
        }
    }
    let troubles = vec![progress::trouble(index, shard.stalled()?)];
    Some(ShardReport { troubles, ..ShardReport::default() })
}

/// Sums up the reports, and puts all counters together under their names.
pub(crate) fn named(node: NodeCounts, shards: &[Inbox], reports: &[ShardReport]) -> NodeStats {
    let storage = |field: fn(&ShardStats) -> u64| {
        reports.iter().map(|report| field(&report.storage)).sum::<u64>()
    };
    let replicas = COUNTERS.iter().enumerate().map(|(index, (_, name))| {
        (*name, reports.iter().map(|report| report.counts.0[index]).sum::<u64>())
    });
    let refusals: u64 = reports.iter().map(|report| report.refusals).sum();
    let waiting = shards.iter().map(|shard| shard.waiting() as u64).sum();
    let counters = [
        ("uptime_s", node.uptime_s),
        ("cpu_us", cpu_us()),
        ("rss_bytes", rss_bytes()),
        ("open_files", descriptors::open()),
        ("open_files_limit", descriptors::limit()),
        ("shards", shards.len() as u64),
        ("shards_serving", reports.iter().filter(|report| report.serves).count() as u64),
        ("connections", node.connections),
        ("peers_connected", node.peers_connected),
        ("connections_refused", node.connections_refused),
        ("connections_faulted", node.connections_faulted),
        ("gossip_age_ms", node.gossip_age_ms),
        ("spans_sent", node.spans.sent),
        ("spans_unsent", node.spans.unsent),
        ("spans_queue_full", node.spans.queue_full),
        ("spans_over_limit", node.spans.over_limit),
        ("refilling_partitions", reports.iter().map(|report| u64::from(report.refilling)).sum()),
        ("clashing_records", reports.iter().map(|report| report.clashing).sum()),
        ("storage_reopenings", reports.iter().map(|report| report.reopenings).sum()),
        ("state_unsaved_s", node.state_unsaved_s),
        ("operations", reports.iter().map(|report| report.operations).sum()),
        ("queued_inputs", waiting),
        ("overloads", node.overloads + refusals + storage(|stats| stats.overloads)),
        (
            "quorum_shortfalls",
            reports.iter().map(|report| report.requests.quorum_shortfalls()).sum(),
        ),
    ]
    .into_iter()
    .chain(replicas)
    .chain(of_storage(reports))
    .chain(threads::counters());
    NodeStats {
        counters: counters.map(|(name, value)| (name.into(), value)).collect(),
        troubles: reports.iter().flat_map(|report| report.troubles.iter().cloned()).collect(),
    }
}

/// Sums up the counters of the shards' storage.
fn of_storage(reports: &[ShardReport]) -> [(&'static str, u64); 28] {
    let storage = |field: fn(&ShardStats) -> u64| {
        reports.iter().map(|report| field(&report.storage)).sum::<u64>()
    };
    let merges = |field: fn(&MergeStats) -> u64| {
        let merges = reports.iter().filter_map(|report| report.storage.engine.merges);
        merges.map(|merges| field(&merges)).sum::<u64>()
    };
    [
        ("applies", storage(|stats| stats.applies)),
        ("journal_appends", storage(|stats| stats.journal.appends)),
        ("journal_groups", storage(|stats| stats.journal.groups)),
        ("journal_syncs", storage(|stats| stats.journal.syncs)),
        ("journal_bytes", storage(|stats| stats.journal.bytes)),
        ("journal_queued_bytes", storage(|stats| stats.journal.queued_bytes)),
        ("journal_failures", storage(|stats| stats.journal.failures)),
        ("buffer_bytes", storage(|stats| stats.buffer_bytes)),
        ("buffer_records", storage(|stats| stats.buffer_records)),
        ("cached_bytes", storage(|stats| stats.cache.bytes)),
        ("cache_hits", storage(|stats| stats.cache.hits)),
        ("cache_misses", storage(|stats| stats.cache.misses)),
        ("filter_bytes", storage(|stats| stats.engine.filter_bytes)),
        ("flushes", storage(|stats| stats.engine.flushes)),
        ("flush_failures", storage(|stats| stats.engine.flush_failures)),
        ("engine_bytes", storage(|stats| stats.engine.bytes)),
        ("engine_records", storage(|stats| stats.engine.records)),
        ("engine_waiting_runs", merges(|merges| merges.waiting_runs)),
        ("engine_merges", merges(|merges| merges.merges)),
        ("engine_merged_bytes", merges(|merges| merges.merged_bytes)),
        ("engine_garbage_bytes", merges(|merges| merges.garbage_bytes)),
        ("damaged_records", storage(|stats| stats.damaged_records)),
        ("revisions", storage(|stats| stats.revisions)),
        ("hints", storage(|stats| stats.hints.count)),
        ("hint_bytes", storage(|stats| stats.hints.bytes)),
        ("hint_releases", storage(|stats| stats.hints.releases)),
        ("hints_refused", storage(|stats| stats.hints.refusals)),
        ("damaged_hints", storage(|stats| stats.hints.damaged)),
    ]
}

/// Sums up what the shards have measured.
pub(crate) fn measures(reports: &[ShardReport]) -> Measures {
    let mut requests = RequestCounts::default();
    let mut measures = Measures::default();
    for report in reports {
        requests.merge(&report.requests);
        measures.journal_syncs_us.merge(&report.storage.journal.syncs_us);
        measures.commits_bytes.merge(&report.storage.journal.groups_bytes);
    }
    Measures { requests: requests.named(), siblings: requests.siblings, ..measures }
}

/// Returns the processor time of this process so far, in microseconds; 0 where the system doesn't tell.
fn cpu_us() -> u64 {
    // Fields 14 and 15 of the line count hundredths of a second; the second field is a name in
    // parentheses that may hold spaces.
    const TICK_US: u64 = 10_000;
    let line = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = line.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * TICK_US
}

/// Returns the memory of this process that is in use now, in bytes; 0 where the system doesn't tell.
fn rss_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use jedlik_replica::Counter;

    use super::{NodeCounts, ReplicaCounts, ShardReport, named};

    #[test]
    fn every_counter_is_served_as_a_metric() {
        let stats = named(NodeCounts::default(), &[], &[]);
        for (name, _) in stats.counters {
            assert!(jedlik_http::knows_counter(&name), "{name} has no row among the metrics");
        }
    }

    #[test]
    fn counts_of_all_shards_are_added_under_their_names() {
        let mut counts = ReplicaCounts::default();
        counts.add(Counter::Puts);
        counts.add(Counter::Puts);
        let report = ShardReport { counts, refusals: 3, operations: 1, ..ShardReport::default() };
        let stats = named(
            NodeCounts { uptime_s: 7, overloads: 1, ..NodeCounts::default() },
            &[],
            &[report.clone(), report],
        );
        let value = |wanted: &str| {
            stats.counters.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value)
        };
        assert_eq!(value("puts"), Some(4));
        assert_eq!(value("operations"), Some(2));
        assert_eq!(value("overloads"), Some(7), "by a full queue, and by two shards at work");
        assert_eq!(value("uptime_s"), Some(7));
        assert!(value("open_files") > Some(2) && value("open_files") < value("open_files_limit"));
        assert!(value("rss_bytes") > Some(1 << 20), "{:?}", value("rss_bytes"));
    }
}
