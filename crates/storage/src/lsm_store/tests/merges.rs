//! Merges and values that nobody needs: the room that they take, readers beside them, and their end.

use std::cell::RefCell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{open, options};
use crate::fixtures::{everything_of, key_at, put, record};
use crate::lsm_store::compactor::Step;
use crate::lsm_store::engine::Engine;
use crate::lsm_store::garbage::Garbage;
use crate::tests::memory_folder;
use crate::{LsmOptions, LsmStore, RangeQuery, Store};

/// Time that is longer than any of this takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: u64 = 200;
const VALUE_BYTES: usize = 4_000;
/// Room that garbage may take in these tests besides as much as the values do, and that tables and lists of files take.
const BESIDE_BYTES: u64 = 256 << 10;

fn write_round(store: &LsmStore, round: u64) {
    let batch: Vec<_> = (0..KEYS)
        .map(|number| (key_at(number.into(), "k"), record(round, 1, VALUE_BYTES)))
        .collect();
    put(store, &batch).unwrap();
}

/// Waits until the files take no more than `bytes`.
fn shrinks_to(store: &LsmStore, bytes: u64) -> bool {
    store.engine.pace.wake();
    store.engine.pace.wait_for(PATIENCE, || store.size_bytes().unwrap() <= bytes)
}

#[test]
fn what_was_overwritten_takes_no_more_room_than_what_was_not() {
    let folder = memory_folder();
    let store = open(&folder.path().join("records.lsm"));
    for round in 1..=40 {
        write_round(&store, round);
    }
    let live = KEYS * (VALUE_BYTES as u64 + 100);
    assert!(shrinks_to(&store, 2 * live + BESIDE_BYTES), "{} B", store.size_bytes().unwrap());
    for number in 0..KEYS {
        let key = key_at(number.into(), "k");
        assert_eq!(store.load(&key).unwrap(), Some(record(40, 1, VALUE_BYTES)));
    }
}

#[test]
fn merges_are_counted_with_what_they_have_made_and_what_waits_for_them() {
    let folder = memory_folder();
    let store = open(&folder.path().join("records.lsm"));
    let merges = || Store::merges(&store).unwrap();
    write_round(&store, 1);
    // The first table may be merged, or moved as it is, before the second one comes.
    let before = merges();
    store.engine.pace.interrupt(true);
    (2..=20).for_each(|round| write_round(&store, round));
    assert!(merges().waiting_runs >= 19, "{:?}", merges());
    let live = KEYS * VALUE_BYTES as u64;
    assert!((15 * live..25 * live).contains(&merges().garbage_bytes), "{:?}", merges());
    store.engine.pace.interrupt(false);
    let caught_up = || merges().waiting_runs < 8 && merges().garbage_bytes < 2 * live;
    assert!(store.engine.pace.wait_for(PATIENCE, caught_up), "{:?}", merges());
    let after = merges();
    assert!(after.merges > before.merges && after.merged_bytes > before.merged_bytes, "{after:?}");
    assert!(after.last_age_ms.is_some_and(|age| age < 60_000), "{after:?}");
}

#[test]
fn values_that_are_left_over_in_every_file_are_written_again() {
    let folder = memory_folder();
    let path = folder.path().join("records.lsm");
    let store = open(&path);
    // Each file keeps one value of its own that stays, and 49 of a key that all have.
    for round in 1..=60_u64 {
        let mut batch: Vec<_> =
            (0..49).map(|number| (key_at(number, "k"), record(round, 1, VALUE_BYTES))).collect();
        batch.push((key_at(1_000 + u128::from(round), "k"), record(round, 1, VALUE_BYTES)));
        put(&store, &batch).unwrap();
    }
    let live = (49 + 60) * (VALUE_BYTES as u64 + 100);
    assert!(shrinks_to(&store, 2 * live + BESIDE_BYTES), "{} B", store.size_bytes().unwrap());
    drop(store);
    let store = open(&path);
    for round in 1..=60_u64 {
        let key = key_at(1_000 + u128::from(round), "k");
        assert_eq!(store.load(&key).unwrap(), Some(record(round, 1, VALUE_BYTES)));
    }
    assert_eq!(store.record_count().unwrap(), 49 + 60);
}

