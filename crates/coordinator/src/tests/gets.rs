//! Gets: who is asked, when it answers, and who is repaired.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::EncodedRecord;

use super::{ME, encoded, node, record, targets};
use crate::get::{Get, GetOutput};
use crate::{Needs, ReadPlan, RepairCause};

const HEDGE_US: u64 = 10_000;
const DEADLINE_US: u64 = 1_000_000;

fn start(names: &str, r: u8) -> Get {
    let plan = ReadPlan {
        me: ME,
        primaries: targets(names),
        fallbacks: Vec::new(),
        needs: Needs { answers: r, ..Needs::default() },
        filling: Vec::new(),
        hedge_after_us: HEDGE_US,
        silent_after_us: 20_000,
        repair_until_us: DEADLINE_US,
        deadline_us: DEADLINE_US,
    };
    Get::new(0, plan)
}

fn outputs(get: &mut Get) -> Vec<GetOutput> {
    core::iter::from_fn(|| get.poll_output()).collect()
}

fn read(name: char, known: Option<&EncodedRecord>) -> GetOutput {
    GetOutput::Read { node: node(name), known: known.map(EncodedRecord::digest) }
}

fn answer(record: Option<&EncodedRecord>) -> GetOutput {
    GetOutput::Answer(Ok(record.cloned()))
}

fn repair(node: NodeId, record: &EncodedRecord, cause: RepairCause) -> GetOutput {
    GetOutput::Repair { node, stands_in_for: None, record: record.clone(), cause }
}

fn merge_of(actors: &[(u64, &str)]) -> EncodedRecord {
    let mut merged = record(actors[0].0, actors[0].1);
    for (actor, value) in &actors[1..] {
        merged.merge(&record(*actor, value));
    }
    EncodedRecord::encode(&merged)
}

#[test]
fn the_local_record_is_read_first_and_the_others_are_asked_with_its_digest() {
    let held = encoded(1, "tea");
    let mut get = start("abc", 2);
    assert_eq!(outputs(&mut get), [GetOutput::ReadLocal]);
    get.handle_record(0, ME, Some(held.clone()));
    assert_eq!(outputs(&mut get), [read('b', Some(&held))]);
    get.handle_same(0, node('b'));
    assert_eq!(outputs(&mut get), [answer(Some(&held)), read('c', Some(&held))]);
    get.handle_same(0, node('c'));
    assert_eq!(outputs(&mut get), []);
    assert!(get.is_done(), "all agree: nothing to repair");
}

#[test]
fn every_replica_that_was_behind_is_repaired_with_the_merge_after_the_answer() {
    let (mine, theirs) = (encoded(1, "tea"), encoded(2, "salt"));
    let both = merge_of(&[(1, "tea"), (2, "salt")]);
    let mut get = start("abc", 2);
    outputs(&mut get);
    get.handle_record(0, ME, Some(mine));
    outputs(&mut get);
    get.handle_record(0, node('b'), Some(theirs));
    assert_eq!(outputs(&mut get), [answer(Some(&both)), read('c', Some(&both))]);
    get.handle_record(0, node('c'), None);
    let repair = |node, cause| repair(node, &both, cause);
    assert_eq!(
        outputs(&mut get),
        [
            repair(ME, RepairCause::Stale),
            repair(node('b'), RepairCause::Stale),
            repair(node('c'), RepairCause::Missing)
        ]
    );
}

#[test]
fn a_late_answer_that_knows_more_still_repairs_the_ones_that_answered() {
    let old = encoded(1, "tea");
    let all = merge_of(&[(1, "tea"), (2, "salt")]);
    let mut get = start("abc", 2);
    outputs(&mut get);
    get.handle_record(0, ME, Some(old.clone()));
    get.handle_same(0, node('b'));
    assert!(outputs(&mut get).contains(&answer(Some(&old))));
    get.handle_record(0, node('c'), Some(all.clone()));
    let repair = |node| repair(node, &all, RepairCause::Stale);
    assert_eq!(outputs(&mut get), [repair(ME), repair(node('b'))]);
}

#[test]
fn a_key_that_nobody_has_is_absent_and_repairs_nobody() {
    let mut get = start("abc", 2);
    outputs(&mut get);
    get.handle_record(0, ME, None);
    get.handle_record(0, node('b'), None);
    get.handle_record(0, node('c'), None);
    assert_eq!(outputs(&mut get), [read('b', None), answer(None), read('c', None)]);
    assert!(get.is_done());
}

#[test]
fn a_slow_replica_is_hedged_and_a_failed_one_replaced_at_once() {
    let held = encoded(1, "tea");
    let mut get = start("abc", 2);
    outputs(&mut get);
    get.handle_record(0, ME, Some(held.clone()));
    outputs(&mut get);
    assert_eq!(get.poll_timeout(), Some(HEDGE_US));
    get.handle_timeout(HEDGE_US);
    assert_eq!(outputs(&mut get), [read('c', Some(&held)), GetOutput::Hedged]);
    get.handle_same(HEDGE_US, node('c'));
    assert_eq!(outputs(&mut get), [answer(Some(&held))]);

    let mut get = start("abc", 2);
    outputs(&mut get);
    get.handle_record(0, ME, Some(held.clone()));
    outputs(&mut get);
    get.handle_failure(0, node('b'));
    assert_eq!(outputs(&mut get), [read('c', Some(&held))]);
}

#[test]
fn a_replica_believed_down_is_asked_only_when_no_other_is_left() {
    let mut get = start("acB", 2);
    outputs(&mut get);
    get.handle_record(0, ME, None);
    assert_eq!(outputs(&mut get), [read('c', None)]);
    get.handle_failure(0, node('c'));
    assert_eq!(outputs(&mut get), [read('b', None)]);
}

#[test]
fn a_get_says_how_far_it_came_when_it_can_not_succeed() {
    let mut get = start("abc", 3);
    outputs(&mut get);
    get.handle_record(0, ME, None);
    get.handle_failure(0, node('b'));
    let short = outputs(&mut get).pop().expect("an answer");
    let GetOutput::Answer(Err(short)) = short else { panic!("{short:?}") };
    assert_eq!((short.had.answers, short.needs.answers, short.timed_out), (1, 3, false));

    let mut get = start("abc", 2);
    outputs(&mut get);
    get.handle_record(0, ME, None);
    get.handle_timeout(DEADLINE_US);
    let short = outputs(&mut get).pop().expect("an answer");
    assert!(matches!(short, GetOutput::Answer(Err(short)) if short.timed_out));
    assert!(get.is_done());
}

#[test]
fn a_node_that_owns_nothing_asks_r_owners_for_the_whole_record() {
    let mut get = start("bcd", 2);
    assert_eq!(outputs(&mut get), [read('b', None), read('c', None)]);
}

#[test]
fn a_replica_that_does_not_answer_in_the_listening_time_holds_nothing_up() {
    let held = encoded(1, "tea");
    let mut get = start("abc", 1);
    outputs(&mut get);
    get.handle_record(0, ME, Some(held.clone()));
    assert!(outputs(&mut get).contains(&answer(Some(&held))));
    get.handle_record(0, node('b'), None);
    let at_us = get.poll_timeout().expect("it listens for a while");
    get.handle_timeout(at_us);
    assert_eq!(outputs(&mut get), [repair(node('b'), &held, RepairCause::Missing)]);
    assert!(get.is_done());
}
