//! Histories cut short at any operation, of the disk, of the engine, and of the recovery itself, with syncs
//! that fail on the way; and what was noted of a shard's progress, which no crash takes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use jedlik_protocol::Durability;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use super::Engine;
use crate::faulty::{Crash, FaultyDisk, Machine};
use crate::fixtures::{IDENTITY, covers, dot, key, record};
use crate::{Completion, OpenError, Shard, ShardOptions, ShardProgress, Store};

/// Time that is longer than any of these histories needs on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const KEYS: u64 = 5;

#[derive(Debug, Clone, Copy)]
struct Put {
    key: u64,
    level: Durability,
    /// Whether the shard's turn ends after the put.
    submit: bool,
    /// Whether the next sync of the journal or of the engine fails, and what it was to keep may be lost.
    fails_sync: bool,
}

#[derive(Debug)]
struct Acknowledged {
    key: u64,
    counter: u64,
    level: Durability,
}

fn puts() -> impl Strategy<Value = Vec<Put>> {
    let level = prop_oneof![
        Just(Durability::Buffered),
        Just(Durability::Written),
        Just(Durability::Synced)
    ];
    let put = (0..KEYS, level, any::<bool>(), 0..12_u8)
        .prop_map(|(key, level, submit, fails)| Put { key, level, submit, fails_sync: fails == 0 });
    collection::vec(put, 1..60)
}

/// Returns options so small that a history passes through several flushes and segments.
fn options(reached: Option<ShardProgress>) -> ShardOptions {
    ShardOptions {
        reached,
        buffer_limit_bytes: 4 << 10,
        flush_retry: Duration::from_millis(1),
        sync_interval: Duration::from_millis(1),
        ..ShardOptions::new(IDENTITY, "/faulty".into())
    }
}

fn open(
    disk: &FaultyDisk,
    engine: Arc<dyn Store>,
    reached: Option<ShardProgress>,
) -> Option<(Shard, Receiver<Vec<Completion>>)> {
    let (sender, completions) = channel();
    let completed = Box::new(move |done| drop(sender.send(done)));
    let opened = Shard::open_on(Box::new(disk.clone()), options(reached), engine, completed);
    if let Err(error @ OpenError::Behind { .. }) = &opened {
        panic!("no crash takes back what was noted: {error}");
    }
    let (shard, recovery) = opened.ok()?;
    assert_eq!(recovery.damaged, [], "no crash damages what was synced");
    Some((shard, completions))
}

/// Runs the history until its end or the machine's, and returns what was acknowledged before, and the progress that
/// was noted last. A shard whose life has ended is opened again, from what the system shows of the files.
fn run(
    machine: &Machine,
    disk: &FaultyDisk,
    engine: &Engine,
    puts: &[Put],
) -> (Vec<Acknowledged>, Option<ShardProgress>) {
    let begin = || engine.open().and_then(|engine| open(disk, engine, None));
    let mut life = begin();
    let mut counters = BTreeMap::new();
    let mut waiting = BTreeMap::new();
    let mut acknowledged = Vec::new();
    let mut hear = |waiting: &mut BTreeMap<u64, Acknowledged>, done: Vec<Completion>| {
        for done in done {
            let write = waiting.remove(&done.ticket).expect("once");
            acknowledged.extend(done.result.is_ok().then_some(write));
        }
    };
    for (ticket, put) in (0..).zip(puts) {
        let Some((shard, completions)) = &mut life else { break };
        if put.fails_sync {
            machine.fail_syncs(1);
        }
        let counter = counters.entry(put.key).or_insert(0);
        *counter += 1;
        // Large or not, in the place of one that is or is not.
        let value_bytes = if put.submit { 400 } else { 90 };
        let record = record(put.key + 1, *counter, value_bytes);
        // A full buffer or a dead machine refuses; nothing was promised then.
        if shard.apply(ticket, key(&put.key.to_string()), record, put.level).is_ok() {
            waiting
                .insert(ticket, Acknowledged { key: put.key, counter: *counter, level: put.level });
        }
        if put.submit {
            shard.submit();
        }
        if shard.failure().is_some() {
            shard.submit();
            while !waiting.is_empty() {
                let done = completions.recv_timeout(PATIENCE).expect("every ticket is answered");
                hear(&mut waiting, done);
            }
            // Its threads have let go of the disk before it is opened again.
            drop(life.take());
            life = begin();
        }
    }
    let mut reached = None;
    if let Some((mut shard, completions)) = life {
        shard.submit();
        while !waiting.is_empty() {
            let done = completions.recv_timeout(PATIENCE).expect("every ticket is answered");
            hear(&mut waiting, done);
        }
        reached = Some(shard.progress().now());
    }
    (acknowledged, reached)
}

