//! Bits that flip in rows: what is read is what was written, or is said to be damaged.

use std::fs;
use std::sync::Arc;

use jedlik_hashing::NodeId;

use super::{MysqlStore, Place, server, sql_of};
use crate::engine_kind::EngineKind;
use crate::fixtures::{everything_of, hint, key, key_at, put, put_hints, record};
use crate::mysql_store::{Tables, salvage};
use crate::{
    Guarded, HintRow, HintWrite, MemoryStore, OpenError, ShardFolder, Store, StoreError, Writes,
    inspect, shard_folders,
};

/// Changes rows of one of the tables.
fn change(store: &MysqlStore, what: &str, set: &str) {
    let id = store.tables.id;
    sql_of(server(), &format!("UPDATE shop.jedlik_{id}_{what} SET {set}"));
}

/// Returns SQL that flips a bit in the last byte of a column.
fn flipped(column: &str) -> String {
    let last = format!("CHAR(ORD(RIGHT({column}, 1)) ^ 1)");
    format!("{column} = CONCAT(LEFT({column}, LENGTH({column}) - 1), {last})")
}

#[test]
fn a_flipped_bit_in_a_value_costs_that_record_alone() {
    let place = Place::new();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    let (bad, good) = (key_at(1, "bad"), key_at(2, "good"));
    put(&store, &[(bad.clone(), record(7, 1, 300)), (good.clone(), record(2, 1, 9))]).unwrap();
    change(&store, "records", &format!("{} WHERE LENGTH(value) > 300", flipped("value")));
    let error = store.load(&bad).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the record of key \"bad\" in bucket \"b\" is damaged: its checksum does not match"
    );
    assert_eq!(store.load(&good).unwrap(), Some(record(2, 1, 9)));
    let page = store.range(&everything_of(0)).unwrap();
    assert_eq!((page.records.len(), page.damaged), (1, vec![bad.clone()]));
    put(&store, &[(bad.clone(), record(3, 1, 9))]).unwrap();
    assert_eq!(store.load(&bad).unwrap(), Some(record(3, 1, 9)));
    assert_eq!(store.record_count().unwrap(), 2);
}

#[test]
fn a_flipped_bit_in_a_name_gives_no_record_and_no_silence() {
    let place = Place::new();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    put(&store, &[(key("a"), record(1, 1, 9))]).unwrap();
    change(&store, "records", &flipped("name"));
    let error = store.load(&key("a")).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let error = store.range(&everything_of(key("a").partition.0)).unwrap_err();
    assert!(error.is_damage(), "{error}");
    put(&store, &[(key("a"), record(2, 1, 9))]).unwrap();
    assert_eq!(store.load(&key("a")).unwrap(), Some(record(2, 1, 9)));
    assert_eq!(store.record_count().unwrap(), 1);
}

#[test]
fn a_damaged_hint_is_found_without_its_record_and_one_without_a_place_not_at_all() {
    let place = Place::new();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    let bad = hint(8, 5, "bad");
    put_hints(&store, &[bad.clone(), hint(8, 6, "good")]);
    change(
        &store,
        "hints",
        &format!("{} WHERE age < x'0000000000000008000000000000000600'", flipped("value")),
    );
    let damaged = HintRow { record: None, ..HintRow::from(&bad) };
    assert_eq!(store.load_hint(NodeId(8), &bad.key).unwrap(), Some(damaged.clone()));
    let page = store.hints(NodeId(8), None, 10, 1 << 20).unwrap();
    assert_eq!(page.rows, [damaged, HintRow::from(&hint(8, 6, "good"))]);
    assert_eq!(store.hint_totals().unwrap()[0].1.count, 2);
    change(
        &store,
        "hints",
        &format!("{} WHERE age < x'0000000000000008000000000000000600'", flipped("place")),
    );
    assert_eq!(store.load_hint(NodeId(8), &bad.key).unwrap(), None);
    assert_eq!(store.hints(NodeId(8), None, 10, 1 << 20).unwrap().rows.len(), 1);
    let hints = vec![HintWrite { target: NodeId(8), key: bad.key, hint: None }];
    store.write(&Writes { hints, ..Writes::default() }).unwrap();
    assert_eq!(store.hint_totals().unwrap()[0].1.count, 1);
}

