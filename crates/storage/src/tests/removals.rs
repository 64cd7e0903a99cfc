//! Histories of changes that don't merge, cut short at any operation, with segments whose removal a
//! power cut undoes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;
use jedlik_vclock::VectorClock;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use super::Engine;
use crate::faulty::{Crash, FaultyDisk, Machine};
use crate::fixtures::{IDENTITY, clock, dot, key, record};
use crate::{Completion, Shard, ShardOptions, Store, StoreError};

/// More than any of these histories needs on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A record, or the hint of the same key for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    key: u8,
    target: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Merges a version of its own.
    Merge,
    /// Removes all that is there; of a record, puts a version of its own in its place if so.
    Clear { replaces: bool },
}

#[derive(Debug, Clone, Copy)]
struct Step {
    place: Place,
    kind: Kind,
    level: Durability,
    submit: bool,
    /// Whether the next sync fails, which begins another segment of the same generation.
    fails_sync: bool,
}

#[derive(Debug)]
struct Made {
    kind: Kind,
    level: Durability,
    /// The actor of its version.
    actor: u64,
    acknowledged: bool,
}

type Histories = BTreeMap<Place, Vec<Made>>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = (0..3u8, prop_oneof![Just(None), (1..3u64).prop_map(Some)])
        .prop_map(|(key, target)| Place { key, target });
    let kind = prop_oneof![
        3 => Just(Kind::Merge),
        1 => Just(Kind::Clear { replaces: false }),
        1 => Just(Kind::Clear { replaces: true }),
    ];
    let level = prop_oneof![
        Just(Durability::Buffered),
        Just(Durability::Written),
        Just(Durability::Synced)
    ];
    let fails = any::<u8>().prop_map(|dice| dice < 16);
    let step = (place, kind, level, any::<bool>(), fails).prop_map(
        |(place, kind, level, submit, fails_sync)| Step { place, kind, level, submit, fails_sync },
    );
    collection::vec(step, 1..80)
}

/// Small enough that a history passes through several flushes and segments.
fn options() -> ShardOptions {
    ShardOptions {
        buffer_limit_bytes: 3 << 10,
        flush_retry: Duration::from_millis(1),
        sync_interval: Duration::from_millis(1),
        ..ShardOptions::new(IDENTITY, "/faulty".into())
    }
}

fn open(disk: &FaultyDisk, engine: Arc<dyn Store>) -> Option<(Shard, Receiver<Vec<Completion>>)> {
    let (sender, completions) = channel();
    let completed = Box::new(move |done| drop(sender.send(done)));
    let opened = Shard::open_on(Box::new(disk.clone()), options(), engine, completed);
    opened.ok().map(|(shard, _)| (shard, completions))
}

/// Makes the step's change; true if there is something to be answered.
fn make(shard: &mut Shard, ticket: u64, step: Step) -> Result<bool, StoreError> {
    let key = key(&step.place.key.to_string());
    let version = record(ticket, 1, 200);
    match (step.place.target.map(NodeId), step.kind) {
        (None, Kind::Merge) => shard.apply(ticket, key, version, step.level).map(|_| true),
        (Some(target), Kind::Merge) => {
            shard.hold(ticket, target, key, version, ticket, step.level).map(|()| true)
        }
        (None, Kind::Clear { replaces }) => {
            let Some(seen) = shard.load(&key)? else { return Ok(false) };
            let new = replaces.then_some(version);
            shard.revise(ticket, key, seen.record.digest(), new).map(|_| true)
        }
        (Some(target), Kind::Clear { .. }) => {
            let held = shard.held(&key)?;
            let Some(seen) = held.iter().find(|hint| hint.target == target) else {
                return Ok(false);
            };
            shard.release(ticket, target, key, seen.record.record.digest()).map(|()| true)
        }
    }
}

/// Runs the history until its end or the machine's.
fn run(machine: &Machine, disk: &FaultyDisk, engine: &Engine, steps: &[Step]) -> Histories {
    let mut histories = Histories::new();
    let Some((mut shard, completions)) = engine.open().and_then(|engine| open(disk, engine)) else {
        return histories;
    };
    let mut waiting = BTreeMap::new();
    for (ticket, &step) in (1..).zip(steps) {
        if step.fails_sync {
            machine.fail_syncs(1);
        }
        // A full buffer or a dead machine refuses; nothing was changed then.
        if make(&mut shard, ticket, step).unwrap_or(false) {
            let (mut kind, actor) = (step.kind, ticket);
            if let (Some(_), Kind::Clear { replaces }) = (step.place.target, &mut kind) {
                // A hint is never replaced.
                *replaces = false;
            }
            let is_clear = matches!(kind, Kind::Clear { .. });
            let level = if is_clear { Durability::Synced } else { step.level };
            let history = histories.entry(step.place).or_default();
            waiting.insert(ticket, (step.place, history.len()));
            history.push(Made { kind, level, actor, acknowledged: false });
        }
        if step.submit {
            shard.submit();
        }
    }
    shard.submit();
    while !waiting.is_empty() {
        for done in completions.recv_timeout(PATIENCE).expect("every ticket is answered") {
            let (place, index) = waiting.remove(&done.ticket).expect("once");
            histories.get_mut(&place).unwrap()[index].acknowledged = done.result.is_ok();
        }
    }
    histories
}

