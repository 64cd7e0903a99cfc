//! Bucket properties: by name, together, and in gossip.

use alloc::string::ToString;

use super::{BucketEntry, BucketProps, PROPERTY_NAMES, Reconcile};
use crate::limits::{
    N_MAX, RECORD_MAX_BYTES, RECORD_OVERHEAD_BYTES, VALUE_LIMIT_MAX_BYTES, record_limit_max_bytes,
};
use crate::{Blob, Durability};

/// Properties that differ from the defaults in every name.
fn unusual() -> BucketProps {
    BucketProps {
        n: 5,
        r: 3,
        w: 4,
        min_w: 3,
        pr: 1,
        pw: 2,
        dw: 3,
        durability: Durability::Written,
        reconcile: Reconcile::LastWriteWins,
        value_limit_bytes: 1_000,
        record_limit_bytes: 20_000,
        sibling_warning: 3,
        sibling_limit: 4,
        ttl_ms: Some(60_000),
    }
}

#[test]
fn every_name_sets_what_it_shows() {
    let (unusual, defaults) = (unusual(), BucketProps::default());
    let mut set = defaults.clone();
    for name in PROPERTY_NAMES {
        let value = unusual.value(name).unwrap();
        assert_ne!(defaults.value(name).as_ref(), Some(&value), "{name}");
        assert_eq!(set.set(name, &value), Ok(()));
        assert_eq!(set.value(name), Some(value), "{name}");
    }
    assert_eq!(set, unusual);
    for name in PROPERTY_NAMES {
        assert_eq!(set.set(name, &defaults.value(name).unwrap()), Ok(()));
    }
    assert_eq!(set, defaults);
    assert_eq!(defaults.value("color"), None);
}

#[test]
fn a_value_that_is_none_changes_nothing_and_says_what_would_do() {
    for (name, value, error) in [
        (
            "color",
            "red",
            "unknown bucket property \"color\"; known are n, r, w, min_w, pr, pw, dw, durability, reconcile, value_limit_bytes, record_limit_bytes, sibling_warning, sibling_limit, ttl_ms",
        ),
        (
            "n",
            "three",
            "bucket property n can't be \"three\": it takes a whole number from 1 to 16",
        ),
        ("n", "256", "bucket property n can't be \"256\": it takes a whole number from 1 to 16"),
        (
            "w",
            "-1",
            "bucket property w can't be \"-1\": it takes a whole number from 1 to the bucket's n",
        ),
        (
            "value_limit_bytes",
            "5000000000",
            "bucket property value_limit_bytes can't be \"5000000000\": it takes a whole number from 1 to 16777216",
        ),
        (
            "record_limit_bytes",
            "5000000000",
            "bucket property record_limit_bytes can't be \"5000000000\": it takes a whole number from value_limit_bytes and 16384 more to 22369621, the most with n=3",
        ),
        (
            "durability",
            "fsync",
            "bucket property durability can't be \"fsync\": it takes buffered, written or synced",
        ),
        (
            "reconcile",
            "lww",
            "bucket property reconcile can't be \"lww\": it takes siblings or last-write-wins",
        ),
        (
            "ttl_ms",
            "never",
            "bucket property ttl_ms can't be \"never\": it takes milliseconds from 1 to 18446744073709551615, or \"none\" for values that never expire",
        ),
    ] {
        let mut props = BucketProps::default();
        assert_eq!(props.set(name, value).map_err(|error| error.to_string()), Err(error.into()));
        assert_eq!(props, BucketProps::default(), "{name}");
    }
}

#[test]
fn properties_that_do_not_go_together_are_named_with_their_range() {
    let too_large = (VALUE_LIMIT_MAX_BYTES + 1).to_string();
    for (name, value, error) in [
        ("n", "0", "bucket property n can't be 0: it goes from 1 to 16 here"),
        ("n", "17", "bucket property n can't be 17: it goes from 1 to 16 here"),
        ("n", "1", "bucket property r can't be 2: it goes from 1 to 1 here"),
        ("r", "0", "bucket property r can't be 0: it goes from 1 to 3 here"),
        ("r", "4", "bucket property r can't be 4: it goes from 1 to 3 here"),
        ("w", "4", "bucket property w can't be 4: it goes from 1 to 3 here"),
        ("min_w", "0", "bucket property min_w can't be 0: it goes from 1 to 16 here"),
        ("pr", "4", "bucket property pr can't be 4: it goes from 0 to 3 here"),
        ("pw", "4", "bucket property pw can't be 4: it goes from 0 to 3 here"),
        ("dw", "4", "bucket property dw can't be 4: it goes from 0 to 3 here"),
        (
            "value_limit_bytes",
            &too_large,
            "bucket property value_limit_bytes can't be 16777217: it goes from 1 to 16777216 here",
        ),
        (
            "record_limit_bytes",
            "9",
            "bucket property record_limit_bytes can't be 9: it goes from 1064960 to 22369621 here",
        ),
        (
            "sibling_limit",
            "501",
            "bucket property sibling_limit can't be 501: it goes from 1 to 500 here",
        ),
        (
            "sibling_limit",
            "9",
            "bucket property sibling_warning can't be 10: it goes from 1 to 9 here",
        ),
    ] {
        let mut props = BucketProps::default();
        assert_eq!(props.set(name, value), Ok(()));
        assert_eq!(props.check().map_err(|error| error.to_string()), Err(error.into()));
    }
    assert_eq!(BucketProps::default().check(), Ok(()));
    assert_eq!(unusual().check(), Ok(()));
}

