//! Amounts at the edges of their units.

use super::{age_s, bytes, count, span};

#[test]
fn bytes_have_the_unit_that_fits() {
    let cases = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (u64::MAX, "16.0 EiB"),
    ];
    for (amount, text) in cases {
        assert_eq!(bytes(amount), text);
    }
}

#[test]
fn spans_have_the_two_units_that_matter() {
    let cases = [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min 0 s"),
        (3_599, "59 min 59 s"),
        (3_660, "1 h 1 min"),
        (90_000, "1 d 1 h"),
    ];
    for (seconds, text) in cases {
        assert_eq!(span(seconds), text);
    }
}

#[test]
fn what_lies_ahead_of_the_clock_is_no_time_ago() {
    assert_eq!((age_s(5_000, 2_000), age_s(2_000, 5_000)), (3, 0));
}

#[test]
fn one_is_not_many() {
    assert_eq!((count(1, "key"), count(0, "key")), ("1 key".into(), "0 keys".into()));
}
