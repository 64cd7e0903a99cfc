//! Shards whose engine is a folder: set aside and begun anew, inspected, and read as an earlier copy.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jedlik_protocol::Durability;

use super::{files_of, options};
use crate::engine_kind::EngineKind;
use crate::fixtures::{IDENTITY, hint, key, record};
use crate::tests::memory_folder;
use crate::{
    EarlierCopy, Filtered, Guarded, LsmStore, OpenError, Shard, ShardFolder, ShardOptions, Store,
    inspect, shard_folders,
};

const RECORDS: u64 = 2_000;

fn folder_in(root: &Path) -> ShardFolder {
    ShardFolder::new(root, 3).with_engine(EngineKind::Lsm)
}

fn open(folder: &ShardFolder) -> Result<Shard, OpenError> {
    folder.prepare()?;
    let path = folder.engine_path();
    let open = || LsmStore::open(&path, &options()).map(Filtered::over);
    let engine: Arc<dyn Store> = Arc::new(Guarded::open(&path, open)?);
    let options = ShardOptions::new(IDENTITY, folder.journal_dir());
    Shard::open(options, engine, Box::new(|_| {})).map(|(shard, _)| shard)
}

/// Makes a shard with `RECORDS` records and a hint in its engine, and one record in its journal alone.
fn filled(root: &Path) -> ShardFolder {
    let folder = folder_in(root);
    let mut shard = open(&folder).unwrap();
    for number in 0..RECORDS {
        let name = number.to_string();
        shard.apply(number, key(&name), record(number + 1, 1, 200), Durability::Synced).unwrap();
    }
    let held = hint(5, 1, "held");
    shard
        .hold(RECORDS, held.target, held.key, held.record, held.since_ms, Durability::Synced)
        .unwrap();
    shard.close().unwrap();
    let mut shard = open(&folder).unwrap();
    shard.apply(1, key("late"), record(7, 1, 10), Durability::Synced).unwrap();
    shard.submit();
    drop(shard);
    folder
}

fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_of(path).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

#[test]
fn a_shard_with_a_broken_block_is_set_aside_and_all_other_records_are_in_the_one_in_its_place() {
    let root = memory_folder();
    let folder = filled(root.path());
    let mut broken = 0;
    for table in files_of(&folder.engine_path().join("tables")) {
        let mut bytes = fs::read(&table).unwrap();
        if bytes.len() > 100_000 {
            bytes[50_000] ^= 1;
            fs::write(&table, bytes).unwrap();
            broken += 1;
        }
    }
    assert!(broken > 0, "no table is that large");
    let shard = open(&folder).unwrap();
    let loaded: Vec<_> = (0..RECORDS).map(|number| shard.load(&key(&number.to_string()))).collect();
    let error = loaded.iter().find_map(|loaded| loaded.as_ref().err()).unwrap();
    assert!(error.is_damage(), "{error}");
    assert!(shard.failure().is_some_and(|failure| failure.is_damage()));
    drop(shard);

    let aside = folder.rebuild("a broken block", 77).unwrap();
    assert!(aside.path.join("records.lsm/current").exists(), "{}", aside.path.display());
    assert!(aside.records > RECORDS / 2 && aside.hints == 1, "{aside:?}");
    let shard = open(&folder).unwrap();
    assert!(shard.has_lost_past() && shard.failure().is_none());
    let found = (0..RECORDS).filter(|number| {
        let loaded = shard.load(&key(&number.to_string())).unwrap();
        assert!(loaded.is_none() || loaded == Some(record(number + 1, 1, 200)));
        loaded.is_some()
    });
    // The one in the journal was moved into the engine when the shard was opened.
    assert_eq!(found.count() as u64 + 1, aside.records);
    assert!(shard.load(&key("late")).unwrap().is_some(), "the journal goes along");
}

#[test]
fn an_engine_of_which_nothing_can_be_read_leaves_an_empty_one_in_its_place() {
    let root = memory_folder();
    let folder = filled(root.path());
    fs::write(folder.engine_path().join("current"), b"nothing").unwrap();
    assert!(open(&folder).is_err_and(|error| error.is_damage()));
    let aside = folder.rebuild("nothing is left", 78).unwrap();
    assert_eq!((aside.records, aside.hints), (0, 0));
    let shard = open(&folder).unwrap();
    assert!(shard.has_lost_past());
    assert_eq!(shard.load(&key("7")).unwrap(), None);
    assert!(shard.load(&key("late")).unwrap().is_some());
}

#[test]
fn an_inspection_shows_every_key_and_changes_nothing() {
    let (root, scratch) = (memory_folder(), memory_folder());
    let folder = filled(root.path());
    let before = contents(&folder.path());
    assert_eq!(shard_folders(root.path()), [folder.path()]);
    let mut keys = BTreeMap::new();
    let inspected = inspect(&folder.path(), scratch.path(), &mut |key| {
        keys.insert(key.key.clone(), key);
    })
    .unwrap();
    assert_eq!((inspected.damaged, inspected.unreadable, inspected.journal), (0, 0, None));
    // Those in the engine, the one in the journal, and the one of which there is a hint alone.
    assert_eq!((inspected.keys, keys.len() as u64), (RECORDS + 2, RECORDS + 2));
    assert_eq!(keys[&key("held").key].hints.len(), 1);
    assert_eq!(keys[&key("17").key].record, record(18, 1, 200).record.decode().ok());
    assert_eq!(contents(&folder.path()), before);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn an_earlier_copy_gives_the_records_that_are_asked_for_and_stays_as_it_is() {
    let root = memory_folder();
    let folder = filled(root.path());
    let before = contents(&folder.path());
    let mut copy = EarlierCopy::open(&folder.path()).unwrap();
    let wanted: Vec<_> = (0..3)
        .map(|number| (key(&number.to_string()), record(number + 1, 1, 200).record.digest()))
        .chain([(key("4"), record(99, 1, 200).record.digest())])
        .collect();
    let (looked_up, found) = copy.find(&wanted);
    assert_eq!((looked_up, found.len()), (4, 3), "one has another digest");
    drop(copy);
    assert_eq!(contents(&folder.path()), before);
}
