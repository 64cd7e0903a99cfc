//! Delays as answers shape them, and the bound on hedges.

use std::time::{Duration, Instant};

use super::{
    ANSWERS_PER_HEDGE, Allowance, DELAY_FIRST, DELAY_MAX, DELAY_MIN, HEDGES_SAVED, NodeLatency,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_delay_is_twice_the_slowest_hundredth_within_its_bounds() {
    // Usual time, number of answers in a hundred that take another time, that time, and the range of the delay.
    let cases = [
        (1, 0, 1, DELAY_MIN..=DELAY_MIN),
        (1, 5, 40, ms(75)..=ms(100)),
        (40, 0, 40, ms(75)..=ms(90)),
        (1, 5, 1000, DELAY_MAX..=DELAY_MAX),
        (300, 0, 300, DELAY_MAX - ms(20)..=DELAY_MAX),
    ];
    for (usual, slow, slow_ms, expected) in cases {
        let mut latency = NodeLatency::new();
        assert_eq!(latency.delay(), DELAY_FIRST);
        let mut last = Duration::ZERO;
        for index in 0..100_000 {
            let took = if index % 100 < slow { slow_ms } else { usual };
            latency.learn(ms(took));
            last = last.max(if index > 99_900 { latency.delay() } else { Duration::ZERO });
        }
        assert!(expected.contains(&last), "{usual} {slow} {slow_ms}: {last:?}");
    }
}

#[test]
fn a_node_is_silent_until_it_is_heard_and_again_after_a_while() {
    let start = Instant::now();
    let mut latency = NodeLatency::new();
    assert!(latency.is_silent(start, ms(75)));
    latency.hear(start, 7);
    assert!(!latency.is_silent(start + ms(74), ms(75)));
    latency.notice(start + ms(70), 7);
    assert!(latency.is_silent(start + ms(75), ms(75)), "nothing has come since");
    latency.notice(start + ms(75), 8);
    assert!(!latency.is_silent(start + ms(149), ms(75)), "a part of an answer has come");
}

#[test]
fn hedges_are_earned_by_answers_and_saved_up_to_a_bound() {
    let mut allowance = Allowance::new();
    let mut spent = 0;
    for _ in 0..10_000 {
        allowance.earn();
        spent += u32::from(allowance.spend());
    }
    assert_eq!(spent, 10_000 / ANSWERS_PER_HEDGE + HEDGES_SAVED - 1);
    (0..10_000).for_each(|_| allowance.earn());
    assert_eq!((0..10_000).filter(|_| allowance.spend()).count(), HEDGES_SAVED as usize);
}