#[test]
fn whatever_n_coordinators_let_a_record_grow_to_meets_within_the_largest_record() {
    for n in 1..=N_MAX {
        let most = record_limit_max_bytes(n);
        let value = VALUE_LIMIT_MAX_BYTES.min(most - RECORD_OVERHEAD_BYTES);
        let props = |value_limit_bytes, record_limit_bytes| {
            let quorums = BucketProps { n, r: 1, w: 1, ..BucketProps::default() };
            BucketProps { value_limit_bytes, record_limit_bytes, ..quorums }
        };
        assert!(usize::from(n) * most as usize <= RECORD_MAX_BYTES);
        assert_eq!(props(value, most).check(), Ok(()), "n={n}");
        assert!(props(value, most + 1).check().is_err(), "n={n}");
        assert!(props(value + 1, most).check().is_err(), "n={n}");
        let tight = props(1_000, 1_000 + RECORD_OVERHEAD_BYTES - 1);
        assert!(tight.check().is_err(), "a value of the allowed size has to fit a record");
    }
}

#[test]
fn quorums_that_need_not_meet_are_warned_of() {
    for (n, r, w, warned) in
        [(3, 2, 2, false), (3, 1, 3, false), (3, 1, 2, true), (3, 1, 1, true), (5, 2, 3, true)]
    {
        let warnings = BucketProps { n, r, w, ..BucketProps::default() }.warnings();
        assert_eq!(!warnings.is_empty(), warned, "n={n} r={r} w={w}: {warnings:?}");
    }
    let warnings = BucketProps { r: 1, w: 1, ..BucketProps::default() }.warnings();
    assert!(warnings[0].contains("r=3 or w=3 would do"), "{warnings:?}");
}

#[test]
fn the_least_w_goes_down_with_w_and_up_only_by_its_name() {
    let mut props = BucketProps::default();
    for (name, value, least_w) in [
        ("w", "3", 2),
        ("w", "1", 1),
        ("w", "3", 1),
        ("min_w", "3", 3),
        ("w", "2", 2),
        ("min_w", "1", 1),
    ] {
        props.set(name, value).unwrap();
        assert_eq!(props.least_w(), least_w, "{name}={value}");
        assert_eq!(props.value("min_w"), Some(least_w.to_string()));
    }
    props.set("min_w", "0").unwrap();
    assert!(props.check().is_err(), "a put needs an owner");
}

#[test]
fn of_two_settings_one_wins_by_the_same_rule_everywhere() {
    let entry = |version, props| BucketEntry { name: Blob::from("bucket"), version, props };
    let (old, new) = (entry(1, unusual()), entry(2, BucketProps::default()));
    assert!(new.supersedes(&old) && !old.supersedes(&new));
    let rival = entry(2, unusual());
    assert_ne!(new.supersedes(&rival), rival.supersedes(&new));
    assert_ne!(new.digest(), rival.digest());
    assert!(!new.supersedes(&new));
}

#[test]
fn a_time_to_live_that_is_over_at_once_is_refused() {
    let mut props = BucketProps::default();
    props.set("ttl_ms", "0").unwrap();
    let refused = props.check().unwrap_err().to_string();
    assert!(refused.contains("\"none\" for values that never expire"), "{refused}");
    props.set("ttl_ms", "1").unwrap();
    assert_eq!(props.check(), Ok(()));
}

#[test]
fn every_number_that_no_property_takes_is_told_its_range() {
    for name in PROPERTY_NAMES {
        let error = BucketProps::default().set(name, "99999999999999999999").unwrap_err();
        let ranges = [" from ", "buffered", "siblings"];
        assert!(ranges.iter().any(|range| error.to_string().contains(range)), "{error}");
    }
}
