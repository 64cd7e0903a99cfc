//! Percentiles against sorted latencies.

use proptest::prelude::proptest;

use super::{BUCKETS, LONGEST_US, Latencies, bucket, highest_us};

#[test]
fn every_latency_is_counted_where_it_belongs() {
    assert_eq!(highest_us(BUCKETS - 1), LONGEST_US);
    for index in 1..BUCKETS {
        let (below, highest) = (highest_us(index - 1), highest_us(index));
        assert_eq!((bucket(below + 1), bucket(highest)), (index, index));
        assert!((highest - below - 1) * 16 <= below + 1, "{index} is too wide");
    }
}

#[test]
fn a_lone_outlier_is_no_tail_and_one_in_a_hundred_is_the_bound() {
    let cases = [(50, 1, 15), (50, 2, 1023), (300, 3, 15), (300, 4, 1023)];
    for (fast, slow, p99_us) in cases {
        let mut latencies = Latencies::new();
        (0..fast).for_each(|_| latencies.add(15));
        (0..slow).for_each(|_| latencies.add(1_000));
        assert_eq!(latencies.p99_us(), p99_us, "{slow} of {}", fast + slow);
    }
    assert_eq!(Latencies::new().p99_us(), 0);
}

#[test]
fn latencies_are_kept_for_four_slices() {
    let mut latencies = Latencies::new();
    latencies.add(5);
    for kept in [1, 1, 1, 0] {
        latencies.turn();
        assert_eq!(latencies.count(), kept);
    }
    latencies.add(5);
    latencies.forget();
    assert_eq!((latencies.count(), latencies.is_full()), (0, false));
    (0..3).for_each(|_| latencies.turn());
    assert!(latencies.is_full());
}

proptest! {
    #[test]
    fn the_percentile_is_within_a_sixteenth(
        mut sample in proptest::collection::vec(0..3 * LONGEST_US, 2..500),
    ) {
        let mut latencies = Latencies::new();
        for (index, latency_us) in sample.iter().enumerate() {
            latencies.add(*latency_us);
            if index % 200 == 199 {
                latencies.turn();
            }
        }
        sample.sort_unstable();
        let above = (sample.len() / 100).max(1);
        let exact_us = sample[sample.len() - 1 - above].min(LONGEST_US);
        let found_us = latencies.p99_us();
        assert!(found_us >= exact_us && found_us - exact_us <= exact_us / 16);
    }
}
