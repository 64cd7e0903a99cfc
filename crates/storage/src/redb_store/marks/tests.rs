//! Pages of buckets with few keys and with many, beside those of a map.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jedlik_hashing::{Partition, Position};
use jedlik_protocol::{Key, PlacedKey, StoredRecord};
use proptest::prelude::{Strategy, prop_oneof};
use proptest::{collection, proptest};
use redb::ReadableTableMetadata;

use crate::faulty::Machine;
use crate::fixtures::{everything_of, put, record};
use crate::tests::Engine;
use crate::{RangeQuery, RedbOptions, RedbStore, Store, Writes};

use super::{MARKS, checksum, mark_bytes};

const MARKED: usize = 3;
/// Buckets of the tests; the last one never has a key.
const BUCKETS: [&str; 4] = ["a", "b", "b\0", "none"];
const POSITIONS: u8 = 12;

type Contents = BTreeMap<PlacedKey, StoredRecord>;

fn open(path: &Path, marked_keys: usize) -> RedbStore {
    RedbStore::open(path, &RedbOptions { marked_keys, ..RedbOptions::default() }).unwrap()
}

fn key(partition: u32, bucket: usize, position: u8) -> PlacedKey {
    let key = Key::new(BUCKETS[bucket], "k").unwrap();
    // Keys of several buckets share a position.
    PlacedKey { partition: Partition(partition), position: Position(position.into()), key }
}

fn marks(store: &RedbStore) -> u64 {
    store.file.with("counting marks", |opened| Ok(opened.tables.marks.len()?)).unwrap()
}

fn remove(store: &RedbStore, key: &PlacedKey) {
    let writes = Writes { records: vec![(key.clone(), None)], ..Writes::default() };
    Store::write(store, &writes).unwrap();
}

/// Returns the keys of a page, and whether it is the last one.
fn page_of(store: &RedbStore, bucket: &str, limit_examined: usize) -> (Vec<PlacedKey>, bool) {
    let query = RangeQuery { bucket: Some(bucket.into()), limit_examined, ..everything_of(0) };
    let page = store.range(&query).unwrap();
    (page.records.into_iter().map(|(key, _)| key).collect(), page.until.is_none())
}

/// Asserts that pages of every size and from every place show each bucket's records.
fn assert_holds(store: &RedbStore, contents: &Contents) {
    for partition in 0..2 {
        for bucket in BUCKETS {
            let of = |key: &PlacedKey| {
                key.partition.0 == partition && key.key.bucket()[..] == *bucket.as_bytes()
            };
            let expected: Vec<PlacedKey> = contents.keys().filter(|key| of(key)).cloned().collect();
            for limit_records in [1, 2, 100] {
                let mut query = RangeQuery {
                    bucket: Some(bucket.into()),
                    limit_records,
                    ..everything_of(partition)
                };
                let mut seen = Vec::new();
                loop {
                    let page = store.range(&query).unwrap();
                    seen.extend(page.records.into_iter().map(|(key, stored)| {
                        assert_eq!(contents.get(&key), Some(&stored));
                        key
                    }));
                    query.after = page.until;
                    if query.after.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, expected, "{bucket}, {limit_records} at a time");
            }
            // A place that another node's page ended at may be a key of any bucket.
            for (other, position) in [(0, 3), (1, 3), (2, 3), (1, 0), (0, POSITIONS)] {
                let after = key(partition, other, position);
                let span = (Some(Position(2)), Some(Position(9)));
                let query = RangeQuery {
                    bucket: Some(bucket.into()),
                    after: Some(after.clone()),
                    from: span.0,
                    to: span.1,
                    ..everything_of(partition)
                };
                let within = |key: &&PlacedKey| (2..=9).contains(&key.position.0) && **key > after;
                let page = store.range(&query).unwrap().records.into_iter().map(|(key, _)| key);
                let expected: Vec<_> = expected.iter().filter(within).cloned().collect();
                assert_eq!(page.collect::<Vec<_>>(), expected);
            }
        }
    }
}

#[test]
fn a_page_of_a_small_bucket_looks_at_its_own_records_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("records.redb"), MARKED);
    let all: Contents = (0..200)
        .map(|position| (key(0, 0, position), record(1, 1, 9)))
        .chain([20, 90].map(|position| (key(0, 1, position), record(1, 1, 9))))
        .collect();
    put(&store, &all.into_iter().collect::<Vec<_>>()).unwrap();
    let few = vec![key(0, 1, 20), key(0, 1, 90)];
    assert_eq!(page_of(&store, "b", 3), (few.clone(), true), "few keys, and no others looked at");
    assert_eq!(page_of(&store, "none", 1), (vec![], true));
    assert_eq!(page_of(&store, "a", 5).0.len(), 5);
    assert_eq!(marks(&store), MARKED as u64 + 1 + 2, "as many as may be, and that there are many");
}

