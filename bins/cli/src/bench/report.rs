//! The figures of a run, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::bench::BenchArgs;
use crate::bench::cost::{Cost, THREADS};
use crate::bench::record::{Latency, Record};

/// Figures and arguments of a run, ready to be printed.
pub(crate) struct Report<'a> {
    pub(crate) args: &'a BenchArgs,
    pub(crate) took: Duration,
    pub(crate) record: &'a Record,
    /// Number of requests that had to wait for a free client; `None` if none arrived by themselves.
    pub(crate) late: Option<u64>,
    pub(crate) cost: Cost,
}

impl Report<'_> {
    fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Returns the microseconds per request that succeeded; `None` if none did.
    fn each(&self, us: u64) -> Option<f64> {
        let count = self.record.count();
        (count > 0).then(|| us as f64 / count as f64)
    }

    pub(crate) fn json(&self) -> Value {
        let requests: Map<String, Value> = self
            .record
            .latencies()
            .map(|(kind, latency)| {
                let mut figures = quantiles(&latency);
                figures["per_second"] = self.per_second(latency.count).into();
                (kind.name().to_owned(), figures)
            })
            .collect();
        let nodes: Map<String, Value> = self
            .cost
            .nodes()
            .iter()
            .map(|(name, node)| {
                let figures = json!({
                    "cpu_us": node.cpu_us,
                    "rss_bytes": node.rss_bytes,
                    "journal_appends": node.journal_appends,
                    "journal_syncs": node.journal_syncs,
                    "context_switches": node.context_switches,
                    "disk_written_bytes": node.disk_written_bytes,
                });
                (name.clone(), figures)
            })
            .collect();
        json!({
            "clients": self.args.clients,
            "value_bytes": self.args.value_bytes,
            "keys": self.args.keys.count,
            "popularity": self.args.keys.popularity.to_string(),
            "put_percent": (!self.args.read_modify_write).then_some(self.args.mix.put_percent),
            "seconds": self.took.as_secs_f64(),
            "warmup_seconds": self.args.warmup.as_secs_f64(),
            "per_second": self.per_second(self.record.count()),
            "rate": self.args.rate,
            "late": self.late,
            "requests": requests,
            "every_seconds": self.args.every.map(|every| every.as_secs_f64()),
            "parts": self.record.parts().map(|part| quantiles(&part)).collect::<Vec<_>>(),
            "absent": self.record.absent(),
            "errors": self.record.errors(),
            "nodes": nodes,
            "nodes_cpu_us_each": self.each(self.cost.nodes_cpu_us()),
            "threads_us_each": self.threads_json(),
            "context_switches_each": self.each(self.cost.context_switches()),
            "disk_written_bytes_each": self.each(self.cost.disk_written_bytes()),
            "client_cpu_us_each": self.each(self.cost.client_cpu_us()),
            "puts_per_sync": self.cost.puts_per_sync(),
        })
    }
}

fn quantiles(latency: &Latency) -> Value {
    json!({
        "count": latency.count,
        "p50_ms": latency.p50_ms,
        "p99_ms": latency.p99_ms,
        "p999_ms": latency.p999_ms,
        "max_ms": latency.max_ms,
    })
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} clients, {} bytes a value, {:.1} s after {:.1} s of warm-up",
            self.args.clients,
            self.args.value_bytes,
            self.took.as_secs_f64(),
            self.args.warmup.as_secs_f64(),
        )?;
        writeln!(
            f,
            "{:<17} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9}",
            "", "count", "per s", "p50 ms", "p99 ms", "p99.9 ms", "max ms"
        )?;
        for (kind, latency) in self.record.latencies() {
            fmt_latency(f, kind.name(), &latency, self.per_second(latency.count))?;
        }
        self.fmt_parts(f)?;
        if let Some(late) = self.late.filter(|late| *late > 0) {
            writeln!(f, "late: {late} requests waited for a free client; their waiting counts")?;
        }
        if self.record.absent() > 0 {
            let absent = self.record.absent();
            writeln!(f, "absent: {absent} gets found nothing; --preload fills the key space")?;
        }
        match self.record.errors() {
            errors if errors.is_empty() => writeln!(f, "errors: none")?,
            errors => {
                for (name, count) in errors {
                    writeln!(f, "errors: {count} {name}")?;
                }
            }
        }
        self.fmt_cost(f)
    }
}

fn fmt_latency(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    latency: &Latency,
    per_second: f64,
) -> fmt::Result {
    writeln!(
        f,
        "{name:<17} {:>10} {per_second:>10.0} {:>9.2} {:>9.2} {:>9.2} {:>9.2}",
        latency.count, latency.p50_ms, latency.p99_ms, latency.p999_ms, latency.max_ms,
    )
}

impl Report<'_> {
    /// Returns the processor time a request on all nodes, by kind of thread.
    fn threads(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let sums = self.cost.threads_us();
        THREADS.iter().zip(sums).map(|((name, _), us)| (*name, self.each(us).unwrap_or(0.0)))
    }

    fn threads_json(&self) -> Map<String, Value> {
        self.threads().map(|(name, us)| (name.to_owned(), us.into())).collect()
    }

    fn fmt_parts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(every) = self.args.every else { return Ok(()) };
        for (number, latency) in self.record.parts().enumerate() {
            let from = every * u32::try_from(number).unwrap_or(u32::MAX);
            let length = every.min(self.took.saturating_sub(from)).as_secs_f64().max(1e-9);
            let name = format!("  from {} s", from.as_secs());
            fmt_latency(f, &name, &latency, latency.count as f64 / length)?;
        }
        Ok(())
    }

    fn fmt_cost(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.each(self.cost.nodes_cpu_us()).unwrap_or(0.0);
        let client = self.each(self.cost.client_cpu_us()).unwrap_or(0.0);
        writeln!(
            f,
            "processor time a request: {nodes:.1} µs on all nodes, {client:.1} µs on the client"
        )?;
        let threads = self.threads();
        let threads: Vec<String> = threads.map(|(name, us)| format!("{us:.1} µs {name}")).collect();
        writeln!(f, "of that on the nodes: {}", threads.join(", "))?;
        let switches = self.each(self.cost.context_switches()).unwrap_or(0.0);
        let written = self.each(self.cost.disk_written_bytes()).unwrap_or(0.0);
        writeln!(
            f,
            "a request: {switches:.1} context switches, {written:.0} bytes to the nodes' disks"
        )?;
        if let Some(puts) = self.cost.puts_per_sync() {
            writeln!(f, "puts per sync: {puts:.1}")?;
        }
        for (name, node) in self.cost.nodes() {
            let memory = node.rss_bytes as f64 / 1e6;
            writeln!(f, "{name}: {memory:.0} MB of memory, {} syncs", node.journal_syncs)?;
        }
        for silent in self.cost.silent() {
            writeln!(f, "no counters from {silent}")?;
        }
        Ok(())
    }
}
