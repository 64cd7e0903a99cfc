//! The ring as a map in text, with one character for each partition.
//!
//! Invariant: a map has at most [`LINES_MAX`] lines, and says how many partitions it leaves out.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use jedlik_client::admin::Partition;

/// Partitions in one line of a map.
const LINE: u32 = 64;
/// Partitions between two spaces in a line.
const GROUP: u32 = 8;
/// Most lines of a map.
const LINES_MAX: u32 = 16;
/// Mark of all nodes that are past the last letter.
const UNMARKED: char = '*';

/// Returns the mark of a node by its place in the list of nodes: a letter, as long as there are letters.
pub(super) fn node_mark(place: usize) -> char {
    ('a'..='z').chain('A'..='Z').nth(place).unwrap_or(UNMARKED)
}

/// Draws the partitions in the ring's order, each as the character that `mark` returns. Every line begins with the
/// number of its first partition.
pub(super) fn ring_map(partitions: u32, mark: impl Fn(Partition) -> char) -> String {
    let drawn = partitions.min(LINE * LINES_MAX);
    let width = partitions.to_string().len();
    let mut text = String::new();
    for start in (0..drawn).step_by(LINE as usize) {
        write!(text, "  {start:>width$} ").expect("writing into memory can't fail");
        for partition in start..drawn.min(start + LINE) {
            if partition % GROUP == 0 {
                text.push(' ');
            }
            text.push(mark(Partition(partition)));
        }
        text.push('\n');
    }
    if drawn < partitions {
        let left_out = partitions - drawn;
        writeln!(text, "  and {left_out} more partitions; --json has all")
            .expect("writing into memory can't fail");
    }
    text
}

/// Formats partitions in order, with neighbours together: `0-3,7`.
pub(super) fn ranges(partitions: &[Partition]) -> String {
    joined(&runs(partitions))
}

/// Formats partitions like [`ranges`], but only the first few ranges of many: `0-3,7 and 12 more ranges`.
pub(super) fn few_ranges(partitions: &[Partition]) -> String {
    /// Most ranges that are all shown.
    const ALL: usize = 4;
    /// Ranges that are shown of a larger number.
    const FEW: usize = 3;
    let runs = runs(partitions);
    if runs.len() <= ALL {
        return joined(&runs);
    }
    format!("{} and {} more ranges", joined(&runs[..FEW]), runs.len() - FEW)
}

/// Returns the first and last partition of each range without a gap.
fn runs(partitions: &[Partition]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for partition in partitions {
        match runs.last_mut() {
            Some((_, end)) if *end + 1 == partition.0 => *end = partition.0,
            _ => runs.push((partition.0, partition.0)),
        }
    }
    runs
}

fn joined(runs: &[(u32, u32)]) -> String {
    let text = |(start, end): &(u32, u32)| {
        if start == end { start.to_string() } else { format!("{start}-{end}") }
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}
