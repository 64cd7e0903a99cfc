//! Ids of what is open: each is given out once, and what it stands for is taken out once.

use alloc::format;
use alloc::vec;

use jedlik_hashing::Position;
use jedlik_protocol::peer::PeerResponse;

use super::*;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const SHARD: u16 = 3;

fn placed() -> PlacedKey {
    let key = Key::new("b", "k").unwrap();
    PlacedKey { partition: Partition(1), position: Position(1), key }
}

fn call(node: NodeId, operation: u64, expires_us: u64) -> PeerCall {
    PeerCall {
        node,
        purpose: Purpose::Operation(Caller::of(OperationId(operation))),
        durability: Durability::Buffered,
        sent_us: 0,
        expires_us,
        again: Some(PeerRequest::Read { key: placed().key, known: None, n: 3 }),
    }
}

fn fault(name: &str) -> StorageFault {
    StorageFault::Failed(name.into())
}

/// Ways to be given an id, by the kind of what it stands for.
const GIVERS: [fn(&mut Pending) -> u64; 9] = [
    |pending| pending.operation().0,
    |pending| pending.call(call(N1, 1, 1_000)),
    |pending| pending.load(LoadFor::Mint(placed())),
    |pending| pending.apply(ApplyFor::Nobody),
    |pending| pending.page(PageFor::Surplus { sweep: 1 }),
    |pending| pending.survey(None),
    |pending| pending.hint_page(N1),
    |pending| pending.recall(Partition(1)),
    |pending| pending.hold(1, HoldFor::Nobody),
];

/// Ways to take out what an id stands for, in the order of the givers; they return whether there was something.
/// An operation is kept elsewhere.
const TAKERS: [fn(&mut Pending, u64) -> bool; 9] = [
    |_, _| false,
    |pending, id| pending.take_call(id, N1).is_some(),
    |pending, id| pending.take_load(id).is_some(),
    |pending, id| pending.take_apply(id).is_some(),
    |pending, id| pending.take_page(id).is_some(),
    |pending, id| pending.take_survey(id).is_some(),
    |pending, id| pending.take_hint_page(id).is_some(),
    |pending, id| pending.take_recall(id).is_some(),
    |pending, id| pending.held(id, Ok(())).is_some(),
];

#[test]
fn ids_are_unique_over_all_kinds_and_shards() {
    let mut shards = [Pending::new(0), Pending::new(1), Pending::new(u16::MAX)];
    let mut ids = BTreeSet::new();
    for round in 0..20 {
        for (kind, give) in GIVERS.iter().enumerate() {
            for pending in &mut shards {
                let id = give(pending);
                assert!(ids.insert(id), "{id} was given out before, kind {kind}, round {round}");
                assert_eq!(id >> 48, u64::from(pending.shard), "an id names its shard");
            }
        }
    }
}

#[test]
fn what_an_id_stands_for_is_taken_by_its_own_kind_and_once() {
    for (kind, give) in GIVERS.iter().enumerate() {
        let mut pending = Pending::new(SHARD);
        let id = give(&mut pending);
        for (other, take) in TAKERS.iter().enumerate() {
            if other != kind {
                assert!(!take(&mut pending, id), "kind {kind} was taken as kind {other}");
            }
        }
        assert_eq!(TAKERS[kind](&mut pending, id), kind > 0, "kind {kind}");
        assert!(!TAKERS[kind](&mut pending, id), "kind {kind} was taken twice");
        assert_eq!(pending.next_expiry(), None, "kind {kind}");
    }
}

#[test]
fn the_reason_for_a_write_can_be_seen_while_it_goes_on() {
    let mut pending = Pending::new(SHARD);
    let ticket = pending.apply(ApplyFor::Serve { reply: 7, response: PeerResponse::Written });
    assert!(matches!(pending.apply_of(ticket), Some(ApplyFor::Serve { reply: 7, .. })));
    assert!(matches!(pending.take_apply(ticket), Some(ApplyFor::Serve { reply: 7, .. })));
    assert!(pending.apply_of(ticket).is_none());
}

#[test]
fn a_survey_that_ends_is_told_from_one_that_was_never_asked_for() {
    let mut pending = Pending::new(SHARD);
    let (last, further) = (pending.survey(None), pending.survey(Some(Partition(9))));
    assert_eq!(pending.take_survey(last), Some(None));
    assert_eq!(pending.take_survey(further), Some(Some(Partition(9))));
    assert_eq!(pending.take_survey(last), None);
}

#[test]
fn only_the_node_that_was_called_takes_its_call() {
    let mut pending = Pending::new(SHARD);
    let id = pending.call(call(N1, 1, 1_000));
    assert!(pending.take_call(id, N2).is_none());
    assert_eq!(pending.next_expiry(), Some(1_000), "another node's answer leaves the call open");
    assert_eq!(pending.take_call(id, N1).map(|call| call.node), Some(N1));
    assert_eq!(pending.next_expiry(), None);
}

