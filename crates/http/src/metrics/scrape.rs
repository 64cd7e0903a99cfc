//! One scrape: numbers of metrics, gathered and then written as text.
//!
//! Invariant: the numbers of one metric stand together, as the text form wants them.

use std::fmt;

use jedlik_histogram::Histogram;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{self, Registry};

use crate::metrics::metric::{Kind, Metric, Unit};

/// Labels of a number, with their values.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// Numbers of one scrape.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    metric: Metric,
    samples: Vec<(Labels, Value)>,
}

#[derive(Debug)]
enum Value {
    Whole(u64),
    Real(f64),
    Histogram { sum: f64, count: u64, buckets: Vec<(f64, u64)> },
}

impl Scrape {
    /// Adds a number, which has no label.
    pub(crate) fn whole(&mut self, metric: Metric, value: impl Into<u64>) {
        self.add(metric, Labels::new(), Value::Whole(value.into()));
    }

    /// Adds a number of a metric with labels.
    pub(crate) fn labelled(&mut self, metric: Metric, labels: Labels, value: impl Into<u64>) {
        self.add(metric, labels, Value::Whole(value.into()));
    }

    /// Adds a number that may have a fraction.
    pub(crate) fn real(&mut self, metric: Metric, labels: Labels, value: f64) {
        self.add(metric, labels, Value::Real(value));
    }

    /// Adds a histogram, `per_unit` of whose numbers make one of the metric's unit.
    pub(crate) fn histogram<const FIRST: u32>(
        &mut self,
        metric: Metric,
        labels: Labels,
        histogram: &Histogram<FIRST>,
        per_unit: f64,
    ) {
        let buckets = histogram.buckets().map(|(bound, count)| (bound as f64 / per_unit, count));
        let (sum, count) = (histogram.sum() as f64 / per_unit, histogram.count());
        self.add(metric, labels, Value::Histogram { sum, count, buckets: buckets.to_vec() });
    }

    fn add(&mut self, metric: Metric, labels: Labels, value: Value) {
        debug_assert!(labels.iter().map(|(name, _)| name).eq(metric.labels), "{metric:?}");
        match self.families.iter_mut().find(|family| family.metric.name == metric.name) {
            Some(family) => family.samples.push((labels, value)),
            None => self.families.push(Family { metric, samples: vec![(labels, value)] }),
        }
    }

    /// Returns everything in Prometheus' text form.
    pub(crate) fn into_text(self) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(self));
        prometheus_text::encode(&mut text, &registry).expect("writing into memory can't fail");
        text
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families.iter().try_for_each(|family| family.encode(&mut encoder))
    }
}

impl Family {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Metric { name, help, kind, unit, .. } = self.metric;
        let unit = match unit {
            Unit::None => None,
            Unit::Bytes => Some(registry::Unit::Bytes),
            Unit::Seconds => Some(registry::Unit::Seconds),
        };
        let written = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), written)?;
        for (labels, value) in &self.samples {
            if labels.is_empty() {
                value.encode(kind, &mut metric)?;
            } else {
                value.encode(kind, &mut metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, kind: Kind, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        const NO_EXAMPLE: Option<&Exemplar<NoLabelSet, f64>> = None;
        match self {
            Self::Whole(value) if kind == Kind::Counter => {
                encoder.encode_counter(value, NO_EXAMPLE)
            }
            Self::Real(value) if kind == Kind::Counter => encoder.encode_counter(value, NO_EXAMPLE),
            Self::Whole(value) => encoder.encode_gauge(value),
            Self::Real(value) => encoder.encode_gauge(value),
            Self::Histogram { sum, count, buckets } => {
                encoder.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jedlik_histogram::TimesUs;

    use super::Scrape;
    use crate::metrics::metric::{counter, gauge, histogram};

    #[test]
    fn numbers_are_written_with_their_units_and_labels() {
        let mut scrape = Scrape::default();
        let puts = counter("puts", "Puts.").by(&["kind"]);
        let mut times_us = TimesUs::default();
        [64, 1_000_000, 20_000_000].into_iter().for_each(|time| times_us.add(time));
        scrape.labelled(puts, vec![("kind", "a\"b".into())], 3_u64);
        scrape.whole(gauge("room", "Room.").bytes(), 1_u64 << 40);
        scrape.labelled(puts, vec![("kind", "c".into())], 4_u64);
        scrape.real(gauge("age", "Age.").seconds(), Vec::new(), 0.25);
        scrape.histogram(histogram("took", "Time.").seconds(), Vec::new(), &times_us, 1e6);
        let text = scrape.into_text();
        let (numbers, times) = text.split_once("# HELP took_seconds").unwrap();
        assert_eq!(
            numbers,
            "# HELP puts_total Puts.\n# TYPE puts_total counter\nputs_total{kind=\"a\\\"b\"} 3\n\
             puts_total{kind=\"c\"} 4\n# HELP room_bytes Room.\n# TYPE room_bytes gauge\n\
             room_bytes 1099511627776\n# HELP age_seconds Age.\n# TYPE age_seconds gauge\nage_seconds 0.25\n"
        );
        for line in [
            "took_seconds_bucket{le=\"6.4e-05\"} 1",
            "took_seconds_bucket{le=\"1.048576\"} 2",
            "took_seconds_bucket{le=\"+Inf\"} 3",
            "took_seconds_count 3",
        ] {
            assert!(times.lines().any(|one| one == line), "no {line} in {times}");
        }
    }
}
