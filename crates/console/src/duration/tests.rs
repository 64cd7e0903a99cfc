//! Durations as they are typed.

use std::time::Duration;

use super::{duration, duration_or_zero, lifetime};

#[test]
fn durations_have_units() {
    let cases = [
        ("500ms", Some(500)),
        ("5s", Some(5_000)),
        ("0.5s", Some(500)),
        ("2m", Some(120_000)),
        ("1.5h", Some(5_400_000)),
        ("2d", Some(172_800_000)),
        ("3", Some(3_000)),
        ("50d", None),
        ("-1s", None),
        ("5w", None),
        ("s", None),
        ("", None),
        ("NaN", None),
    ];
    for (text, ms) in cases {
        let expected = ms.map(Duration::from_millis);
        assert_eq!(duration(text).ok(), expected, "{text}");
        assert_eq!(duration_or_zero(text).ok(), expected, "{text}");
    }
    let zero = duration("0s").unwrap_err();
    assert_eq!(zero, "out of its range of 1ms to 49 days");
    assert_eq!(duration_or_zero("0s"), Ok(Duration::ZERO));
    assert!(duration("5w").unwrap_err().contains("ms, s, m, h or d"));
}

#[test]
fn what_is_to_last_may_last_for_years() {
    for (text, days) in
        [("90d", Some(90)), ("36500d", Some(36_500)), ("36501d", None), ("0s", None)]
    {
        let expected = days.map(|days| Duration::from_secs(days * 86_400));
        assert_eq!(lifetime(text).ok(), expected, "{text}");
    }
}
