//! Gets: who is asked, when it answers, and who is repaired.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::EncodedRecord;
use jedlik_protocol::peer::Doubt;

use super::{ME, encoded, node, record, targets};
use crate::get::{Get, GetOutput};
use crate::{Needs, ReadPlan, RepairCause};

const HEDGE_US: u64 = 10_000;
const DEADLINE_US: u64 = 1_000_000;

fn plan(names: &str, r: u8) -> ReadPlan {
    ReadPlan {
        me: ME,
        primaries: targets(names),
        fallbacks: Vec::new(),
        needs: Needs { answers: r, ..Needs::default() },
        filling: Vec::new(),
        compares_all: false,
        hedge_after_us: HEDGE_US,
        silent_after_us: 20_000,
        repair_until_us: DEADLINE_US,
        deadline_us: DEADLINE_US,
    }
}

fn start(names: &str, r: u8) -> Get {
    Get::new(0, plan(names, r))
}

/// Starts one of the gets that compare all replicas.
fn start_comparing(names: &str, r: u8) -> Get {
    Get::new(0, ReadPlan { compares_all: true, ..plan(names, r) })
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
    assert_eq!(outputs(&mut get), [answer(Some(&held))]);
    assert!(get.is_done(), "the two agree: nothing to repair, and nobody else to ask");
}

#[test]
fn a_get_that_compares_all_asks_the_rest_once_it_has_answered() {
    let held = encoded(1, "tea");
    let mut get = start_comparing("abc", 2);
    outputs(&mut get);
    get.handle_record(0, ME, Some(held.clone()));
    assert_eq!(outputs(&mut get), [read('b', Some(&held))]);
    get.handle_same(0, node('b'));
    assert_eq!(outputs(&mut get), [answer(Some(&held)), read('c', Some(&held))]);
    get.handle_same(0, node('c'));
    assert_eq!(outputs(&mut get), []);
    assert!(get.is_done(), "all agree: nothing to repair");
}

/// Lets a get run to its end among nodes that answer at once with these versions, 0 for none. Returns who was asked and
/// who was repaired.
fn run(mut get: Get, versions: [u64; 4]) -> (Vec<NodeId>, Vec<NodeId>) {
    let (mut asked, mut repaired) = (Vec::new(), Vec::new());
    while let Some(output) = get.poll_output() {
        let node = match output {
            GetOutput::ReadLocal => ME,
            GetOutput::Read { node, .. } => node,
            GetOutput::Repair { node, .. } => {
                repaired.push(node);
                continue;
            }
            GetOutput::Answer(_) => continue,
            GetOutput::Hedged => panic!("nobody is slow"),
        };
        asked.push(node);
        let version = versions[node.0 as usize - 1];
        get.handle_record(0, node, (version > 0).then(|| encoded(version, "tea")));
    }
    assert!(get.is_done());
    repaired.sort_unstable();
    (asked, repaired)
}

#[test]
fn r_replicas_are_asked_while_they_agree_and_all_once_they_differ() {
    for (r, n) in (1..=4).flat_map(|r| (0..3_u64.pow(4)).map(move |n| (r, n))) {
        let versions = [n % 3, n / 3 % 3, n / 9 % 3, n / 27];
        let agree = versions[..r].iter().all(|version| *version == versions[0]);
        for compares_all in [false, true] {
            let get = Get::new(0, ReadPlan { compares_all, ..plan("abcd", r as u8) });
            let (asked, repaired) = run(get, versions);
            let expected = if agree && !compares_all { r } else { 4 };
            assert_eq!(asked.len(), expected, "R = {r} of {versions:?}");
            let compared = &versions[..asked.len()];
            let are_equal = compared.iter().all(|version| *version == compared[0]);
            assert_eq!(repaired.is_empty(), are_equal, "R = {r} of {versions:?}");
        }
    }
}

#[test]
fn a_replica_that_can_not_say_has_all_others_asked_for_what_it_lacks() {
    for why in [Doubt::Damaged, Doubt::Refilling] {
        let held = encoded(1, "tea");
        let mut get = start("abcd", 2);
        outputs(&mut get);
        get.handle_unknown(0, ME, None, why);
        assert_eq!(outputs(&mut get), [read('b', None), read('c', None)]);
        get.handle_record(0, node('b'), None);
        get.handle_record(0, node('c'), None);
        assert_eq!(outputs(&mut get), [answer(None), read('d', None)], "d may hold it");
        get.handle_record(0, node('d'), Some(held.clone()));
        let repair = |node| repair(node, &held, RepairCause::Missing);
        assert_eq!(outputs(&mut get), [ME, node('b'), node('c')].map(repair));
    }
}

#[test]
fn one_more_is_asked_whenever_it_takes_longer_than_usual() {
    let held = encoded(1, "tea");
    let mut get = Get::new(0, ReadPlan { silent_after_us: DEADLINE_US, ..plan("abcde", 2) });
    outputs(&mut get);
    get.handle_record(0, ME, Some(held.clone()));
    assert_eq!(outputs(&mut get), [read('b', Some(&held))]);
    for (time, name) in (1..).zip(['c', 'd', 'e']) {
        assert_eq!(get.poll_timeout(), Some(time * HEDGE_US));
        get.handle_timeout(time * HEDGE_US);
        assert_eq!(outputs(&mut get), [read(name, Some(&held)), GetOutput::Hedged]);
    }
    get.handle_timeout(4 * HEDGE_US);
    assert_eq!((outputs(&mut get), get.poll_timeout()), (Vec::new(), Some(DEADLINE_US)));
    get.handle_same(5 * HEDGE_US, node('d'));
    assert_eq!(outputs(&mut get), [answer(Some(&held))]);
    assert!(!get.is_done(), "it hears whether those that are late are behind");
    get.handle_record(5 * HEDGE_US, node('c'), None);
    let at_us = get.poll_timeout().expect("it listens for a while");
    get.handle_timeout(at_us);
    assert_eq!(outputs(&mut get), [repair(node('c'), &held, RepairCause::Missing)]);
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
    let mut get = start_comparing("abc", 2);
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
    assert_eq!(outputs(&mut get), [read('b', None), answer(None)]);
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
    let mut get = start_comparing("abc", 1);
    outputs(&mut get);
    get.handle_record(0, ME, Some(held.clone()));
    assert!(outputs(&mut get).contains(&answer(Some(&held))));
    get.handle_record(0, node('b'), None);
    let at_us = get.poll_timeout().expect("it listens for a while");
    get.handle_timeout(at_us);
    assert_eq!(outputs(&mut get), [repair(node('b'), &held, RepairCause::Missing)]);
    assert!(get.is_done());
}
