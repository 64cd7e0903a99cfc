//! Metrics of what the node measures for its doors alone.

use jedlik_door::{Measures, RequestMeasures};

use crate::metrics::metric::{Metric, counter, gauge, histogram};
use crate::metrics::scrape::{Labels, Scrape};

pub(crate) const REQUESTS: Metric = counter(
    "jedlik_requests",
    "Requests of clients that this node took, by whichever way they came, by kind and outcome.",
)
.by(&["kind", "outcome"]);
pub(crate) const TIMES: Metric = histogram(
    "jedlik_request_duration",
    "Time from a client's request at its shard to the answer, whatever that was.",
)
.seconds()
.by(&["kind"]);
pub(crate) const RIAK_PB_REQUESTS: Metric = counter(
    "jedlik_riak_pb_requests",
    "Requests of Riak's Protocol Buffers clients by kind and outcome: carried out, or refused with an error.",
)
.by(&["kind", "outcome"]);
pub(crate) const RIAK_PB_TIMES: Metric = histogram(
    "jedlik_riak_pb_request_duration",
    "Time from the last byte of a request of Riak's Protocol Buffers clients to the end of its answer.",
)
.seconds()
.by(&["kind"]);
pub(crate) const SIBLINGS: Metric = histogram(
    "jedlik_get_siblings",
    "Versions that successful gets have found; more than one are siblings.",
);
pub(crate) const SYNCS: Metric =
    histogram("jedlik_journal_sync_duration", "Time that a sync of a journal took.").seconds();
pub(crate) const COMMITS: Metric = histogram(
    "jedlik_journal_commit_size",
    "Size of a group of changes written to a journal at once.",
)
.bytes();
pub(crate) const CERTIFICATE: Metric = gauge(
    "jedlik_certificate_end_timestamp",
    "Time at which the node's certificate ends, since the Unix epoch.",
)
.seconds();

pub(crate) const DOOR_CERTIFICATE: Metric = gauge(
    "jedlik_door_certificate_end_timestamp",
    "Time at which a door's own certificate ends, since the Unix epoch.",
)
.seconds()
.by(&["door"]);
pub(crate) const REFUSALS: Metric = counter(
    "jedlik_door_refusals",
    "Clients that a door did not let in, and requests without the right to what they asked for, by reason.",
)
.by(&["door", "reason"]);

/// Adds what the node has measured.
pub(crate) fn add(scrape: &mut Scrape, measures: &Measures) {
    by_kind(scrape, (REQUESTS, TIMES), &measures.requests);
    by_kind(scrape, (RIAK_PB_REQUESTS, RIAK_PB_TIMES), &measures.riak_pb);
    scrape.histogram(SIBLINGS, Labels::new(), &measures.siblings, 1.0);
    scrape.histogram(SYNCS, Labels::new(), &measures.journal_syncs_us, 1e6);
    if let Some(ends_s) = measures.certificate_ends_s {
        scrape.whole(CERTIFICATE, ends_s);
    }
    for door in &measures.doors {
        for (reason, count) in &door.refusals {
            let labels = vec![("door", door.door.into()), ("reason", (*reason).into())];
            scrape.labelled(REFUSALS, labels, *count);
        }
        if let Some(ends_s) = door.certificate_ends_s {
            scrape.labelled(DOOR_CERTIFICATE, vec![("door", door.door.into())], ends_s);
        }
    }
    scrape.histogram(COMMITS, Labels::new(), &measures.commits_bytes, 1.0);
}

fn by_kind(scrape: &mut Scrape, (counts, times): (Metric, Metric), requests: &[RequestMeasures]) {
    for requests in requests {
        for (outcome, count) in &requests.outcomes {
            let labels = vec![("kind", requests.kind.into()), ("outcome", (*outcome).into())];
            scrape.labelled(counts, labels, *count);
        }
        let labels = vec![("kind", requests.kind.into())];
        scrape.histogram(times, labels, &requests.times_us, 1e6);
    }
}
