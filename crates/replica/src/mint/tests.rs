//! Minting, one put at a time: whose actor it is, which limit refuses it, and what time it gets.

use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_protocol::{Key, PlacedKey, Quorum, Value};
use jedlik_storage_port::Hint;
use jedlik_vclock::{Dot, WriteId};
use proptest::collection::vec as vec_of;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

const LIFE: Incarnation = Incarnation(1);
const MINE: ActorId = ActorId(7);
const OTHER: ActorId = ActorId(5);
const FRESH: ActorId = ActorId(900);
const NOW: Now = Now::new(0, 1_000_000);

fn value(length: usize) -> Content<Value> {
    Content::Value(vec![b'v'; length].into())
}

fn put(write_id: u128) -> PutRequest {
    PutRequest {
        key: Key::new("b", "k").unwrap(),
        content: value(10),
        context: None,
        write_id: WriteId(write_id),
        ttl_ms: None,
        n: None,
        w: Quorum::Default,
        pw: Quorum::Default,
        dw: Quorum::Default,
        timeout_ms: 1_000,
    }
}

fn clock(entries: &[(ActorId, u64, u64)]) -> VectorClock {
    let mut clock = VectorClock::new();
    for &(actor, counter, touched_ms) in entries {
        clock.extend(Dot { actor, counter }, touched_ms);
    }
    clock
}

/// Adds a version that has seen nothing; its write id is its number.
fn add(record: &mut Record, actor: ActorId, write_id: u128, written_at_ms: u64) {
    let write = Write {
        write_id: WriteId(write_id),
        written_at_ms,
        expires_at_ms: None,
        content: value(10),
    };
    record.put(&VectorClock::new(), actor, write);
}

/// Returns a record with so many siblings by another actor; their write ids count from 1.
fn siblings(count: u128) -> Record {
    let mut record = Record::new();
    (1..=count).for_each(|number| add(&mut record, OTHER, number, 500));
    record
}

fn stored(record: &Record, local: Option<ActorId>) -> StoredRecord {
    let local = local.map(|actor| LocalActor { actor, incarnation: LIFE });
    StoredRecord { local, record: EncodedRecord::encode(record) }
}

fn hint_for(target: NodeId, record: StoredRecord) -> Hint {
    let key = PlacedKey { partition: Partition(0), position: Position(0), key: put(1).key };
    Hint { target, since_ms: 1, key, record }
}

fn held(record: &Record, local: Option<ActorId>) -> Held {
    let holding = Holding { record: Some(stored(record, local)), ..Holding::default() };
    Held::of(&holding, CoordinatorCopy::Record)
}

fn request<'a>(
    put: &'a PutRequest,
    context: &'a VectorClock,
    props: &'a BucketProps,
) -> MintRequest<'a> {
    MintRequest { put, context, props, stands_in: false, follows_ms: None }
}

/// Mints a put and asserts that a refusal changes nothing.
fn mint_on(held: &mut Held, request: MintRequest<'_>, now: Now) -> Result<Minted, ErrorCode> {
    let before = held.clone();
    let result = mint(held, request, now, (LIFE, FRESH));
    if result.is_err() {
        assert_eq!((&held.record, held.local), (&before.record, before.local));
        assert_eq!(held.exact_bytes(), before.clone().exact_bytes());
    }
    result.map_err(|failure| failure.code)
}

fn last_write_wins() -> BucketProps {
    BucketProps { reconcile: Reconcile::LastWriteWins, ..BucketProps::default() }
}

fn version(record: &Record, write_id: u128) -> &jedlik_protocol::Sibling {
    let is_it = |sibling: &&jedlik_protocol::Sibling| sibling.write_id == WriteId(write_id);
    record.siblings().iter().find(is_it).expect("the put is a version")
}

