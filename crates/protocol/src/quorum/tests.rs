//! Quorums as tables.

use alloc::string::ToString;

use super::Quorum;
use crate::error::InvalidQuorum;

#[test]
fn a_wish_resolves_to_a_number_of_replicas_up_to_n() {
    use Quorum::{All, Count, Default, Majority, One};
    let above = |count, n| Err(InvalidQuorum::AboveN { count, n });
    for (wish, bucket, n, expected) in [
        (Default, 2, 3, Ok(2)),
        (Default, 0, 3, Ok(0)),
        // A request may use fewer replicas than the bucket has.
        (Default, 3, 2, Ok(2)),
        (One, 2, 3, Ok(1)),
        (Majority, 1, 1, Ok(1)),
        (Majority, 1, 2, Ok(2)),
        (Majority, 1, 3, Ok(2)),
        (Majority, 1, 4, Ok(3)),
        (Majority, 1, 5, Ok(3)),
        (All, 1, 5, Ok(5)),
        (Count(0), 2, 3, Ok(0)),
        (Count(3), 2, 3, Ok(3)),
        (Count(4), 2, 3, above(4, 3)),
        (Count(u8::MAX), 2, 3, above(u8::MAX, 3)),
    ] {
        assert_eq!(wish.resolve(bucket, n), expected, "{wish} of bucket {bucket}, n {n}");
    }
}

#[test]
fn every_wish_is_read_as_it_is_written() {
    use Quorum::{All, Count, Default, Majority, One};
    for (wish, text) in
        [(Default, "default"), (One, "one"), (Majority, "quorum"), (All, "all"), (Count(7), "7")]
    {
        assert_eq!(wish.to_string(), text);
        assert_eq!(text.parse(), Ok(wish));
    }
    for text in ["", "two", "-1", "256", "1.5", "All"] {
        assert_eq!(text.parse::<Quorum>(), Err(InvalidQuorum::NotAQuorum), "{text:?}");
    }
}

#[test]
fn a_quorum_above_n_names_both_numbers() {
    let error = Quorum::Count(4).resolve(2, 3).unwrap_err();
    assert_eq!(error.to_string(), "a quorum of 4 is above the 3 replicas");
}
