//! Requests that the door has served, by interface, kind and status, with the times until their answers began.
//!
//! Invariant: counting takes no lock, and no memory but what there is from the start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use jedlik_door::Kind;
use jedlik_histogram::SharedTimesUs;

use crate::metrics::metric::{Metric, counter, histogram};
use crate::metrics::scrape::Scrape;

pub(crate) const REQUESTS: Metric = counter(
    "jedlik_http_requests",
    "Requests over HTTP by interface, kind, and class of the answer's status.",
)
.by(&["interface", "kind", "status"]);
pub(crate) const TIMES: Metric = histogram(
    "jedlik_http_request_duration",
    "Time from the head of a request over HTTP to the head of its answer.",
)
.seconds()
.by(&["interface", "kind"]);

/// Interface that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    V1,
    Riak,
    /// Questions of those who watch the process: whether it lives, serves, and how it does.
    Health,
    Other,
}

const INTERFACES: [(Interface, &str); 4] = [
    (Interface::V1, "v1"),
    (Interface::Riak, "riak"),
    (Interface::Health, "health"),
    (Interface::Other, "other"),
];
/// Number of segments of a path that tell what is asked for.
const SEGMENTS_MAX: usize = 8;
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Request as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    interface: Interface,
    kind: Kind,
}

impl Call {
    /// Tells what a request is by its method and path.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let (mut names, mut count) = ([""; SEGMENTS_MAX], 0);
        for (name, segment) in names.iter_mut().zip(path.split('/').skip(1)) {
            (*name, count) = (segment, count + 1);
        }
        let of_key = || match *method {
            Method::GET | Method::HEAD => Kind::Get,
            Method::PUT | Method::POST => Kind::Put,
            Method::DELETE => Kind::Delete,
            _ => Kind::Other,
        };
        let read = |kind| if *method == Method::GET { kind } else { Kind::Other };
        let (interface, kind) = match names[..count] {
            ["v1", "buckets", _, "keys", _] => (Interface::V1, of_key()),
            ["v1", "buckets"] | ["v1", "buckets", _, "keys"] => (Interface::V1, read(Kind::List)),
            ["v1", "batch", "get"] => (Interface::V1, Kind::Get),
            ["v1", "batch", "put"] => (Interface::V1, Kind::Put),
            ["v1", ..] => (Interface::V1, Kind::Other),
            ["healthz" | "readyz" | "metrics"] => (Interface::Health, read(Kind::Get)),
            ["types", _, "buckets", ref names @ ..] | ["buckets", ref names @ ..] => {
                let kind = match names {
                    [_, "keys", key, ..] if !key.is_empty() => of_key(),
                    [] | [_, "keys", ..] if *method == Method::GET => Kind::List,
                    [_, "keys", ..] => of_key(),
                    _ => Kind::Other,
                };
                (Interface::Riak, kind)
            }
            ["riak", _, key, ..] if !key.is_empty() => (Interface::Riak, of_key()),
            ["riak", ..] | ["types", ..] | ["ping" | "stats" | ""] => {
                (Interface::Riak, Kind::Other)
            }
            _ => (Interface::Other, Kind::Other),
        };
        Self { interface, kind }
    }
}

/// Counts of the requests that the door has served.
#[derive(Debug, Default)]
pub(crate) struct Served {
    calls: [[Counts; Kind::ALL.len()]; INTERFACES.len()],
}

#[derive(Debug, Default)]
struct Counts {
    classes: [AtomicU64; CLASSES.len()],
    times_us: SharedTimesUs,
}

impl Served {
    /// Counts a request whose answer begins now.
    pub(crate) fn answered(&self, call: Call, status: StatusCode, took: Duration) {
        let counts = &self.calls[call.interface as usize][call.kind as usize];
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        counts.classes[class].fetch_add(1, Ordering::Relaxed);
        counts.times_us.add(took.as_micros() as u64);
    }

    /// Adds what was counted, without what never happened.
    pub(crate) fn add_to(&self, scrape: &mut Scrape) {
        for ((_, interface), kinds) in INTERFACES.iter().zip(&self.calls) {
            for ((_, kind), counts) in Kind::ALL.iter().zip(kinds) {
                let labels = || vec![("interface", (*interface).into()), ("kind", (*kind).into())];
                for (class, count) in CLASSES.iter().zip(&counts.classes) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        let labels = labels().into_iter().chain([("status", (*class).into())]);
                        scrape.labelled(REQUESTS, labels.collect(), count);
                    }
                }
                let times_us = counts.times_us.read();
                if times_us.count() > 0 {
                    scrape.histogram(TIMES, labels(), &times_us, 1e6);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::{Method, StatusCode};

    use super::{Call, INTERFACES, Interface, Kind, Served};
    use crate::metrics::scrape::Scrape;

    #[test]
    fn a_request_is_told_by_its_method_and_path() {
        use Interface::{Health, Other, Riak, V1};
        for (method, path, interface, kind) in [
            (Method::GET, "/v1/buckets/carts/keys/alice", V1, Kind::Get),
            (Method::PUT, "/v1/buckets/carts/keys/a%2Fb", V1, Kind::Put),
            (Method::DELETE, "/v1/buckets/carts/keys/alice", V1, Kind::Delete),
            (Method::GET, "/v1/buckets/carts/keys", V1, Kind::List),
            (Method::POST, "/v1/batch/put", V1, Kind::Put),
            (Method::PATCH, "/v1/buckets/carts", V1, Kind::Other),
            (Method::GET, "/v1/cluster", V1, Kind::Other),
            (Method::GET, "/metrics", Health, Kind::Get),
            (Method::GET, "/types/t/buckets/b/keys/k", Riak, Kind::Get),
            (Method::POST, "/types/t/buckets/b/keys", Riak, Kind::Put),
            (Method::GET, "/buckets/b/keys", Riak, Kind::List),
            (Method::GET, "/buckets", Riak, Kind::List),
            (Method::GET, "/buckets/b/props", Riak, Kind::Other),
            (Method::DELETE, "/riak/b/k", Riak, Kind::Delete),
            (Method::GET, "/ping", Riak, Kind::Other),
            (Method::GET, "/", Riak, Kind::Other),
            (Method::GET, "/favicon.ico", Other, Kind::Other),
        ] {
            assert_eq!(Call::of(&method, path), Call { interface, kind }, "{method} {path}");
        }
    }

    #[test]
    fn requests_are_counted_under_their_names() {
        for (index, (interface, _)) in INTERFACES.iter().enumerate() {
            assert_eq!(*interface as usize, index);
        }
        for (index, (kind, _)) in Kind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
        let served = Served::default();
        let call = Call::of(&Method::GET, "/v1/buckets/carts/keys/alice");
        for status in [StatusCode::OK, StatusCode::OK, StatusCode::NOT_FOUND] {
            served.answered(call, status, Duration::from_micros(100));
        }
        let mut scrape = Scrape::default();
        served.add_to(&mut scrape);
        let text = scrape.into_text();
        for line in [
            "jedlik_http_requests_total{interface=\"v1\",kind=\"get\",status=\"2xx\"} 2",
            "jedlik_http_requests_total{interface=\"v1\",kind=\"get\",status=\"4xx\"} 1",
            "jedlik_http_request_duration_seconds_count{interface=\"v1\",kind=\"get\"} 3",
        ] {
            assert!(text.lines().any(|one| one == line), "no {line} in {text}");
        }
        assert!(!text.contains("riak"), "{text}");
    }
}