#[test]
fn a_dot_is_drawn_under_an_actor_that_lacks_nothing_or_under_a_fresh_one() {
    let past = Incarnation(LIFE.0 + 1);
    let of = |actor, count: u128| {
        let mut record = Record::new();
        (1..=count).for_each(|number| add(&mut record, actor, number, 500));
        record
    };
    for (why, local, record, context, expected) in [
        ("all is well", Some((MINE, LIFE)), of(MINE, 3), vec![], (MINE, 4)),
        ("the client has seen all", Some((MINE, LIFE)), of(MINE, 3), vec![(MINE, 3)], (MINE, 4)),
        (
            "the client has seen others",
            Some((MINE, LIFE)),
            of(MINE, 3),
            vec![(OTHER, 9)],
            (MINE, 4),
        ),
        ("there is no actor", None, of(MINE, 3), vec![], (FRESH, 1)),
        ("there is no record", None, Record::new(), vec![], (FRESH, 1)),
        ("the actor is of another life", Some((MINE, past)), of(MINE, 3), vec![], (FRESH, 1)),
        ("its entry is gone", Some((MINE, LIFE)), of(OTHER, 3), vec![], (FRESH, 1)),
        ("the client has seen more", Some((MINE, LIFE)), of(MINE, 3), vec![(MINE, 4)], (FRESH, 1)),
    ] {
        let local = local.map(|(actor, incarnation)| LocalActor { actor, incarnation });
        let record = StoredRecord { local, record: EncodedRecord::encode(&record) };
        let holding = Holding { record: Some(record), ..Holding::default() };
        let context: Vec<_> = context.into_iter().map(|(actor, count)| (actor, count, 1)).collect();
        for props in [BucketProps::default(), last_write_wins()] {
            let mut held = Held::of(&holding, CoordinatorCopy::Record);
            let (put, context) = (put(100), clock(&context));
            mint_on(&mut held, request(&put, &context, &props), NOW).expect(why);
            let (actor, counter) = expected;
            let dot = version(&held.record, 100).dot;
            assert_eq!(dot, Dot { actor, counter }, "{why}, {:?}", props.reconcile);
            assert_eq!(held.local, Some(LocalActor { actor, incarnation: LIFE }), "{why}");
            assert_eq!(held.stored().local, held.local, "{why}");
        }
    }
}

#[test]
fn puts_that_are_minted_one_after_the_other_go_on_under_one_actor() {
    let (mut held, props, context) = (Held::default(), BucketProps::default(), VectorClock::new());
    for number in 1..=3 {
        let put = put(number);
        let fresh = ActorId(FRESH.0 + number as u64);
        mint(&mut held, request(&put, &context, &props), NOW, (LIFE, fresh)).expect("a put");
        let (actor, counter) = (ActorId(FRESH.0 + 1), number as u64);
        assert_eq!(version(&held.record, number).dot, Dot { actor, counter });
    }
    assert_eq!(held.record.siblings().len(), 3);
}

#[test]
fn the_base_is_all_that_is_held_and_the_actor_is_that_of_the_copy_that_is_written() {
    let (primary, elsewhere) = (NodeId(2), NodeId(3));
    let own = |actor: u64| {
        let mut record = Record::new();
        add(&mut record, ActorId(actor), actor.into(), 500);
        record
    };
    let hint = |target: NodeId| {
        let record = stored(&own(target.0), Some(ActorId(target.0)));
        hint_for(target, record)
    };
    let record = Some(stored(&own(1), Some(ActorId(1))));
    let hints = vec![hint(elsewhere), hint(primary)];
    let all = Holding { record: record.clone(), hints: hints.clone(), ..Holding::default() };
    let hints_alone = Holding { hints: hints.clone(), ..Holding::default() };
    let record_alone = Holding { record, ..Holding::default() };
    let (in_record, in_hint) = (CoordinatorCopy::Record, CoordinatorCopy::Hint(primary));
    for (why, holding, copy, actor, versions) in [
        ("a record and hints, to the record", &all, in_record, Some(1), vec![1, 2, 3]),
        ("a record and hints, to a hint", &all, in_hint, Some(2), vec![1, 2, 3]),
        ("a record and hints, to no place", &all, CoordinatorCopy::Nowhere, None, vec![1, 2, 3]),
        ("hints alone, to the record", &hints_alone, in_record, None, vec![2, 3]),
        ("hints alone, to a hint", &hints_alone, in_hint, Some(2), vec![2, 3]),
        ("a record alone, to a hint", &record_alone, in_hint, None, vec![1]),
        ("nothing", &Holding::default(), in_record, None, vec![]),
    ] {
        let held = Held::of(holding, copy);
        assert_eq!(held.local.map(|local| local.actor.0), actor, "{why}");
        let ids: Vec<u128> = held.record.siblings().iter().map(|s| s.write_id.0).collect();
        assert_eq!(ids, versions, "{why}");
    }
}

