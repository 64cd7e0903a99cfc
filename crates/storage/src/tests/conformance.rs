//! What an engine does, as far as a shard can see.

use std::sync::Arc;

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{Hint, HintMark, HintTotals, RangePage};

use super::{Engine, LARGE_BYTES};
use crate::faulty::{Crash, Machine};
use crate::fixtures::{
    clock, everything_of, hint, key, key_at, key_in, key_of, put, put_hints, record, with_local,
};
use crate::{HintRow, HintWrite, RangeQuery, Store, StoreError, Writes};

fn every_engine(check: impl Fn(Arc<dyn Store>)) {
    for engine in Engine::all(&Machine::new(1)) {
        check(engine.open().unwrap());
    }
}

#[test]
fn what_was_merged_is_loaded_with_its_bytes_and_local_actor() {
    every_engine(|store| {
        let stored = with_local(record(1, 1, 10), 1);
        put(&*store, &[(key("a"), stored.clone())]).unwrap();
        assert_eq!(store.load(&key("a")).unwrap(), Some(stored));
        assert_eq!(store.load(&key("b")).unwrap(), None);
        assert_eq!(store.record_count().unwrap(), 1);
    });
}

#[test]
fn the_last_write_of_a_record_stands_and_none_removes_it() {
    every_engine(|store| {
        put(&*store, &[(key("a"), with_local(record(1, 3, 10), 1))]).unwrap();
        put(&*store, &[(key("a"), record(1, 2, 10))]).unwrap();
        assert_eq!(store.load(&key("a")).unwrap(), Some(record(1, 2, 10)));
        let records = vec![(key("a"), None), (key("b"), None)];
        store.write(&Writes { records, ..Writes::default() }).unwrap();
        assert_eq!(store.load(&key("a")).unwrap(), None);
        assert_eq!(store.record_count().unwrap(), 0);
    });
}

#[test]
fn pages_follow_the_order_of_keys_and_join_without_gaps() {
    every_engine(|store| {
        let mut batch: Vec<_> = (0..50)
            .map(|i| (key_at(u128::from(i) / 2 * 1000, &format!("k{i}")), record(i + 1, 1, 20)))
            .collect();
        batch.sort_by(|a, b| a.0.cmp(&b.0));
        put(&*store, &batch).unwrap();
        for limit_records in [1, 7, 50, 100] {
            let mut query = RangeQuery { limit_records, ..everything_of(0) };
            let mut seen = Vec::new();
            loop {
                let page = store.range(&query).unwrap();
                assert!(page.records.len() <= limit_records);
                seen.extend(page.records);
                query.after = page.until;
                if query.after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, batch);
        }
        assert_eq!(store.range(&everything_of(1)).unwrap().records, []);
    });
}

#[test]
fn a_page_ends_at_each_of_its_limits() {
    every_engine(|store| {
        let batch: Vec<_> = (1..11).map(|i| (key_at(i.into(), "k"), record(i, 1, 1000))).collect();
        put(&*store, &batch).unwrap();
        let all = everything_of(0);
        for (query, records) in [
            (RangeQuery { limit_records: 3, ..all.clone() }, 3),
            (RangeQuery { limit_bytes: 2500, ..all.clone() }, 3),
            (RangeQuery { limit_examined: 4, ..all.clone() }, 4),
            (RangeQuery { after: Some(batch[7].0.clone()), ..all.clone() }, 2),
            (RangeQuery { bucket: Some("other".into()), ..all.clone() }, 0),
        ] {
            let page = store.range(&query).unwrap();
            assert_eq!(page.records.len(), records, "{query:?}");
            let cut = page.records.last().filter(|_| records > 2).map(|(key, _)| key.clone());
            assert_eq!(page.until, cut, "{query:?}");
        }
    });
}

#[test]
fn a_page_of_one_bucket_says_how_far_it_looked() {
    every_engine(|store| {
        let mut batch: Vec<_> = (0..40)
            .map(|i| {
                (key_in(if i % 4 == 0 { "few" } else { "many" }, &i.to_string()), record(1, 1, 1))
            })
            .collect();
        batch.sort_by(|a, b| a.0.cmp(&b.0));
        put(&*store, &batch).unwrap();
        let mut found = 0;
        for partition in 0..4 {
            let mut query = RangeQuery {
                bucket: Some("few".into()),
                limit_examined: 3,
                limit_examined_bytes: usize::MAX,
                ..everything_of(partition)
            };
            loop {
                let page = store.range(&query).unwrap();
                found += page.records.len();
                query.after = page.until;
                if query.after.is_none() {
                    break;
                }
            }
        }
        assert_eq!(found, 10);
    });
}