/// What may be left: some clear is the last that took effect, none that was acknowledged after it did
/// not; nothing from before it is left, and all of what was promised since.
fn is_explained(clock: &VectorClock, history: &[Made], crash: Crash) -> bool {
    let enough = if crash == Crash::Power { Durability::Synced } else { Durability::Written };
    let there = |made: &Made| clock.covers(dot(made.actor, 1));
    let promised = |made: &&Made| made.acknowledged && made.level >= enough;
    let is_clear = |made: &Made| matches!(made.kind, Kind::Clear { .. });
    (0..=history.len()).any(|cut| {
        // Clears at and past the cut have not happened, but for those that replace, which then have.
        let (before, since) = history.split_at(cut);
        if cut > 0 && !before.last().is_some_and(is_clear) {
            return false;
        }
        let (last, gone) = before.split_last().map_or((None, before), |(l, g)| (Some(l), g));
        let replaced =
            last.is_none_or(|last| there(last) == (last.kind == Kind::Clear { replaces: true }));
        replaced
            && !gone.iter().any(there)
            && since.iter().filter(promised).all(|made| !is_clear(made) && there(made))
            && since.iter().filter(|made| is_clear(made)).all(|made| !there(made))
    })
}

fn check(shard: &mut Shard, histories: &Histories, crash: Crash) {
    let mut held = 0;
    for (place, history) in histories {
        let key = key(&place.key.to_string());
        let clock = match place.target {
            None => clock(shard.load(&key).unwrap().as_ref()),
            Some(target) => {
                let hints = shard.held(&key).unwrap();
                let hint = hints.iter().find(|hint| hint.target.0 == target);
                held += u64::from(hint.is_some());
                clock(hint.map(|hint| &hint.record))
            }
        };
        assert!(is_explained(&clock, history, crash), "{place:?}: {clock:?} after {history:#?}");
    }
    assert_eq!(shard.stats().hints.count, held);
    for target in [1, 2].map(NodeId) {
        let page = shard.hints(target, None, 100, 1 << 20).unwrap();
        held -= page.hints.len() as u64;
    }
    assert_eq!(held, 0, "every hint is in its target's page");
}

fn survives(steps: &[Step], seed: u64, moment: f64, crash: Crash) {
    let rehearsal = Machine::new(seed);
    run(&rehearsal, &FaultyDisk::new(&rehearsal), &Engine::redb(&rehearsal), steps);
    let length = rehearsal.operations();

    let machine = Machine::new(seed);
    let (mut disk, mut engine) = (FaultyDisk::new(&machine), Engine::redb(&machine));
    // A new engine's file appears whole or not at all: see `RedbStore::open`.
    drop(engine.open());
    let made = machine.operations();
    machine.die_at(made + (length.saturating_sub(made) as f64 * moment) as u64);
    let histories = run(&machine, &disk, &engine, steps);

    // Recovery itself is cut short, again and again, before it is left in peace.
    for dies_at in [3, 9, 27, 81, u64::MAX, u64::MAX] {
        let machine = Machine::new(seed ^ dies_at);
        machine.die_at(dies_at);
        (disk, engine) = (disk.after(crash, &machine), engine.after(crash, &machine));
        if let Some((mut shard, _)) = engine.open().and_then(|engine| open(&disk, engine)) {
            check(&mut shard, &histories, crash);
        } else {
            assert_ne!(dies_at, u64::MAX, "an undisturbed recovery succeeds");
        }
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 150, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn what_was_removed_stays_away_after_a_power_cut_and_the_rest_stays(
        steps in steps(), seed in any::<u64>(), moment in 0.0..1.0,
    ) {
        survives(&steps, seed, moment, Crash::Power);
    }

    #[test]
    fn what_was_removed_stays_away_after_the_process_and_the_rest_stays(
        steps in steps(), seed in any::<u64>(), moment in 0.0..1.0,
    ) {
        survives(&steps, seed, moment, Crash::Process);
    }
}
