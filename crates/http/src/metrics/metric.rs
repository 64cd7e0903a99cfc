//! Metric of the door: its name, its kind, its unit and what it means.
//!
//! Invariant: a metric's full name ends with its unit, and a counter's with `_total`.

/// Metric, which stands for one number or, with labels, for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Metric {
    /// Name without its unit and `_total`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) unit: Unit,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
}

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The number only grows, until the process starts again.
    Counter,
    /// The number is as it is now.
    Gauge,
    /// Values are counted by their size.
    Histogram,
}

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// The metric counts things.
    None,
    Bytes,
    Seconds,
}

/// Makes a counter without unit and labels.
pub(crate) const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, unit: Unit::None, labels: &[], help }
}

/// Makes a gauge without unit and labels.
pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, unit: Unit::None, labels: &[], help }
}

/// Makes a histogram without unit and labels.
pub(crate) const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, unit: Unit::None, labels: &[], help }
}

impl Metric {
    pub(crate) const fn bytes(self) -> Self {
        Self { unit: Unit::Bytes, ..self }
    }

    pub(crate) const fn seconds(self) -> Self {
        Self { unit: Unit::Seconds, ..self }
    }

    pub(crate) const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    /// Returns the name under which the metric is served.
    #[cfg(test)]
    pub(crate) fn full_name(&self) -> String {
        let unit = match self.unit {
            Unit::None => "",
            Unit::Bytes => "_bytes",
            Unit::Seconds => "_seconds",
        };
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{unit}{total}", self.name)
    }
}