#[test]
fn a_page_ends_by_the_size_of_what_it_looked_at_too() {
    for engine in Engine::all(&Machine::new(1)) {
        let store = engine.open().unwrap();
        let batch: Vec<_> = (1..11).map(|i| (key_at(i.into(), "k"), record(i, 1, 100))).collect();
        put(&*store, &batch).unwrap();
        // A bucket of which there are many records past these: those of one with few are not looked for among others.
        let past: Vec<_> = (20..30)
            .map(|position| {
                let key = key_in("other", "k").key;
                (PlacedKey { key, ..key_at(position, "k") }, record(1, 1, 1))
            })
            .collect();
        put(&*store, &past).unwrap();
        // None of them is large: of those that are, the values don't count where they need not be read.
        let length_bytes = batch[0].1.record.bytes().len();
        assert!(length_bytes < LARGE_BYTES);
        for bucket in ["b", "other"] {
            if bucket == "other" && !engine.reads_values_of_others() {
                continue;
            }
            let query = RangeQuery {
                bucket: Some(bucket.into()),
                limit_examined_bytes: 5 * length_bytes / 2,
                ..everything_of(0)
            };
            let page = store.range(&query).unwrap();
            assert_eq!(page.until.as_ref(), Some(&batch[2].0), "{bucket}");
            assert_eq!(page.records.len(), if bucket == "b" { 3 } else { 0 });
        }
    }
}

#[test]
fn a_page_of_keys_has_lengths_in_the_place_of_values() {
    every_engine(|store| {
        let sizes = [5, 2_000, 0, 300];
        let batch: Vec<_> = (1_u64..)
            .zip(sizes)
            .map(|(i, size)| (key_at(i.into(), "k"), record(i, 1, size)))
            .collect();
        let batch: Vec<_> =
            batch.into_iter().map(|(key, stored)| (key, with_local(stored, 4))).collect();
        put(&*store, &batch).unwrap();
        let held: Vec<Hint> = batch
            .iter()
            .map(|(key, stored)| Hint {
                key: key.clone(),
                record: stored.clone(),
                ..hint(1, 3, "x")
            })
            .collect();
        put_hints(&*store, &held);
        let lean: Vec<_> = batch
            .iter()
            .map(|(key, stored)| {
                let record = stored.record.with_lengths().unwrap();
                (key.clone(), StoredRecord { local: stored.local, record })
            })
            .collect();
        let keys = RangeQuery { values: false, ..everything_of(0) };
        assert_eq!(store.range(&keys).unwrap().records, lean);
        assert_eq!(store.hint_range(NodeId(1), &keys).unwrap().records, lean);
        assert_eq!(store.range(&everything_of(0)).unwrap().records, batch);
        let few = RangeQuery { limit_bytes: lean[0].1.record.bytes().len(), ..keys };
        assert_eq!(store.range(&few).unwrap().records, &lean[..2], "values have no size here");
    });
}

