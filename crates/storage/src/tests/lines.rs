//! What is logged of one fault that is met again and again: one line when it begins, however often it is met.

use std::sync::Arc;

use jedlik_hashing::NodeId;
use jedlik_storage_port::Hint;

use super::Engine;
use crate::faulty::{FaultyDisk, Machine};
use crate::fixtures::{
    IDENTITY, everything_of, hint, key, key_at, lines_of, put, put_hints, record,
};
use crate::{Shard, ShardOptions, Store};

const TIMES: usize = 50;

/// Makes an engine, lets `fill` write into it, and damages each run of the byte 0x77 in it.
fn damaged(machine: &Machine, run: usize, fill: impl FnOnce(&dyn Store)) -> Arc<dyn Store> {
    let engine = Engine::redb(machine);
    let store = engine.open().unwrap();
    fill(&*store);
    drop(store);
    let Engine::Redb(backend) = &engine else { panic!("a redb engine") };
    assert!(backend.replace(&vec![0x77; run], &vec![0x78; run]) > 0);
    engine.open().unwrap()
}

fn shard(machine: &Machine, engine: Arc<dyn Store>) -> Shard {
    let options = ShardOptions::new(IDENTITY, "/faulty".into());
    let disk = Box::new(FaultyDisk::new(machine));
    Shard::open_on(disk, options, engine, Box::new(|_| {})).unwrap().0
}

#[test]
fn a_disk_that_is_full_at_every_write_has_the_engine_opened_anew_each_time_and_says_so_once() {
    let machine = Machine::new(1);
    let store = Engine::redb(&machine).open().unwrap();
    machine.set_free_bytes(Some(0));
    let lines = lines_of(|| {
        for _ in 0..TIMES {
            put(&*store, &[(key("a"), record(1, 1, 10))]).unwrap_err();
        }
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("opening the engine's file anew after an error"), "{lines:?}");
}

#[test]
fn a_damaged_record_is_named_once_however_often_gets_and_pages_meet_it() {
    let machine = Machine::new(1);
    let bad = key_at(1, "bad");
    let engine = damaged(&machine, 300, |store| {
        put(store, &[(bad.clone(), record(0x77, 1, 300))]).unwrap();
    });
    let shard = shard(&machine, engine);
    let lines = lines_of(|| {
        for _ in 0..TIMES {
            shard.load(&bad).unwrap_err();
            assert_eq!(shard.range(&everything_of(0)).unwrap().damaged.len(), 1);
            shard.look_at_troubles();
        }
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("a stored record is damaged shard=1"), "{lines:?}");
    assert!(lines[0].contains("\"bad\""), "{lines:?}");
    assert_eq!(shard.stats().damaged_records, 2 * TIMES as u64, "all are counted");
}

#[test]
fn a_damaged_hint_is_named_once_however_often_it_is_met() {
    let machine = Machine::new(1);
    let bad = Hint { record: record(0x77, 1, 300), ..hint(8, 5, "bad") };
    let engine = damaged(&machine, 300, |store| put_hints(store, std::slice::from_ref(&bad)));
    let shard = shard(&machine, engine);
    let lines = lines_of(|| {
        for _ in 0..TIMES {
            assert!(shard.holding(&bad.key).unwrap().damaged_hints);
        }
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("a hint can't be read shard=1"), "{lines:?}");
    assert_eq!(shard.stats().hints.damaged, TIMES as u64, "all are counted");
}

#[test]
fn a_damaged_row_about_a_hint_is_logged_once_however_often_it_is_met() {
    let machine = Machine::new(1);
    let bad = hint(8, u64::from_ne_bytes([0x77; 8]), "bad");
    let store = damaged(&machine, 8, |store| put_hints(store, std::slice::from_ref(&bad)));
    let lines = lines_of(|| {
        for _ in 0..TIMES {
            assert!(store.load_hint(NodeId(8), &bad.key).unwrap().is_none());
        }
    });
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains("the row of a hint in the engine is damaged"), "{lines:?}");
}
