//! What an engine does, as far as a shard can see.

use std::sync::Arc;

use jedlik_hashing::Partition;
use jedlik_protocol::StoredRecord;

use super::Engine;
use crate::faulty::{Crash, Machine};
use crate::fixtures::{clock, covers, dot, key, key_at, key_in, record, with_local};
use crate::{RangeQuery, Store, StoreError};

fn every_engine(check: impl Fn(Arc<dyn Store>)) {
    for engine in Engine::all(&Machine::new(1)) {
        check(engine.open().unwrap());
    }
}

fn everything_of(partition: u32) -> RangeQuery {
    RangeQuery {
        partition: Partition(partition),
        after: None,
        bucket: None,
        limit_records: 1000,
        limit_bytes: 1 << 20,
        limit_examined: 1000,
    }
}

#[test]
fn what_was_merged_is_loaded_with_its_bytes_and_local_actor() {
    every_engine(|store| {
        let stored = with_local(record(1, 1, 10), 1);
        store.merge_many(&[(key("a"), stored.clone())]).unwrap();
        assert_eq!(store.load(&key("a")).unwrap(), Some(stored));
        assert_eq!(store.load(&key("b")).unwrap(), None);
        assert_eq!(store.record_count().unwrap(), 1);
    });
}

#[test]
fn merging_keeps_both_sides_siblings_and_the_older_local_actor() {
    every_engine(|store| {
        store.merge_many(&[(key("a"), with_local(record(1, 1, 10), 1))]).unwrap();
        store.merge_many(&[(key("a"), record(2, 1, 10))]).unwrap();
        let loaded = store.load(&key("a")).unwrap();
        assert!(covers(loaded.as_ref(), dot(1, 1)) && covers(loaded.as_ref(), dot(2, 1)));
        let loaded: StoredRecord = loaded.unwrap();
        assert_eq!(loaded.record.decode().unwrap().siblings().len(), 2);
        assert_eq!(loaded.local, with_local(record(1, 1, 0), 1).local);
    });
}

#[test]
fn a_newer_local_actor_replaces_the_older() {
    every_engine(|store| {
        store.merge_many(&[(key("a"), with_local(record(1, 1, 1), 1))]).unwrap();
        store.merge_many(&[(key("a"), with_local(record(1, 1, 1), 5))]).unwrap();
        let local = store.load(&key("a")).unwrap().unwrap().local.unwrap();
        assert_eq!(local.actor.0, 5);
    });
}

#[test]
fn an_older_record_changes_nothing() {
    every_engine(|store| {
        store.merge_many(&[(key("a"), record(1, 3, 10))]).unwrap();
        store.merge_many(&[(key("a"), record(1, 2, 10))]).unwrap();
        assert_eq!(store.load(&key("a")).unwrap(), Some(record(1, 3, 10)));
    });
}

#[test]
fn pages_follow_the_order_of_keys_and_join_without_gaps() {
    every_engine(|store| {
        let mut batch: Vec<_> = (0..50)
            .map(|i| (key_at(u128::from(i) / 2 * 1000, &format!("k{i}")), record(i + 1, 1, 20)))
            .collect();
        batch.sort_by(|a, b| a.0.cmp(&b.0));
        store.merge_many(&batch).unwrap();
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
        let batch: Vec<_> = (1..=10).map(|i| (key_at(i.into(), "k"), record(i, 1, 1000))).collect();
        store.merge_many(&batch).unwrap();
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
        store.merge_many(&batch).unwrap();
        let mut found = 0;
        for partition in 0..4 {
            let mut query = RangeQuery {
                bucket: Some("few".into()),
                limit_examined: 3,
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
fn metadata_is_kept_by_name() {
    every_engine(|store| {
        assert_eq!(store.metadata("tree").unwrap(), None);
        store.set_metadata("tree", b"one").unwrap();
        store.set_metadata("tree", b"two").unwrap();
        assert_eq!(store.metadata("tree").unwrap(), Some(b"two".to_vec()));
    });
}

#[test]
fn a_merged_batch_survives_a_power_cut_where_the_engine_survives_a_restart() {
    for engine in Engine::all(&Machine::new(1)) {
        let store = engine.open().unwrap();
        store.merge_many(&[(key("a"), record(1, 1, 10)), (key("b"), record(1, 1, 10))]).unwrap();
        store.set_metadata("name", b"value").unwrap();
        let again = engine.after(Crash::Power, &Machine::new(2)).open().unwrap();
        let survives = engine.survives_restart();
        assert_eq!(again.load(&key("a")).unwrap().is_some(), survives);
        assert_eq!(again.metadata("name").unwrap().is_some(), survives);
    }
}

#[test]
fn a_damaged_record_is_reported_by_loads_and_pages_and_replaced_by_a_merge() {
    let machine = Machine::new(1);
    let engine = Engine::redb(&machine);
    let store = engine.open().unwrap();
    let (bad, good) = (key_at(1, "bad"), key_at(2, "good"));
    store.merge_many(&[(bad.clone(), record(0x77, 1, 300)), (good, record(2, 1, 9))]).unwrap();
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

    store.merge_many(&[(bad.clone(), record(3, 1, 9))]).unwrap();
    let replaced = store.load(&bad).unwrap();
    assert_eq!(clock(replaced.as_ref()), clock(Some(&record(3, 1, 9))));
}

#[test]
fn redb_is_opened_anew_after_a_full_disk_and_a_failed_sync() {
    let machine = Machine::new(1);
    let store = Engine::redb(&machine).open().unwrap();
    store.merge_many(&[(key("a"), record(1, 1, 10))]).unwrap();

    machine.set_free_bytes(Some(0));
    let error = store.merge_many(&[(key("b"), record(1, 1, 10))]).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    machine.set_free_bytes(None);
    assert!(store.load(&key("a")).unwrap().is_some());

    machine.fail_syncs(1);
    let error = store.merge_many(&[(key("b"), record(1, 1, 10))]).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    store.merge_many(&[(key("b"), record(1, 1, 10))]).unwrap();
    assert!(store.load(&key("a")).unwrap().is_some() && store.load(&key("b")).unwrap().is_some());
}
