//! Partitions dropped, through flushes, crashes and damage.

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{Durability, PlacedKey};
use proptest::prelude::any;
use proptest::proptest;

use super::{Bench, Running};
use crate::faulty::{Crash, FaultyDisk, Machine};
use crate::fixtures::{everything_of, hint, key_of, put, record};
use crate::tests::Engine;
use crate::{Shard, StoreError};

const DROPPED: Partition = Partition(7);
const OTHER: Partition = Partition(8);

fn old(name: &str) -> PlacedKey {
    key_of(DROPPED.0, 1, name)
}

fn other(name: &str) -> PlacedKey {
    key_of(OTHER.0, 1, name)
}

impl Running {
    /// Puts a record at `key`, and waits until it is synced.
    fn put_at(&mut self, key: PlacedKey) {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.shard.apply(ticket, key, record(1, 1, 10), Durability::Synced).unwrap();
        self.answers(1).remove(&ticket).unwrap().unwrap();
    }

    fn drop_partition(&mut self) -> Result<(), StoreError> {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.shard.drop_partition(ticket, DROPPED).unwrap();
        self.answers(1).remove(&ticket).unwrap()
    }

    fn flush(&mut self) {
        let flushed = |shard: &Shard| shard.layers.frozen.is_none();
        self.wait_until("no flush is under way", flushed);
        let limit = std::mem::take(&mut self.shard.options.buffer_limit_bytes);
        self.shard.admit().unwrap();
        self.shard.options.buffer_limit_bytes = limit;
        self.wait_until("the flush is over", flushed);
    }
}

/// Returns the names of the keys in both partitions, which loads find too.
fn names(shard: &Shard) -> Vec<String> {
    let page = |partition: Partition| shard.range(&everything_of(partition.0)).unwrap().records;
    let records = [DROPPED, OTHER].into_iter().flat_map(page);
    let name = |(key, stored): (PlacedKey, _)| {
        assert_eq!(shard.load(&key).unwrap(), Some(stored));
        String::from_utf8(key.key.key().to_vec()).unwrap()
    };
    records.map(name).collect()
}

fn occupied(shard: &Shard) -> Vec<Partition> {
    shard.occupied([OTHER, DROPPED, Partition(9)]).unwrap()
}

#[test]
fn a_drop_is_seen_at_once_and_what_is_applied_after_it_stays() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put_at(old("flushed"));
    running.put_at(other("other"));
    running.flush();
    running.put_at(old("buffered"));
    assert_eq!(occupied(&running.shard), [OTHER, DROPPED]);
    let syncs = bench.machine.syncs();
    running.shard.drop_partition(50, DROPPED).unwrap();
    assert_eq!(names(&running.shard), ["other"]);
    assert_eq!(running.shard.load(&old("flushed")).unwrap(), None);
    assert_eq!(occupied(&running.shard), [OTHER]);
    let change =
        running.shard.apply(51, old("after"), record(1, 1, 9), Durability::Buffered).unwrap();
    assert_eq!(change.before, None);
    assert_eq!(names(&running.shard), ["after", "other"]);
    assert_eq!(occupied(&running.shard), [OTHER, DROPPED]);
    running.answers(2).into_values().for_each(Result::unwrap);
    assert_eq!(bench.machine.syncs(), syncs + 1);
    assert_eq!(running.shard.stats().drops, 1);
}

#[test]
fn a_drop_outlives_crashes_before_and_after_its_flush() {
    for memory in [true, false] {
        for flushed in [false, true] {
            let mut bench = Bench::new();
            let mut engine = Engine::redb(&bench.machine);
            if !memory {
                bench.engine = engine.open().unwrap();
            }
            let mut running = bench.open();
            running.put_at(old("flushed"));
            running.put_at(other("other"));
            running.flush();
            running.put_at(old("buffered"));
            running.drop_partition().unwrap();
            running.put_at(old("after"));
            if flushed {
                running.flush();
            }
            drop(running);
            let machine = Machine::new(5);
            let disk = bench.disk.after(Crash::Power, &machine);
            let mut bench = Bench { disk, ..bench };
            if !memory {
                engine = engine.after(Crash::Power, &machine);
                bench.engine = engine.open().unwrap();
            }
            assert_eq!(names(&bench.open().shard), ["after", "other"], "{memory} {flushed}");
            bench.open().shard.close().unwrap();
            assert_eq!(names(&bench.open().shard), ["after", "other"], "{memory} {flushed}");
        }
    }
}

