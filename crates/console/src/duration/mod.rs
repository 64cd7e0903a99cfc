//! Durations as people type them: a number with a unit, or a bare number of seconds.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// Longest time to wait for something, in milliseconds.
const MAX_MS: f64 = u32::MAX as f64;
/// Longest time for which something may last, in milliseconds.
const LIFETIME_MAX_MS: f64 = 36_500.0 * 86_400_000.0;

/// Parses a duration of a millisecond or more: `500ms`, `5s`, `2m`, `3h`, `1d` or a bare number of seconds.
///
/// # Errors
/// The text is no duration, or one out of the range; the message says what is.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse(text, (1.0, MAX_MS, "49 days"))
}

/// Parses a duration that may be zero, such as `0s`.
///
/// # Errors
/// The text is no duration, or one out of the range; the message says what is.
pub fn duration_or_zero(text: &str) -> Result<Duration, String> {
    parse(text, (0.0, MAX_MS, "49 days"))
}

/// Parses a time for which something is to last, of up to a hundred years: `90d`.
///
/// # Errors
/// The text is no duration, or one out of the range; the message says what is.
pub fn lifetime(text: &str) -> Result<Duration, String> {
    parse(text, (1.0, LIFETIME_MAX_MS, "36500 days"))
}

fn parse(
    text: &str,
    (least_ms, most_ms, most): (f64, f64, &'static str),
) -> Result<Duration, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_ms = match unit {
        "ms" => 1.0,
        "" | "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return Err(format!("unknown unit {unit:?}; it is ms, s, m, h or d")),
    };
    let ms = number.parse::<f64>().map_err(|_| "not a number with a unit, such as 500ms or 5s")?
        * unit_ms;
    if ms >= least_ms && ms <= most_ms {
        Ok(Duration::from_millis(ms as u64))
    } else {
        Err(format!("out of its range of {least_ms}ms to {most}"))
    }
}