#[test]
fn a_key_is_marked_while_it_has_a_record_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.redb");
    for round in 1..6 {
        // Counts are taken anew from what is on the disk, once in a round.
        let store = open(&path, MARKED);
        for again in 0..2 {
            for position in 0..3 {
                put(&store, &[(key(0, 1, position), record(1, 2 * round + again, 9))]).unwrap();
            }
            assert_eq!(marks(&store), 3);
            remove(&store, &key(0, 1, 1));
            assert_eq!(marks(&store), 2);
        }
    }
}

#[test]
fn a_mark_without_a_record_hides_nothing_and_a_damaged_one_is_not_relied_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("records.redb"), MARKED);
    let (there, marked) = (key(0, 1, 7), key(0, 1, 5));
    put(&store, &[(there.clone(), record(1, 1, 9))]).unwrap();
    let mark = |key: &PlacedKey, sound: bool| {
        let row = mark_bytes(key);
        let sum = checksum(&row) ^ u32::from(!sound);
        let write = |transaction: &redb::WriteTransaction| {
            transaction.open_table(MARKS)?.insert(row.as_slice(), sum)?;
            Ok(())
        };
        store.file.commit("a test", || {}, write).unwrap();
    };
    mark(&marked, true);
    assert_eq!(page_of(&store, "b", 10), (vec![there.clone()], true));
    put(&store, &[(key(0, 0, 1), record(1, 1, 9))]).unwrap();
    mark(&marked, false);
    assert_eq!(page_of(&store, "b", 10), (vec![there], true));
    let query = RangeQuery { bucket: Some("b".into()), limit_examined: 1, ..everything_of(0) };
    let until = store.range(&query).unwrap().until;
    assert_eq!(
        until,
        Some(key(0, 0, 1)),
        "looked for among all records, of which that is the first"
    );
}

#[test]
fn a_commit_that_failed_leaves_no_count_behind() {
    let machine = Machine::new(1);
    let Engine::Redb(backend) = Engine::redb(&machine) else { panic!("a redb engine") };
    let options = RedbOptions { marked_keys: MARKED, ..RedbOptions::default() };
    let opened = RedbStore::open_backend(Path::new("/faulty"), &options, move || backend.clone());
    let store = opened.unwrap();
    let all: Contents = (0..20).map(|position| (key(0, 1, position), record(1, 1, 9))).collect();
    let all: Vec<_> = all.into_iter().collect();
    machine.set_free_bytes(Some(0));
    put(&store, &all).unwrap_err();
    machine.set_free_bytes(None);
    put(&store, &all[..2]).unwrap();
    assert_eq!(marks(&store), 2);
    put(&store, &all).unwrap();
    assert_eq!(page_of(&store, "b", 100).0.len(), 20);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put {
        partition: u32,
        bucket: usize,
        position: u8,
    },
    Remove {
        partition: u32,
        bucket: usize,
        position: u8,
    },
    Drop {
        partition: u32,
    },
    Sweep,
    /// The engine is opened again, and so many keys may be marked from now on.
    Reopen {
        marked: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || (0..2_u32, 0..3_usize, 0..POSITIONS);
    let step = prop_oneof![
        12 => place()
            .prop_map(|(partition, bucket, position)| Step::Put { partition, bucket, position }),
        5 => place()
            .prop_map(|(partition, bucket, position)| Step::Remove { partition, bucket, position }),
        1 => (0..2_u32).prop_map(|partition| Step::Drop { partition }),
        1 => proptest::strategy::Just(Step::Sweep),
        1 => (0..6_usize).prop_map(|marked| Step::Reopen { marked }),
    ];
    collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 40, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn every_record_of_a_bucket_is_found_and_no_other(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.redb");
        let mut store = open(&path, MARKED);
        let mut contents = Contents::new();
        for (actor, step) in (1..).zip(steps) {
            match step {
                Step::Put { partition, bucket, position } => {
                    let (key, stored) = (key(partition, bucket, position), record(actor, 1, 9));
                    put(&store, &[(key.clone(), stored.clone())]).unwrap();
                    contents.insert(key, stored);
                }
                Step::Remove { partition, bucket, position } => {
                    let key = key(partition, bucket, position);
                    remove(&store, &key);
                    contents.remove(&key);
                }
                Step::Drop { partition } => {
                    store.drop_partitions(&BTreeSet::from([Partition(partition)])).unwrap();
                    contents.retain(|key, _| key.partition.0 != partition);
                }
                Step::Sweep => drop(store.sweep(2).unwrap()),
                Step::Reopen { marked } => {
                    drop(store);
                    store = open(&path, marked);
                }
            }
        }
        assert_holds(&store, &contents);
    }
}
