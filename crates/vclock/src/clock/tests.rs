//! Clocks: their order and their joins.

use alloc::vec;
use core::cmp::Ordering;

use proptest::collection::btree_map;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};

use super::{ActorId, ClockEntry, Dot, VectorClock};

fn clock(entries: &[(u64, u64)]) -> VectorClock {
    let mut clock = VectorClock::new();
    for &(actor, counter) in entries {
        clock.extend(Dot { actor: ActorId(actor), counter }, 0);
    }
    clock
}

/// Generates any well-formed clock over a few actors.
pub(crate) fn any_clock() -> impl Strategy<Value = VectorClock> {
    btree_map(0..5_u64, (1..5_u64, 0..4_u64), 0..5).prop_map(|entries| VectorClock {
        entries: entries
            .into_iter()
            .map(|(actor, (counter, touched_ms))| ClockEntry {
                actor: ActorId(actor),
                counter,
                touched_ms,
            })
            .collect(),
    })
}

fn merged(a: &VectorClock, b: &VectorClock) -> VectorClock {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

#[test]
fn clocks_compare_as_their_sets_of_events_do() {
    use Ordering::{Equal, Greater, Less};
    for (a, b, expected) in [
        (&[][..], &[][..], Some(Equal)),
        (&[(1, 1)], &[], Some(Greater)),
        (&[], &[(1, 1)], Some(Less)),
        (&[(1, 2)], &[(1, 2)], Some(Equal)),
        (&[(1, 2)], &[(1, 3)], Some(Less)),
        (&[(1, 2), (2, 1)], &[(1, 2)], Some(Greater)),
        (&[(1, 2), (2, 1)], &[(1, 3)], None),
        (&[(1, 1)], &[(2, 1)], None),
        (&[(1, 1), (3, 1)], &[(1, 1), (2, 1), (3, 2)], Some(Less)),
    ] {
        assert_eq!(clock(a).compare(&clock(b)), expected, "{a:?} and {b:?}");
    }
}

#[test]
fn the_time_of_a_touch_is_no_part_of_the_order() {
    let dot = Dot { actor: ActorId(1), counter: 1 };
    let (mut early, mut late) = (VectorClock::new(), VectorClock::new());
    early.extend(dot, 10);
    late.extend(dot, 20);
    assert_eq!(early.compare(&late), Some(Ordering::Equal));
    assert_eq!(merged(&early, &late), late);
    assert_eq!(merged(&late, &early), late);
}

#[test]
fn extending_by_an_older_dot_changes_nothing() {
    let mut seen = clock(&[(1, 3)]);
    seen.extend(Dot { actor: ActorId(1), counter: 2 }, 99);
    assert_eq!(seen, clock(&[(1, 3)]));
}

#[test]
fn an_unsorted_repeated_zero_or_exhausted_entry_is_not_well_formed() {
    let entry =
        |actor, counter| ClockEntry { actor: ActorId(actor), counter, touched_ms: u64::MAX };
    for (entries, expected) in [
        (vec![], true),
        (vec![entry(0, 1), entry(u64::MAX, u64::MAX - 1)], true),
        (vec![entry(2, 1), entry(1, 1)], false),
        (vec![entry(1, 1), entry(1, 2)], false),
        (vec![entry(1, 0)], false),
        (vec![entry(1, u64::MAX)], false),
    ] {
        let clock = VectorClock { entries };
        assert_eq!(clock.is_well_formed(), expected, "{clock:?}");
    }
}

proptest! {
    #[test]
    fn a_merge_is_the_least_upper_bound(a in any_clock(), b in any_clock(), c in any_clock()) {
        let ab = merged(&a, &b);
        prop_assert!(ab.is_well_formed());
        prop_assert!(ab.descends(&a) && ab.descends(&b));
        prop_assert_eq!(c.descends(&ab), c.descends(&a) && c.descends(&b));
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        a in any_clock(), b in any_clock(), c in any_clock(),
    ) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a);
    }

    #[test]
    fn a_merged_clock_covers_what_either_covers(
        a in any_clock(), b in any_clock(), actor in 0..6_u64, counter in 1..6_u64,
    ) {
        let dot = Dot { actor: ActorId(actor), counter };
        prop_assert_eq!(merged(&a, &b).covers(dot), a.covers(dot) || b.covers(dot));
    }

    #[test]
    fn an_extended_clock_covers_the_dot_and_all_that_it_did(
        a in any_clock(), actor in 0..6_u64, counter in 1..6_u64, touched_ms in any::<u64>(),
    ) {
        let mut extended = a.clone();
        let dot = Dot { actor: ActorId(actor), counter };
        extended.extend(dot, touched_ms);
        prop_assert!(extended.is_well_formed());
        prop_assert!(extended.covers(dot) && extended.descends(&a));
    }
}