#[test]
fn a_drop_hides_what_is_just_being_flushed() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put_at(old("frozen"));
    let limit = std::mem::take(&mut running.shard.options.buffer_limit_bytes);
    // Frozen by this call, and on its way for as long as nobody listens to the flusher.
    running.shard.admit().unwrap();
    running.shard.options.buffer_limit_bytes = limit;
    assert!(running.shard.layers.frozen.is_some());
    running.shard.drop_partition(50, DROPPED).unwrap();
    assert_eq!(names(&running.shard), [""; 0]);
    assert_eq!(occupied(&running.shard), []);
    running.answers(1).into_values().for_each(Result::unwrap);
    running.flush();
    assert_eq!(names(&running.shard), [""; 0]);
}

#[test]
fn a_torn_drop_has_not_happened_and_takes_nothing_after_it_along() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put_at(old("a"));
    let name = bench.disk.names().remove(0);
    let before = bench.disk.bytes(&name).len();
    running.drop_partition().unwrap();
    drop(running);
    let whole = bench.disk.bytes(&name);
    assert_eq!(whole.len() - before, 32 + 5, "a drop's frame is small");
    for end in before..=whole.len() {
        let disk = FaultyDisk::new(&Machine::new(1));
        disk.put(&name, whole[..end].to_vec());
        let torn = Bench { disk, ..Bench::new() };
        let running = torn.open();
        let left: &[&str] = if end < whole.len() { &["a"] } else { &[] };
        assert_eq!(names(&running.shard), left, "{end} bytes");
    }
}

#[test]
fn a_drop_said_again_is_kept_though_there_was_no_room_for_the_first() {
    let bench = Bench::new();
    put(&*bench.engine, &[(old("a"), record(1, 1, 10))]).unwrap();
    let mut running = bench.open();
    running.put_at(other("other"));
    bench.machine.set_free_bytes(Some(0));
    running.drop_partition().unwrap_err();
    bench.machine.set_free_bytes(None);
    assert_eq!(names(&running.shard), ["other"]);
    running.drop_partition().unwrap();
    drop(running);
    for seed in 0..8 {
        let disk = bench.disk.after(Crash::Power, &Machine::new(seed));
        let again = Bench { disk, ..Bench::new() };
        put(&*again.engine, &[(old("a"), record(1, 1, 10))]).unwrap();
        assert_eq!(names(&again.open().shard), ["other"]);
    }
}

#[test]
fn hints_stay_when_the_partition_of_their_keys_is_dropped() {
    let bench = Bench::new();
    let mut running = bench.open();
    let kept = hint(2, 5, "a");
    let (partition, stored) = (kept.key.partition, kept.record.clone());
    running.shard.apply(50, kept.key.clone(), stored.clone(), Durability::Synced).unwrap();
    running.shard.hold(51, NodeId(2), kept.key.clone(), stored, 5, Durability::Synced).unwrap();
    running.shard.drop_partition(52, partition).unwrap();
    running.answers(3).into_values().for_each(Result::unwrap);
    running.flush();
    drop(running);
    let running = bench.open();
    assert_eq!(running.shard.load(&kept.key).unwrap(), None);
    assert_eq!(running.shard.holding(&kept.key).unwrap().hints, [kept]);
}

