//! Histories of one key, and the verdicts on them.

use jedlik_protocol::{ClusterId, Key};
use jedlik_sim::Promise;

use super::{Checked, judge, numbers};
use crate::record::{Asked, Event, Held, Outcome, Shown};

const STORED: Outcome = Outcome::Stored { primaries: 3 };

/// Returns an event of session 0 that takes from `at` to `at + 1`.
fn event(at: u64, asked: Asked, outcome: Outcome) -> Event {
    let (start_us, end_us) = (10 * at, 10 * at + 10);
    Event { session: 0, key: 0, start_us, end_us, asked, outcome, at_rest: true }
}

fn put(at: u64, write: u64, follows: bool) -> Event {
    event(at, Asked::Put { write, follows }, STORED)
}

fn delete(at: u64, write: u64) -> Event {
    event(at, Asked::Delete { write }, STORED)
}

/// Returns versions whose tags are a hundred times their writes; 0 is a tombstone.
fn shows(writes: &[u64]) -> Shown {
    let version = |write: &u64| match write {
        0 => (1, Held::Tombstone),
        write => (100 * write, Held::Write(*write)),
    };
    Shown { versions: writes.iter().map(version).collect(), primaries: 3, truncated: false }
}

fn get(at: u64, writes: &[u64]) -> Event {
    event(at, Asked::Get, Outcome::Got(shows(writes)))
}

fn judged(events: &[Event], last: &[u64]) -> Result<Checked, Promise> {
    let key = Key::new("chaos", "k").unwrap();
    judge(ClusterId(1), &key, events, &shows(last)).map_err(|breach| breach.promise)
}

#[test]
fn what_was_put_is_there_or_something_that_has_seen_it() {
    let events = [put(0, 1, false), get(2, &[1]), put(4, 2, true)];
    let checked = judged(&events, &[2]).unwrap();
    let expected = Checked { answers: 1, certain: 1, acknowledged: 2, versions: 1 };
    assert_eq!(checked, expected);
    assert_eq!(judged(&events, &[]), Err(Promise::NothingLost));
    assert_eq!(judged(&events, &[1]), Err(Promise::NothingLost));
    assert_eq!(judged(&events, &[1, 2]), Err(Promise::NoAncestors));
}

#[test]
fn a_put_in_the_same_microsecond_as_the_end_of_its_get_has_seen_what_that_showed() {
    let events = [put(0, 1, false), get(2, &[1]), put(3, 2, true)];
    judged(&events, &[2]).unwrap();
    assert_eq!(judged(&events, &[1, 2]), Err(Promise::NoAncestors));
}

#[test]
fn a_blind_put_has_seen_nothing() {
    let events = [put(0, 1, false), get(2, &[1]), put(4, 2, false)];
    assert_eq!(judged(&events, &[2]), Err(Promise::NothingLost));
    judged(&events, &[1, 2]).unwrap();
}

#[test]
fn the_next_get_shows_what_was_acknowledged_before_it_was_asked_and_not_what_is_under_way() {
    assert_eq!(judged(&[put(0, 1, false), get(2, &[])], &[1]), Err(Promise::NextGet));
    judged(&[put(0, 1, false), get(0, &[])], &[1]).unwrap();
    judged(&[put(0, 1, false), get(1, &[])], &[1]).unwrap();
    let unsettled = Event { at_rest: false, ..get(2, &[]) };
    judged(&[put(0, 1, false), unsettled], &[1]).unwrap();
    let few = Event { outcome: Outcome::Stored { primaries: 1 }, ..put(0, 1, false) };
    judged(&[few, get(2, &[])], &[1]).unwrap();
}

#[test]
fn what_a_delete_had_seen_stays_away_and_what_it_had_not_seen_stays() {
    let events = [put(0, 1, false), get(2, &[1]), delete(4, 2)];
    judged(&events, &[0]).unwrap();
    judged(&events, &[]).unwrap();
    assert_eq!(judged(&events, &[1]), Err(Promise::DeletedStaysDeleted));
    let unseen = [&events[..], &[put(6, 3, false)]].concat();
    judged(&unseen, &[0, 3]).unwrap();
    assert_eq!(judged(&unseen, &[0]), Err(Promise::NothingLost));
}

#[test]
fn a_put_that_failed_may_be_there_or_not_and_a_delete_that_was_not_done_excuses_nothing() {
    let failed = |maybe_applied| Outcome::Failed { kind: "timeout", maybe_applied };
    let doubtful = Event { outcome: failed(true), ..put(0, 1, false) };
    judged(std::slice::from_ref(&doubtful), &[]).unwrap();
    judged(&[doubtful], &[1]).unwrap();
    let events = |maybe_applied| {
        let delete = Event { outcome: failed(maybe_applied), ..delete(4, 2) };
        [put(0, 1, false), get(2, &[1]), delete]
    };
    for there in [&[0][..], &[1], &[]] {
        judged(&events(true), there).unwrap();
    }
    judged(&events(false), &[1]).unwrap();
    assert_eq!(judged(&events(false), &[]), Err(Promise::NothingLost));
}

#[test]
fn values_from_nowhere_are_found() {
    assert_eq!(judged(&[], &[7]), Err(Promise::OnlyWhatWasWritten));
    let foreign = Shown { versions: vec![(5, Held::Foreign)], ..Shown::default() };
    let got = event(0, Asked::Get, Outcome::Got(foreign));
    assert_eq!(judged(&[got], &[]), Err(Promise::OnlyWhatWasWritten));
}

#[test]
fn where_clocks_were_cut_short_old_versions_may_come_back() {
    let mut events = vec![put(0, 1, false), get(2, &[1]), put(4, 2, true)];
    let shown = Shown { truncated: true, ..shows(&[2]) };
    events.push(event(6, Asked::Get, Outcome::Got(shown)));
    judged(&events, &[1, 2]).unwrap();
}

#[test]
fn a_trace_calls_writes_what_the_history_does() {
    let events = [put(4, 9, false), put(0, 5, false), get(1, &[5])];
    assert_eq!(Vec::from_iter(numbers(&events)), [(5, 0), (9, 1)]);
}
