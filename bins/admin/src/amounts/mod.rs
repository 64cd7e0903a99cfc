//! Sizes and durations as people read them.

#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

/// Formats bytes in the largest binary unit of which there is at least one.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let step = (bytes.ilog2() / 10) as usize;
    format!("{:.1} {}", bytes as f64 / (1_u64 << (10 * step)) as f64, UNITS[step - 1])
}

/// Formats whole seconds in the two largest units that apply.
pub(crate) fn span(seconds: u64) -> String {
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
pub(crate) fn age_s(now_ms: u64, since_ms: u64) -> u64 {
    now_ms.saturating_sub(since_ms) / 1000
}

/// Returns the current time in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Formats a count with its noun, which takes an s unless the count is one.
pub(crate) fn count(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
