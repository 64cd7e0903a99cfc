//! Histories of writes, removals, drops, sweeps, merges and openings, which leave what a map would hold.

use std::collections::BTreeSet;

use jedlik_hashing::{NodeId, Partition};
use jedlik_storage_port::RangePage;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use super::{hint_of, open};
use crate::fixtures::{everything_of, key_of, record};
use crate::hint::HintRows;
use crate::lsm_store::tree::Opened;
use crate::tests::memory_folder;
use crate::{HintWrite, LsmStore, MemoryStore, RangeQuery, Store, Writes};

const PARTITIONS: [u32; 3] = [0, 7, u32::MAX];
const TARGETS: [u64; 2] = [1, 2];
/// Sizes of values below and above that from which they lie apart.
const SIZES: [usize; 4] = [0, 40, 700, 9_000];

#[derive(Debug, Clone)]
struct Change {
    partition: usize,
    position: u8,
    /// Size of the value; `None` removes what is there.
    size: Option<usize>,
    /// Target and time, if the change is one of a hint.
    hint: Option<(usize, u8)>,
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Change>),
    Drop(usize),
    Sweep(usize),
    Merge,
    MergeAll,
    Reopen,
}

fn change() -> impl Strategy<Value = Change> {
    let size =
        prop_oneof![3 => (0..SIZES.len()).prop_map(Some), 1 => any::<u8>().prop_map(|_| None)];
    let hint = prop_oneof![
        2 => any::<u8>().prop_map(|_| None),
        1 => (0..TARGETS.len(), 0..4_u8).prop_map(Some),
    ];
    (0..PARTITIONS.len(), 0..12_u8, size, hint)
        .prop_map(|(partition, position, size, hint)| Change { partition, position, size, hint })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => collection::vec(change(), 1..12).prop_map(Step::Write),
        1 => (0..PARTITIONS.len()).prop_map(Step::Drop),
        2 => (1..5_usize).prop_map(Step::Sweep),
        2 => any::<u8>().prop_map(|_| Step::Merge),
        1 => any::<u8>().prop_map(|_| Step::MergeAll),
        1 => any::<u8>().prop_map(|_| Step::Reopen),
    ];
    collection::vec(step, 1..40)
}

/// Returns the batch that a step writes; of two changes of one key the later one stands.
fn writes(changes: &[Change], number: u64) -> Writes {
    let mut records = std::collections::BTreeMap::new();
    let mut hints = std::collections::BTreeMap::new();
    for change in changes {
        let partition = PARTITIONS[change.partition];
        let key = key_of(partition, change.position.into(), "k");
        match change.hint {
            None => {
                let put = change.size.map(|size| record(number, 1, SIZES[size]));
                records.insert(key, put);
            }
            Some((target, time)) => {
                let target = TARGETS[target];
                let hint = change.size.map(|size| {
                    hint_of(target, time.into(), partition, change.position.into(), SIZES[size])
                });
                hints.insert((target, key), hint);
            }
        }
    }
    let hints = hints.into_iter();
    Writes {
        records: records.into_iter().collect(),
        hints: hints
            .map(|((target, key), hint)| HintWrite { target: NodeId(target), key, hint })
            .collect(),
        metadata: vec![("number".into(), Some(number.to_le_bytes().to_vec()))],
    }
}

fn pages(store: &dyn Store) -> (Vec<RangePage>, Vec<RangePage>, Vec<HintRows>, Option<Vec<u8>>) {
    let few = |partition| RangeQuery { limit_bytes: usize::MAX, ..everything_of(partition) };
    let records = PARTITIONS.map(|partition| store.range(&few(partition)).unwrap());
    let by_key = TARGETS.into_iter().flat_map(|target| {
        PARTITIONS
            .map(|partition| store.hint_range(NodeId(target), &few(partition)).unwrap())
            .into_iter()
    });
    let by_age = TARGETS.map(|target| store.hints(NodeId(target), None, 1000, usize::MAX).unwrap());
    let metadata = store.metadata("number").unwrap();
    (records.to_vec(), by_key.collect(), by_age.to_vec(), metadata)
}

fn assert_same(store: &LsmStore, model: &MemoryStore) {
    assert_eq!(pages(store), pages(model));
    assert_eq!(store.hint_totals().unwrap(), model.hint_totals().unwrap());
    for partition in PARTITIONS {
        for position in 0..12 {
            let key = key_of(partition, position, "k");
            assert_eq!(store.load(&key).unwrap(), model.load(&key).unwrap());
            for target in TARGETS.map(NodeId) {
                let (held, expected) =
                    (store.load_hint(target, &key), model.load_hint(target, &key));
                assert_eq!(held.unwrap(), expected.unwrap());
            }
        }
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 48, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn the_engine_holds_what_a_map_would_hold(steps in steps()) {
        let folder = memory_folder();
        let path = folder.path().join("records.lsm");
        let model = MemoryStore::new();
        let mut store = open(&path);
        for (number, step) in (1..).zip(&steps) {
            match step {
                Step::Write(changes) => {
                    let writes = writes(changes, number);
                    store.write(&writes).unwrap();
                    model.write(&writes).unwrap();
                }
                Step::Drop(partition) => {
                    let dropped = BTreeSet::from([Partition(PARTITIONS[*partition])]);
                    store.drop_partitions(&dropped).unwrap();
                    model.drop_partitions(&dropped).unwrap();
                }
                Step::Sweep(limit) => drop(store.sweep(*limit).unwrap()),
                Step::Merge => drop(store.engine.with("testing", Opened::compact).unwrap()),
                Step::MergeAll => {
                    store.engine.with("testing", |opened| opened.compact_all(|| ())).unwrap();
                }
                Step::Reopen => {
                    drop(store);
                    store = open(&path);
                }
            }
            assert_same(&store, &model);
        }
        while store.sweep(3).unwrap() {}
        assert_same(&store, &model);
        assert_eq!(store.record_count().unwrap(), model.record_count().unwrap());
        drop(store);
        assert_same(&open(&path), &model);
    }
}
