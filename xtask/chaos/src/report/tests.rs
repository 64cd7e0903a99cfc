//! Sums of a few events.

use super::Requests;
use crate::load::Sizes;
use crate::record::{Asked, Event, Outcome};

const SIZES: Sizes = Sizes { writers: 1, readers: 1, keys: 1 };

fn event(session: u16, start_ms: u64, end_ms: u64, done: bool) -> Event {
    let failed = Outcome::Failed { kind: "timeout", maybe_applied: false };
    let outcome = if done { Outcome::Got(Default::default()) } else { failed };
    let (start_us, end_us) = (start_ms * 1_000, end_ms * 1_000);
    Event { session, key: 0, start_us, end_us, asked: Asked::Get, outcome, at_rest: true }
}

#[test]
fn unavailability_lasts_from_one_success_to_the_next_or_the_end() {
    let writer = vec![event(0, 0, 5, true), event(0, 10, 90, false), event(0, 95, 105, true)];
    let reader = vec![event(1, 0, 5, true), event(1, 10, 90, false)];
    let requests = Requests::of(&[writer, reader, Vec::new()], SIZES, 400_000);
    assert_eq!(requests.unavailable_ms, [295, 395]);
    assert_eq!(requests.longest_unavailable_ms["writer"], 295);
    assert_eq!(requests.longest_unavailable_ms["reader"], 395);
    assert_eq!(requests.failed["get timeout"], 2);
    assert_eq!((requests.asked["get"], requests.slowest_ms), (5, 10));
    let soon = vec![event(0, 0, 5, true), event(0, 95, 105, true)];
    assert_eq!(Requests::of(&[soon], SIZES, 110_000).unavailable_ms, [100]);
}
