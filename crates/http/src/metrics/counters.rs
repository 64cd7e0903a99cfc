//! Metrics of the counters that a node has by name.
//!
//! Invariant: every counter of a node has one row; a test of the node says which has none.

use jedlik_protocol::admin::NodeStats;

use crate::metrics::metric::{Metric, counter, gauge};
use crate::metrics::scrape::{Labels, Scrape};

/// Counter of a node, and the metric that it is served as.
pub(crate) struct Row {
    /// Name that the node has for the counter.
    pub(crate) counter: &'static str,
    pub(crate) metric: Metric,
    /// Label that tells the counter from others of the metric, with its value.
    label: Option<(&'static str, &'static str)>,
    /// Number of the counter's units that make one of the metric's.
    per_unit: u64,
}

const fn row(counter: &'static str, metric: Metric) -> Row {
    Row { counter, metric, label: None, per_unit: 1 }
}

const fn row_ms(counter: &'static str, metric: Metric) -> Row {
    Row { counter, metric: metric.seconds(), label: None, per_unit: 1_000 }
}

const fn row_us(counter: &'static str, metric: Metric) -> Row {
    Row { counter, metric: metric.seconds(), label: None, per_unit: 1_000_000 }
}

const fn row_of_threads(counter: &'static str, threads: &'static str) -> Row {
    Row { label: Some(("threads", threads)), ..row_us(counter, THREADS) }
}

const THREADS: Metric = counter(
    "jedlik_threads_cpu",
    "Processor time that threads which run now have used, by their kind.",
)
.by(&["threads"]);

const fn row_of_spans(counter: &'static str, outcome: &'static str) -> Row {
    Row { label: Some(("outcome", outcome)), ..row(counter, SPANS) }
}

const SPANS: Metric = counter(
    "jedlik_trace_spans",
    "Spans of traced requests: sent to the collector, not taken by it, without room in the queue, or over the limit of a \
     second.",
)
.by(&["outcome"]);

pub(crate) static PROCESS: [Row; 31] = [
    row("uptime_s", gauge("jedlik_uptime", "Time since the node started.").seconds()),
    row_us("cpu_us", counter("jedlik_process_cpu", "Processor time that the process has used.")),
    row(
        "rss_bytes",
        gauge("jedlik_process_resident_memory", "Memory of the process that is in use.").bytes(),
    ),
    row_of_threads("cpu_network_us", "network"),
    row_of_threads("cpu_shards_us", "shards"),
    row_of_threads("cpu_journals_us", "journals"),
    row_of_threads("cpu_flushers_us", "flushers"),
    row_of_threads("cpu_others_us", "others"),
    row(
        "context_switches",
        counter("jedlik_context_switches", "Context switches of threads that run now."),
    ),
    row(
        "disk_written_bytes",
        counter("jedlik_disk_written", "Bytes that the process has caused to be written to disks.")
            .bytes(),
    ),
    row("open_files", gauge("jedlik_process_open_fds", "File descriptors that are open.")),
    row(
        "open_files_limit",
        gauge("jedlik_process_max_fds", "File descriptors that the process may have open."),
    ),
    row("shards", gauge("jedlik_shards", "Shards of the node.")),
    row(
        "shards_serving",
        gauge("jedlik_shards_serving", "Shards that serve; the others open their storage anew."),
    ),
    row("connections", gauge("jedlik_connections", "Connections of peers and native clients.")),
    row("peers_connected", gauge("jedlik_peers_connected", "Members with an open connection.")),
    row_of_spans("spans_sent", "sent"),
    row_of_spans("spans_unsent", "unsent"),
    row_of_spans("spans_queue_full", "queue_full"),
    row_of_spans("spans_over_limit", "over_limit"),
    row(
        "connections_refused",
        counter(
            "jedlik_connections_refused",
            "Connections that were refused, as for want of a certificate.",
        ),
    ),
    row(
        "connections_faulted",
        counter(
            "jedlik_connections_faulted",
            "Connections that were closed for a fault, such as a malformed frame.",
        ),
    ),
    row_ms(
        "gossip_age_ms",
        gauge(
            "jedlik_gossip_age",
            "Time since another member was last heard in gossip, or since the start.",
        ),
    ),
    row(
        "state_unsaved_s",
        gauge(
            "jedlik_state_unsaved",
            "Time for which the view of the cluster could not be saved; 0 while it can.",
        )
        .seconds(),
    ),
    row(
        "operations",
        gauge("jedlik_requests_under_way", "Requests that the node coordinates now."),
    ),
    row("queued_inputs", gauge("jedlik_queued_inputs", "Inputs that wait in the shards' queues.")),
    row(
        "overloads",
        counter("jedlik_overloads", "Requests and messages refused because a queue was full."),
    ),
    row(
        "quorum_shortfalls",
        counter(
            "jedlik_quorum_shortfalls",
            "Requests for which too few replicas answered, or not in time.",
        ),
    ),
    row(
        "refilling_partitions",
        gauge(
            "jedlik_refilling_partitions",
            "Partitions of which the node can't say what is absent.",
        ),
    ),
    row(
        "clashing_records",
        gauge(
            "jedlik_clashing_records",
            "Keys whose record is too large to be merged with another member's.",
        ),
    ),
    row(
        "storage_reopenings",
        counter(
            "jedlik_storage_reopenings",
            "Failures after which a shard's storage was opened anew.",
        ),
    ),
];