#[test]
fn the_copy_with_the_actors_dots_is_in_the_base_though_another_does_not_fit_beside_it() {
    let primary = NodeId(2);
    let long = |first: u64, actor: ActorId| {
        let others =
            (first..first + CLOCK_ENTRIES_MAX as u64 * 2 / 3).map(|actor| (ActorId(actor), 1, 1));
        let others = clock(&others.collect::<Vec<_>>());
        let mut record = Record::new();
        let (write_id, content) = (WriteId(actor.0.into()), value(1));
        let write = Write { write_id, written_at_ms: 1, expires_at_ms: None, content };
        record.put(&others, actor, write);
        record
    };
    let (record, hinted) = (long(1_000_000, MINE), long(2_000_000, OTHER));
    let hint = hint_for(primary, stored(&hinted, Some(OTHER)));
    let record = Some(stored(&record, Some(MINE)));
    let holding = Holding { record, hints: vec![hint], ..Holding::default() };
    for (copy, actor) in [(CoordinatorCopy::Record, MINE), (CoordinatorCopy::Hint(primary), OTHER)]
    {
        let held = Held::of(&holding, copy);
        assert_eq!(held.local.map(|local| local.actor), Some(actor));
        assert_eq!(held.record.clock().counter(actor), 1);
        assert_eq!(held.record.siblings().len(), 1, "the two do not fit together");
    }
}

#[test]
fn a_retry_mints_nothing_whatever_its_limits_and_its_context() {
    let tight = BucketProps { sibling_limit: 1, record_limit_bytes: 1, ..BucketProps::default() };
    let unheard = Now { latest_ms: Now::UNHEARD_MS, ..NOW };
    let record = siblings(3);
    for (props, now) in [(BucketProps::default(), NOW), (tight, NOW), (last_write_wins(), unheard)]
    {
        for context in [VectorClock::new(), record.clock().clone()] {
            let mut held = held(&record, None);
            let put = PutRequest { ttl_ms: Some(5), ..put(2) };
            let minted = mint_on(&mut held, request(&put, &context, &props), now);
            assert_eq!(minted, Ok(Minted { truncated: 0, retried: true }));
            assert_eq!((&held.record, held.local), (&record, None));
        }
    }
}

#[test]
fn a_put_adds_to_a_record_if_a_version_that_it_has_not_seen_stays_beside_it() {
    let record = siblings(2);
    let (none, all) = (VectorClock::new(), record.clock().clone());
    let part = clock(&[(OTHER, 1, 500)]);
    let (keeps, wins) = (BucketProps::default(), last_write_wins());
    for (why, record, write_id, context, props, adds) in [
        ("nothing is held", &Record::new(), 100, &none, &keeps, false),
        ("it has seen nothing", &record, 100, &none, &keeps, true),
        ("it has seen a part", &record, 100, &part, &keeps, true),
        ("it has seen all", &record, 100, &all, &keeps, false),
        ("it is a retry", &record, 2, &none, &keeps, false),
        ("the last write wins", &record, 100, &none, &wins, false),
    ] {
        let put = put(write_id);
        assert_eq!(request(&put, context, props).adds_to(record), adds, "{why}");
    }
}

#[test]
fn a_put_past_the_sibling_limit_is_refused_and_one_that_adds_none_is_not() {
    let ok = Ok(Minted { truncated: 0, retried: false });
    let full = Err(ErrorCode::TooManySiblings);
    for (limit, stands_in, held_siblings, seen, expected) in [
        (4, false, 3, 0, ok),
        (4, false, 4, 0, full),
        // A stand-in leaves a fourth of the room to puts that it does not see.
        (4, true, 2, 0, ok),
        (4, true, 3, 0, full),
        (100, true, 74, 0, ok),
        (100, true, 75, 0, full),
        (3, true, 2, 0, ok),
        (3, true, 3, 0, full),
        // A put that replaces as many as it adds, or more, is never refused, even far over the limit.
        (4, false, 10, 1, ok),
        (4, true, 10, 1, ok),
        (4, false, 10, 10, ok),
        (1, true, 1, 1, ok),
        (1, false, 1, 0, full),
    ] {
        let props = BucketProps { sibling_limit: limit, ..BucketProps::default() };
        let mut held = held(&siblings(held_siblings), None);
        let context = if seen == 0 { VectorClock::new() } else { clock(&[(OTHER, seen, 1)]) };
        let put = put(1_000);
        let mint_request = MintRequest { stands_in, ..request(&put, &context, &props) };
        let minted = mint_on(&mut held, mint_request, NOW);
        assert_eq!(minted, expected, "{held_siblings}, {seen} seen, {limit}, {stands_in}");
    }
}

