//! Metrics of a node's reports: repairs, background work, transfers and hints.
//!
//! Invariant: each number of a report that changes by itself has one row.

use jedlik_protocol::admin::{
    BackgroundReport, HintReport, RepairReport, TransferReport, WorkKind,
};

use crate::metrics::cluster::Names;
use crate::metrics::metric::{Metric, counter, gauge};
use crate::metrics::scrape::{Labels, Scrape};

/// Number of a report, and the metric that it is served as.
pub(crate) struct Row<R> {
    pub(crate) metric: Metric,
    /// Label that tells the number from others of the metric, with its value.
    label: Option<(&'static str, &'static str)>,
    number: fn(&R) -> u64,
}

const fn row<R>(metric: Metric, number: fn(&R) -> u64) -> Row<R> {
    Row { metric, label: None, number }
}

const fn part<R>(
    metric: Metric,
    label: (&'static str, &'static str),
    number: fn(&R) -> u64,
) -> Row<R> {
    Row { metric, label: Some(label), number }
}

/// Adds the numbers of a report.
pub(crate) fn add<R>(scrape: &mut Scrape, rows: &[Row<R>], report: &R) {
    for Row { metric, label, number } in rows {
        let labels = label.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        scrape.labelled(*metric, labels, number(report));
    }
}

const EXCHANGES: Metric = counter(
    "jedlik_exchanges",
    "Comparisons of a partition with another owner: agreed, differed and repaired, or failed and to be tried again.",
)
.by(&["outcome"]);
const EXCHANGE_REQUESTS: Metric = counter(
    "jedlik_exchange_requests",
    "Requests that comparisons sent, for hashes and for digests.",
)
.by(&["of"]);
const EXCHANGED: Metric = counter(
    "jedlik_exchange_records",
    "Records that comparisons repaired: pulled from other owners, or pushed to them.",
)
.by(&["direction"]);

pub(crate) static REPAIRS: [Row<RepairReport>; 15] = [
    row(
        gauge("jedlik_repair_partitions", "Partitions in the present round of repair."),
        |report| report.partitions.into(),
    ),
    row(
        gauge("jedlik_repair_partitions_done", "Partitions of the present round that are done."),
        |report| report.done.into(),
    ),
    row(
        gauge("jedlik_trees_building", "Partitions whose hash tree is made from their records."),
        |report| report.building.into(),
    ),
    part(EXCHANGES, ("outcome", "agreed"), |report| report.agreed),
    part(EXCHANGES, ("outcome", "differed"), |report| {
        report.exchanges.saturating_sub(report.agreed)
    }),
    part(EXCHANGES, ("outcome", "failed"), |report| report.failed),
    row(
        gauge("jedlik_exchanges_to_retry", "Comparisons that wait for another attempt."),
        |report| report.to_retry.into(),
    ),
    part(EXCHANGE_REQUESTS, ("of", "hashes"), |report| report.hash_requests),
    part(EXCHANGE_REQUESTS, ("of", "digests"), |report| report.digest_requests),
    row(counter("jedlik_exchange_keys", "Keys whose digests were compared."), |report| {
        report.keys_compared
    }),
    part(EXCHANGED, ("direction", "pulled"), |report| report.pulled),
    part(EXCHANGED, ("direction", "pushed"), |report| report.pushed),
    row(
        counter("jedlik_exchange", "Hashes, digests and records of comparisons, both ways.")
            .bytes(),
        |report| report.bytes,
    ),
    row(
        counter(
            "jedlik_exchange_damaged_records",
            "Records found by comparisons that fail their checksum.",
        ),
        |report| report.damaged,
    ),
    row(
        counter("jedlik_trees_corrected", "Hash trees that did not agree with their records."),
        |report| report.trees_corrected,
    ),
];

const PARTITIONS: Metric = gauge(
    "jedlik_partitions",
    "Partitions of the node: owned under the newest layout, of these ready and flipped; leaving, which it owns under an \
     older layout alone; unowned, of which it still holds records.",
)
.by(&["state"]);
const TRANSFERRED: Metric =
    counter("jedlik_transferred_records", "Records that moved with their partitions.")
        .by(&["direction"]);
const TRANSFERRED_BYTES: Metric =
    counter("jedlik_transferred", "Records that moved with their partitions, by their size.")
        .bytes()
        .by(&["direction"]);
const TRANSFERS: Metric =
    gauge("jedlik_transfers", "Partitions that are transferred now.").by(&["direction"]);

