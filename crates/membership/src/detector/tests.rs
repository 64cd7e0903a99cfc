//! Suspicion, probes and trust on virtual time.

use alloc::vec::Vec;

use super::*;

const NODE: NodeId = NodeId(9);
const SECOND: u64 = 1_000_000;
/// Time from the first probe of a suspected member until it is down; `DIRECT_US` is the time until others are asked.
const ASKED_US: u64 = 1_600_000;
const DIRECT_US: u64 = 800_000;

/// A detector that knows one member, which has answered.
fn with_one() -> (Detector, Chance) {
    let mut detector = Detector::default();
    detector.joined(0, NODE, false);
    detector.answered(0, NODE);
    (detector, Chance::new([1; 32]))
}

fn signals(detector: &mut Detector) -> Vec<&'static str> {
    let name = |signal| match signal {
        Signal::Probe { .. } => "probe",
        Signal::ProbeThroughOthers { .. } => "through others",
        Signal::Down(_) => "down",
        Signal::Up(_) => "up",
    };
    core::iter::from_fn(|| detector.poll_signal()).map(name).collect()
}

/// Runs all timers up to a time.
fn run(detector: &mut Detector, chance: &mut Chance, until_us: u64) -> Vec<&'static str> {
    while let Some(due_us) = detector.due_us().filter(|due_us| *due_us <= until_us) {
        detector.handle_timeout(due_us, chance);
    }
    signals(detector)
}

/// Fails a request and lets the probes go unanswered; returns the time at which the member went down.
fn bring_down(detector: &mut Detector, chance: &mut Chance, now_us: u64) -> u64 {
    detector.failed(now_us, NODE);
    let down_us = now_us + ASKED_US;
    let asked = run(detector, chance, down_us);
    assert_eq!(asked[..3], ["probe"; 3]);
    assert_eq!(asked[3..], ["probe", "through others", "probe", "through others", "down"]);
    down_us
}

#[test]
fn a_failed_request_is_followed_by_a_direct_and_then_an_indirect_probe() {
    let (mut detector, mut chance) = with_one();
    detector.failed(SECOND, NODE);
    assert_eq!(run(&mut detector, &mut chance, SECOND), ["probe"]);
    assert_eq!(run(&mut detector, &mut chance, SECOND + DIRECT_US - 1), ["probe"; 2]);
    let asked_us = SECOND + DIRECT_US;
    assert_eq!(run(&mut detector, &mut chance, asked_us), ["probe", "through others"]);
    assert!(detector.is_up(NODE), "still trusted while it is asked");
    let last = run(&mut detector, &mut chance, SECOND + ASKED_US);
    assert_eq!(last, ["probe", "through others", "down"]);
    assert!(!detector.is_up(NODE));
    assert!(detector.up().is_empty());
}

#[test]
fn an_answer_at_any_step_ends_the_doubt() {
    for step_us in [0, 1, DIRECT_US, ASKED_US - 1] {
        let (mut detector, mut chance) = with_one();
        detector.failed(SECOND, NODE);
        run(&mut detector, &mut chance, SECOND + step_us);
        detector.answered(SECOND + step_us, NODE);
        assert_eq!(run(&mut detector, &mut chance, 60 * SECOND), [""; 0], "after {step_us} us");
        assert!(detector.is_up(NODE));
    }
}

#[test]
fn many_failures_are_one_probe() {
    let (mut detector, mut chance) = with_one();
    for failure in 0..100 {
        detector.failed(failure, NODE);
        detector.handle_timeout(failure, &mut chance);
    }
    assert_eq!(signals(&mut detector), ["probe"]);
    detector.answered(100, NODE);
    detector.failed(101, NODE);
    assert_eq!(detector.due_us(), Some(CHECK_INTERVAL_US), "the next check waits");
}

#[test]
fn an_overdue_exchange_counts_as_a_failed_request() {
    let (mut detector, mut chance) = with_one();
    detector.expect(0, NODE);
    assert_eq!(run(&mut detector, &mut chance, EXCHANGE_US - 1), [""; 0]);
    assert_eq!(run(&mut detector, &mut chance, EXCHANGE_US), ["probe"]);
}

#[test]
fn others_may_vouch_twice_for_a_node_that_does_not_answer() {
    let (mut detector, mut chance) = with_one();
    detector.failed(0, NODE);
    let mut now_us = 0;
    for time in 0..=VOUCHED_MAX {
        let mut nonce = None;
        while nonce.is_none() {
            now_us = detector.due_us().unwrap();
            detector.handle_timeout(now_us, &mut chance);
            while let Some(signal) = detector.poll_signal() {
                if let Signal::ProbeThroughOthers { nonce: found, .. } = signal {
                    nonce = Some(found);
                }
            }
        }
        detector.vouched(now_us, nonce.unwrap());
        assert_eq!(detector.is_up(NODE), time < VOUCHED_MAX);
    }
    assert_eq!(signals(&mut detector), ["down"]);
}

