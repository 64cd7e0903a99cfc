//! Stored keys in which a byte is flipped: no entry is left that nobody can name and nothing ever replaces.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jedlik_protocol::{PlacedKey, StoredRecord};

use crate::fixtures::{everything_of, key, placement, put, record};
use crate::format::key_bytes;
use crate::{Filtered, Guarded, OpenError, RedbOptions, RedbStore, ShardFolder, Store};

const PAGE_BYTES: usize = 4096;
/// What redb's pages of rows begin with.
const LEAF: u8 = 1;
const KEYS: u64 = 120;
const PARTITIONS: u32 = 4;

type Engine = Guarded<Filtered<RedbStore>>;

fn open(path: &Path) -> Result<Engine, OpenError> {
    let options = RedbOptions { placement: Some(placement()), ..RedbOptions::default() };
    Guarded::open(path, || RedbStore::open(path, &options).map(Filtered::over))
}

fn records() -> BTreeMap<PlacedKey, StoredRecord> {
    (0..KEYS).map(|number| (key(&format!("kept-{number}")), record(number + 1, 1, 80))).collect()
}

/// The bytes of a shard's engine that holds them all.
fn filled(folder: &ShardFolder, records: &BTreeMap<PlacedKey, StoredRecord>) -> Vec<u8> {
    folder.prepare().unwrap();
    let all: Vec<_> = records.clone().into_iter().collect();
    put(&open(&folder.engine_path()).unwrap(), &all).unwrap();
    fs::read(folder.engine_path()).unwrap()
}

/// The same with one byte of every row flipped that has `text` in it, so far past its beginning.
fn flipped(whole: &[u8], text: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    let mut flips = 0;
    for page in bytes.chunks_mut(PAGE_BYTES).filter(|page| page[0] == LEAF) {
        let places: Vec<usize> =
            (0..page.len()).filter(|place| page[*place..].starts_with(text)).collect();
        flips += places.len();
        places.into_iter().for_each(|place| page[place + at] ^= 4);
    }
    assert!(flips > 0, "the row is in the file");
    bytes
}

/// Reads every partition page by page; the keys that are said to be damaged.
fn scrub(engine: &Engine) -> Vec<PlacedKey> {
    let mut damaged = Vec::new();
    for partition in 0..PARTITIONS {
        let mut query = everything_of(partition);
        query.limit_records = 7;
        while let Ok(page) = engine.range(&query) {
            damaged.extend(page.damaged);
            query.after = page.until;
            if query.after.is_none() {
                break;
            }
        }
    }
    damaged
}

#[test]
fn a_flipped_byte_in_a_key_condemns_the_engine_and_leaves_nothing_damaged_in_the_next_one() {
    let root = tempfile::tempdir().unwrap();
    let records = records();
    let whole = filled(&ShardFolder::new(root.path(), 0), &records);
    // In the middle, at both ends, and at the edges of partitions.
    let keys: Vec<&PlacedKey> = records.keys().collect();
    let edges = keys.windows(2).filter(|pair| pair[0].partition != pair[1].partition);
    let mut chosen: Vec<&PlacedKey> = edges.flatten().copied().collect();
    chosen.extend([keys[0], keys[50], keys[keys.len() - 1]]);
    for key in chosen {
        let text = key_bytes(key);
        for at in 0..text.len() {
            let root = tempfile::tempdir().unwrap();
            let folder = ShardFolder::new(root.path(), 0);
            folder.prepare().unwrap();
            fs::write(folder.engine_path(), flipped(&whole, &text, at)).unwrap();
            let engine = open(&folder.engine_path()).unwrap();
            assert_eq!(scrub(&engine), [], "byte {at} of {key:?}");
            let why = engine.damage().unwrap_or_else(|| panic!("byte {at} of {key:?}"));
            assert!(why.is_damage(), "{why}");
            drop(engine);
            if at % 5 != 0 {
                continue;
            }
            let aside = folder.rebuild(&why.to_string(), 1).unwrap();
            let next = open(&folder.engine_path()).unwrap();
            assert_eq!(scrub(&next), []);
            assert_eq!(next.damage().map(|why| why.to_string()), None);
            assert_eq!(next.record_count().unwrap(), aside.records);
            assert!(aside.records < KEYS, "one of them was not to be read: {aside:?}");
            let found = records.keys().filter(|key| next.load(key).unwrap().is_some());
            assert_eq!(found.count() as u64, aside.records, "each under its own key");
        }
    }
}

#[test]
fn a_flipped_byte_in_a_value_costs_that_record_alone() {
    let root = tempfile::tempdir().unwrap();
    let records = records();
    let folder = ShardFolder::new(root.path(), 0);
    let whole = filled(&folder, &records);
    let value = [0x33; 80];
    let (damaged, _) = records.iter().find(|(_, stored)| **stored == record(0x33, 1, 80)).unwrap();
    fs::write(folder.engine_path(), flipped(&whole, &value, 40)).unwrap();
    let engine = open(&folder.engine_path()).unwrap();
    assert_eq!(scrub(&engine), std::slice::from_ref(damaged));
    assert_eq!(engine.damage().map(|why| why.to_string()), None);
    let found = records.keys().filter(|key| matches!(engine.load(key), Ok(Some(_))));
    assert_eq!(found.count() as u64, KEYS - 1);
    put(&engine, &[(damaged.clone(), records[damaged].clone())]).unwrap();
    assert_eq!(scrub(&engine), [], "what is written takes its place");
}
