//! Partitions dropped from engines, swept in steps of any size, and cut short at any operation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::RangePage;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use super::Engine;
use crate::faulty::{Crash, Machine};
use crate::fixtures::{everything_of, hint, key_of, put, put_hints, record};
use crate::{RangeQuery, Store, Writes};

/// Partitions of the tests: the least, two neighbours, and the greatest there can be.
const PARTITIONS: [u32; 4] = [0, 7, 8, u32::MAX];

type Contents = BTreeMap<PlacedKey, StoredRecord>;

fn every_engine(check: impl Fn(Arc<dyn Store>)) {
    for engine in Engine::all(&Machine::new(1)) {
        check(engine.open().unwrap());
    }
}

fn fill(store: &dyn Store, count: u64) -> Contents {
    let records = PARTITIONS.into_iter().flat_map(|partition| {
        (0..count).map(move |i| {
            (
                key_of(partition, u128::from(i) << 90, "k"),
                record(i + 1, 1, 9 + 300 * (i as usize % 2)),
            )
        })
    });
    let contents: Contents = records.collect();
    put(store, &contents.clone().into_iter().collect::<Vec<_>>()).unwrap();
    contents
}

fn drop_one(store: &dyn Store, contents: &mut Contents, partition: u32) {
    store.drop_partitions(&BTreeSet::from([Partition(partition)])).unwrap();
    contents.retain(|key, _| key.partition.0 != partition);
}

/// Asserts that a store shows `contents` and nothing else, by pages and by loads of the keys in `asked`.
fn assert_holds(store: &dyn Store, contents: &Contents, asked: &Contents) {
    assert_eq!(seen(store), *contents);
    for key in asked.keys() {
        assert_eq!(store.load(key).unwrap().as_ref(), contents.get(key));
    }
}

fn seen(store: &dyn Store) -> Contents {
    let pages = PARTITIONS.map(|partition| {
        let all = store.range(&everything_of(partition)).unwrap();
        let bucket = RangeQuery { bucket: Some("b".into()), ..everything_of(partition) };
        assert_eq!(store.range(&bucket).unwrap(), all, "there is one bucket, however it is found");
        all
    });
    assert!(pages.iter().all(|page| page.until.is_none() && page.damaged.is_empty()));
    pages.into_iter().flat_map(|page| page.records).collect()
}

fn sweep_all(store: &dyn Store, limit_records: usize) -> u64 {
    let mut steps = 0;
    while store.sweep(limit_records).unwrap() {
        steps += 1;
    }
    steps
}

#[test]
fn a_dropped_partition_is_gone_at_once_and_its_neighbours_stay() {
    every_engine(|store| {
        let all = fill(&*store, 20);
        let mut contents = all.clone();
        for dropped in [7, u32::MAX, 0] {
            drop_one(&*store, &mut contents, dropped);
            assert_holds(&*store, &contents, &all);
        }
        sweep_all(&*store, 3);
        assert_holds(&*store, &contents, &all);
        assert_eq!(store.record_count().unwrap(), 20);
        assert!(!store.sweep(3).unwrap());
    });
}

#[test]
fn a_sweep_takes_off_no_more_than_it_was_told_and_ends() {
    for engine in [Engine::redb(&Machine::new(1)), Engine::lsm()] {
        let store = engine.open().unwrap();
        let mut contents = fill(&*store, 20);
        drop_one(&*store, &mut contents, 7);
        drop_one(&*store, &mut contents, 8);
        assert_eq!(store.record_count().unwrap(), 80);
        for left in [73, 66, 60, 53, 46, 40] {
            assert!(store.sweep(7).unwrap());
            assert_eq!(store.record_count().unwrap(), left);
        }
        assert!(!store.sweep(7).unwrap());
    }
}

#[test]
fn a_partition_that_was_empty_leaves_nothing_to_sweep() {
    every_engine(|store| {
        drop_one(&*store, &mut Contents::new(), 7);
        assert!(!store.sweep(1).unwrap());
    });
}

#[test]
fn a_record_put_after_a_drop_stays_whether_it_was_swept_before_or_not() {
    every_engine(|store| {
        for swept in [false, true] {
            let mut contents = fill(&*store, 20);
            drop_one(&*store, &mut contents, 7);
            if swept {
                sweep_all(&*store, 100);
            }
            // One in the place of a record that was dropped, and one that is new.
            for (key, stored) in [
                (key_of(7, 3 << 90, "k"), record(99, 1, 9)),
                (key_of(7, 5, "new"), record(98, 1, 9)),
            ] {
                put(&*store, &[(key.clone(), stored.clone())]).unwrap();
                contents.insert(key, stored);
            }
            sweep_all(&*store, 1);
            assert_holds(&*store, &contents, &contents);
            let removed = vec![(key_of(7, 5, "new"), None)];
            store.write(&Writes { records: removed, ..Writes::default() }).unwrap();
            contents.remove(&key_of(7, 5, "new"));
            assert_holds(&*store, &contents, &contents);
        }
    });
}