#[test]
fn retries_that_two_nodes_minted_count_as_one_sibling() {
    let mut record = Record::new();
    for (actor, write_id) in [(OTHER, 1), (MINE, 1), (ActorId(8), 2)] {
        add(&mut record, actor, write_id, 500);
    }
    let (context, put) = (VectorClock::new(), put(100));
    for (limit, expected) in [(3, true), (2, false)] {
        let props = BucketProps { sibling_limit: limit, ..BucketProps::default() };
        let minted = mint_on(&mut held(&record, None), request(&put, &context, &props), NOW);
        assert_eq!(minted.is_ok(), expected, "a limit of {limit}");
    }
}

#[test]
fn a_refusal_for_siblings_tells_the_count_and_the_limit() {
    let props = BucketProps { sibling_limit: 8, ..BucketProps::default() };
    let (context, put) = (VectorClock::new(), put(100));
    for (count, stands_in, words) in [
        (8, false, "the key would have 9 siblings, over sibling_limit=8: "),
        (8, true, "the key would have 9 siblings, over sibling_limit=8: "),
        (6, true, "the key would have 7 siblings, over the 6 of sibling_limit=8 that "),
    ] {
        let mint_request = MintRequest { stands_in, ..request(&put, &context, &props) };
        let refused = mint(&mut held(&siblings(count), None), mint_request, NOW, (LIFE, FRESH));
        let message = refused.expect_err("it is one too many").message;
        assert!(message.starts_with(words) && message.ends_with(REMEDY), "{message}");
    }
}

#[test]
fn the_record_limit_is_exact_to_the_byte() {
    let repeated = {
        let mut record = siblings(2);
        add(&mut record, MINE, 2, 500);
        record
    };
    for (why, record, length, ttl_ms) in [
        ("the first value", Record::new(), 10, None),
        ("an empty value", Record::new(), 0, None),
        ("a long value", Record::new(), 70_001, Some(5)),
        ("a sibling", siblings(3), 33, None),
        ("a sibling of retries", repeated, 33, Some(5)),
    ] {
        let put = PutRequest { content: value(length), ttl_ms, ..put(100) };
        let context = VectorClock::new();
        let mut roomy = held(&record, None);
        mint_on(&mut roomy, request(&put, &context, &BucketProps::default()), NOW).expect(why);
        let exact = roomy.stored().record.bytes().len();
        for (limit, fits) in [(exact + 1, true), (exact, true), (exact - 1, false), (1, false)] {
            let props = BucketProps { record_limit_bytes: limit as u32, ..BucketProps::default() };
            let mut held = held(&record, None);
            let minted = mint_on(&mut held, request(&put, &context, &props), NOW);
            assert_eq!(
                minted.err(),
                (!fits).then_some(ErrorCode::RecordTooLarge),
                "{why}: {limit}"
            );
            if fits {
                assert_eq!(held.stored(), roomy.stored(), "{why}: the limit changes no record");
            }
        }
    }
}

#[test]
fn a_clock_entry_and_a_version_take_no_more_bytes_than_are_reckoned() {
    let length = |record: &Record| EncodedRecord::encode(record).bytes().len();
    for entries in 0..20_u64 {
        let with = |entries: u64| {
            let context =
                (0..entries).map(|actor| (ActorId(1_000 + actor), u64::MAX - 9, u64::MAX));
            let mut record = siblings(2);
            let (write_id, content) = (WriteId(u128::MAX), value(10));
            let (written_at_ms, expires_at_ms) = (u64::MAX, Some(u64::MAX));
            let write = Write { write_id, written_at_ms, expires_at_ms, content };
            record.put(&clock(&context.collect::<Vec<_>>()), FRESH, write);
            record
        };
        let added_bytes = length(&with(entries + 1)) - length(&with(entries));
        assert!(added_bytes <= ENTRY_MOST_BYTES, "{added_bytes} bytes for entry {entries}");
    }
    // Short values lie within the version, long ones outside.
    for value_bytes in 0..100 {
        for ttl_ms in [None, Some(1)] {
            let put = PutRequest { content: value(value_bytes), ttl_ms, ..put(100) };
            let (mut held, context) = (held(&siblings(2), Some(OTHER)), VectorClock::new());
            let before = length(&held.record);
            mint_on(&mut held, request(&put, &context, &BucketProps::default()), NOW)
                .expect("a put");
            let added_bytes = length(&held.record) - before;
            let most_bytes = value_bytes + SIBLING_MOST_BYTES;
            assert!(added_bytes <= most_bytes, "{added_bytes} bytes for a value of {value_bytes}");
        }
    }
}

