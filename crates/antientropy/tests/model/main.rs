//! Two replicas as maps with real trees, brought together by exchanges (paper 4.7).

mod replica;
mod run;

use std::collections::BTreeSet;

use jedlik_antientropy::{Direction, ExchangeReport};
use jedlik_merkle::BRANCHES;
use jedlik_protocol::Key;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::select;

use replica::{Replica, crowded, key, leaf, put};
use run::{Pair, World};

/// Generates two replicas that heard of some of the same puts and of others each alone.
fn pair() -> impl Strategy<Value = Pair> {
    let step = (select(crowded()), 0..3_u8, any::<bool>());
    vec(step, 0..120).prop_map(|steps| {
        let (mut mine, mut theirs) = (Replica::default(), Replica::default());
        for (actor, (number, side, replaces)) in (1..).zip(steps) {
            let (key, on_mine, on_theirs) = (key(number), side != 1, side != 0);
            let held = if on_mine { mine.get(&key) } else { theirs.get(&key) };
            let record = put(held, actor, replaces);
            if on_mine {
                mine.merge(&key, &record);
            }
            if on_theirs {
                theirs.merge(&key, &record);
            }
        }
        Pair::new(mine, theirs)
    })
}

fn world() -> impl Strategy<Value = World> {
    let direction = select(vec![Direction::Both, Direction::Inbound]);
    (any::<u64>(), 1..6_usize, direction).prop_map(|(seed, page, direction)| World {
        page,
        direction,
        ..World::calm(seed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn after_a_complete_exchange_both_hold_the_merge_of_both(pair in pair(), world in world()) {
        let mut pair = pair;
        let report = pair.exchange(world);
        prop_assert!(report.complete, "{report:?}");
        prop_assert_eq!(&pair.mine, &pair.written);
        prop_assert_eq!(&pair.theirs, &pair.written);
        prop_assert_eq!(pair.exchange(world), agreed());
    }

    #[test]
    fn after_a_complete_push_the_peer_holds_the_merge_of_both_and_the_pusher_what_it_held(
        pair in pair(), world in world(),
    ) {
        let mut pair = pair;
        let mine = pair.mine.clone();
        let lacking = pair.theirs.lacking(&pair.mine);
        let report = pair.exchange(World { direction: Direction::Push, ..world });
        prop_assert!(report.complete, "{report:?}");
        prop_assert_eq!(report.pushed, lacking as u64);
        prop_assert_eq!(&pair.mine, &mine);
        prop_assert_eq!(&pair.theirs, &pair.written);
        prop_assert_eq!((report.pulled, report.fetched), (0, 0));
    }

    #[test]
    fn it_reads_no_more_leaves_than_there_are_differing_keys(pair in pair(), world in world()) {
        let mut pair = pair;
        let keys: Vec<Key> = crowded().iter().map(|number| key(*number)).collect();
        let differs = |key: &&Key| pair.mine.digest(key) != pair.theirs.digest(key);
        let differing = keys.iter().filter(differs).count() as u64;
        let leaves: BTreeSet<u16> = keys.iter().filter(differs).map(leaf).collect();
        let in_leaves = |key: &&Key| leaves.contains(&leaf(key)) && pair.written.get(key).is_some();
        let (fetched, compared): (Vec<&Key>, Vec<&Key>) =
            keys.iter().filter(in_leaves).partition(|key| pair.mine.lacks_leaf_of(key));
        let (fetched, compared) = (fetched.len() as u64, compared.len() as u64);
        let report = pair.exchange(World { page: 1024, direction: Direction::Both, ..world });
        prop_assert!(report.digest_requests + report.page_requests <= leaves.len() as u64);
        prop_assert_eq!((report.fetched, report.keys_compared), (fetched, compared));
        prop_assert!(report.pulled + report.pushed <= 2 * (differing - fetched));
        prop_assert!(report.hash_requests <= 1 + leaves.len() as u64);
    }

    #[test]
    fn answers_given_twice_change_nothing(pair in pair(), world in world()) {
        let (mut once, mut twice) = (pair.clone(), pair);
        let report = once.exchange(world);
        prop_assert_eq!(twice.exchange(World { twice: true, ..world }), report);
        prop_assert_eq!(twice.mine, once.mine);
        prop_assert_eq!(twice.theirs, once.theirs);
    }

    #[test]
    fn what_lost_answers_left_undone_the_next_exchange_does(pair in pair(), world in world()) {
        let mut pair = pair;
        let report = pair.exchange(World { lost: 40, ..world });
        if report.complete {
            prop_assert_eq!(&pair.mine, &pair.theirs);
        }
        prop_assert!(pair.exchange(world).complete);
        prop_assert_eq!(&pair.mine, &pair.written);
        prop_assert_eq!(&pair.theirs, &pair.written);
    }

    #[test]
    fn a_push_that_lost_answers_is_complete_only_if_the_peer_has_all(pair in pair(), world in world()) {
        let mut pair = pair;
        let (mine, world) = (pair.mine.clone(), World { direction: Direction::Push, ..world });
        let report = pair.exchange(World { lost: 40, ..world });
        prop_assert_eq!(&pair.mine, &mine);
        if report.complete {
            prop_assert_eq!(&pair.theirs, &pair.written);
        }
        prop_assert!(pair.exchange(world).complete);
        prop_assert_eq!(&pair.theirs, &pair.written);
    }

    #[test]
    fn writes_under_way_are_neither_lost_nor_in_the_way(pair in pair(), world in world()) {
        let mut pair = pair;
        let before = pair.clone();
        let report = pair.exchange(World { writes: 60, ..world });
        prop_assert!(report.complete, "{report:?}");
        prop_assert!(pair.mine.covers(&before.theirs) && pair.theirs.covers(&before.mine));
        prop_assert!(pair.exchange(world).complete);
        prop_assert_eq!(&pair.mine, &pair.written);
        prop_assert_eq!(&pair.theirs, &pair.written);
    }

    #[test]
    fn an_empty_replica_that_takes_writes_gets_all_that_was_there_when_it_began(
        pair in pair(), world in world(),
    ) {
        let mut pair = Pair::new(Replica::default(), pair.theirs);
        let before = pair.theirs.clone();
        let report = pair.exchange(World { writes: 60, ..world });
        prop_assert!(report.complete, "{report:?}");
        prop_assert!(pair.mine.covers(&before));
        prop_assert!(pair.exchange(world).complete);
        prop_assert_eq!(&pair.mine, &pair.written);
        prop_assert_eq!(&pair.theirs, &pair.written);
    }

    #[test]
    fn a_push_during_writes_brings_the_peer_all_that_was_there_when_it_began(
        pair in pair(), world in world(),
    ) {
        let mut pair = pair;
        let before = pair.mine.clone();
        let report = pair.exchange(World { writes: 60, direction: Direction::Push, ..world });
        prop_assert!(report.complete, "{report:?}");
        prop_assert!(pair.theirs.covers(&before));
        prop_assert_eq!((report.pulled, report.fetched), (0, 0));
    }

    #[test]
    fn what_a_stream_that_broke_off_brought_is_not_sent_again(
        world in world(), begun in 0..200_usize, page in 1..50_usize,
    ) {
        let whole = Replica::of(200);
        let mut pair = Pair::new(whole.begun(begun), whole.clone());
        let report = pair.exchange(World { page, ..world });
        prop_assert!(report.complete);
        prop_assert_eq!(&pair.mine, &whole);
        prop_assert_eq!(&pair.theirs, &whole);
        prop_assert_eq!(report.fetched + report.pulled, (200 - begun) as u64);
        // One leaf is there in part.
        prop_assert!(report.pulled <= 10 && report.digest_requests <= 10, "{report:?}");
        prop_assert!(report.hash_requests <= 2, "{report:?}");
    }

    #[test]
    fn a_replica_that_lost_everything_gets_it_back_however_often_that_breaks_off(
        world in world(), page in 10..50_usize,
    ) {
        let whole = Replica::of(200);
        let mut pair = Pair::new(Replica::default(), whole.clone());
        let mut world = World { page, lost: 40, ..world };
        // Each turn skips what the last ones brought, so that it takes a few and no end of them.
        while !pair.exchange(world).complete {
            world.seed = world.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
        prop_assert_eq!(&pair.mine, &whole);
        prop_assert_eq!(&pair.theirs, &whole);
    }
}

/// Returns the report of an exchange between two that held the same.
fn agreed() -> ExchangeReport {
    ExchangeReport { agreed: true, hash_requests: 1, complete: true, ..ExchangeReport::default() }
}

#[test]
fn who_takes_over_fetches_across_what_clients_have_written() {
    let whole = Replica::of(400);
    for written in [10_u32, 40, 150] {
        let (mut mine, mut theirs) = (Replica::default(), whole.clone());
        for number in 0..written {
            // Some of it only this node has seen, some only the peer, most both.
            let key = key(number * 2);
            let record = put(whole.get(&key), 1_000_000, true);
            mine.set(&key, (number % 10 != 3).then(|| record.clone()));
            theirs.set(
                &key,
                Some(if number % 10 == 4 { whole.get(&key).unwrap().clone() } else { record }),
            );
        }
        let mut pair = Pair::new(mine, theirs);
        let world = World { direction: Direction::Inbound, ..World::calm(7) };
        let report = pair.exchange(World { page: 128, ..world });
        assert!(report.complete);
        assert_eq!(pair.mine, pair.written);
        assert_eq!(pair.theirs, pair.written);
        assert_eq!((report.hash_requests, report.fetched), (1, 400), "{report:?}");
        assert!(report.page_requests <= 5 && report.digest_requests <= 5, "{report:?}");
        let unseen = u64::from((written + 5) / 10);
        assert_eq!((report.pulled, report.pushed), (unseen, unseen), "{report:?}");
    }
}

#[test]
fn equal_replicas_cost_one_request() {
    for replica in [Replica::default(), Replica::of(1000)] {
        let mut pair = Pair::new(replica.clone(), replica);
        assert_eq!(pair.exchange(World::calm(1)), agreed());
    }
}

#[test]
fn one_record_among_ten_thousand_is_found_by_reading_its_leaf_alone() {
    let whole = Replica::of(10_000);
    for number in [0, 1234, 9_999] {
        let mut damaged = whole.clone();
        damaged.set(&key(number), None);
        for (mine, theirs) in [(&damaged, &whole), (&whole, &damaged)] {
            let mut pair = Pair::new(mine.clone(), theirs.clone());
            let report = pair.exchange(World::calm(number.into()));
            assert_eq!(pair.mine, whole);
            assert_eq!(pair.theirs, whole);
            assert!(report.complete);
            assert_eq!((report.hash_requests, report.digest_requests), (2, 1));
            assert_eq!(report.pulled + report.pushed, 1);
            // A leaf holds ten keys on average.
            assert!(report.keys_compared <= 40, "{} keys compared", report.keys_compared);
        }
    }
}

#[test]
fn it_reads_in_proportion_to_the_damage() {
    let whole = Replica::of(10_000);
    for damage in [1_u32, 10, 100] {
        let mut damaged = whole.clone();
        for number in 0..damage {
            let key = key(number * 97);
            let other = put(whole.get(&key), 1_000_000, number % 2 == 0);
            damaged.set(&key, (number % 3 > 0).then_some(other));
        }
        let mut pair = Pair::new(damaged, whole.clone());
        let report = pair.exchange(World::calm(damage.into()));
        assert!(report.complete);
        assert_eq!(pair.mine, pair.written);
        assert_eq!(pair.theirs, pair.written);
        let damage = u64::from(damage);
        assert!(report.digest_requests <= damage, "{report:?}");
        assert!(report.hash_requests <= 1 + damage.min(BRANCHES as u64), "{report:?}");
        assert!(report.keys_compared <= 30 * damage, "{report:?}");
        assert!(report.pulled + report.pushed <= 2 * damage, "{report:?}");
    }
}

#[test]
fn a_replica_that_lost_everything_gets_all_of_it_back_in_one_stream() {
    let whole = Replica::of(3_000);
    let mut pair = Pair::new(Replica::default(), whole.clone());
    let report = pair.exchange(World { page: 100, ..World::calm(3) });
    assert_eq!(pair.mine, whole);
    let expected = ExchangeReport {
        hash_requests: 1,
        page_requests: 30,
        fetched: 3_000,
        complete: true,
        ..ExchangeReport::default()
    };
    assert_eq!(report, expected);
}

#[test]
fn a_stream_that_breaks_off_is_not_complete() {
    let whole = Replica::of(1_000);
    for seed in 0..20 {
        let mut pair = Pair::new(Replica::default(), whole.clone());
        let report = pair.exchange(World { page: 10, lost: 40, ..World::calm(seed) });
        assert!(!report.complete, "{report:?}");
        assert_ne!(pair.mine, whole);
    }
}
