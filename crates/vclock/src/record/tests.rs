//! Records: puts, merges, views and pruning as tables; the laws as properties.

extern crate std;

use alloc::vec::Vec;
use core::cell::Cell;
use std::thread_local;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use super::{Content, Record, Sibling, Write, WriteId};
use crate::clock::tests::any_clock;
use crate::{ActorId, ClockEntry, Dot, VectorClock};

type Named = Record<&'static str>;

const X: ActorId = ActorId(1);
const Y: ActorId = ActorId(2);
const Z: ActorId = ActorId(3);

fn dot(actor: ActorId, counter: u64) -> Dot {
    Dot { actor, counter }
}

fn write(value: &'static str, write_id: u128, written_at_ms: u64) -> Write<&'static str> {
    let content = Content::Value(value);
    Write { write_id: WriteId(write_id), written_at_ms, expires_at_ms: None, content }
}

/// Puts `value` as a write of its own.
fn put(record: &mut Named, context: &VectorClock, actor: ActorId, value: &'static str) -> Dot {
    let write_id = value.bytes().fold(0, |id, byte| id << 8 | u128::from(byte));
    record.put(context, actor, write(value, write_id, 1_000))
}

fn values<'a>(siblings: impl IntoIterator<Item = &'a Sibling<&'static str>>) -> Vec<&'static str> {
    siblings
        .into_iter()
        .map(|sibling| match sibling.content {
            Content::Value(value) => value,
            Content::Tombstone => "(tombstone)",
        })
        .collect()
}

fn merged<V: Clone>(a: &Record<V>, b: &Record<V>) -> Record<V> {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

#[test]
fn two_puts_without_a_context_are_siblings() {
    let mut record = Record::new();
    assert_eq!(put(&mut record, &VectorClock::new(), X, "red"), dot(X, 1));
    assert_eq!(put(&mut record, &VectorClock::new(), X, "blue"), dot(X, 2));
    assert_eq!(values(record.siblings()), ["red", "blue"]);
}

#[test]
fn a_put_with_the_context_replaces_what_it_saw_and_nothing_else() {
    let mut record = Record::new();
    put(&mut record, &VectorClock::new(), X, "red");
    put(&mut record, &VectorClock::new(), Y, "blue");
    let context = record.clock().clone();
    put(&mut record, &VectorClock::new(), X, "late");
    assert_eq!(put(&mut record, &context, Y, "mixed"), dot(Y, 2));
    assert_eq!(values(record.siblings()), ["late", "mixed"]);
}

#[test]
fn a_put_that_saw_one_attempt_of_a_write_replaces_the_others_as_well() {
    let attempt = |actor| {
        let mut record = Record::new();
        record.put(&VectorClock::new(), actor, write("tea", 7, 1_000));
        record
    };
    let (first, second) = (attempt(X), attempt(Y));
    let mut both = merged(&first, &second);
    put(&mut both, &VectorClock::new(), Z, "milk");
    // The client was answered by the coordinator of the second attempt alone.
    let context = second.clock().clone();
    put(&mut both, &context, Y, "coffee");
    assert_eq!(values(both.siblings()), ["coffee", "milk"]);
    assert_eq!(values(merged(&both, &first).siblings()), ["coffee", "milk"], "it stays away");
}

#[test]
fn a_put_takes_over_what_its_context_saw_elsewhere() {
    let mut there = Record::new();
    put(&mut there, &VectorClock::new(), X, "old");
    let mut here = Record::new();
    put(&mut here, there.clock(), Y, "new");
    assert_eq!(values(merged(&here, &there).siblings()), ["new"]);
    assert_eq!(values(merged(&there, &here).siblings()), ["new"]);
}

#[test]
fn a_put_goes_past_what_its_context_has_seen_of_its_actor() {
    let mut context = VectorClock::new();
    context.extend(dot(X, 4), 0);
    assert_eq!(put(&mut Record::new(), &context, X, "red"), dot(X, 5));
}

#[test]
fn concurrent_puts_on_two_replicas_both_survive_a_merge() {
    let (mut a, mut b) = (Record::new(), Record::new());
    put(&mut a, &VectorClock::new(), X, "red");
    put(&mut b, &VectorClock::new(), Y, "blue");
    assert_eq!(values(merged(&a, &b).siblings()), ["red", "blue"]);
}

#[test]
fn a_deleted_key_is_not_empty_but_has_no_live_version() {
    let mut record = Record::new();
    put(&mut record, &VectorClock::new(), X, "red");
    let context = record.clock().clone();
    record.put(&context, X, Write { content: Content::Tombstone, ..write("", 9, 2_000) });
    assert!(!record.is_empty());
    assert_eq!(values(record.siblings()), ["(tombstone)"]);
    assert_eq!(record.live(3_000).count(), 0);
}

#[test]
fn an_expired_version_counts_as_absent_from_its_moment_on() {
    let mut record = Record::new();
    let lasting = write("lasting", 1, 1_000);
    record.put(&VectorClock::new(), X, lasting);
    let brief = Write { expires_at_ms: Some(1_500), ..write("brief", 2, 1_000) };
    record.put(&VectorClock::new(), X, brief);
    assert_eq!(values(record.live(1_499)), ["lasting", "brief"]);
    assert_eq!(values(record.live(1_500)), ["lasting"]);
}

#[test]
fn a_retry_under_another_coordinator_shows_once() {
    let (mut a, mut b) = (Record::new(), Record::new());
    b.put(&VectorClock::new(), Y, write("red", 1, 2_000));
    a.put(&VectorClock::new(), X, write("red", 1, 1_000));
    a.put(&VectorClock::new(), X, write("blue", 2, 1_000));
    let both = merged(&a, &b);
    assert_eq!(both.siblings().len(), 3);
    assert_eq!(values(both.distinct()), ["red", "blue"]);
    assert_eq!(both.distinct().next().map(|sibling| sibling.dot), Some(dot(X, 1)));
    assert!(both.holds_write(WriteId(1)) && !both.holds_write(WriteId(3)));
}

/// Decision 0001: with the collapse inside the merge, the order of merges would decide what is left.
#[test]
fn a_replaced_retry_does_not_take_its_twin_with_it() {
    let (mut a, mut b) = (Record::new(), Record::new());
    a.put(&VectorClock::new(), X, write("red", 1, 1_000));
    b.put(&VectorClock::new(), Y, write("red", 1, 1_000));
    let mut d = Record::new();
    d.put(a.clock(), Z, write("green", 2, 1_000));
    let left = merged(&merged(&a, &d), &b);
    let right = merged(&merged(&a, &b), &d);
    assert_eq!(left, right);
    assert_eq!(values(left.siblings()), ["red", "green"]);
}

#[test]
fn the_newest_version_is_the_one_written_last_then_the_one_with_the_greater_dot() {
    let mut record = Record::new();
    assert_eq!(record.newest(), None);
    record.put(&VectorClock::new(), Y, write("first", 1, 1_000));
    record.put(&VectorClock::new(), X, write("second", 2, 2_000));
    assert_eq!(values(record.newest()), ["second"]);
    record.put(&VectorClock::new(), Z, write("tied", 3, 2_000));
    assert_eq!(values(record.newest()), ["tied"]);
    record.put(
        &VectorClock::new(),
        X,
        Write { content: Content::Tombstone, ..write("", 4, 3_000) },
    );
    assert_eq!(values(record.newest()), ["(tombstone)"]);
}

/// Decision 0002: were losers dropped in the merge, replicas would drop each other's winners.
#[test]
fn versions_that_lost_by_time_are_held_whatever_the_order() {
    let (mut a, mut b, mut d) = (Record::new(), Record::new(), Record::new());
    a.put(&VectorClock::new(), X, write("later", 1, 20));
    b.put(&VectorClock::new(), Y, write("latest", 2, 30));
    d.put(b.clock(), Z, write("by a slow clock", 3, 10));
    let left = merged(&merged(&a, &b), &d);
    assert_eq!(left, merged(&merged(&a, &d), &b));
    assert_eq!(values(left.siblings()), ["later", "by a slow clock"]);
    assert_eq!(values(left.newest()), ["later"]);
}

#[test]
fn only_entries_without_a_sibling_are_pruned() {
    let mut record = Record::new();
    put(&mut record, &VectorClock::new(), X, "red");
    let context = record.clock().clone();
    put(&mut record, &context, Y, "blue");
    let prunable: Vec<ActorId> = record.prunable().map(|entry| entry.actor).collect();
    assert_eq!(prunable, [X]);
    record.prune(&[X, Y, Z]);
    assert_eq!((record.clock().counter(X), record.clock().counter(Y)), (0, 1));
    assert_eq!(values(record.siblings()), ["blue"]);
}

#[test]
fn an_entry_whose_older_dot_is_still_a_sibling_is_not_pruned() {
    let mut record = Record::new();
    put(&mut record, &VectorClock::new(), X, "older");
    put(&mut record, &VectorClock::new(), X, "newer");
    // As after a put that had seen the newer one alone.
    record.siblings.truncate(1);
    assert_eq!(record.prunable().count(), 0);
    record.prune(&[X]);
    assert_eq!(record.clock().counter(X), 2);
}

#[test]
fn truncation_forgets_the_entries_that_were_touched_longest_ago() {
    for (limit, dropped, left) in [
        (6, 0, &[1, 2, 3, 4, 5][..]),
        (5, 0, &[1, 2, 3, 4, 5]),
        (4, 1, &[1, 2, 4, 5]),
        (3, 2, &[2, 4, 5]),
        (1, 4, &[5]),
        (0, 4, &[5]),
    ] {
        let mut record: Record<()> = Record::new();
        for (actor, touched_ms) in [(1, 30), (2, 40), (3, 10), (4, 50), (5, 0)] {
            let content = Content::Value(());
            let write_id = WriteId(u128::from(actor));
            let write = Write { write_id, written_at_ms: touched_ms, expires_at_ms: None, content };
            let context = record.clock().clone();
            record.put(&context, ActorId(actor), write);
        }
        assert_eq!(record.truncate(limit), dropped, "to {limit}");
        let actors: Vec<u64> = record.clock().entries().iter().map(|e| e.actor.0).collect();
        assert_eq!(actors, left, "to {limit}");
        assert!(record.is_well_formed());
    }
}

thread_local! {
    static COMPARISONS: Cell<usize> = const { Cell::new(0) };
}

pub(super) fn count_comparison() {
    COMPARISONS.set(COMPARISONS.get() + 1);
}

#[test]
fn truncating_a_clock_that_a_client_made_up_compares_no_more_than_a_sort_does() {
    let entries: Vec<ClockEntry> = (1..=20_000)
        .map(|actor| ClockEntry { actor: ActorId(actor), counter: 1, touched_ms: actor % 977 })
        .collect();
    let context = VectorClock { entries };
    let mut record: Record<()> = Record::new();
    let content = Content::Value(());
    let write = Write { write_id: WriteId(1), written_at_ms: 5, expires_at_ms: None, content };
    record.put(&context, ActorId(30_000), write);
    COMPARISONS.set(0);
    assert_eq!(record.truncate(64), 20_001 - 64);
    assert_eq!(record.clock().len(), 64);
    let comparisons = COMPARISONS.get();
    assert!(comparisons < 20_000 * 40, "{comparisons} comparisons of 20,000 entries");
}

/// Generates any well-formed record. Equal dots mean equal siblings, and few write ids mean many retries.
fn any_record() -> impl Strategy<Value = Record<u64>> {
    (any_clock(), vec(any::<Index>(), 0..6)).prop_map(|(clock, picks)| {
        let covered: Vec<Dot> = clock.entries().iter().flat_map(dots_of).collect();
        let mut dots: Vec<Dot> = picks
            .iter()
            .filter(|_| !covered.is_empty())
            .map(|pick| covered[pick.index(covered.len())])
            .collect();
        dots.sort_unstable();
        dots.dedup();
        Record { clock, siblings: dots.into_iter().map(sibling).collect() }
    })
}

fn dots_of(entry: &ClockEntry) -> impl Iterator<Item = Dot> + use<> {
    let actor = entry.actor;
    (1..=entry.counter).map(move |counter| Dot { actor, counter })
}

fn sibling(dot: Dot) -> Sibling<u64> {
    let number = dot.actor.0 * 31 + dot.counter;
    Sibling {
        dot,
        write_id: WriteId(u128::from(number % 4)),
        written_at_ms: number * 7 % 5,
        expires_at_ms: number.is_multiple_of(3).then_some(number),
        content: if number.is_multiple_of(5) { Content::Tombstone } else { Content::Value(number) },
    }
}

proptest! {
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        a in any_record(), b in any_record(), c in any_record(),
    ) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a);
    }

    #[test]
    fn a_merge_keeps_just_what_each_side_holds_or_has_not_seen(a in any_record(), b in any_record()) {
        let holds = |record: &Record<u64>, dot| record.siblings().iter().any(|s| s.dot == dot);
        let both = merged(&a, &b);
        prop_assert!(both.is_well_formed());
        for sibling in a.siblings().iter().chain(b.siblings()) {
            let dot = sibling.dot;
            let kept = [&a, &b].iter().all(|side| holds(side, dot) || !side.clock().covers(dot));
            prop_assert_eq!(holds(&both, dot), kept, "{:?}", dot);
        }
        let known = |s: &Sibling<u64>| holds(&a, s.dot) || holds(&b, s.dot);
        prop_assert!(both.siblings().iter().all(known));
    }

    #[test]
    fn replicas_agree_in_whatever_order_they_merge(
        records in vec(any_record(), 1..6), order in vec(any::<Index>(), 0..12),
    ) {
        let forwards = records.iter().fold(Record::new(), |all, record| merged(&all, record));
        let some = order
            .iter()
            .fold(Record::new(), |all, pick| merged(&all, &records[pick.index(records.len())]));
        let shuffled = records.iter().rev().fold(some, |all, record| merged(&all, record));
        prop_assert_eq!(forwards, shuffled);
    }

    #[test]
    fn a_put_is_held_and_drops_just_the_writes_that_its_context_covers(
        record in any_record(), context in any_clock(), actor in 0..6_u64,
    ) {
        let mut after = record.clone();
        let content = Content::Value(0);
        let write = Write { write_id: WriteId(9), written_at_ms: 0, expires_at_ms: None, content };
        let dot = after.put(&context, ActorId(actor), write);
        prop_assert!(after.is_well_formed());
        prop_assert!(!record.clock().covers(dot) && !context.covers(dot));
        prop_assert!(after.clock().covers(dot) && after.clock().descends(&context));
        let siblings = record.siblings();
        let has_seen = |id| siblings.iter().any(|s| s.write_id == id && context.covers(s.dot));
        let left = siblings.iter().filter(|sibling| !has_seen(sibling.write_id));
        let mut expected: Vec<Dot> = left.map(|sibling| sibling.dot).collect();
        expected.push(dot);
        expected.sort_unstable();
        prop_assert_eq!(after.dots().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn pruning_and_truncation_keep_every_sibling(
        record in any_record(), actors in vec((0..6_u64).prop_map(ActorId), 0..6), limit in 0..6_usize,
    ) {
        let mut pruned = record.clone();
        pruned.prune(&actors);
        let mut truncated = record.clone();
        let dropped = truncated.truncate(limit);
        prop_assert_eq!(truncated.clock().len() + dropped, record.clock().len());
        for after in [pruned, truncated] {
            prop_assert!(after.is_well_formed());
            prop_assert_eq!(after.siblings(), record.siblings());
        }
    }

    #[test]
    fn distinct_versions_have_distinct_write_ids_and_leave_none_out(record in any_record()) {
        let mut ids: Vec<WriteId> = record.distinct().map(|sibling| sibling.write_id).collect();
        let shown = ids.len();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), shown);
        prop_assert!(record.siblings().iter().all(|s| ids.binary_search(&s.write_id).is_ok()));
    }
}
