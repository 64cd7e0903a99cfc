//! Requests that legs share, and those that they don't.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::joint::{Asked, Message, RequestId, Requests};

/// Message to a node at a level; it serves another to the same node at its level or below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note(char, u8);

impl Message for Note {
    fn serves(&self, other: &Self) -> bool {
        self.0 == other.0 && self.1 >= other.1
    }
}

fn new(id: u32) -> Asked<Rc<str>> {
    Asked::New(RequestId(id))
}

fn heard(requests: &mut Requests<Note, Rc<str>>, id: u32, answer: &str) -> Option<Vec<usize>> {
    let (_, legs) = requests.answer(RequestId(id), &Rc::from(answer))?;
    Some(legs.iter().collect())
}

#[test]
fn a_message_under_way_or_answered_serves_other_legs_and_a_failed_one_does_not() {
    let mut requests = Requests::new(3);
    assert_eq!(requests.ask(0, &Note('b', 1)), new(0));
    assert_eq!(requests.ask(2, &Note('b', 1)), Asked::Joined);
    assert_eq!(requests.ask(1, &Note('b', 2)), new(1));
    assert_eq!(requests.ask(1, &Note('c', 1)), new(2));
    assert_eq!(heard(&mut requests, 0, "yes"), Some([0, 2].to_vec()));
    assert_eq!(requests.ask(1, &Note('b', 0)), Asked::Answered(Rc::from("yes")));

    let (note, legs) = requests.fail(RequestId(2)).expect("under way");
    assert_eq!((*note, legs.iter().collect::<Vec<_>>()), (Note('c', 1), [1].to_vec()));
    assert_eq!(requests.ask(0, &Note('c', 1)), new(3));
}

#[test]
fn what_was_answered_serves_sooner_than_what_is_under_way() {
    let mut requests = Requests::new(3);
    requests.ask(0, &Note('b', 1));
    requests.ask(1, &Note('b', 2));
    assert_eq!(heard(&mut requests, 0, "yes"), Some([0].to_vec()));
    assert_eq!(requests.ask(2, &Note('b', 1)), Asked::Answered(Rc::from("yes")));
}

#[test]
fn a_leg_that_asks_again_is_not_given_the_same_answer() {
    let mut requests = Requests::new(2);
    assert_eq!(requests.ask(0, &Note('b', 1)), new(0));
    assert_eq!(requests.ask(0, &Note('b', 1)), new(1));
    assert_eq!(heard(&mut requests, 0, "yes"), Some([0].to_vec()));
    assert_eq!(requests.ask(0, &Note('b', 1)), new(2));
}

#[test]
fn a_request_is_answered_once() {
    let mut requests = Requests::new(1);
    requests.ask(0, &Note('b', 1));
    requests.ask(0, &Note('c', 1));
    assert_eq!(heard(&mut requests, 0, "yes"), Some([0].to_vec()));
    assert_eq!(heard(&mut requests, 0, "yes"), None);
    assert!(requests.fail(RequestId(1)).is_some());
    assert_eq!(heard(&mut requests, 1, "late"), None);
    assert!(requests.fail(RequestId(1)).is_none() && requests.fail(RequestId(2)).is_none());
}

#[test]
fn an_answer_is_kept_only_while_a_leg_may_still_want_it() {
    for (legs, holders) in [(1, 1), (2, 2)] {
        let mut requests = Requests::new(legs);
        requests.ask(0, &Note('b', 1));
        let answer: Rc<str> = Rc::from("yes");
        requests.answer(RequestId(0), &answer);
        assert_eq!(Rc::strong_count(&answer), holders);
    }
}