#[test]
fn a_record_over_the_limit_may_be_put_to_as_long_as_it_does_not_grow() {
    let record = {
        let (mut held, context) = (Held::default(), VectorClock::new());
        let put = PutRequest { content: value(5_000), ..put(1) };
        mint_on(&mut held, request(&put, &context, &BucketProps::default()), NOW).expect("a put");
        held.record
    };
    let props = BucketProps { record_limit_bytes: 100, ..BucketProps::default() };
    let local = Some(FRESH);
    for (length, fits) in [(5_000, true), (4_000, true), (5_100, false)] {
        let mut held = held(&record, local);
        let put = PutRequest { content: value(length), ..put(100) };
        let minted = mint_on(&mut held, request(&put, record.clock(), &props), NOW);
        assert_eq!(minted.err(), (!fits).then_some(ErrorCode::RecordTooLarge), "{length}");
        assert_eq!(held.record.siblings().len(), 1);
    }
}

#[test]
fn the_size_of_any_record_is_kept_whatever_the_buckets_limit_is() {
    let entries = (1_000..1_000 + CLOCK_ENTRIES_MAX as u64).map(|actor| (ActorId(actor), 1, 1));
    let entries: Vec<_> = entries.collect();
    let mut record = Record::new();
    for &(actor, ..) in &entries {
        add(&mut record, actor, actor.0.into(), 1);
    }
    // Each entry's actor has a version, so that none may be truncated.
    let props = BucketProps {
        sibling_limit: u16::MAX,
        record_limit_bytes: u32::MAX,
        ..BucketProps::default()
    };
    let mut held = Held { record, ..Held::default() };
    let minted = mint_on(&mut held, request(&put(100), &VectorClock::new(), &props), NOW);
    assert_eq!(minted, Err(ErrorCode::RecordTooLarge));
}

#[test]
fn where_the_last_write_wins_a_put_is_later_than_all_that_it_has_seen() {
    let now_ms = NOW.wall_ms;
    let furthest_ms = now_ms + TOUCHED_AHEAD_MS;
    for (why, newest_ms, follows_ms, touched_ms, expected_ms) in [
        ("nothing is later than now", 500, None, None, now_ms),
        ("a version is of now", now_ms, None, None, now_ms + 1),
        ("a version is later", now_ms + 70, None, None, now_ms + 71),
        ("another place holds a later one", 500, Some(now_ms + 80), None, now_ms + 81),
        ("another place holds an earlier one", now_ms + 70, Some(now_ms), None, now_ms + 71),
        ("the client has met a later one", 500, None, Some(now_ms + 90), now_ms + 91),
        ("the client's is as late as is believed", 500, None, Some(furthest_ms), furthest_ms + 1),
        ("the client made up a time", 500, None, Some(u64::MAX), furthest_ms + 1),
        ("a version is of the last time", u64::MAX, None, None, u64::MAX),
    ] {
        let mut record = Record::new();
        add(&mut record, OTHER, 1, newest_ms);
        add(&mut record, OTHER, 2, 400);
        let context = touched_ms.map(|touched_ms| clock(&[(ActorId(3), 1, touched_ms)]));
        let (put, context) = (put(100), context.unwrap_or_default());
        let props = last_write_wins();
        let mint_request = MintRequest { follows_ms, ..request(&put, &context, &props) };
        let mut held = held(&record, None);
        assert_eq!(held.newest_ms(), Some(newest_ms), "{why}");
        mint_on(&mut held, mint_request, NOW).expect(why);
        assert_eq!(held.newest_ms(), Some(expected_ms), "{why}");
        let ids: Vec<u128> = held.record.siblings().iter().map(|s| s.write_id.0).collect();
        assert_eq!(ids, [100], "{why}: it has seen all that is held");
    }
}

