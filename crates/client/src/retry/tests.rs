//! Attempts and pauses against their deadline.

use std::time::{Duration, Instant};

use super::{Budget, PAUSE_MAX, backoff};

#[test]
fn attempts_grow_and_end_at_the_deadline() {
    let start = Instant::now();
    let mut budget = Budget::new(start, Duration::from_secs(5), Duration::from_secs(1));
    let mut now = start;
    let mut shares = Vec::new();
    while let Some(share) = budget.begin(now) {
        shares.push(share.as_secs());
        now += share;
    }
    assert_eq!(shares, [1, 1, 2, 1]);
    assert_eq!(now, budget.deadline());
    assert_eq!(budget.attempts(), 4);
}

#[test]
fn a_large_request_gives_each_attempt_more_time() {
    let start = Instant::now();
    let mut budget = Budget::new(start, Duration::from_secs(60), Duration::from_secs(1));
    budget.allow(Duration::from_secs(3));
    let shares = [(); 3].map(|()| budget.begin(start).map(|share| share.as_secs()));
    assert_eq!(shares, [Some(4), Some(4), Some(8)]);
}

#[test]
fn a_large_request_that_was_refused_twice_waits_before_it_is_sent_again() {
    let start = Instant::now();
    let mut budget = Budget::new(start, Duration::from_secs(60), Duration::from_secs(1));
    budget.allow(Duration::from_secs(4));
    budget.begin(start);
    assert_eq!(budget.pause(start, 0), Duration::ZERO, "another node may have room");
    budget.begin(start);
    assert!(budget.pause(start, 0) >= Duration::from_secs(1));
}

#[test]
fn the_first_retry_is_at_once_and_later_ones_wait_longer_up_to_a_bound() {
    let start = Instant::now();
    let mut budget = Budget::new(start, Duration::from_secs(60), Duration::from_secs(1));
    let mut pauses = Vec::new();
    for _ in 0..12 {
        budget.begin(start);
        let (least, most) = (budget.pause(start, 0), budget.pause(start, u32::MAX));
        assert!(least <= most && most <= PAUSE_MAX);
        pauses.push(most);
    }
    assert_eq!(pauses[0], Duration::ZERO);
    assert!(pauses.is_sorted());
    assert_eq!(*pauses.last().unwrap(), PAUSE_MAX);
}

#[test]
fn a_pause_never_passes_the_deadline() {
    let start = Instant::now();
    let mut budget = Budget::new(start, Duration::from_millis(5), Duration::from_secs(1));
    for _ in 0..8 {
        budget.begin(start);
    }
    assert!(budget.pause(start, u32::MAX) <= Duration::from_millis(5));
    assert_eq!(budget.pause(start + Duration::from_secs(1), u32::MAX), Duration::ZERO);
}

#[test]
fn many_failures_do_not_overflow() {
    assert_eq!(backoff(u32::MAX), PAUSE_MAX);
}