#[test]
fn hints_of_keys_in_a_dropped_partition_stay() {
    every_engine(|store| {
        let kept = hint(3, 5, "a");
        put_hints(&*store, std::slice::from_ref(&kept));
        put(&*store, &[(kept.key.clone(), record(1, 1, 9))]).unwrap();
        store.drop_partitions(&BTreeSet::from([kept.key.partition])).unwrap();
        sweep_all(&*store, 10);
        assert_eq!(store.load(&kept.key).unwrap(), None);
        assert!(store.load_hint(NodeId(3), &kept.key).unwrap().is_some());
    });
}

#[test]
fn damaged_records_are_dropped_and_swept_like_all_others() {
    let machine = Machine::new(1);
    let engine = Engine::redb(&machine);
    let store = engine.open().unwrap();
    let (bad, good) = (key_of(7, 1, "bad"), key_of(7, 2, "good"));
    put(&*store, &[(bad.clone(), record(0x77, 1, 300)), (good, record(2, 1, 9))]).unwrap();
    drop(store);
    let Engine::Redb(backend) = &engine else { panic!("a redb engine") };
    assert!(backend.replace(&[0x77; 300], &[0x78; 300]) > 0);
    let store = engine.open().unwrap();
    assert_eq!(store.range(&everything_of(7)).unwrap().damaged, std::slice::from_ref(&bad));
    drop_one(&*store, &mut Contents::new(), 7);
    assert_eq!(store.load(&bad).unwrap(), None);
    assert_eq!(store.range(&everything_of(7)).unwrap(), RangePage::default());
    assert_eq!(sweep_all(&*store, 1), 2);
    assert_eq!(store.record_count().unwrap(), 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put { partition: usize, position: u8 },
    Drop { partition: usize },
    Sweep { limit: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let partitions = 0..PARTITIONS.len();
    let step = prop_oneof![
        4 => (partitions.clone(), 0..6u8)
            .prop_map(|(partition, position)| Step::Put { partition, position }),
        1 => partitions.prop_map(|partition| Step::Drop { partition }),
        2 => (1..4usize).prop_map(|limit| Step::Sweep { limit }),
    ];
    collection::vec(step, 1..40)
}

/// Makes the step in the model, and in the engine. Returns false if that fails.
fn make(store: &dyn Store, contents: &mut Contents, step: Step, actor: u64) -> bool {
    match step {
        Step::Put { partition, position } => {
            let key = key_of(PARTITIONS[partition], position.into(), "k");
            let stored = record(actor, 1, if actor.is_multiple_of(2) { 400 } else { 9 });
            contents.insert(key.clone(), stored.clone());
            put(store, &[(key, stored)]).is_ok()
        }
        Step::Drop { partition } => {
            let partition = Partition(PARTITIONS[partition]);
            contents.retain(|key, _| key.partition != partition);
            store.drop_partitions(&BTreeSet::from([partition])).is_ok()
        }
        Step::Sweep { limit } => store.sweep(limit).is_ok(),
    }
}

/// Runs the history until the first failure, and returns what may be there then.
fn run(engine: &Engine, steps: &[Step]) -> Vec<Contents> {
    let Some(store) = engine.open() else { return vec![Contents::new()] };
    let mut contents = Contents::new();
    for (actor, &step) in (1..).zip(steps) {
        let before = contents.clone();
        if !make(&*store, &mut contents, step, actor) {
            return vec![before, contents];
        }
    }
    vec![contents]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 100, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn an_engine_holds_what_a_map_would_hold(steps in steps()) {
        every_engine(|store| {
            let mut contents = Contents::new();
            for (actor, &step) in (1..).zip(&steps) {
                assert!(make(&*store, &mut contents, step, actor));
                assert_eq!(seen(&*store), contents);
            }
            sweep_all(&*store, 2);
            assert_eq!(seen(&*store), contents);
            assert_eq!(store.record_count().unwrap(), contents.len() as u64);
        });
    }

    #[test]
    fn a_power_cut_undoes_no_drop_and_no_put_after_it(
        steps in steps(), seed in any::<u64>(), moment in 0.0..1.0,
    ) {
        let rehearsal = Machine::new(seed);
        let engine = Engine::redb(&rehearsal);
        drop(engine.open());
        let made = rehearsal.operations();
        run(&engine, &steps);
        let length = rehearsal.operations() - made;

        let machine = Machine::new(seed);
        let engine = Engine::redb(&machine);
        // A new engine's file appears whole or not at all: see `RedbStore::open`.
        drop(engine.open());
        machine.die_at(made + (length as f64 * moment) as u64);
        let possible = run(&engine, &steps);
        let store = engine.after(Crash::Power, &Machine::new(seed ^ 1)).open().unwrap();
        let found = seen(&*store);
        assert!(possible.contains(&found), "{found:?}, not one of {possible:?}");
        sweep_all(&*store, 2);
        assert_eq!(seen(&*store), found);
        assert_eq!(store.record_count().unwrap(), found.len() as u64);
    }
}
