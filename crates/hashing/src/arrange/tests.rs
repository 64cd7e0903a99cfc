//! Small circles as a table, and the law that neighbours are distinct.

use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

use super::*;

#[test]
fn tiny_circles_come_out_like_this() {
    type Case = (&'static [u64], usize, &'static [usize]);
    let cases: [Case; 5] = [
        (&[4], 1, &[0, 0, 0, 0]),
        (&[2, 2], 2, &[0, 1, 0, 1]),
        (&[2, 1, 1], 2, &[0, 1, 0, 2]),
        (&[1, 1, 1, 1], 3, &[0, 1, 2, 3]),
        (&[3, 3, 2, 1], 3, &[0, 1, 2, 0, 1, 2, 0, 1, 3]),
    ];
    for (counts, apart, expected) in cases {
        assert_eq!(arrange(counts, apart), expected, "{counts:?} {apart}");
    }
}

#[test]
fn faults_are_counted_around_the_end() {
    for (circle, apart, expected) in
        [(&[0, 1, 2, 0][..], 2, 1), (&[0, 1, 2, 0], 3, 1), (&[0, 1, 0, 1], 2, 0), (&[0, 0], 5, 2)]
    {
        assert_eq!(faults(circle, apart), expected, "{circle:?} {apart}");
    }
}

/// Generates counts of which none is above the length divided by `apart`.
fn feasible() -> impl Strategy<Value = (Vec<u64>, usize)> {
    (2..6_usize).prop_flat_map(|apart| {
        proptest::collection::vec(0..40_u64, apart..12).prop_map(move |mut counts| {
            loop {
                let most = counts.iter().sum::<u64>() / apart as u64;
                let Some(count) = counts.iter_mut().find(|count| **count > most) else {
                    return (counts, apart);
                };
                *count = most;
            }
        })
    })
}

proptest! {
    #[test]
    fn neighbours_are_distinct_wherever_they_can_be((counts, apart) in feasible()) {
        prop_assert_eq!(faults(&arrange(&counts, apart), apart), 0);
    }

    #[test]
    fn every_item_appears_as_often_as_its_count_says(
        counts in proptest::collection::vec(0..30_u64, 1..8), apart in 1..6_usize,
    ) {
        let circle = arrange(&counts, apart);
        for (item, count) in counts.iter().enumerate() {
            let found = circle.iter().filter(|found| **found == item).count() as u64;
            prop_assert!(found == *count);
        }
    }
}
