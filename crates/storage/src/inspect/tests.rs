//! What a look into a folder shows, whatever has become of its files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use tempfile::{TempDir, tempdir};

use super::{Inspected, InspectedKey, inspect};
use crate::fixtures::{IDENTITY, key, record};
use crate::{RedbOptions, RedbStore, Shard, ShardOptions};

const KEYS: u64 = 200;

fn open(folder: &Path) -> Shard {
    let engine = RedbStore::open(&folder.join("records.redb"), &RedbOptions::default()).unwrap();
    let options = ShardOptions::new(IDENTITY, folder.join("journal"));
    Shard::open(options, Arc::new(engine), Box::new(|_| {})).unwrap().0
}

/// Makes a folder with half of the keys in the engine, half in the journal, and a hint for each of two nodes.
fn folder() -> TempDir {
    let place = tempdir().unwrap();
    for half in 0..2 {
        let mut shard = open(place.path());
        for number in (0..KEYS).filter(|number| number % 2 == half) {
            let ticket = number + 1;
            let key = key(&format!("k{number}"));
            shard.apply(ticket, key, record(1, 1, 100), Durability::Written).unwrap();
        }
        if half == 0 {
            for (target, name) in [(5, "k0"), (5, "hinted"), (6, "hinted")] {
                let hint = (NodeId(target), key(name));
                shard
                    .hold(900, hint.0, hint.1, record(target, 1, 50), 7, Durability::Synced)
                    .unwrap();
            }
            shard.close().unwrap();
        } else {
            shard.sync(1000);
            shard.submit();
        }
    }
    place
}

fn look(folder: &Path) -> (Inspected, Vec<InspectedKey>) {
    let (scratch, mut keys) = (tempdir().unwrap(), Vec::new());
    let inspected = inspect(folder, scratch.path(), &mut |key| keys.push(key)).unwrap();
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "the copy is gone");
    (inspected, keys)
}

#[test]
fn all_keys_of_engine_and_journal_are_shown_once_with_their_hints_and_nothing_is_changed() {
    let place = folder();
    let content = || {
        let journal = fs::read_dir(place.path().join("journal")).unwrap();
        let mut files: Vec<_> = journal.map(|entry| entry.unwrap().path()).collect();
        files.push(place.path().join("records.redb"));
        files.sort();
        files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect::<Vec<_>>()
    };
    let before = content();
    let (inspected, keys) = look(place.path());
    assert_eq!(inspected, Inspected { keys: KEYS + 1, ..Inspected::default() });
    let mut names: Vec<Vec<u8>> = keys.iter().map(|found| found.key.key().to_vec()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len() as u64, KEYS + 1, "each once");
    let found =
        |name: &str| keys.iter().find(|found| &**found.key.key() == name.as_bytes()).unwrap();
    let hinted = found("hinted");
    assert!(hinted.record.is_none());
    let targets: Vec<(NodeId, u64)> =
        hinted.hints.iter().map(|hint| (hint.target, hint.since_ms)).collect();
    assert_eq!(targets, [(NodeId(5), 7), (NodeId(6), 7)]);
    assert_eq!(hinted.merged().siblings().len(), 2);
    assert_eq!(found("k0").hints.len(), 1);
    assert_eq!(found("k0").merged().siblings().len(), 2);
    assert!(content() == before, "the folder is as it was");
}

#[test]
fn rotten_pages_and_a_journal_of_noise_cost_what_was_in_them() {
    let place = folder();
    let path = place.path().join("records.redb");
    let mut bytes = fs::read(&path).unwrap();
    // Some pages, but not the first, which says where all others are.
    for page in (16..bytes.len() / 4096).step_by(9) {
        bytes[page * 4096 + 64..(page + 1) * 4096].fill(0xa5);
    }
    fs::write(&path, &bytes).unwrap();
    for entry in fs::read_dir(place.path().join("journal")).unwrap() {
        let path = entry.unwrap().path();
        let length = fs::metadata(&path).unwrap().len() as usize;
        fs::write(path, vec![3; length]).unwrap();
    }
    let (inspected, keys) = look(place.path());
    assert_eq!(inspected.keys, keys.len() as u64);
    assert!(inspected.keys <= KEYS / 2 + 1, "nothing of the journal is there");
    assert!(inspected.journal.is_some(), "{inspected:?}");
    // Nor is anything of a file without any sense.
    fs::write(&path, vec![7; bytes.len()]).unwrap();
    let (inspected, keys) = look(place.path());
    assert!(keys.is_empty() && inspected.unreadable > 0, "{inspected:?}");
}

#[test]
fn a_folder_without_a_shard_is_refused() {
    let (place, scratch) = (tempdir().unwrap(), tempdir().unwrap());
    let refused = inspect(place.path(), scratch.path(), &mut |_| {}).unwrap_err();
    assert!(refused.to_string().contains("no shard is in it"), "{refused}");
}
