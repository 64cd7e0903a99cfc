//! Segments that are there again after their removal, and files of another format.

use std::sync::Arc;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use redb::TableDefinition;

use super::{Bench, Running};
use crate::faulty::{Crash, FaultyDisk, Machine};
use crate::fixtures::{hint, key, record};
use crate::{Disk, RedbOptions, RedbStore, Store, open_redb_file};

fn segments(disk: &FaultyDisk) -> Vec<(String, Vec<u8>)> {
    disk.names().into_iter().map(|name| (name.clone(), disk.bytes(&name))).collect()
}

/// Writes a record and a hint, synced, and returns the segments that hold them.
fn written(running: &mut Running, disk: &FaultyDisk) -> Vec<(String, Vec<u8>)> {
    running.put("a", record(1, 1, 10)).unwrap();
    let hint = hint(2, 5, "a");
    running.shard.hold(90, hint.target, hint.key, hint.record, 5, Durability::Synced).unwrap();
    running.answers(1).into_values().for_each(Result::unwrap);
    segments(disk)
}

/// Removes the record and the hint, durably.
fn remove(running: &mut Running) {
    running.shard.revise(91, key("a"), record(1, 1, 10).record.digest(), None).unwrap();
    let digest = hint(2, 5, "a").record.record.digest();
    running.shard.release(92, NodeId(2), key("a"), digest).unwrap();
    running.answers(2).into_values().for_each(Result::unwrap);
}

fn nothing_came_back(bench: &Bench) {
    let mut running = bench.open();
    assert_eq!(running.shard.load(&key("a")).unwrap(), None);
    assert_eq!(running.shard.holding(&key("a")).unwrap().hints, []);
    assert_eq!(running.shard.hint_totals(), []);
    assert_eq!(segments(&bench.disk), [], "leftovers are removed again");
    running.put("next", record(1, 1, 10)).unwrap();
    drop(running);
    assert!(bench.open().shard.load(&key("next")).unwrap().is_some());
}

#[test]
fn a_segment_that_comes_back_alone_after_a_clean_stop_is_a_leftover() {
    let bench = Bench::new();
    let mut running = bench.open();
    let older = written(&mut running, &bench.disk);
    remove(&mut running);
    running.shard.close().unwrap();
    assert_eq!(segments(&bench.disk), []);
    older.into_iter().for_each(|(name, bytes)| bench.disk.put(&name, bytes));
    nothing_came_back(&bench);
}

#[test]
fn a_segment_that_comes_back_alone_after_a_replay_is_a_leftover() {
    let bench = Bench::new();
    let mut running = bench.open();
    let older = written(&mut running, &bench.disk);
    remove(&mut running);
    drop(running);
    drop(bench.open());
    older.into_iter().for_each(|(name, bytes)| bench.disk.put(&name, bytes));
    nothing_came_back(&bench);
}

#[test]
fn a_segment_that_comes_back_between_flushes_is_a_leftover() {
    let mut bench = Bench::new();
    bench.options.buffer_limit_bytes = 1;
    let mut running = bench.open();
    let flushed = |shard: &super::Shard| shard.layers.frozen.is_none();
    running.put("a", record(1, 1, 10)).unwrap();
    let first = segments(&bench.disk);
    running.wait_until("the flush is over", flushed);
    running.shard.revise(91, key("a"), record(1, 1, 10).record.digest(), None).unwrap();
    running.answers(1).into_values().for_each(Result::unwrap);
    for name in ["b", "c"] {
        running.wait_until("the flush is over", flushed);
        running.put(name, record(1, 1, 10)).unwrap();
    }
    running.wait_until("the flush is over", flushed);
    drop(running);
    // The first is back, the removal's is not, and later ones are there as they should be.
    let left = bench.disk.names();
    assert!(!left.is_empty() && !left.contains(&first[0].0), "{left:?}");
    first.into_iter().for_each(|(name, bytes)| bench.disk.put(&name, bytes));
    let running = bench.open();
    assert_eq!(running.shard.load(&key("a")).unwrap(), None);
    assert!(running.shard.load(&key("b")).unwrap().is_some());
    assert!(running.shard.load(&key("c")).unwrap().is_some());
}

#[test]
fn a_segment_lost_between_others_is_not_taken_for_a_removed_one() {
    let bench = Bench::new();
    let mut running = bench.open();
    for name in ["a", "b", "c"] {
        running.put(name, record(1, 1, 10)).unwrap();
        // What can't be cut back closes the segment: all of them are of one generation.
        bench.machine.set_free_bytes(Some(10));
        bench.machine.fail_truncates(1);
        running.put("x", record(2, 1, 10)).unwrap_err();
        bench.machine.set_free_bytes(None);
    }
    drop(running);
    let names = bench.disk.names();
    assert_eq!(names.len(), 3);
    let disk = bench.disk.after(Crash::Process, &Machine::new(3));
    disk.remove(&names[1]).unwrap();
    let engine: Arc<dyn Store> = Arc::new(crate::MemoryStore::new());
    let bench = Bench { disk, engine, ..bench };
    let running = bench.open();
    for (name, there) in [("a", true), ("b", false), ("c", true)] {
        assert_eq!(running.shard.load(&key(name)).unwrap().is_some(), there, "{name}");
    }
}

#[test]
fn a_segment_with_a_drop_that_comes_back_after_its_flush_drops_nothing() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("a", record(1, 1, 10)).unwrap();
    running.shard.drop_partition(91, key("a").partition).unwrap();
    running.answers(1).into_values().for_each(Result::unwrap);
    let older = segments(&bench.disk);
    running.shard.close().unwrap();
    let mut running = bench.open();
    running.put("a", record(2, 1, 10)).unwrap();
    running.shard.close().unwrap();
    older.into_iter().for_each(|(name, bytes)| bench.disk.put(&name, bytes));
    assert_eq!(bench.open().shard.load(&key("a")).unwrap(), Some(record(2, 1, 10)));
}

const METADATA: TableDefinition<&str, &[u8]> = TableDefinition::new("metadata");

#[test]
fn a_redb_file_of_an_older_or_a_newer_format_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("records.redb");
    let open = || RedbStore::open(&path, &RedbOptions::default());
    let say = |bytes: &[u8]| {
        let database = open_redb_file(&path, 1 << 20).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(METADATA).unwrap().insert("format", bytes).unwrap();
        transaction.commit().unwrap();
    };
    drop(open().unwrap());
    say(&3_u32.to_le_bytes());
    let error = open().unwrap_err();
    assert!(matches!(error, crate::OpenError::OlderFormat { found: 3, known: 9, .. }), "{error}");
    let newer = 10_u32.to_le_bytes();
    let checksum = crc32fast::hash(&[b"format".as_slice(), &newer].concat()).to_le_bytes();
    say(&[newer, checksum].concat());
    let error = open().unwrap_err();
    assert!(matches!(error, crate::OpenError::NewerFormat { found: 10, known: 9, .. }), "{error}");
    say(&[newer, [0; 4]].concat());
    let error = open().unwrap_err();
    assert!(error.is_damage(), "what it says of its format may be damaged too: {error}");
}