#[test]
fn a_page_of_keys_reads_no_large_value() {
    let machine = Machine::new(1);
    let engine = Engine::redb(&machine);
    let batch: Vec<_> = (1..41).map(|i| (key_at(i.into(), "k"), record(i, 1, 100_000))).collect();
    put(&*engine.open().unwrap(), &batch).unwrap();
    let Engine::Redb(backend) = &engine else { panic!("a redb engine") };
    let read_by = |query: RangeQuery, found: usize| {
        let store = engine.open().unwrap();
        let before = backend.read_bytes();
        let (mut query, mut seen) = (query, 0);
        loop {
            let page = store.range(&query).unwrap();
            seen += page.records.len();
            query.after = page.until;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(seen, found);
        backend.read_bytes() - before
    };
    let all = everything_of(0);
    let keys = read_by(RangeQuery { values: false, ..all.clone() }, 40);
    assert!(keys < 100_000, "{keys} B were read for keys, more than one value has");
    let others = read_by(RangeQuery { bucket: Some("other".into()), ..all.clone() }, 0);
    assert!(others < 100_000, "{others} B were read to pass over what is not asked for");
    let values = read_by(all, 40);
    assert!(values > 4_000_000, "{values} B");
}

#[test]
fn hints_are_found_by_partition_in_the_order_of_keys() {
    every_engine(|store| {
        let elsewhere = PlacedKey { partition: Partition(1), ..key_at(15, "k") };
        let at = |position, since_ms| Hint { key: key_at(position, "k"), ..hint(1, since_ms, "x") };
        let held: Vec<Hint> = (1..8).map(|i| at(i * 10, 100 - i as u64)).collect();
        let others =
            [Hint { target: NodeId(2), ..at(25, 5) }, Hint { key: elsewhere, ..hint(1, 5, "x") }];
        let all: Vec<Hint> = held.iter().chain(&others).cloned().collect();
        put_hints(&*store, &all);
        let mut query = RangeQuery { limit_records: 2, ..everything_of(0) };
        let mut seen = Vec::new();
        loop {
            let page = store.hint_range(NodeId(1), &query).unwrap();
            seen.extend(page.records);
            query.after = page.until;
            if query.after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = held.into_iter().map(|hint| (hint.key, hint.record)).collect();
        assert_eq!(seen, expected);
        let page = store.hint_range(NodeId(1), &everything_of(1)).unwrap();
        assert_eq!(page.records.len(), 1);
        let other = RangeQuery { bucket: Some("other".into()), ..everything_of(0) };
        assert_eq!(store.hint_range(NodeId(1), &other).unwrap(), RangePage::default());
        assert_eq!(store.hint_range(NodeId(9), &everything_of(0)).unwrap(), RangePage::default());
    });
}

#[test]
fn a_page_keeps_to_the_positions_that_are_asked_for() {
    every_engine(|store| {
        let batch: Vec<_> =
            (1..11).map(|i| (key_at(i * 10, "k"), record(i as u64, 1, 1))).collect();
        put(&*store, &batch).unwrap();
        let other = PlacedKey { partition: Partition(1), ..key_at(50, "k") };
        put(&*store, &[(other, record(1, 1, 1))]).unwrap();
        for (from, to, after, expected) in [
            (None, None, None, 1..11),
            (Some(30), None, None, 3..11),
            (None, Some(30), None, 1..4),
            (Some(25), Some(75), None, 3..8),
            (Some(30), Some(30), None, 3..4),
            (Some(31), Some(39), None, 0..0),
            (Some(30), Some(70), Some(50), 6..8),
            (Some(30), Some(70), Some(10), 3..8),
            (Some(30), Some(70), Some(90), 0..0),
            (Some(0), Some(u128::MAX), None, 1..11),
        ] {
            let mut query = RangeQuery {
                from: from.map(Position),
                to: to.map(Position),
                after: after.map(|position| key_at(position, "k")),
                limit_records: 2,
                ..everything_of(0)
            };
            let mut seen = Vec::new();
            loop {
                let page = store.range(&query).unwrap();
                seen.extend(page.records.into_iter().map(|(key, _)| key.position.0 / 10));
                query.after = page.until;
                if query.after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, expected.collect::<Vec<_>>(), "{from:?} {to:?} {after:?}");
        }
    });
}

fn hints_of(store: &dyn Store, target: u64, limit: usize, limit_bytes: usize) -> Vec<HintRow> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.hints(NodeId(target), after.as_ref(), limit, limit_bytes).unwrap();
        assert!(page.rows.len() <= limit);
        assert_eq!(page.until.as_ref(), page.until.as_ref().and(page.rows.last()).map(|r| &r.mark));
        seen.extend(page.rows);
        after = page.until;
        if after.is_none() {
            return seen;
        }
    }
}

#[test]
fn hints_come_oldest_first_and_pages_of_them_join_without_gaps() {
    every_engine(|store| {
        // Times that sort otherwise as text, and neighbours of the target on either side.
        let times = [256, 255, 3, 1, 255, 70_000];
        let hints: Vec<Hint> =
            (0..).zip(times).map(|(i, since_ms)| hint(8, since_ms, &format!("k{i}"))).collect();
        put_hints(&*store, &hints);
        put_hints(&*store, &[hint(7, 9, "k0"), hint(9, 9, "k0"), hint(u64::MAX, 1, "k0")]);
        let mut expected: Vec<HintRow> = hints.iter().map(HintRow::from).collect();
        expected.sort_by(|a, b| a.mark.cmp(&b.mark));
        for limit in [1, 2, 5, 6, 7, 100] {
            assert_eq!(hints_of(&*store, 8, limit, 1 << 20), expected, "{limit} at a time");
        }
        assert_eq!(
            hints_of(&*store, 8, 100, 0),
            expected,
            "one at a time, as each is over the limit"
        );
        let two = expected[0].size_bytes as usize + 1;
        assert_eq!(store.hints(NodeId(8), None, 100, two).unwrap().rows.len(), 2);
        assert_eq!(hints_of(&*store, 10, 5, 1 << 20), []);
        assert_eq!(hints_of(&*store, u64::MAX, 5, 1 << 20).len(), 1);
    });
}

