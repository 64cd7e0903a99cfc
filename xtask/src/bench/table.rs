//! Results as tables: medians of the rounds, and one file beside another.

use std::fmt::Write as _;

use anyhow::ensure;
use serde_json::Value;

use super::matrix::Row;
use super::results::{Results, Run};

/// Figure of a report, by its heading: of one kind of requests, or else of all.
struct Figure {
    heading: &'static str,
    name: &'static str,
    of_kind: bool,
    digits: usize,
}

const FIGURES: [Figure; 7] = [
    Figure { heading: "per s", name: "per_second", of_kind: true, digits: 0 },
    Figure { heading: "p50 ms", name: "p50_ms", of_kind: true, digits: 2 },
    Figure { heading: "p99 ms", name: "p99_ms", of_kind: true, digits: 2 },
    Figure { heading: "p99.9 ms", name: "p999_ms", of_kind: true, digits: 2 },
    Figure { heading: "nodes µs", name: "nodes_cpu_us_each", of_kind: false, digits: 1 },
    Figure { heading: "switches", name: "context_switches_each", of_kind: false, digits: 1 },
    Figure { heading: "disk B", name: "disk_written_bytes_each", of_kind: false, digits: 0 },
];

/// Figures of one kind of requests in one row, of every round.
struct Line<'a> {
    row: &'a Row,
    kind: &'a str,
    /// Values of each figure, in ascending order.
    values: [Vec<f64>; FIGURES.len()],
    /// Number of requests that failed, in all rounds.
    failed: u64,
}

impl Line<'_> {
    fn name(&self) -> String {
        format!("{}: {}", self.row, self.kind)
    }
}

/// Formats the medians of each row.
pub(super) fn medians(results: &Results) -> String {
    let mut text = conditions(results);
    let headings = FIGURES.map(|figure| format!("{:>10}", figure.heading));
    let _ = writeln!(text, "{:<70}{}", "medians", headings.concat());
    for line in lines(results) {
        let _ = write!(text, "{:<70}", line.name());
        for (figure, values) in FIGURES.iter().zip(&line.values) {
            match median(values) {
                Some(value) => write!(text, "{value:>10.0$}", figure.digits),
                None => write!(text, "{:>10}", "-"),
            }
            .unwrap_or(());
        }
        let failed =
            if line.failed > 0 { format!("  {} failed", line.failed) } else { String::new() };
        let _ = writeln!(text, "{failed}");
    }
    for said in &results.beside {
        let _ = writeln!(text, "{}: {}", said.name, said.line);
    }
    text
}

/// Formats the rows that both have, as ratios of what came after to what was before.
///
/// # Errors
/// They have no row in common.
pub(super) fn comparison(before: &Results, after: &Results) -> anyhow::Result<String> {
    let mut text = format!("before: {}after:  {}", conditions(before), conditions(after));
    if !before.conditions.is_same_machine(&after.conditions) {
        text.push_str("they come from different machines: ratios say little\n");
    }
    let headings = FIGURES.map(|figure| format!("{:>10}", figure.heading));
    let _ = writeln!(text, "{:<70}{}", "after / before", headings.concat());
    let mut common = 0;
    let after = lines(after);
    for old in lines(before) {
        let Some(new) = after.iter().find(|new| new.row == old.row && new.kind == old.kind) else {
            continue;
        };
        common += 1;
        let _ = write!(text, "{:<70}", old.name());
        for (old, new) in old.values.iter().zip(&new.values) {
            let _ = write!(text, "{:>10}", ratio(old, new));
        }
        text.push('\n');
    }
    ensure!(common > 0, "the two files have no row in common");
    text.push_str(
        "~ behind a ratio: rounds of one lie among those of the other, so it may be chance\n",
    );
    Ok(text)
}

fn conditions(results: &Results) -> String {
    let c = &results.conditions;
    format!(
        "{} x {}, {:.0} GiB, Linux {}, fdatasync {:.2} ms (p99 {:.2}), load {:.1}, commit {}\n",
        c.processors,
        c.processor,
        c.memory_bytes as f64 / f64::from(1 << 30),
        c.kernel,
        c.sync_p50_ms,
        c.sync_p99_ms,
        c.load,
        c.commit,
    )
}

/// Returns the lines of all runs, in the order of the first round.
fn lines(results: &Results) -> Vec<Line<'_>> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for Run { row, report } in &results.runs {
        let kinds = report["requests"].as_object().into_iter().flatten();
        for (kind, of_kind) in kinds.filter(|(_, of_kind)| of_kind["count"] != 0) {
            let known = lines.iter().position(|line| line.row == row && line.kind == kind);
            let index = known.unwrap_or_else(|| {
                lines.push(Line { row, kind, values: Default::default(), failed: 0 });
                lines.len() - 1
            });
            let line = &mut lines[index];
            for (figure, values) in FIGURES.iter().zip(&mut line.values) {
                let from = if figure.of_kind { of_kind } else { report };
                values.extend(from[figure.name].as_f64());
                values.sort_by(f64::total_cmp);
            }
            line.failed += failed(report);
        }
    }
    lines
}

/// Returns the number of a run's requests that failed.
fn failed(report: &Value) -> u64 {
    let errors = report["errors"].as_object().into_iter().flatten();
    errors.filter_map(|(_, count)| count.as_u64()).sum()
}

/// Returns the middle value; `None` of nothing.
fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.get(sorted.len() / 2)?;
    let other = sorted[(sorted.len() - 1) / 2];
    Some((middle + other) / 2.0)
}

/// Formats the ratio of two medians, and whether it may be chance.
fn ratio(old: &[f64], new: &[f64]) -> String {
    let (Some(before), Some(after)) = (median(old), median(new)) else { return "-".into() };
    if before == 0.0 {
        return "-".into();
    }
    let overlaps = old[0] <= new[new.len() - 1] && new[0] <= old[old.len() - 1];
    format!("{:.2}{}", after / before, if overlaps { "~" } else { " " })
}

#[cfg(test)]
mod tests;