#[test]
fn where_siblings_are_kept_a_put_has_the_time_of_now() {
    let mut record = Record::new();
    add(&mut record, OTHER, 1, NOW.wall_ms + 70);
    let context = clock(&[(ActorId(3), 1, NOW.wall_ms + 90)]);
    let (put, props) = (put(100), BucketProps::default());
    let follows_ms = Some(NOW.wall_ms + 80);
    let mut held = held(&record, None);
    let mint_request = MintRequest { follows_ms, ..request(&put, &context, &props) };
    mint_on(&mut held, mint_request, NOW).expect("a put");
    assert_eq!(version(&held.record, 100).written_at_ms, NOW.wall_ms);
    assert_eq!(held.record.siblings().len(), 2);
}

#[test]
fn an_expiry_is_counted_from_the_latest_clock_and_refused_while_none_was_heard() {
    let unheard = Now { latest_ms: Now::UNHEARD_MS, ..NOW };
    let disputed = Now { latest_ms: NOW.wall_ms + 30, ..NOW };
    for (why, now, of_bucket, of_put, expected) in [
        ("no time to live", NOW, None, None, Ok(None)),
        ("the bucket's", NOW, Some(100), None, Ok(Some(NOW.wall_ms + 100))),
        ("the put's own", NOW, Some(100), Some(7), Ok(Some(NOW.wall_ms + 7))),
        ("a clock that is ahead", disputed, None, Some(7), Ok(Some(NOW.wall_ms + 37))),
        ("no end", NOW, None, Some(u64::MAX), Ok(Some(u64::MAX))),
        ("no clock heard, and the put's own", unheard, None, Some(7), Err(ErrorCode::NotReady)),
        ("no clock heard, and the bucket's", unheard, Some(100), None, Err(ErrorCode::NotReady)),
        ("no clock heard, and no time to live", unheard, None, None, Ok(None)),
    ] {
        for reconcile in [Reconcile::Siblings, Reconcile::LastWriteWins] {
            let props = BucketProps { ttl_ms: of_bucket, reconcile, ..BucketProps::default() };
            let (put, context) = (PutRequest { ttl_ms: of_put, ..put(100) }, VectorClock::new());
            let mut held = held(&siblings(1), None);
            let minted = mint_on(&mut held, request(&put, &context, &props), now);
            let expires = minted.map(|_| version(&held.record, 100).expires_at_ms);
            assert_eq!(expires, expected, "{why}, {reconcile:?}");
        }
    }
}

#[test]
fn a_long_clock_loses_its_oldest_entries_but_those_of_versions_and_of_the_versions_replaced() {
    let limit = CLOCK_ENTRIES_LIMIT;
    // Two entries beside those of the context: the replaced version's and the new one's.
    for (entries, truncated) in [(0, 0), (limit - 2, 0), (limit - 1, 1), (limit + 6, 8)] {
        let mut record = Record::new();
        add(&mut record, OTHER, 1, 1);
        let others = (0..entries as u64).map(|age| (ActorId(10_000 - age), 1, 1_000 + age));
        let mut context = clock(&others.collect::<Vec<_>>());
        context.merge(record.clock());
        let mut held = held(&record, None);
        let (put, props) = (put(100), BucketProps::default());
        let minted = mint_on(&mut held, request(&put, &context, &props), NOW);
        assert_eq!(minted, Ok(Minted { truncated, retried: false }), "{entries} entries");
        let clock = held.record.clock();
        assert_eq!(clock.len(), entries + 2 - truncated);
        assert_eq!((clock.counter(OTHER), clock.counter(FRESH)), (1, 1), "{entries} entries");
        for age in 0..entries as u64 {
            let stays = age >= truncated as u64;
            assert_eq!(clock.counter(ActorId(10_000 - age)) > 0, stays, "the entry of age {age}");
        }
    }
}

/// Part of the held versions that a put's context has seen.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Nothing,
    Part(u64),
    All,
}

#[derive(Debug, Clone)]
struct Step {
    content: Content<Value>,
    seen: Seen,
    /// Entries of the context that this node has never met.
    unmet: u64,
    ttl_ms: Option<u64>,
    /// Whether the put comes in another life of the node, and draws a new actor.
    other_life: bool,
    write_id: u128,
}

