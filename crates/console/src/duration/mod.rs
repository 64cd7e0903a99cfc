//! Durations as people type them: a number with a unit, or a bare number of seconds.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// Parses a duration of a millisecond or more: `500ms`, `5s`, `2m`, `3h`, `1d` or a bare number of seconds.
///
/// # Errors
/// The text is no duration, or one out of the range; the message says what is.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse(text, 1.0)
}

/// Parses a duration that may be zero, such as `0s`.
///
/// # Errors
/// The text is no duration, or one out of the range; the message says what is.
pub fn duration_or_zero(text: &str) -> Result<Duration, String> {
    parse(text, 0.0)
}

fn parse(text: &str, least_ms: f64) -> Result<Duration, String> {
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
    if ms >= least_ms && ms <= f64::from(u32::MAX) {
        Ok(Duration::from_millis(ms as u64))
    } else {
        Err(format!("out of its range of {least_ms}ms to 49 days"))
    }
}
