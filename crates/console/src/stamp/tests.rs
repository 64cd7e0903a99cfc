//! Times against the calendar.

use std::time::{Duration, SystemTime};

use super::{rfc3339, rfc3339_ms};

#[test]
fn times_read_as_in_the_calendar() {
    let cases = [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
    ];
    for (ms, text) in cases {
        assert_eq!(rfc3339_ms(ms), text);
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)), text);
    }
}