pub(crate) static REPLICA: [Row; 19] = [
    row("gets", counter("jedlik_gets", "Gets that the node coordinated.")),
    row(
        "puts",
        counter("jedlik_puts", "Puts that the node coordinated, retries and refusals included."),
    ),
    row("scans", counter("jedlik_scans", "Pages of scans that the node coordinated.")),
    row("forwards", counter("jedlik_forwards", "Puts passed on to an owner of their key.")),
    row("read_repairs_missing", counter("jedlik_read_repairs_missing", READ_REPAIRS_MISSING)),
    row("read_repairs_stale", counter("jedlik_read_repairs_stale", READ_REPAIRS_STALE)),
    row("read_repairs_fallback", counter("jedlik_read_repairs_fallback", READ_REPAIRS_FALLBACK)),
    row(
        "hedges",
        counter(
            "jedlik_get_hedges",
            "Times that a get asked more replicas because the first were slow.",
        ),
    ),
    row(
        "put_hedges",
        counter(
            "jedlik_put_hedges",
            "Puts that asked fallbacks because primaries did not answer in time.",
        ),
    ),
    row(
        "retried_puts",
        counter("jedlik_retried_puts", "Puts recognised as a retry of one that is held."),
    ),
    row(
        "truncated_entries",
        counter(
            "jedlik_truncated_clock_entries",
            "Clock entries dropped because a clock was over its limit.",
        ),
    ),
    row(
        "damaged_reads",
        counter(
            "jedlik_damaged_reads",
            "Records that failed their checksum, each time that one was read.",
        ),
    ),
    row(
        "stale_layouts",
        counter(
            "jedlik_stale_layout_refusals",
            "Peers' requests refused because of an older layout.",
        ),
    ),
    row(
        "too_old_messages",
        counter(
            "jedlik_too_old_messages",
            "Peers' requests refused because they may have outlived a message's life.",
        ),
    ),
    row("hints_kept", counter("jedlik_hints_kept", "Writes of hints for other nodes.")),
    row(
        "hints_delivered",
        counter("jedlik_hints_delivered", "Hints that their targets have synced."),
    ),
    row(
        "deliveries",
        counter(
            "jedlik_deliveries",
            "Records that peers delivered in the background and that were synced here.",
        ),
    ),
    row(
        "collected",
        counter("jedlik_collected_records", "Tombstones and expired values that were collected."),
    ),
    row("pruned", counter("jedlik_pruned_records", "Records whose clocks were pruned.")),
];

const READ_REPAIRS_MISSING: &str = "Read repairs of replicas that had no record.";
const READ_REPAIRS_STALE: &str = "Read repairs of replicas that were behind.";
const READ_REPAIRS_FALLBACK: &str =
    "Read repairs of either kind that went to a fallback, as a hint.";