pub(crate) static TRANSFER: [Row<TransferReport>; 16] = [
    part(PARTITIONS, ("state", "owned"), |report| report.owned.into()),
    part(PARTITIONS, ("state", "ready"), |report| report.ready.into()),
    part(PARTITIONS, ("state", "flipped"), |report| report.flipped.into()),
    part(PARTITIONS, ("state", "leaving"), |report| report.leaving.into()),
    part(PARTITIONS, ("state", "unowned"), |report| report.unowned.into()),
    row(
        counter(
            "jedlik_partitions_dropped",
            "Partitions that were dropped once their new owners held them.",
        ),
        |report| report.dropped.into(),
    ),
    part(TRANSFERS, ("direction", "in"), |report| transfers(report, false)),
    part(TRANSFERS, ("direction", "out"), |report| transfers(report, true)),
    row(gauge("jedlik_transfers_blocked", "Reasons for which transfers don't go on."), |report| {
        report.blockers.len() as u64
    }),
    row(gauge("jedlik_transfers_paused", "1 while an admin has paused the transfers."), |report| {
        report.paused.into()
    }),
    part(TRANSFERRED, ("direction", "in"), |report| report.received_records),
    part(TRANSFERRED, ("direction", "out"), |report| report.sent_records),
    part(TRANSFERRED_BYTES, ("direction", "in"), |report| report.received_bytes),
    part(TRANSFERRED_BYTES, ("direction", "out"), |report| report.sent_bytes),
    row(
        gauge("jedlik_held_records", "Records that the node holds, as of some seconds ago."),
        |report| report.load.records,
    ),
    row(
        gauge("jedlik_held", "Size of the records that the node holds, as of some seconds ago.")
            .bytes(),
        |report| report.load.bytes,
    ),
];

fn transfers(report: &TransferReport, outgoing: bool) -> u64 {
    report.current.iter().filter(|transfer| transfer.outgoing == outgoing).count() as u64
}

pub(crate) const PAUSED: Metric =
    gauge("jedlik_background_paused", "1 while an admin has paused this kind of background work.")
        .by(&["work"]);
pub(crate) const STEPS: Metric = counter(
    "jedlik_background_steps",
    "Steps of background work; one is a message, or four records or 16 KiB of a page.",
)
.by(&["work"]);
pub(crate) const FOREGROUND: Metric = gauge(
    "jedlik_foreground_latency_p99",
    "Recent 99th percentile of the clients' latency, by which background work is paced.",
)
.seconds();
pub(crate) const QUIET: Metric = gauge(
    "jedlik_quiet_latency_p99",
    "99th percentile of the clients' latency while nothing runs in the background.",
)
.seconds();

pub(crate) static PACE: [Row<BackgroundReport>; 2] = [
    row(
        gauge("jedlik_background_pace", "Present pace of background work, in steps a second."),
        |report| report.pace_per_s.into(),
    ),
    row(gauge("jedlik_background_limit", "Bound of that pace that an admin has set."), |report| {
        report.limit_per_s.into()
    }),
];

/// Adds the state of background work.
pub(crate) fn background(scrape: &mut Scrape, report: &BackgroundReport) {
    const KINDS: [(WorkKind, &str); 4] = [
        (WorkKind::Handoff, "hints"),
        (WorkKind::Repair, "repair"),
        (WorkKind::Collection, "collection"),
        (WorkKind::Transfer, "transfers"),
    ];
    add(scrape, &PACE, report);
    for (kind, name) in KINDS {
        let paused = report.paused || report.paused_kinds.contains(&kind);
        scrape.labelled(PAUSED, vec![("work", name.into())], paused);
    }
    for (work, steps) in &report.steps {
        scrape.labelled(STEPS, vec![("work", work.clone())], *steps);
    }
    let seconds = |us: u64| us as f64 / 1e6;
    scrape.real(FOREGROUND, Labels::new(), seconds(report.foreground_p99_us));
    scrape.real(QUIET, Labels::new(), seconds(report.quiet_p99_us));
}

pub(crate) const HINTS: Metric =
    gauge("jedlik_target_hints", "Hints that are kept for a member.").by(&["member", "node"]);
pub(crate) const HINTS_SIZE: Metric =
    gauge("jedlik_target_hints_size", "Size of the hints that are kept for a member.")
        .bytes()
        .by(&["member", "node"]);
pub(crate) const HINTS_AGE: Metric =
    gauge("jedlik_hints_oldest_age", "Age of the oldest hint that is kept for a member.")
        .seconds()
        .by(&["member", "node"]);

/// Adds the hints that the node keeps for others.
pub(crate) fn hints(scrape: &mut Scrape, reports: &[HintReport], names: &Names, now_ms: u64) {
    for report in reports {
        let labels = || names.labels(report.target);
        scrape.labelled(HINTS, labels(), report.count);
        scrape.labelled(HINTS_SIZE, labels(), report.bytes);
        let age_ms = report.oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms));
        scrape.real(HINTS_AGE, labels(), age_ms as f64 / 1e3);
    }
}
