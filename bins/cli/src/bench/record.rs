//! The clients' record: latencies by kind of request, and errors by name.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use jedlik_client::ClientError;

/// Longest latency that the histograms tell apart; longer ones count as this.
const LATENCY_MAX_US: u64 = 600_000_000;

/// Kind of a request; latencies are kept for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Put,
    Get,
    ReadModifyWrite,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::ReadModifyWrite => "read-modify-write",
        }
    }
}

/// Record of all requests that count.
pub(crate) struct Record {
    since: Instant,
    latencies: BTreeMap<Kind, Histogram<u64>>,
    errors: BTreeMap<&'static str, u64>,
    absent: u64,
    /// Length of the parts of the time for which latencies are kept apart.
    every: Option<Duration>,
    parts: Vec<Histogram<u64>>,
}

/// Quantiles of some latencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Record {
    /// Makes a record of requests that begin at `since` or later, also by the parts of the time in which they ended.
    pub(crate) fn new(since: Instant, every: Option<Duration>) -> Self {
        let (latencies, errors) = (BTreeMap::new(), BTreeMap::new());
        Self { since, latencies, errors, absent: 0, every, parts: Vec::new() }
    }

    /// Notes one request, unless it began before the measured time.
    pub(crate) fn note(
        &mut self,
        kind: Kind,
        started: Instant,
        ended: Instant,
        outcome: Result<bool, ClientError>,
    ) {
        if started < self.since {
            return;
        }
        match outcome {
            Ok(found) => {
                self.absent += u64::from(!found);
                let latency_us = u64::try_from((ended - started).as_micros()).unwrap_or(u64::MAX);
                let of_kind = self.latencies.entry(kind).or_insert_with(histogram);
                of_kind.saturating_record(latency_us);
                if let Some(part) = self.part(ended) {
                    part.saturating_record(latency_us);
                }
            }
            Err(error) => *self.errors.entry(error.name()).or_default() += 1,
        }
    }

    /// Returns the latencies of the part of the time in which a request has ended; `None` if none are kept apart.
    fn part(&mut self, ended: Instant) -> Option<&mut Histogram<u64>> {
        let number = (ended - self.since).as_nanos() / self.every?.as_nanos().max(1);
        let number = usize::try_from(number).ok()?;
        if self.parts.len() <= number {
            self.parts.resize_with(number + 1, histogram);
        }
        self.parts.get_mut(number)
    }

    /// Returns the latencies of each part of the time, all kinds together.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Latency> {
        self.parts.iter().map(latency)
    }

    /// Whether nothing was measured: no request succeeded, and none failed.
    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0 && self.errors.is_empty()
    }

    /// Returns the number of requests that succeeded, of all kinds together.
    pub(crate) fn count(&self) -> u64 {
        self.latencies.values().map(Histogram::len).sum()
    }

    /// Returns the latencies of each kind of which any request succeeded.
    pub(crate) fn latencies(&self) -> impl Iterator<Item = (Kind, Latency)> {
        self.latencies.iter().map(|(kind, histogram)| (*kind, latency(histogram)))
    }

    /// Returns the counts of failed requests, by the errors' names.
    pub(crate) fn errors(&self) -> &BTreeMap<&'static str, u64> {
        &self.errors
    }

    /// Returns the number of gets that found nothing.
    pub(crate) fn absent(&self) -> u64 {
        self.absent
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_MAX_US, 3).expect("these bounds are valid")
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| ms(histogram.value_at_quantile(quantile));
    Latency {
        count: histogram.len(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        max_ms: ms(histogram.max()),
    }
}

fn ms(us: u64) -> f64 {
    Duration::from_micros(us).as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use jedlik_client::ClientError;

    use super::{Kind, Record};

    #[test]
    fn percentiles_are_those_of_the_successes_and_errors_stand_apart() {
        let start = Instant::now();
        let mut record = Record::new(start, None);
        for ms in 1..=1000 {
            record.note(Kind::Put, start, start + Duration::from_millis(ms), Ok(true));
        }
        record.note(Kind::Get, start, start + Duration::from_millis(5), Ok(false));
        record.note(Kind::Get, start, start, Err(ClientError::NoLayout));
        let latencies: Vec<_> = record.latencies().collect();
        let (kind, put) = latencies[0];
        assert_eq!((kind, put.count, latencies[1].1.count), (Kind::Put, 1000, 1));
        for (found, expected) in
            [(put.p50_ms, 500.0), (put.p99_ms, 990.0), (put.p999_ms, 999.0), (put.max_ms, 1000.0)]
        {
            assert!((found - expected).abs() <= expected / 500.0, "{found} is not {expected}");
        }
        assert_eq!((record.count(), record.absent(), record.is_empty()), (1001, 1, false));
        assert_eq!(record.errors().get("no-layout"), Some(&1));
    }

    #[test]
    fn parts_of_the_time_have_latencies_of_their_own() {
        let start = Instant::now();
        let mut record = Record::new(start, Some(Duration::from_secs(1)));
        for (began_ms, ended_ms) in [(0, 10), (500, 999), (900, 3_100)] {
            let at = |ms| start + Duration::from_millis(ms);
            record.note(Kind::Put, at(began_ms), at(ended_ms), Ok(true));
        }
        let counts: Vec<u64> = record.parts().map(|part| part.count).collect();
        assert_eq!(counts, [2, 0, 0, 1], "a request belongs to the part in which it ended");
        assert_eq!(Record::new(start, None).parts().count(), 0);
    }

    #[test]
    fn what_began_before_the_measured_time_does_not_count() {
        let before = Instant::now();
        let start = before + Duration::from_secs(1);
        let mut record = Record::new(start, None);
        record.note(Kind::Put, before, start + Duration::from_secs(1), Ok(true));
        assert_eq!(record.count(), 0);
        assert!(record.is_empty());
        record.note(Kind::Get, start, start, Err(ClientError::NoLayout));
        assert!(!record.is_empty(), "what failed was measured, too");
    }
}