#[test]
fn files_that_nobody_needs_go_one_after_the_other() {
    let folder = memory_folder();
    let path = folder.path().join("records.lsm");
    let store =
        LsmStore::open(&path, &LsmOptions { garbage_bytes: u64::MAX >> 1, ..options() }).unwrap();
    (1..=10).for_each(|round| write_round(&store, round));
    drop(store);
    let engine = Engine::open(&path, &options()).unwrap();
    let left = RefCell::new(Vec::new());
    let rest = || left.borrow_mut().push(fs::read_dir(path.join("blobs")).unwrap().count());
    engine.with("testing", |opened| opened.compact_all(rest)).unwrap();
    assert_eq!(left.into_inner(), Vec::from_iter((1..10).rev()));
}

#[test]
fn values_wait_to_be_written_again_until_it_is_time_or_enough_has_died() {
    let folder = memory_folder();
    let path = folder.path().join("records.lsm");
    drop(open(&path));
    let engine = Engine::open(&path, &options()).unwrap();
    let mut garbage = Garbage::resting(Duration::from_secs(3_600), 1_000);
    let mut step = || garbage.step(&engine).unwrap();
    assert!(matches!(step(), Step::Later(_)));
    engine.dead_bytes.store(999, Ordering::Relaxed);
    assert!(matches!(step(), Step::Later(_)));
    engine.dead_bytes.store(1_000, Ordering::Relaxed);
    assert!(matches!(step(), Step::Done));
    assert!(matches!(step(), Step::Idle), "that was the end of it");
}

#[test]
fn who_reads_beside_merges_sees_every_key_and_none_that_is_older_than_what_was_written() {
    let folder = memory_folder();
    let store = Arc::new(open(&folder.path().join("records.lsm")));
    write_round(&store, 1);
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2_u64)
        .map(|reader| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            thread::spawn(move || {
                let mut seen = vec![0; KEYS as usize];
                let mut number = reader;
                while !done.load(Ordering::Relaxed) {
                    number = (number + 7) % KEYS;
                    let loaded = store.load(&key_at(number.into(), "k")).unwrap().unwrap();
                    let actor = loaded.record.decode().unwrap().clock().entries()[0].actor.0;
                    assert!(actor >= seen[number as usize], "an older one came back");
                    seen[number as usize] = actor;
                    if number == reader {
                        let all = RangeQuery { limit_bytes: usize::MAX, ..everything_of(0) };
                        assert_eq!(store.range(&all).unwrap().records.len(), KEYS as usize);
                    }
                }
            })
        })
        .collect();
    for round in 2..=60 {
        write_round(&store, round);
    }
    done.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[test]
fn an_engine_that_merges_closes_at_once() {
    let folder = memory_folder();
    let path = folder.path().join("records.lsm");
    for round in 1..=5 {
        let store = open(&path);
        for _ in 0..12 {
            write_round(&store, round);
        }
        let began = Instant::now();
        drop(store);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        // A merge that was cut short has changed nothing.
        let store = open(&path);
        for number in 0..KEYS {
            let loaded = store.load(&key_at(number.into(), "k")).unwrap();
            assert_eq!(loaded, Some(record(round, 1, VALUE_BYTES)));
        }
    }
}

#[test]
fn writes_wait_for_merges_that_fall_behind_and_go_on_once_those_have_caught_up() {
    let folder = memory_folder();
    let store = open(&folder.path().join("records.lsm"));
    let write = |number: u64| put(&store, &[(key_at(number.into(), "k"), record(number, 1, 9))]);
    // All merges are cut short from now on.
    store.engine.pace.interrupt(true);
    let refused = (1..200).find(|number| write(*number).is_err()).expect("writes are refused");
    assert!(refused > 32, "{refused} runs are few");
    assert_eq!(store.load(&key_at(5, "k")).unwrap(), Some(record(5, 1, 9)));
    store.engine.pace.interrupt(false);
    assert!(store.engine.pace.wait_for(PATIENCE, || write(refused).is_ok()));
    for number in 1..=refused {
        assert_eq!(store.load(&key_at(number.into(), "k")).unwrap(), Some(record(number, 1, 9)));
    }
    assert_eq!(store.record_count().unwrap(), refused);
}
