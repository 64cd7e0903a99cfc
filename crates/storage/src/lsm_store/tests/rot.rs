//! Bits that flip in any of the engine's files, and files that are gone: no read gives what was not written.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jedlik_hashing::NodeId;
use jedlik_protocol::{PlacedKey, StoredRecord};

use super::{files_of, open, options};
use crate::fixtures::{everything_of, hint, key_at, put, put_hints, record};
use crate::lsm_store::tree::mirror;
use crate::tests::memory_folder;
use crate::{Guarded, LsmStore, RangeQuery, Store, StoreError};

const KEYS: u64 = 300;
/// Number of places in each file in which a bit flips.
const PLACES: usize = 24;

fn value_bytes(number: u64) -> usize {
    if number.is_multiple_of(5) { 3_000 } else { 150 }
}

/// Makes an engine with merged tables and unmerged ones. Returns what it holds.
fn filled(path: &Path) -> BTreeMap<PlacedKey, StoredRecord> {
    let store = open(path);
    let mut records = BTreeMap::new();
    for round in 0..4 {
        let batch: BTreeMap<_, _> = (round * 10..KEYS - round * 10)
            .map(|number| {
                let position = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64;
                let record = record(number + 1, round + 1, value_bytes(number));
                (key_at(position, &number.to_string()), record)
            })
            .collect();
        put(&store, &batch.clone().into_iter().collect::<Vec<_>>()).unwrap();
        records.extend(batch);
        if round == 1 {
            store.engine.with("testing", |opened| opened.compact_all(|| ())).unwrap();
        }
    }
    put_hints(&store, &[hint(8, 5, "held")]);
    records
}

/// Asserts that every read gives what was written, or says that it can't.
fn check(store: &dyn Store, records: &BTreeMap<PlacedKey, StoredRecord>, what: &str) {
    for (key, record) in records {
        match store.load(key) {
            Ok(loaded) => assert_eq!(loaded.as_ref(), Some(record), "{what}"),
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => assert!(error.is_damage(), "{what}: {error}"),
        }
    }
    let all = RangeQuery { limit_bytes: usize::MAX, ..everything_of(0) };
    match store.range(&all) {
        Ok(page) => {
            assert!(page.records.iter().all(|(key, record)| records.get(key) == Some(record)));
            assert_eq!(page.records.len() + page.damaged.len(), records.len(), "{what}");
        }
        Err(error) => assert!(error.is_damage(), "{what}: {error}"),
    }
    let held = hint(8, 5, "held");
    match store.load_hint(NodeId(8), &held.key) {
        Ok(found) => assert!(found.unwrap().record.is_none_or(|record| record == held.record)),
        Err(error) => assert!(error.is_damage(), "{what}: {error}"),
    }
    match store.record_count() {
        Ok(count) => assert_eq!(count, records.len() as u64, "{what}"),
        Err(error) => assert!(error.is_damage(), "{what}: {error}"),
    }
}

/// Opens a rotten engine, and checks what it gives. Returns whether it could be opened.
fn opens_and_is_right(
    path: &Path,
    records: &BTreeMap<PlacedKey, StoredRecord>,
    what: &str,
) -> bool {
    match Guarded::open(path, || LsmStore::open(path, &options())) {
        Ok(store) => {
            check(&store, records, what);
            true
        }
        Err(error) => {
            assert!(error.is_damage(), "{what}: {error}");
            false
        }
    }
}

/// Lets `damage` change each file of a copy in turn, with the number of the attempt.
fn each_file(attempts: usize, damage: impl Fn(&Path, usize)) -> (usize, usize) {
    let root = memory_folder();
    let sound = root.path().join("sound");
    let records = filled(&sound);
    let (mut opened, mut refused) = (0, 0);
    for file in files_of(&sound) {
        let name = file.strip_prefix(&sound).unwrap();
        for attempt in 0..attempts {
            let path = root.path().join("rotten");
            copy(&sound, &path);
            damage(&path.join(name), attempt);
            let what = format!("{} at {attempt}", name.display());
            match opens_and_is_right(&path, &records, &what) {
                true => opened += 1,
                false => refused += 1,
            }
            let _ = fs::remove_file(path.with_extension("fault"));
            fs::remove_dir_all(&path).unwrap();
        }
    }
    (opened, refused)
}

fn copy(from: &Path, to: &Path) {
    mirror(from, to).unwrap();
    for file in files_of(to) {
        // A file of its own, and not another name for the one that stays sound.
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    }
}

#[test]
fn a_bit_that_flips_in_any_file_gives_no_wrong_record_and_no_silence() {
    let (opened, refused) = each_file(PLACES, |file, attempt| {
        let mut bytes = fs::read(file).unwrap();
        // A merge that was cut short may have left an empty file, which nothing names.
        let Some(last) = bytes.len().checked_sub(1) else { return };
        // From the first byte to the last, and everywhere in between.
        let at = attempt * last / (PLACES - 1);
        bytes[at] ^= 1 << (attempt % 8);
        fs::write(file, bytes).unwrap();
    });
    assert!(opened > 0 && refused > 0, "{opened} were opened, {refused} were not");
}

#[test]
fn a_file_that_is_cut_short_or_empty_or_gone_gives_no_wrong_record_and_no_silence() {
    each_file(4, |file, attempt| {
        let bytes = fs::read(file).unwrap();
        match attempt {
            0 => fs::remove_file(file).unwrap(),
            1 => fs::write(file, b"").unwrap(),
            2 => fs::write(file, &bytes[..bytes.len() / 2]).unwrap(),
            _ => fs::write(file, vec![0; bytes.len()]).unwrap(),
        }
    });
}

#[test]
fn a_bit_that_flips_in_a_value_costs_that_record_alone() {
    let root = memory_folder();
    let path = root.path().join("records.lsm");
    let bad = key_at(1, "bad");
    let store = open(&path);
    put(&store, &[(bad.clone(), record(0x77, 1, 2_000)), (key_at(2, "good"), record(2, 1, 2_000))])
        .unwrap();
    drop(store);
    let values = files_of(&path.join("blobs"));
    let mut bytes = fs::read(&values[0]).unwrap();
    let at = bytes.windows(100).position(|window| window == [0x77; 100]).unwrap();
    bytes[at + 50] ^= 4;
    fs::write(&values[0], bytes).unwrap();
    let store = open(&path);
    let error = store.load(&bad).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(store.load(&key_at(2, "good")).unwrap(), Some(record(2, 1, 2_000)));
    let page = store.range(&everything_of(0)).unwrap();
    assert_eq!((page.records.len(), page.damaged), (1, vec![bad.clone()]));
    put(&store, &[(bad.clone(), record(3, 1, 9))]).unwrap();
    assert_eq!(store.load(&bad).unwrap(), Some(record(3, 1, 9)));
}
