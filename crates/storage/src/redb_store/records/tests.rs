//! Large records: two rows that are written, replaced, removed, salvaged and found damaged as one.

use std::collections::BTreeSet;
use std::path::Path;

use jedlik_protocol::{PlacedKey, StoredRecord};
use redb::ReadableTableMetadata;
use tempfile::TempDir;

use crate::fixtures::{everything_of, key_at, put, record};
use crate::format::{key_bytes, value_bytes};
use crate::redb_store::tables::{RECORDS, VALUES};
use crate::{MemoryStore, RangeQuery, RedbOptions, RedbStore, Store, StoreError, Writes};

use super::super::salvage::{Salvaged, salvage};

const LARGE_BYTES: usize = 100_000;

fn open(path: &Path) -> RedbStore {
    RedbStore::open(path, &RedbOptions::default()).unwrap()
}

/// Makes a store with a small record between two large ones.
fn filled(folder: &TempDir) -> (RedbStore, Vec<(PlacedKey, StoredRecord)>) {
    let store = open(&folder.path().join("records.redb"));
    let records: Vec<_> = [(1, LARGE_BYTES), (2, 10), (3, LARGE_BYTES)]
        .map(|(number, value_bytes)| (key_at(number.into(), "k"), record(number, 1, value_bytes)))
        .into();
    put(&store, &records).unwrap();
    (store, records)
}

/// Returns the number of values that lie apart.
fn apart(store: &RedbStore) -> u64 {
    store.file.with("counting values", |opened| Ok(opened.tables.values.len()?)).unwrap()
}

/// Writes `value` in the place of the value that lies apart; `None` removes that one.
fn replace_value(store: &RedbStore, key: &PlacedKey, value: Option<&[u8]>) {
    let bytes = key_bytes(key);
    let replace = |transaction: &redb::WriteTransaction| {
        let mut values = transaction.open_table(VALUES)?;
        match value {
            Some(value) => drop(values.insert(bytes.as_slice(), value)?),
            None => drop(values.remove(bytes.as_slice())?),
        }
        Ok(())
    };
    store.file.commit("a test", || {}, replace).unwrap();
}

fn damage(store: &RedbStore, key: &PlacedKey) -> &'static str {
    let Err(StoreError::Damaged { what, .. }) = store.load(key) else { panic!("not damaged") };
    what
}

#[test]
fn values_lie_apart_for_as_long_as_a_large_record_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (store, records) = filled(&folder);
    for (key, stored) in &records {
        assert_eq!(store.load(key).unwrap().as_ref(), Some(stored));
    }
    assert_eq!((apart(&store), store.record_count().unwrap()), (2, 3));
    let (first, last) = (&records[0].0, &records[2].0);
    let newer = record(9, 1, 2 * LARGE_BYTES);
    put(&store, &[(first.clone(), newer.clone())]).unwrap();
    assert_eq!(store.load(first).unwrap(), Some(newer));
    assert_eq!(apart(&store), 2, "one in the place of another");
    put(&store, &[(first.clone(), record(9, 1, 5))]).unwrap();
    assert_eq!(store.load(first).unwrap(), Some(record(9, 1, 5)));
    assert_eq!(apart(&store), 1, "a small one in the place of a large one");
    let writes = Writes { records: vec![(last.clone(), None)], ..Writes::default() };
    Store::write(&store, &writes).unwrap();
    assert_eq!((store.load(last).unwrap(), apart(&store)), (None, 0));
}

#[test]
fn a_sweep_takes_the_values_of_dropped_records_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let (store, records) = filled(&folder);
    let other = PlacedKey { partition: jedlik_hashing::Partition(1), ..records[0].0.clone() };
    put(&store, &[(other.clone(), record(7, 1, LARGE_BYTES))]).unwrap();
    store.drop_partitions(&BTreeSet::from([records[0].0.partition])).unwrap();
    assert!(store.sweep(1).unwrap());
    assert_eq!(apart(&store), 2, "one of two, and the other partition's");
    while store.sweep(1).unwrap() {}
    assert_eq!((apart(&store), store.record_count().unwrap()), (1, 1));
    assert_eq!(store.load(&other).unwrap(), Some(record(7, 1, LARGE_BYTES)));
}

#[test]
fn a_large_record_without_the_values_that_it_was_written_with_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (store, records) = filled(&folder);
    let (key, last) = (&records[0].0, &records[2].0);
    let older = value_bytes(&key_bytes(key), &record(5, 1, LARGE_BYTES));
    replace_value(&store, key, Some(&older));
    assert_eq!(damage(&store, key), "its values are not those that it was written with");
    replace_value(&store, last, None);
    assert_eq!(damage(&store, last), "its values are missing");
    let page = store.range(&everything_of(0)).unwrap();
    assert_eq!(page.damaged, [key.clone(), last.clone()]);
    assert_eq!(page.records, &records[1..2]);
    let keys = RangeQuery { values: false, ..everything_of(0) };
    assert_eq!(store.range(&keys).unwrap().records.len(), 3, "keys are listed without values");

    put(&store, &records).unwrap();
    assert_eq!(store.range(&everything_of(0)).unwrap().records, records);
}

#[test]
fn a_row_that_stands_for_values_elsewhere_is_damaged_by_any_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (store, records) = filled(&folder);
    let bytes = key_bytes(&records[0].0);
    let row = store.file.with("a test", |opened| {
        Ok(opened.tables.records.get(bytes.as_slice())?.unwrap().value().to_vec())
    });
    let row = row.unwrap();
    assert!(row.len() < 300);
    for bit in 0..row.len() * 8 {
        let mut row = row.clone();
        row[bit / 8] ^= 1 << (bit % 8);
        assert!(super::with_lengths(&bytes, &row).is_err(), "bit {bit}");
    }
    let flipped = |transaction: &redb::WriteTransaction| {
        let mut row = row.clone();
        row[0] ^= 4;
        transaction.open_table(RECORDS)?.insert(bytes.as_slice(), row.as_slice())?;
        Ok(())
    };
    store.file.commit("a test", || {}, flipped).unwrap();
    assert_eq!(damage(&store, &records[0].0), "its format is unknown");
    put(&store, &[(records[0].0.clone(), record(1, 1, 3))]).unwrap();
    assert_eq!(apart(&store), 1, "what may have lain apart is gone with it");
}

#[test]
fn large_records_are_salvaged_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (store, records) = filled(&folder);
    replace_value(&store, &records[0].0, None);
    drop(store);
    let target = MemoryStore::new();
    let salvaged = salvage(&folder.path().join("records.redb"), &target).unwrap();
    assert_eq!(salvaged, Salvaged { records: 2, damaged: 1, ..Salvaged::default() });
    assert_eq!(target.range(&everything_of(0)).unwrap().records, &records[1..]);
}