#[test]
fn all_calls_to_a_node_are_taken_and_no_other() {
    let mut pending = Pending::new(SHARD);
    for (operation, node) in [(1, N1), (2, N2), (3, N1)] {
        pending.call(call(node, operation, 1_000));
    }
    let operations = |calls: Vec<PeerCall>| calls.into_iter().map(|call| call.purpose).collect();
    let purposes: Vec<Purpose> = operations(pending.take_calls_to(N1));
    assert_eq!(purposes, [1, 3].map(|id| Purpose::Operation(Caller::of(OperationId(id)))));
    assert!(pending.take_calls_to(N1).is_empty());
    let left: Vec<Purpose> = operations(pending.take_expired(1_000).into_iter().collect());
    assert_eq!(left, [Purpose::Operation(Caller::of(OperationId(2)))]);
    assert!(pending.take_expired(u64::MAX).is_none(), "calls that were taken expire no more");
}

#[test]
fn calls_expire_in_the_order_of_their_times_and_not_before() {
    let mut pending = Pending::new(SHARD);
    let [late, _, _] = [300, 100, 100].map(|at_us| pending.call(call(N1, at_us, at_us)));
    for (now_us, expired, next) in [
        (99, None, Some(100)),
        (100, Some(100), Some(100)),
        (100, Some(100), Some(300)),
        (100, None, Some(300)),
        (299, None, Some(300)),
        (1_000, Some(300), None),
        (u64::MAX, None, None),
    ] {
        let expires_us = pending.take_expired(now_us).map(|call| call.expires_us);
        assert_eq!((expires_us, pending.next_expiry()), (expired, next), "at {now_us}");
    }
    assert!(pending.take_call(late, N1).is_none(), "an answer after the expiry finds nothing");
}

#[test]
fn an_operation_that_wants_no_answers_gives_up_its_own_requests_alone() {
    let mut pending = Pending::new(SHARD);
    let calls = [call(N1, 1, 9), call(N2, 1, 9), call(N1, 2, 9)];
    let nobodys = PeerCall { purpose: Purpose::Nobody, ..call(N2, 1, 9) };
    let called = calls.into_iter().chain([nobodys]).map(|call| (call.node, pending.call(call)));
    let called: Vec<(NodeId, u64)> = called.collect();
    pending.give_up_calls(OperationId(1));
    let kept = called.into_iter().map(|(node, id)| {
        let call = pending.take_call(id, node).expect("a call that is given up is still open");
        call.again.is_some()
    });
    assert_eq!(kept.collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn a_group_of_writes_answers_at_the_last_one_with_a_failure_if_any_failed() {
    let (done, full, failed) = (Ok(()), Err(StorageFault::Overloaded), Err(fault("disk")));
    for (results, expected) in [
        (vec![done.clone()], None),
        (vec![done.clone(), done.clone(), done.clone()], None),
        (vec![failed.clone()], Some(fault("disk"))),
        (vec![failed.clone(), done.clone(), done.clone()], Some(fault("disk"))),
        (vec![done.clone(), failed.clone(), done.clone()], Some(fault("disk"))),
        (vec![done.clone(), done.clone(), full.clone()], Some(StorageFault::Overloaded)),
        (vec![failed.clone(), full.clone()], Some(StorageFault::Overloaded)),
    ] {
        let mut pending = Pending::new(SHARD);
        let whose = HoldFor::Peer { reply: 5 };
        let (group, other) = (pending.hold(results.len(), whose), pending.hold(1, HoldFor::Nobody));
        let (last, first) = results.split_last().expect("there is one");
        for result in first {
            assert!(pending.held(group, result.clone()).is_none(), "{results:?}");
        }
        let answered = pending.held(group, last.clone()).expect("it was the last");
        assert_eq!((answered.left, &answered.failure), (0, &expected), "{results:?}");
        assert!(matches!(answered.whose, HoldFor::Peer { reply: 5 }));
        assert!(pending.held(group, Ok(())).is_none(), "a group is over once it has answered");
        let other = pending.held(other, Ok(())).expect("another group has its own count");
        assert_eq!(other.failure, None);
    }
}

#[test]
fn ids_go_on_after_those_of_the_state_that_is_replaced() {
    for (before, own) in [(0, 0), (5, 0), (5, 3), (3, 5)] {
        let (mut old, mut new) = (Pending::new(SHARD), Pending::new(SHARD));
        let old_ids: Vec<u64> = (0..before).map(|_| old.apply(ApplyFor::Nobody)).collect();
        let own_ids: Vec<u64> = (0..own).map(|_| new.apply(ApplyFor::Nobody)).collect();
        new.continue_after(&old);
        let later = new.apply(ApplyFor::Nobody);
        let case = format!("{before} before, {own} of its own");
        assert!(old_ids.iter().chain(&own_ids).all(|id| *id < later), "{case}");
        assert!(own_ids.iter().all(|id| new.take_apply(*id).is_some()), "{case}");
    }
}
