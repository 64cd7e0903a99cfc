//! Sizes, counts and spans of time as people read them.
//!
//! Invariant: an amount is displayed alike wherever it is displayed, by the tools and by a node.

#![no_std]
extern crate alloc;

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;

/// Formats bytes in the largest binary unit of which there is at least one.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let step = (bytes.ilog2() / 10) as usize;
    format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * step)) as f64, UNITS[step - 1])
}

/// Formats whole seconds in the two largest units that apply.
#[must_use]
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// Returns the age in whole seconds of a time in milliseconds since the Unix epoch; 0 for a time in the future, since
/// clocks differ.
#[must_use]
pub fn age_s(now_ms: u64, since_ms: u64) -> u64 {
    now_ms.saturating_sub(since_ms) / 1000
}

/// Formats a count with its noun, which takes an s unless the count is one.
#[must_use]
pub fn count(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