/// Asserts that everything survives that was acknowledged at a level which outlives the crash.
fn check(shard: &Shard, acknowledged: &[Acknowledged], crash: Crash) {
    let enough = if crash == Crash::Power { Durability::Synced } else { Durability::Written };
    for write in acknowledged.iter().filter(|write| write.level >= enough) {
        let loaded = shard.load(&key(&write.key.to_string())).unwrap();
        assert!(covers(loaded.as_ref(), dot(write.key + 1, write.counter)), "lost: {write:?}");
    }
}

fn survives(engine: fn(&Machine) -> Engine, puts: &[Put], seed: u64, moment: f64, crash: Crash) {
    let rehearsal = Machine::new(seed);
    run(&rehearsal, &FaultyDisk::new(&rehearsal), &engine(&rehearsal), puts);
    let length = rehearsal.operations();

    let machine = Machine::new(seed);
    let (disk, engine) = (FaultyDisk::new(&machine), engine(&machine));
    // A new engine's file appears whole or not at all: see `RedbStore::open`.
    drop(engine.open());
    let made = machine.operations();
    machine.die_at(made + (length.saturating_sub(made) as f64 * moment) as u64);
    let (acknowledged, reached) = run(&machine, &disk, &engine, puts);

    // Recovery itself is cut short, again and again, before it is left in peace.
    let (mut disk, mut engine) = (disk, engine);
    for dies_at in [3, 9, 27, u64::MAX] {
        let machine = Machine::new(seed ^ dies_at);
        machine.die_at(dies_at);
        (disk, engine) = (disk.after(crash, &machine), engine.after(crash, &machine));
        if let Some((shard, _)) =
            engine.open().and_then(|engine| open(&disk, engine, reached.clone()))
        {
            check(&shard, &acknowledged, crash);
        } else {
            assert_ne!(dies_at, u64::MAX, "an undisturbed recovery succeeds");
        }
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 100, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn every_synced_write_survives_a_power_cut(
        puts in puts(), seed in any::<u64>(), moment in 0.0..1.0,
    ) {
        survives(Engine::redb, &puts, seed, moment, Crash::Power);
    }

    #[test]
    fn every_written_write_survives_the_process(
        puts in puts(), seed in any::<u64>(), moment in 0.0..1.0,
    ) {
        survives(Engine::redb, &puts, seed, moment, Crash::Process);
    }
}

proptest! {
    // Each case opens folders on a real disk.
    #![proptest_config(proptest::test_runner::Config {
        cases: 12, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn every_synced_write_survives_over_an_engine_of_sorted_tables(
        puts in puts(), seed in any::<u64>(), moment in 0.0..1.0,
    ) {
        survives(|_| Engine::lsm(), &puts, seed, moment, Crash::Power);
    }
}

#[test]
fn an_engine_that_does_not_survive_a_restart_starts_with_what_the_journal_holds() {
    let machine = Machine::new(1);
    let (disk, engine) = (FaultyDisk::new(&machine), Engine::Memory);
    assert!(!engine.survives_restart());
    let few = [Put { key: 1, level: Durability::Synced, submit: true, fails_sync: false }; 3];
    let (acknowledged, _) = run(&machine, &disk, &engine, &few);
    assert_eq!(acknowledged.len(), 3);
    let disk = disk.after(Crash::Power, &Machine::new(2));
    let (shard, _) = open(&disk, engine.open().unwrap(), None).unwrap();
    check(&shard, &acknowledged, Crash::Power);
}