#[test]
fn a_damaged_row_of_the_engine_itself_is_damage_of_the_engine() {
    let place = Place::new();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    let metadata = vec![("tree".into(), Some(b"one".to_vec()))];
    store.write(&Writes { metadata, ..Writes::default() }).unwrap();
    change(&store, "metadata", &format!("{} WHERE name = 'm.tree'", flipped("value")));
    assert!(store.metadata("tree").unwrap_err().is_damage());
    change(&store, "metadata", &format!("{} WHERE name = 'o.totals'", flipped("value")));
    drop(store);
    let error = MysqlStore::open(&place.path(), &place.options()).unwrap_err();
    assert!(matches!(error, OpenError::EngineDamaged { .. }), "{error}");
}

#[test]
fn tables_that_go_back_to_an_earlier_state_are_damaged() {
    let place = Place::new();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    put(&store, &[(key("a"), record(1, 1, 9))]).unwrap();
    let table = format!("shop.jedlik_{}_metadata", store.tables.id);
    sql_of(server(), &format!("CREATE TABLE {table}_kept AS SELECT * FROM {table}"));
    put(&store, &[(key("a"), record(2, 1, 9))]).unwrap();
    place.disconnect();
    put(&store, &[(key("a"), record(3, 1, 9))]).unwrap();
    sql_of(
        server(),
        &format!("REPLACE INTO {table} SELECT * FROM {table}_kept; DROP TABLE {table}_kept"),
    );
    place.disconnect();
    let error = put(&store, &[(key("a"), record(4, 1, 9))]).unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("after 1 commits, and there were 3"),
        "{error}"
    );
}

#[test]
fn a_digest_that_two_keys_have_is_refused_and_mixes_nothing_up() {
    let place = Place::new();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    let [a, b, c] = ["clash a", "clash b", "c"].map(|name| key_at(1, name));
    let refused = |records: &[_]| {
        let error = put(&store, records).unwrap_err();
        assert!(error.to_string().contains("two keys have one digest"), "{error}");
        assert!(!error.is_damage());
    };
    refused(&[(a.clone(), record(1, 1, 9)), (b.clone(), record(2, 1, 9))]);
    put(&store, &[(a.clone(), record(1, 1, 9))]).unwrap();
    refused(&[(b.clone(), record(2, 1, 9)), (c.clone(), record(3, 1, 9))]);
    assert_eq!(store.load(&a).unwrap(), Some(record(1, 1, 9)));
    assert_eq!((store.load(&b).unwrap(), store.load(&c).unwrap()), (None, None));
    assert_eq!(store.record_count().unwrap(), 1);
    put(&store, &[(a.clone(), record(4, 1, 9)), (c, record(3, 1, 9))]).unwrap();
    assert_eq!(store.load(&a).unwrap(), Some(record(4, 1, 9)));
}

#[test]
fn a_damaged_shard_is_set_aside_and_its_tables_are_dropped_with_its_folder() {
    let root = tempfile::tempdir().unwrap();
    let options = Arc::new(Place::new().options());
    let folder = ShardFolder::new(root.path(), 0)
        .with_engine(EngineKind::Mysql)
        .with_mysql(Arc::clone(&options));
    folder.prepare().unwrap();
    let path = folder.engine_path();
    let open = || Guarded::open(&path, || MysqlStore::open(&path, &options));
    let mut sets = Vec::new();
    for round in 1..4 {
        let store = open().unwrap();
        put(&store, &[(key("a"), record(1, 1, 300)), (key("b"), record(2, 1, 9))]).unwrap();
        put_hints(&store, &[hint(8, 5, "a")]);
        store
            .call("testing", |store| {
                sets.push(store.tables.id);
                change(
                    store,
                    "records",
                    &format!("{} WHERE LENGTH(value) > 300", flipped("value")),
                );
                Ok(())
            })
            .unwrap();
        drop(store);
        let aside = folder.rebuild("a test wants it", round).unwrap();
        assert_eq!((aside.records, aside.hints, aside.damaged), (1, 1, 1));
        let read_me = fs::read_to_string(aside.path.join("README.txt")).unwrap();
        let id = sets.last().unwrap();
        assert!(read_me.contains(&format!("jedlik_{id}_* in database shop")), "{read_me}");
        let mut keys = Vec::new();
        let folders = shard_folders(&aside.path);
        let inspected = inspect(&folders[0], root.path(), &mut |key| keys.push(key)).unwrap();
        assert_eq!((inspected.keys, inspected.damaged), (2, 1), "a record, and a hint alone");
        for (set, there) in sets.iter().rev().zip([3, 0, 0]) {
            let tables = sql_of(server(), &format!("SHOW TABLES IN shop LIKE 'jedlik_{set}%'"));
            assert_eq!(tables.lines().count(), there, "{round}: {tables}");
        }
    }
    let store = open().unwrap();
    assert_eq!(store.load(&key("b")).unwrap(), Some(record(2, 1, 9)));
    assert_eq!(store.load(&key("a")).unwrap(), None);
    drop(store);
    MysqlStore::remove(&path).unwrap();
}

