//! The engine under random histories, beside a model in memory, with keys that share their positions.

use std::collections::BTreeSet;

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_protocol::{Key, PlacedKey};
use jedlik_storage_port::Hint;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use super::{MysqlStore, Place};
use crate::fixtures::{everything_of, record};
use crate::{HintWrite, MemoryStore, RangeQuery, Store, Writes};

const PARTITIONS: [u32; 3] = [0, 7, u32::MAX];
const BUCKETS: [&str; 2] = ["b", "other"];

/// Number of a key: of partition, position, bucket and name, few of each.
type Number = u8;

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(Number, bool)>, Vec<(Number, u8, bool)>),
    Drop(usize),
    Sweep(usize),
    Reopen,
    Disconnect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let records = collection::vec((any::<Number>(), any::<bool>()), 0..12);
    let hints = collection::vec((any::<Number>(), 0..4u8, any::<bool>()), 0..6);
    let step = prop_oneof![
        6 => (records, hints).prop_map(|(records, hints)| Step::Write(records, hints)),
        1 => (0..PARTITIONS.len()).prop_map(Step::Drop),
        1 => (1..5usize).prop_map(Step::Sweep),
        1 => any::<()>().prop_map(|()| Step::Reopen),
        1 => any::<()>().prop_map(|()| Step::Disconnect),
    ];
    collection::vec(step, 1..25)
}

fn key_of(number: Number) -> PlacedKey {
    let place = usize::from(number);
    let names = ["k", "l", "m\0n"];
    let key = Key::new(BUCKETS[place / 3 % 2], names[place / 6 % 3]).unwrap();
    let position = [0, 5, u128::MAX][place / 18 % 3];
    PlacedKey { partition: Partition(PARTITIONS[place % 3]), position: Position(position), key }
}

fn writes(records: &[(Number, bool)], hints: &[(Number, u8, bool)], number: u64) -> Writes {
    let value_bytes = |key: Number| if key.is_multiple_of(11) { 70_000 } else { usize::from(key) };
    let mut writes = Writes::default();
    for (key, stays) in records {
        let stored = stays.then(|| record(number, 1, value_bytes(*key)));
        writes.records.push((key_of(*key), stored));
    }
    for (key, target, stays) in hints {
        let (target, placed) = (NodeId((target % 2).into()), key_of(*key));
        let since_ms = number / 3;
        let hint = stays.then(|| Hint {
            target,
            since_ms,
            key: placed.clone(),
            record: record(number, 1, value_bytes(*key)),
        });
        writes.hints.push(HintWrite { target, key: placed, hint });
    }
    writes.records.sort_by(|a, b| a.0.cmp(&b.0));
    writes.records.dedup_by(|a, b| a.0 == b.0);
    writes.hints.sort_by(|a, b| (a.target, &a.key).cmp(&(b.target, &b.key)));
    writes.hints.dedup_by(|a, b| (a.target, &a.key) == (b.target, &b.key));
    writes.metadata.push(("number".into(), Some(number.to_le_bytes().to_vec())));
    writes
}

/// Asserts that every page of both is the same, by pages of `limit_records`.
fn assert_same(store: &dyn Store, model: &dyn Store, limit_records: usize) {
    for partition in PARTITIONS {
        for (bucket, values) in [(None, true), (Some("b"), false), (Some("none"), true)] {
            let bucket = bucket.map(Into::into);
            let all = everything_of(partition);
            let limit_bytes = if values { 50_000 } else { all.limit_bytes };
            let mut query = RangeQuery { bucket, values, limit_records, limit_bytes, ..all };
            loop {
                let page = store.range(&query).unwrap();
                assert_eq!(page, model.range(&query).unwrap(), "{query:?}");
                for target in [0, 1].map(NodeId) {
                    let hints = store.hint_range(target, &query).unwrap();
                    assert_eq!(hints, model.hint_range(target, &query).unwrap(), "{query:?}");
                }
                query.after = page.until;
                if query.after.is_none() {
                    break;
                }
            }
        }
    }
    assert_eq!(store.hint_totals().unwrap(), model.hint_totals().unwrap());
    for target in [0, 1].map(NodeId) {
        let mut after = None;
        loop {
            let page = store.hints(target, after.as_ref(), limit_records, 60_000).unwrap();
            let expected = model.hints(target, after.as_ref(), limit_records, 60_000).unwrap();
            assert_eq!(page, expected);
            after = page.until;
            if after.is_none() {
                break;
            }
        }
    }
    assert_eq!(store.metadata("number").unwrap(), model.metadata("number").unwrap());
    let mut from = Some(Partition(0));
    while let Some(partition) = from {
        let found = store.next_partition(partition).unwrap();
        assert_eq!(found, model.next_partition(partition).unwrap());
        from = found.and_then(|found| found.0.checked_add(1)).map(Partition);
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 24, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn the_engine_holds_what_a_model_holds(steps in steps(), limit_records in 1..9usize) {
        let place = Place::new();
        let open = || MysqlStore::open(&place.path(), &place.options()).unwrap();
        let (mut store, model) = (open(), MemoryStore::new());
        for (number, step) in (1..).zip(&steps) {
            match step {
                Step::Write(records, hints) => {
                    let writes = writes(records, hints, number);
                    store.write(&writes).unwrap();
                    model.write(&writes).unwrap();
                }
                Step::Drop(partition) => {
                    let dropped = BTreeSet::from([Partition(PARTITIONS[*partition])]);
                    store.drop_partitions(&dropped).unwrap();
                    model.drop_partitions(&dropped).unwrap();
                }
                Step::Sweep(limit) => drop(store.sweep(*limit).unwrap()),
                Step::Reopen => {
                    drop(store);
                    store = open();
                }
                Step::Disconnect => place.disconnect(),
            }
            assert_same(&store, &model, limit_records);
        }
        while store.sweep(3).unwrap() {}
        assert_same(&store, &model, 1000);
        assert_eq!(store.record_count().unwrap(), model.record_count().unwrap());
    }
}
