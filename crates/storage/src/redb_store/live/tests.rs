//! The count against a reading of all rows.

use jedlik_hashing::Partition;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;

use super::weight;
use crate::fixtures::{hint, key_of, put, put_hints, record};
use crate::tests::memory_folder;
use crate::{HintWrite, RedbOptions, RedbStore, Store, Writes};

#[derive(Debug, Clone)]
enum Act {
    Put(u32, u8, usize),
    Remove(u32, u8),
    Hold(u64, u64, &'static str),
    Release(u64, &'static str),
    Drop(u32),
    Sweep,
}

fn act() -> impl Strategy<Value = Act> {
    let (partition, number) = (0_u32..3, 0_u8..6);
    // On both sides of the size from which a record's values lie apart.
    let size = prop_oneof![1_usize..50, 400_usize..600];
    let name = prop_oneof![Just("a"), Just("b")];
    prop_oneof![
        4 => (partition.clone(), number.clone(), size).prop_map(|(p, n, size)| Act::Put(p, n, size)),
        2 => (partition.clone(), number).prop_map(|(p, n)| Act::Remove(p, n)),
        2 => (1_u64..3, any::<u64>(), name.clone()).prop_map(|(t, s, n)| Act::Hold(t, s, n)),
        1 => (1_u64..3, name).prop_map(|(target, name)| Act::Release(target, name)),
        1 => partition.prop_map(Act::Drop),
        1 => Just(Act::Sweep),
    ]
}

fn run(store: &RedbStore, act: &Act) {
    let key = |partition: u32, number: u8| key_of(partition, number.into(), "k");
    match *act {
        Act::Put(p, n, size) => put(store, &[(key(p, n), record(1, 1, size))]).unwrap(),
        Act::Remove(p, n) => {
            let records = vec![(key(p, n), None)];
            store.write(&Writes { records, ..Writes::default() }).unwrap();
        }
        Act::Hold(target, since_ms, name) => put_hints(store, &[hint(target, since_ms, name)]),
        Act::Release(target, name) => {
            let gone = HintWrite { hint: None, ..HintWrite::from(hint(target, 0, name)) };
            store.write(&Writes { hints: vec![gone], ..Writes::default() }).unwrap();
        }
        Act::Drop(p) => {
            store.drop_partitions(&[Partition(p)].into()).unwrap();
        }
        Act::Sweep => drop(store.sweep(2).unwrap()),
    }
}

/// Counts the bytes of all rows of records and hints.
fn counted(store: &RedbStore) -> u64 {
    store
        .file
        .with("counting", |opened| {
            let tables = [&opened.tables.records, &opened.tables.hints];
            let mut bytes = 0;
            for table in tables {
                for row in table.range::<&[u8]>(..)? {
                    let (key, value) = row?;
                    bytes += weight(key.value(), value.value());
                }
            }
            Ok(bytes)
        })
        .unwrap()
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn the_count_is_that_of_the_rows_whatever_was_done(acts in proptest::collection::vec(act(), 1..40)) {
        let folder = memory_folder();
        let path = folder.path().join("records.redb");
        let options = RedbOptions { large_record_bytes: 250, ..RedbOptions::default() };
        let store = RedbStore::open(&path, &options).unwrap();
        acts.iter().for_each(|act| run(&store, act));
        prop_assert_eq!(store.live_bytes().unwrap(), counted(&store));
        let before = store.live_bytes().unwrap();
        drop(store);
        prop_assert_eq!(RedbStore::open(&path, &options).unwrap().live_bytes().unwrap(), before);
    }
}