#[test]
fn a_partition_with_damaged_records_is_occupied_until_it_is_dropped() {
    let mut bench = Bench::new();
    let engine = Engine::redb(&bench.machine);
    let store = engine.open().unwrap();
    put(&*store, &[(old("bad"), record(0x77, 1, 300))]).unwrap();
    drop(store);
    let Engine::Redb(backend) = &engine else { panic!("a redb engine") };
    assert!(backend.replace(&[0x77; 300], &[0x78; 300]) > 0);
    bench.engine = engine.open().unwrap();
    let mut running = bench.open();
    assert_eq!(occupied(&running.shard), [DROPPED]);
    running.drop_partition().unwrap();
    assert_eq!(occupied(&running.shard), []);
    assert_eq!(running.shard.load(&old("bad")).unwrap(), None);
    running.flush();
    running.wait_until("it is swept", |shard| shard.stats().engine.records == 0);
    assert_eq!(names(&running.shard), [""; 0]);
}

#[test]
fn a_large_partition_is_dropped_in_little_memory_and_swept_after_a_restart() {
    let mut bench = Bench::new();
    let engine = Engine::redb(&bench.machine);
    bench.engine = engine.open().unwrap();
    let many: Vec<_> = (0..2000).map(|i| (key_of(DROPPED.0, i, "k"), record(1, 1, 10))).collect();
    put(&*bench.engine, &many).unwrap();
    bench.options.sweep_limit_records = 300;
    let mut running = bench.open();
    running.drop_partition().unwrap();
    assert!(running.shard.stats().buffer_bytes < 100);
    assert_eq!(occupied(&running.shard), []);
    running.shard.close().unwrap();
    assert!(bench.engine.record_count().unwrap() > 0, "a stop does not wait for the sweep");

    let mut running = bench.open();
    assert_eq!(names(&running.shard), [""; 0]);
    running.put_at(other("other"));
    running.wait_until("it is swept", |shard| shard.stats().engine.records == 0);
    assert_eq!(names(&running.shard), ["other"]);
}

#[test]
fn a_partition_whose_records_were_all_removed_is_not_occupied() {
    let bench = Bench::new();
    let stored = record(1, 1, 10);
    let keys: Vec<PlacedKey> = (0..5).map(|i| key_of(DROPPED.0, i, "k")).collect();
    for key in &keys {
        put(&*bench.engine, &[(key.clone(), stored.clone())]).unwrap();
    }
    let mut running = bench.open();
    for (ticket, key) in (0..).zip(keys) {
        assert_eq!(occupied(&running.shard), [DROPPED]);
        running.shard.revise(ticket, key, stored.record.digest(), None).unwrap();
    }
    assert_eq!(occupied(&running.shard), []);
}

#[test]
fn a_full_buffer_refuses_a_drop_and_changes_nothing() {
    let mut bench = Bench::new();
    bench.options.queue_limit_bytes = 1;
    let mut running = bench.open();
    running.shard.apply(1, old("a"), record(1, 1, 10), Durability::Buffered).unwrap();
    let error = running.shard.drop_partition(2, DROPPED).unwrap_err();
    assert!(matches!(error, StoreError::Overloaded { .. }), "{error}");
    assert_eq!(names(&running.shard), ["a"]);
}

proptest! {
    #[test]
    fn what_lies_around_a_dropped_partition_stays(partition in any::<u32>()) {
        let around = [partition.wrapping_sub(1), partition.wrapping_add(1)];
        let bench = Bench::new();
        let mut running = bench.open();
        for of in around.into_iter().chain([partition]) {
            running.put_at(key_of(of, u128::MAX, "k"));
        }
        running.next_ticket += 1;
        let ticket = running.next_ticket;
        running.shard.drop_partition(ticket, Partition(partition)).unwrap();
        let asked = || around.into_iter().chain([partition]).map(Partition);
        assert_eq!(running.shard.occupied(asked()).unwrap(), around.map(Partition));
        running.answers(1);
        drop(running);
        assert_eq!(bench.open().shard.occupied(asked()).unwrap(), around.map(Partition));
    }
}