#[test]
fn a_hint_replaces_the_one_of_its_target_and_key_even_with_another_time() {
    every_engine(|store| {
        put_hints(&*store, &[hint(8, 50, "a"), hint(8, 60, "b"), hint(9, 70, "a")]);
        let newer = Hint { record: record(2, 1, 500), ..hint(8, 80, "a") };
        put_hints(&*store, std::slice::from_ref(&newer));
        assert_eq!(store.load_hint(NodeId(8), &key("a")).unwrap(), Some(HintRow::from(&newer)));
        let marks: Vec<HintMark> =
            hints_of(&*store, 8, 10, 1 << 20).into_iter().map(|row| row.mark).collect();
        assert_eq!(marks, [hint(8, 60, "b").mark(), newer.mark()]);
        let small = hint(8, 60, "b").size_bytes();
        let of = |target: u64, count, bytes, oldest_ms| {
            (NodeId(target), HintTotals { count, bytes, oldest_ms: Some(oldest_ms) })
        };
        let totals = [of(8, 2, small + newer.size_bytes(), 60), of(9, 1, small, 70)];
        assert_eq!(store.hint_totals().unwrap(), totals);

        let removed = |name| HintWrite { target: NodeId(8), key: key(name), hint: None };
        let hints = vec![removed("a"), removed("other")];
        store.write(&Writes { hints, ..Writes::default() }).unwrap();
        assert_eq!(store.load_hint(NodeId(8), &key("a")).unwrap(), None);
        assert_eq!(store.hint_totals().unwrap(), [of(8, 1, small, 60), of(9, 1, small, 70)]);
        assert_eq!(hints_of(&*store, 8, 10, 1 << 20).len(), 1);
    });
}

#[test]
fn a_damaged_hint_is_found_without_its_record() {
    let machine = Machine::new(1);
    let engine = Engine::redb(&machine);
    let store = engine.open().unwrap();
    let bad = Hint { record: record(0x77, 1, 300), ..hint(8, 5, "bad") };
    put_hints(&*store, &[bad.clone(), hint(8, 6, "good")]);
    drop(store);
    let Engine::Redb(backend) = &engine else { panic!("a redb engine") };
    assert!(backend.replace(&[0x77; 300], &[0x78; 300]) > 0);

    let store = engine.open().unwrap();
    let damaged = HintRow { record: None, ..HintRow::from(&bad) };
    assert_eq!(store.load_hint(NodeId(8), &bad.key).unwrap(), Some(damaged.clone()));
    let page = hints_of(&*store, 8, 10, 1 << 20);
    assert_eq!(page, [damaged, HintRow::from(&hint(8, 6, "good"))]);
    assert_eq!(store.hint_totals().unwrap()[0].1.count, 2);
    let hints = vec![HintWrite { target: NodeId(8), key: bad.key, hint: None }];
    store.write(&Writes { hints, ..Writes::default() }).unwrap();
    assert_eq!(store.hint_totals().unwrap()[0].1.count, 1);
    assert_eq!(hints_of(&*store, 8, 10, 1 << 20).len(), 1);
}

#[test]
fn metadata_is_kept_by_name() {
    every_engine(|store| {
        assert_eq!(store.metadata("tree").unwrap(), None);
        for value in [Some(b"one".to_vec()), Some(b"two".to_vec()), None] {
            let metadata = vec![("tree".into(), value.clone())];
            store.write(&Writes { metadata, ..Writes::default() }).unwrap();
            assert_eq!(store.metadata("tree").unwrap(), value);
        }
    });
}