#[test]
fn a_file_with_a_flipped_bit_costs_its_shard_and_the_tables_that_it_named_stay() {
    let root = tempfile::tempdir().unwrap();
    let options = Arc::new(Place::new().options());
    let folder = ShardFolder::new(root.path(), 0)
        .with_engine(EngineKind::Mysql)
        .with_mysql(Arc::clone(&options));
    folder.prepare().unwrap();
    let path = folder.engine_path();
    let store = MysqlStore::open(&path, &options).unwrap();
    put(&store, &[(key("a"), record(1, 1, 9))]).unwrap();
    let tables = store.tables.clone();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = MysqlStore::open(&path, &options).unwrap_err();
    assert!(error.is_damage(), "{error}");

    let aside = folder.rebuild(&error.to_string(), 1).unwrap();
    assert_eq!((aside.records, aside.hints), (0, 0));
    let read_me = fs::read_to_string(aside.path.join("README.txt")).unwrap();
    assert!(read_me.contains("stay in their database"), "{read_me}");
    let store = MysqlStore::open(&path, &options).unwrap();
    assert_eq!(store.load(&key("a")).unwrap(), None);
    drop(store);
    MysqlStore::remove(&path).unwrap();
    let records = &tables.records;
    assert_eq!(sql_of(server(), &format!("SELECT COUNT(*) FROM shop.{records}")), "1\n");
    let Tables { hints, metadata, .. } = &tables;
    sql_of(server(), &format!("DROP TABLE shop.{records}, shop.{hints}, shop.{metadata}"));
}

#[test]
fn tables_of_a_setting_aside_that_was_cut_short_are_dropped_with_its_folder() {
    let root = tempfile::tempdir().unwrap();
    let place = Place::new();
    let folder = ShardFolder::new(root.path(), 0)
        .with_engine(EngineKind::Mysql)
        .with_mysql(Arc::new(place.options()));
    folder.prepare().unwrap();
    let unfinished = root.path().join("shard-0.new/records.mysql");
    fs::create_dir(unfinished.parent().unwrap()).unwrap();
    drop(MysqlStore::open(&unfinished, &place.options()).unwrap());
    let described = MysqlStore::described(&unfinished).unwrap();
    assert!(place.has(&described));
    folder.prepare().unwrap();
    assert!(!unfinished.exists() && !place.has(&described));
}

#[test]
fn tables_that_vanish_under_an_open_engine_are_damage_and_the_rest_is_salvaged() {
    let place = Place::new();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    put(&store, &[(key("a"), record(1, 1, 9))]).unwrap();
    let id = store.tables.id;
    sql_of(server(), &format!("DROP TABLE shop.jedlik_{id}_hints"));
    let error = store.load_hint(NodeId(1), &key("a")).unwrap_err();
    assert!(error.is_damage(), "{error}");
    let target = MemoryStore::new();
    let salvaged = salvage(&place.path(), &target).unwrap();
    assert_eq!(salvaged.records + salvaged.failures, 1);
}
