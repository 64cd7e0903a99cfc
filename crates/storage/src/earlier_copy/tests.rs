//! What a copy gives, and that it stays as it is.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jedlik_protocol::{Digest, Durability, EncodedRecord, PlacedKey};
use tempfile::tempdir;

use super::{ANSWER_BYTES, EarlierCopy};
use crate::fixtures::{IDENTITY, key, record};
use crate::{RedbOptions, RedbStore, Shard, ShardOptions};

fn open(folder: &Path) -> Shard {
    let engine = RedbStore::open(&folder.join("records.redb"), &RedbOptions::default()).unwrap();
    let options = ShardOptions::new(IDENTITY, folder.join("journal"));
    Shard::open(options, Arc::new(engine), Box::new(|_| {})).unwrap().0
}

/// Makes a closed shard with a record of so many bytes for each name.
fn shard(folder: &Path, records: &[(&str, usize)]) -> Vec<(PlacedKey, EncodedRecord)> {
    let mut shard = open(folder);
    for (ticket, (name, bytes)) in records.iter().enumerate() {
        let record = record(1, 1, *bytes);
        shard.apply(ticket as u64 + 1, key(name), record, Durability::Synced).unwrap();
    }
    let held = |(name, _): &(&str, usize)| {
        let record = shard.load(&key(name)).unwrap().unwrap().record;
        (key(name), record)
    };
    let held = records.iter().map(held).collect();
    shard.close().unwrap();
    held
}

fn wanted(held: &[(PlacedKey, EncodedRecord)]) -> Vec<(PlacedKey, Digest)> {
    held.iter().map(|(key, record)| (key.clone(), record.digest())).collect()
}

#[test]
fn a_copy_gives_the_very_records_that_it_is_asked_for_and_stays_as_it_is() {
    let place = tempdir().unwrap();
    let held = shard(place.path(), &[("a", 100), ("b", 100), ("c", 100)]);
    let engine = place.path().join("records.redb");
    let before = fs::read(&engine).unwrap();
    let mut copy = EarlierCopy::open(place.path()).unwrap();
    let mut asked = wanted(&held);
    asked[1].1 = Digest(asked[1].1.0 ^ 1);
    asked.push((key("never"), Digest(7)));
    assert_eq!(copy.find(&asked), (4, vec![held[0].clone(), held[2].clone()]));
    drop(copy);
    assert!(fs::read(&engine).unwrap() == before, "it is as it was, and not locked");
}

#[test]
fn an_answer_ends_with_the_record_that_takes_it_past_its_size() {
    let place = tempdir().unwrap();
    let large = ANSWER_BYTES / 2 + 1;
    let held = shard(place.path(), &[("a", large), ("b", large), ("c", 100)]);
    let mut copy = EarlierCopy::open(place.path()).unwrap();
    let (looked, found) = copy.find(&wanted(&held));
    assert_eq!((looked, found.len()), (2, 2));
    assert_eq!(copy.find(&wanted(&held)[looked..]), (1, vec![held[2].clone()]));
}

#[test]
fn a_copy_of_a_shard_that_was_never_closed_gives_what_its_engine_holds() {
    let place = tempdir().unwrap();
    let held = shard(place.path(), &[("a", 100)]);
    let mut running = open(place.path());
    running.apply(9, key("b"), record(1, 1, 100), Durability::Synced).unwrap();
    let copied = tempdir().unwrap();
    fs::copy(place.path().join("records.redb"), copied.path().join("records.redb")).unwrap();
    let mut copy = EarlierCopy::open(copied.path()).unwrap();
    assert_eq!(copy.find(&wanted(&held)), (1, held));
}

#[test]
fn where_no_engine_lies_there_is_no_copy_and_a_damaged_one_gives_nothing_wrong() {
    let place = tempdir().unwrap();
    EarlierCopy::open(place.path()).unwrap_err();
    let held = shard(place.path(), &[("a", 5_000), ("b", 5_000)]);
    let engine = place.path().join("records.redb");
    let mut bytes = fs::read(&engine).unwrap();
    let all = bytes.len();
    bytes[all / 4..].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&engine, bytes).unwrap();
    if let Ok(mut copy) = EarlierCopy::open(place.path()) {
        let (_, found) = copy.find(&wanted(&held));
        assert!(found.iter().all(|one| held.contains(one)));
    }
}