#[test]
fn a_merged_batch_survives_a_power_cut_where_the_engine_survives_a_restart() {
    for engine in Engine::all(&Machine::new(1)) {
        let store = engine.open().unwrap();
        put(&*store, &[(key("a"), record(1, 1, 10)), (key("b"), record(1, 1, 10))]).unwrap();
        let metadata = vec![("name".into(), Some(b"value".to_vec()))];
        store.write(&Writes { metadata, ..Writes::default() }).unwrap();
        put_hints(&*store, &[hint(3, 5, "a")]);
        let after = engine.after(Crash::Power, &Machine::new(2));
        let again = after.open().unwrap();
        let survives = engine.survives_restart();
        assert_eq!(again.load(&key("a")).unwrap().is_some(), survives);
        assert_eq!(again.metadata("name").unwrap().is_some(), survives);
        assert_eq!(again.load_hint(NodeId(3), &key("a")).unwrap().is_some(), survives);
    }
}

#[test]
fn a_damaged_record_is_reported_by_loads_and_pages_and_replaced_by_a_write() {
    let machine = Machine::new(1);
    let engine = Engine::redb(&machine);
    let store = engine.open().unwrap();
    let (bad, good) = (key_at(1, "bad"), key_at(2, "good"));
    put(&*store, &[(bad.clone(), record(0x77, 1, 300)), (good, record(2, 1, 9))]).unwrap();
    drop(store);
    let Engine::Redb(backend) = &engine else { panic!("a redb engine") };
    assert!(backend.replace(&[0x77; 300], &[0x78; 300]) > 0);

    let store = engine.open().unwrap();
    let error = store.load(&bad).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the record of key \"bad\" in bucket \"b\" is damaged: its checksum does not match"
    );
    let page = store.range(&everything_of(0)).unwrap();
    assert_eq!((page.records.len(), page.damaged), (1, vec![bad.clone()]));

    put(&*store, &[(bad.clone(), record(3, 1, 9))]).unwrap();
    let replaced = store.load(&bad).unwrap();
    assert_eq!(clock(replaced.as_ref()), clock(Some(&record(3, 1, 9))));
}

#[test]
fn redb_is_opened_anew_after_a_full_disk_and_a_failed_sync() {
    let machine = Machine::new(1);
    let store = Engine::redb(&machine).open().unwrap();
    put(&*store, &[(key("a"), record(1, 1, 10))]).unwrap();

    machine.set_free_bytes(Some(0));
    let error = put(&*store, &[(key("b"), record(1, 1, 10))]).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    machine.set_free_bytes(None);
    assert!(store.load(&key("a")).unwrap().is_some());

    machine.fail_syncs(1);
    let error = put(&*store, &[(key("b"), record(1, 1, 10))]).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    put(&*store, &[(key("b"), record(1, 1, 10))]).unwrap();
    assert!(store.load(&key("a")).unwrap().is_some() && store.load(&key("b")).unwrap().is_some());
}

#[test]
fn partitions_with_records_are_found_one_after_the_other() {
    every_engine(|store| {
        let partitions = |store: &dyn Store| {
            let (mut found, mut from) = (Vec::new(), Some(0));
            while let Some(next) = from
                && let Some(partition) = store.next_partition(Partition(next)).unwrap()
            {
                found.push(partition.0);
                from = partition.0.checked_add(1);
            }
            found
        };
        assert_eq!(partitions(&*store), [0_u32; 0]);
        let records = [0, 3, 700, u32::MAX].map(|at| (key_of(at, 5, "k"), record(1, 1, 10)));
        put(&*store, &records).unwrap();
        assert_eq!(partitions(&*store), [0, 3, 700, u32::MAX]);
        assert_eq!(store.next_partition(Partition(4)).unwrap(), Some(Partition(700)));
        let dropped = [Partition(3), Partition(u32::MAX)].into();
        store.drop_partitions(&dropped).unwrap();
        assert_eq!(partitions(&*store), [0, 700]);
        while store.sweep(10).unwrap() {}
        assert_eq!(partitions(&*store), [0, 700]);
    });
}

#[test]
fn names_of_metadata_are_those_that_were_written() {
    every_engine(|store| {
        assert!(store.metadata_names().unwrap().is_empty());
        let value = |name: &str| (name.to_owned(), Some(b"1".to_vec()));
        let metadata = vec![value("kept.b"), value("journal"), value("a")];
        store.write(&Writes { metadata, ..Writes::default() }).unwrap();
        assert_eq!(store.metadata_names().unwrap(), ["a", "journal", "kept.b"]);
        let metadata = vec![("journal".to_owned(), None)];
        store.write(&Writes { metadata, ..Writes::default() }).unwrap();
        assert_eq!(store.metadata_names().unwrap(), ["a", "kept.b"]);
    });
}