fn step() -> impl Strategy<Value = Step> {
    let content = prop_oneof![
        8 => (0..300_usize).prop_map(value),
        1 => (4_000..9_000_usize).prop_map(value),
        2 => Just(Content::Tombstone),
    ];
    let seen = prop_oneof![
        4 => Just(Seen::Nothing),
        2 => any::<u64>().prop_map(Seen::Part),
        1 => Just(Seen::All),
    ];
    let unmet = prop_oneof![4 => Just(0), 2 => 1..5_u64, 1 => 60..90_u64];
    let ttl_ms = prop_oneof![Just(None), Just(Some(1_u64))];
    // Few ids, so that there are retries, and more than one node's of the same put.
    let rest = (any::<bool>(), 1..12_u128);
    (content, seen, unmet, ttl_ms, rest).prop_map(|(content, seen, unmet, ttl_ms, rest)| {
        let (other_life, write_id) = rest;
        Step { content, seen, unmet, ttl_ms, other_life, write_id }
    })
}

fn context_of(record: &Record, step: &Step, index: u64) -> VectorClock {
    let entries = record.clock().entries();
    let mut context = match step.seen {
        Seen::Nothing => VectorClock::new(),
        Seen::All => record.clock().clone(),
        Seen::Part(bits) => {
            let seen = entries.iter().enumerate().filter(|(at, _)| bits >> (at % 64) & 1 == 1);
            let seen = seen.map(|(_, entry)| (entry.actor, entry.counter, entry.touched_ms));
            clock(&seen.collect::<Vec<_>>())
        }
    };
    for number in 0..step.unmet {
        let actor = ActorId(1_000_000 + 1_000 * index + number);
        context.extend(Dot { actor, counter: 1 }, 900 + number);
    }
    context
}

proptest! {
    #[test]
    fn the_bound_of_a_records_length_is_never_too_small_and_a_limit_never_passed(
        kept in vec_of(step(), 0..6), hinted in vec_of(step(), 0..6), steps in vec_of(step(), 1..14),
        record_limit_bytes in prop_oneof![Just(4 << 20), 200..6_000_u32],
        wins in any::<bool>(),
    ) {
        let record_of = |first: u64, steps: &[Step]| {
            let mut record = Record::new();
            for (index, step) in (first..).zip(steps) {
                let Step { write_id, content, .. } = step.clone();
                let write = Write {
                    write_id: WriteId(write_id), written_at_ms: 5, expires_at_ms: step.ttl_ms, content,
                };
                record.put(&context_of(&record, step, index), ActorId(index), write);
            }
            record
        };
        let (kept, hinted) = (record_of(100, &kept), record_of(200, &hinted));
        let hint = hint_for(NodeId(2), stored(&hinted, None));
        let holding = Holding {
            record: Some(stored(&kept, None)), hints: vec![hint], ..Holding::default()
        };
        let mut held = Held::of(&holding, CoordinatorCopy::Record);
        let reconcile = if wins { Reconcile::LastWriteWins } else { Reconcile::Siblings };
        let props = BucketProps { record_limit_bytes, reconcile, ..BucketProps::default() };
        let length = |held: &Held| EncodedRecord::encode(&held.record).bytes().len();
        for (index, step) in (300..).zip(&steps) {
            let before = (held.record.clone(), length(&held));
            let context = context_of(&held.record, step, index);
            let put = PutRequest {
                content: step.content.clone(), ttl_ms: step.ttl_ms, ..put(step.write_id)
            };
            let life = if step.other_life { Incarnation(index) } else { LIFE };
            let minted = mint(
                &mut held, request(&put, &context, &props), NOW, (life, ActorId(index)),
            );
            let now_bytes = length(&held);
            prop_assert!(now_bytes <= held.most_bytes || held.record.is_empty());
            if held.exact && !held.record.is_empty() {
                prop_assert_eq!(now_bytes, held.most_bytes);
            }
            match minted {
                Ok(minted) => {
                    prop_assert!(held.record.is_well_formed());
                    prop_assert!(held.record.holds_write(put.write_id));
                    prop_assert!(now_bytes <= before.1.max(record_limit_bytes as usize));
                    prop_assert_eq!(minted.retried, before.0.holds_write(put.write_id));
                    prop_assert_eq!(held.stored().record.decode().unwrap(), held.record.clone());
                }
                Err(failure) => {
                    prop_assert_eq!(failure.code, ErrorCode::RecordTooLarge);
                    prop_assert_eq!(&held.record, &before.0);
                }
            }
        }
    }
}
