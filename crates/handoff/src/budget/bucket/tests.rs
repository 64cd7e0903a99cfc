//! The grants of a bucket, and the times that it names for the next.

use alloc::vec::Vec;

use proptest::prelude::{any, proptest};

use super::TokenBucket;

#[test]
fn a_burst_is_what_accrues_in_twenty_milliseconds_and_at_least_one() {
    for (rate_per_s, burst) in [(1, 1), (50, 1), (1_000, 20), (20_000, 400)] {
        let mut bucket = TokenBucket::new(rate_per_s);
        let granted = (0..1_000).filter(|_| bucket.take(5, 1)).count();
        assert_eq!(granted, burst, "at {rate_per_s} a second");
    }
}

#[test]
fn what_costs_more_than_a_burst_is_granted_and_paid_for() {
    let mut bucket = TokenBucket::new(100);
    assert!(bucket.take(0, 50));
    assert!(!bucket.take(400_000, 1), "two were there, fifty are owed and one is asked");
    assert_eq!(bucket.next_us(400_000), 490_000);
    assert!(bucket.take(490_000, 1));
}

proptest! {
    #[test]
    fn it_never_grants_more_than_rate_times_time_and_a_burst(
        rate_per_s in 1..5_000_u32,
        asks in proptest::collection::vec((0..30_000_u64, any::<bool>()), 1..200),
    ) {
        let mut bucket = TokenBucket::new(rate_per_s);
        let (mut now_us, mut grants) = (0_u64, Vec::new());
        for (wait_us, greedy) in asks {
            now_us += wait_us;
            while bucket.take(now_us, 1) {
                grants.push(now_us);
                if !greedy {
                    break;
                }
            }
        }
        // Over every span from one grant to another: the least of what was ahead of the rate before
        // each, against what is after it.
        let burst = (i128::from(rate_per_s) * 20_000).max(1_000_000);
        let mut least = i128::MAX;
        for (index, at_us) in grants.into_iter().enumerate() {
            let ahead = index as i128 * 1_000_000 - i128::from(rate_per_s) * i128::from(at_us);
            least = least.min(ahead);
            assert!(ahead + 1_000_000 - least <= burst);
        }
    }

    #[test]
    fn it_grants_when_it_said_and_not_before(
        rate_per_s in 1..50_000_u32, cost in 1..500_u32, start_us in any::<u32>(),
    ) {
        let mut bucket = TokenBucket::new(rate_per_s);
        while bucket.take(u64::from(start_us), cost) {}
        let next_us = bucket.next_us(u64::from(start_us));
        assert!(next_us > u64::from(start_us));
        assert!(!bucket.take(next_us - 1, 1));
        assert!(bucket.take(next_us, 1));
    }

    #[test]
    fn a_clock_that_steps_back_grants_nothing(at_us in 1_000_000..u64::MAX, back_us in 0..1_000_000_u64) {
        let mut bucket = TokenBucket::new(1_000);
        while bucket.take(at_us, 1) {}
        assert!(!bucket.take(at_us - back_us, 1));
        assert!(!bucket.take(at_us, 1));
    }
}