pub(crate) static STORAGE: [Row; 28] = [
    row("applies", counter("jedlik_applied_records", "Records that storage has merged and kept.")),
    row("journal_appends", counter("jedlik_journal_appends", "Changes written to the journals.")),
    row(
        "journal_groups",
        counter("jedlik_journal_commits", "Writes to the journals, one for each group of changes."),
    ),
    row("journal_syncs", counter("jedlik_journal_syncs", "Syncs of the journals.")),
    row("journal_bytes", gauge("jedlik_journal_size", "Size of the journals' segments.").bytes()),
    row(
        "journal_queued_bytes",
        gauge("jedlik_journal_queue", "Size of the changes that wait for the journals' threads.")
            .bytes(),
    ),
    row(
        "journal_failures",
        counter("jedlik_journal_failures", "Writes and syncs of the journals that failed."),
    ),
    row("buffer_bytes", gauge("jedlik_buffer_size", "Size of the buffers in memory.").bytes()),
    row("buffer_records", gauge("jedlik_buffer_records", "Entries of records in the buffers.")),
    row(
        "cached_bytes",
        gauge("jedlik_record_cache", "Memory of records that were read or written lately.").bytes(),
    ),
    row(
        "cache_hits",
        counter("jedlik_record_cache_hits", "Loads of records that were answered from memory."),
    ),
    row(
        "cache_misses",
        counter("jedlik_record_cache_misses", "Loads that were answered by buffers or engines."),
    ),
    row(
        "filter_bytes",
        gauge("jedlik_filters", "Memory of the filters that say which keys are absent.").bytes(),
    ),
    row("flushes", counter("jedlik_flushes", "Buffers flushed into the engines.")),
    row(
        "flush_failures",
        counter("jedlik_flush_failures", "Flushes that failed; each is tried again."),
    ),
    row("engine_bytes", gauge("jedlik_engine", "Room that the engines take.").bytes()),
    row(
        "engine_records",
        gauge(
            "jedlik_engine_records",
            "Records in the engines, those of dropped partitions until they are swept.",
        ),
    ),
    row(
        "engine_waiting_runs",
        gauge("jedlik_engine_waiting_runs", "Runs of tables that wait to be merged."),
    ),
    row("engine_merges", counter("jedlik_engine_merges", "Merges of the engines' tables.")),
    row(
        "engine_merged_bytes",
        counter("jedlik_engine_merged", "Size of the tables that merges have made.").bytes(),
    ),
    row(
        "engine_garbage_bytes",
        gauge("jedlik_engine_garbage", "Room that the engines take besides what the records need.")
            .bytes(),
    ),
    row(
        "damaged_records",
        counter(
            "jedlik_damaged_records",
            "Damaged records that loads and pages met, repeats included.",
        ),
    ),
    row("revisions", counter("jedlik_revised_records", "Records replaced or removed.")),
    row("hints", gauge("jedlik_hints", "Hints that are kept, for all targets.")),
    row("hint_bytes", gauge("jedlik_hints_size", "Size of the hints that are kept.").bytes()),
    row(
        "hint_releases",
        counter("jedlik_hint_releases", "Hints removed because their targets have them."),
    ),
    row(
        "hints_refused",
        counter("jedlik_hints_refused", "Hints refused for the sake of the disk's reserve."),
    ),
    row(
        "damaged_hints",
        counter("jedlik_damaged_hints", "Damaged hints that were met, repeats included."),
    ),
];

/// Returns all rows, in the order of the page on metrics.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    PROCESS.iter().chain(&REPLICA).chain(&STORAGE)
}

/// Whether a counter of a node is served as a metric.
#[must_use]
pub fn knows_counter(counter: &str) -> bool {
    rows().any(|row| row.counter == counter)
}

/// Adds a node's counters. One that has no row is left out.
pub(crate) fn add(scrape: &mut Scrape, stats: &NodeStats) {
    for row in rows() {
        let found = stats.counters.iter().find(|(name, _)| name == row.counter);
        let Some((_, value)) = found else { continue };
        let labels: Labels =
            row.label.iter().map(|(name, value)| (*name, (*value).into())).collect();
        if row.per_unit == 1 {
            scrape.labelled(row.metric, labels, *value);
        } else {
            scrape.real(row.metric, labels, *value as f64 / row.per_unit as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::rows;
    use crate::metrics::metric::{Kind, Unit};

    #[test]
    fn a_counters_unit_is_its_metrics() {
        for row in rows() {
            let (name, metric) = (row.counter, row.metric);
            let unit = match name.rsplit('_').next() {
                Some("bytes") => Unit::Bytes,
                Some("s" | "ms" | "us") => Unit::Seconds,
                _ => Unit::None,
            };
            assert_eq!(metric.unit, unit, "{name}");
            assert_ne!(metric.kind, Kind::Histogram, "{name}");
        }
    }
}
