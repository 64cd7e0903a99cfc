//! What records and hints leave of the disk, and a start that finds no room for what is to be replayed.

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;

use super::{Bench, Running};
use crate::StoreError;
use crate::fixtures::{covers, dot, key, record};
use crate::tests::Engine;

const FLUSH: u64 = 1 << 20;
const HINTS: u64 = 4 << 20;

fn hold(running: &mut Running) -> Result<(), StoreError> {
    let (target, level) = (NodeId(2), Durability::Synced);
    running.shard.hold(99, target, key("hinted"), record(1, 1, 9), 1, level)
}

fn apply(running: &mut Running, name: &str) -> Result<(), StoreError> {
    running.shard.apply(98, key(name), record(1, 1, 9), Durability::Synced).map(|_| ())
}

#[test]
fn hints_stop_before_records_do_and_records_before_what_only_makes_room() {
    let mut bench = Bench::new();
    (bench.options.flush_reserve_bytes, bench.options.disk_reserve_bytes) = (FLUSH, HINTS);
    let mut running = bench.open();
    running.put("kept", record(1, 1, 20)).unwrap();
    hold(&mut running).unwrap();
    running.answers(1).into_values().for_each(Result::unwrap);
    let free = |bytes: u64| bench.machine.set_free_bytes(Some(bytes as usize));

    free(HINTS + FLUSH - 1);
    assert!(matches!(hold(&mut running), Err(StoreError::LowDisk { .. })));
    apply(&mut running, "more").unwrap();
    running.answers(1).into_values().for_each(Result::unwrap);
    assert!(running.shard.disk_refuses().is_none());

    free(FLUSH - 1);
    let refused = [hold(&mut running), apply(&mut running, "too much"), running.shard.admit()];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, StoreError::NearlyFull { reserve_bytes: FLUSH, .. }), "{error}");
    }
    assert!(running.shard.disk_refuses().is_some() && running.shard.short_of_room().is_some());
    assert!(running.shard.load(&key("kept")).unwrap().is_some());
    let (ticket, digest) = (running.next_ticket, record(1, 1, 9).record.digest());
    running.shard.release(ticket, NodeId(2), key("hinted"), digest).unwrap();
    let digest = record(1, 1, 20).record.digest();
    running.shard.revise(ticket + 1, key("kept"), digest, None).unwrap();
    running.answers(2).into_values().for_each(Result::unwrap);
    assert_eq!(running.shard.load(&key("kept")).unwrap(), None);

    bench.machine.set_free_bytes(None);
    apply(&mut running, "again").unwrap();
    assert!(running.shard.disk_refuses().is_none());
}

/// Opens the shard, looks, and crashes, twice on a disk as it is, then once there is room.
fn reads_and_heals(bench: &Bench) {
    for _ in 0..2 {
        let mut running = bench.open();
        let found = running.shard.load(&key("journalled")).unwrap();
        assert!(covers(found.as_ref(), dot(1, 1)) && covers(found.as_ref(), dot(2, 1)));
        assert_eq!(running.shard.load(&key("removed")).unwrap(), None);
        assert_eq!(running.shard.holding(&key("hinted")).unwrap().hints.len(), 1);
        let totals = running.shard.hint_totals();
        assert_eq!(totals.iter().map(|(_, totals)| totals.count).collect::<Vec<_>>(), [1]);
        running.shard.submit();
        assert!(running.shard.load(&key("journalled")).unwrap().is_some());
    }
    let mut running = bench.open();
    bench.machine.set_free_bytes(None);
    running.wait_until("all of it is in the engine", |shard| shard.layers.frozen.is_none());
    let found = bench.engine.load(&key("journalled")).unwrap();
    assert!(covers(found.as_ref(), dot(2, 1)));
    running.put("next", record(1, 1, 20)).unwrap();
    // Its segment alone is left to be replayed.
    running.wait_until("the segments are gone", |_| bench.disk.names().len() == 1);
    drop(running);
    let running = bench.open();
    for name in ["journalled", "next"] {
        assert!(running.shard.load(&key(name)).unwrap().is_some());
    }
    assert_eq!(running.shard.load(&key("removed")).unwrap(), None);
    assert_eq!(running.shard.holding(&key("hinted")).unwrap().hints.len(), 1);
}

/// Writes records, and crashes with all of them in the journal alone.
fn crashed(bench: &Bench) {
    let mut running = bench.open();
    for dot in [1, 2] {
        running.put("journalled", record(dot, 1, 20_000)).unwrap();
    }
    running.put("removed", record(1, 1, 20)).unwrap();
    let digest = record(1, 1, 20).record.digest();
    running.shard.revise(70, key("removed"), digest, None).unwrap();
    hold(&mut running).unwrap();
    running.answers(2).into_values().for_each(Result::unwrap);
}

#[test]
fn a_start_that_finds_only_the_reserve_left_reads_what_is_journalled_from_memory() {
    let mut bench = Bench::new();
    bench.options.flush_reserve_bytes = FLUSH;
    crashed(&bench);
    bench.machine.set_free_bytes(Some(FLUSH as usize / 2));
    reads_and_heals(&bench);
}

#[test]
fn a_start_whose_replay_fills_the_disk_reads_the_rest_from_memory() {
    let mut bench = Bench::new();
    bench.options.buffer_limit_bytes = 10_000;
    bench.options.burst_limit_bytes = 1 << 20;
    let engine = Engine::redb(&bench.machine);
    bench.engine = engine.open().unwrap();
    crashed(&bench);
    bench.machine.set_free_bytes(Some(1_000));
    reads_and_heals(&bench);
}