#[test]
fn a_node_that_is_down_is_probed_and_trusted_with_its_first_answer() {
    let (mut detector, mut chance) = with_one();
    let down_us = bring_down(&mut detector, &mut chance, SECOND);
    let later_us = down_us + 3 * DOWN_PROBE_US;
    assert_eq!(run(&mut detector, &mut chance, later_us), ["probe", "probe", "probe"]);
    detector.stirred(later_us + 1, NODE);
    assert!(!detector.is_up(NODE), "it reached us; that is no proof that we reach it");
    assert_eq!(run(&mut detector, &mut chance, later_us + 1), ["probe"]);
    detector.answered(later_us + 2, NODE);
    assert_eq!(signals(&mut detector), ["up"]);
    assert!(detector.is_up(NODE));
}

#[test]
fn a_flapping_node_has_to_answer_steadily_and_twice_as_long_each_time() {
    let (mut detector, mut chance) = with_one();
    let mut now_us = bring_down(&mut detector, &mut chance, SECOND);
    detector.answered(now_us, NODE);
    for hold_us in [HOLD_DOWN_US, 2 * HOLD_DOWN_US, 4 * HOLD_DOWN_US, HOLD_DOWN_MAX_US] {
        signals(&mut detector);
        now_us = bring_down(&mut detector, &mut chance, now_us + SECOND);
        let start_us = now_us;
        while !detector.is_up(NODE) {
            now_us = detector.due_us().unwrap();
            detector.handle_timeout(now_us, &mut chance);
            detector.answered(now_us, NODE);
        }
        let held_us = now_us - start_us;
        assert!(held_us >= hold_us && held_us <= hold_us + 2 * DOWN_PROBE_US, "{held_us}");
    }
}

#[test]
fn a_missed_probe_starts_the_hold_down_anew() {
    let (mut detector, mut chance) = with_one();
    let down_us = bring_down(&mut detector, &mut chance, SECOND);
    detector.answered(down_us, NODE);
    signals(&mut detector);
    let down_us = bring_down(&mut detector, &mut chance, down_us + SECOND);
    detector.answered(down_us, NODE);
    run(&mut detector, &mut chance, down_us + DOWN_PROBE_US);
    // The probe at one second is not answered, and the next one comes.
    run(&mut detector, &mut chance, down_us + 2 * DOWN_PROBE_US);
    detector.answered(down_us + 2 * DOWN_PROBE_US, NODE);
    assert!(!detector.is_up(NODE));
}

#[test]
fn deaths_far_apart_are_no_flapping() {
    let (mut detector, mut chance) = with_one();
    for time in 0..3 {
        let down_us = bring_down(&mut detector, &mut chance, time * 2 * FLAP_WINDOW_US + SECOND);
        detector.answered(down_us, NODE);
        assert!(detector.is_up(NODE));
        signals(&mut detector);
    }
}

#[test]
fn a_node_that_left_is_not_asked_until_its_record_says_that_it_is_back() {
    let (mut detector, mut chance) = with_one();
    detector.left(NODE);
    assert_eq!(signals(&mut detector), ["down"]);
    detector.answered(1, NODE);
    detector.stirred(1, NODE);
    detector.failed(1, NODE);
    assert_eq!(run(&mut detector, &mut chance, 60 * SECOND), [""; 0]);
    detector.returned(60 * SECOND, NODE);
    assert_eq!(run(&mut detector, &mut chance, 60 * SECOND), ["probe"]);
    assert!(!detector.is_up(NODE));
    detector.answered(60 * SECOND + 1, NODE);
    assert!(detector.is_up(NODE));
}

#[test]
fn another_nodes_doubt_is_a_doubt_of_ones_own() {
    let (mut detector, mut chance) = with_one();
    detector.doubted(SECOND, NODE);
    assert_eq!(run(&mut detector, &mut chance, SECOND), ["probe"]);
    detector.answered(SECOND + 1, NODE);
    assert_eq!(run(&mut detector, &mut chance, 60 * SECOND), [""; 0]);
}

#[test]
fn the_member_after_a_node_is_watched_and_the_first_is_after_the_last() {
    let mut detector = Detector::default();
    let mut chance = Chance::new([1; 32]);
    for node in [NodeId(2), NodeId(5), NODE] {
        detector.joined(0, node, false);
        detector.answered(0, node);
    }
    detector.left(NODE);
    signals(&mut detector);
    for (me, expected) in [(1, 2), (2, 5), (4, 5), (5, 2), (9, 2)] {
        detector.watch_next(0, NodeId(me), &mut chance);
        let Some(Signal::Probe { target, .. }) = detector.poll_signal() else {
            panic!("a member is asked")
        };
        assert_eq!(target, NodeId(expected), "after {me}");
    }
    assert_eq!(detector.due_us(), Some(EXCHANGE_US), "an answer is due");
}

#[test]
fn a_member_that_is_forgotten_is_neither_up_nor_asked() {
    let (mut detector, mut chance) = with_one();
    detector.failed(SECOND, NODE);
    detector.forget(NODE);
    assert!(!detector.is_up(NODE));
    assert_eq!(run(&mut detector, &mut chance, 60 * SECOND), [""; 0]);
}
