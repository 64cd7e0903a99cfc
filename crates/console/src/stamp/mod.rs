//! Times as people read them: RFC 3339 in UTC, to the millisecond.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

const DAY_MS: u64 = 86_400_000;

/// Formats a time as `2026-11-23T13:39:15.123Z`; a time before 1970 counts as the beginning of 1970.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    rfc3339_ms(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// Formats milliseconds since the Unix epoch as `2026-11-23T13:39:15.123Z`.
#[must_use]
pub fn rfc3339_ms(ms: u64) -> String {
    let (year, month, day) = date(ms / DAY_MS);
    let (seconds, milli) = (ms % DAY_MS / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Returns year, month and day of the given number of days after 1970-01-01, by eras of 400 years that begin on 1
/// March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}
