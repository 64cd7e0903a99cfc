//! Histories of changes that don't merge, cut short at any operation, with segments whose removal a
//! power cut undoes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, Durability};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use super::Engine;
use crate::faulty::{Crash, FaultyDisk, Machine};
use crate::fixtures::{IDENTITY, clock, key, record};
use crate::{Completion, Shard, ShardOptions, Store, StoreError};

/// Time that is longer than any of these histories needs on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Number of keys, some of which share a partition.
const KEYS: u8 = 4;

/// Digest that no record has.
const NOTHING: Digest = Digest(0);

/// Place of a record, or of the hint of the same key for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    key: u8,
    target: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Merges a version of its own.
    Merge,
    /// Removes all that is there, or puts a version of its own in the place of a record that is there if `replaces`.
    /// Where nothing is there it is refused, which says as much.
    Clear { replaces: bool },
    /// Drops the partition of the key, which removes each record there.
    Drop,
}

/// Action that follows a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The next change follows within the same turn.
    GoesOn,
    Submits,
    /// Submits, and waits for every answer that is due.
    Waits,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    place: Place,
    kind: Kind,
    level: Durability,
    then: Then,
    /// Whether the next sync fails, which begins another segment of the same generation.
    fails_sync: bool,
}

#[derive(Debug)]
struct Made {
    kind: Kind,
    level: Durability,
    /// Actor of the change's version.
    actor: u64,
    acknowledged: bool,
}

/// Contents of a place: the actors of the versions that it has seen.
type Actors = BTreeSet<u64>;

type Histories = BTreeMap<Place, Vec<Made>>;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = (0..KEYS, prop_oneof![Just(None), (1..3u64).prop_map(Some)])
        .prop_map(|(key, target)| Place { key, target });
    let kind = prop_oneof![
        3 => Just(Kind::Merge),
        1 => Just(Kind::Clear { replaces: false }),
        1 => Just(Kind::Clear { replaces: true }),
        1 => Just(Kind::Drop),
    ];
    let level = prop_oneof![
        Just(Durability::Buffered),
        Just(Durability::Written),
        Just(Durability::Synced)
    ];
    let then = prop_oneof![
        4 => Just(Then::GoesOn),
        3 => Just(Then::Submits),
        1 => Just(Then::Waits)
    ];
    let fails = any::<u8>().prop_map(|dice| dice < 16);
    let step =
        (place, kind, level, then, fails).prop_map(|(place, kind, level, then, fails_sync)| Step {
            place,
            kind,
            level,
            then,
            fails_sync,
        });
    collection::vec(step, 1..80)
}

/// Returns options so small that a history passes through several flushes and segments.
fn options() -> ShardOptions {
    ShardOptions {
        buffer_limit_bytes: 3 << 10,
        flush_retry: Duration::from_millis(1),
        sync_interval: Duration::from_millis(1),
        sweep_limit_records: 1,
        ..ShardOptions::new(IDENTITY, "/faulty".into())
    }
}

fn open(disk: &FaultyDisk, engine: Arc<dyn Store>) -> Option<(Shard, Receiver<Vec<Completion>>)> {
    let (sender, completions) = channel();
    let completed = Box::new(move |done| drop(sender.send(done)));
    let opened = Shard::open_on(Box::new(disk.clone()), options(), engine, completed);
    opened.ok().map(|(shard, _)| (shard, completions))
}

/// Returns the places that a step changes.
fn changed(step: Step) -> Vec<Place> {
    let partition = |index: u8| key(&index.to_string()).partition;
    match step.kind {
        Kind::Drop => (0..KEYS)
            .filter(|&key| partition(key) == partition(step.place.key))
            .map(|key| Place { key, target: None })
            .collect(),
        Kind::Merge | Kind::Clear { .. } => vec![step.place],
    }
}

/// Makes the step's change, and returns what it was to each place.
fn make(shard: &mut Shard, ticket: u64, step: Step) -> Result<Kind, StoreError> {
    let key = key(&step.place.key.to_string());
    let version = record(ticket, 1, if ticket.is_multiple_of(2) { 300 } else { 60 });
    match (step.place.target.map(NodeId), step.kind) {
        (_, Kind::Drop) => {
            shard.drop_partition(ticket, key.partition)?;
            return Ok(Kind::Clear { replaces: false });
        }
        (None, Kind::Merge) => {
            shard.apply(ticket, key, version, step.level)?;
        }
        (Some(target), Kind::Merge) => {
            shard.hold(ticket, target, key, version, ticket, step.level)?;
        }
        (None, Kind::Clear { replaces }) => {
            let seen = shard.load(&key)?.map_or(NOTHING, |seen| seen.record.digest());
            let change = shard.revise(ticket, key, seen, replaces.then_some(version))?;
            return Ok(Kind::Clear { replaces: change.after.is_some() });
        }
        (Some(target), Kind::Clear { .. }) => {
            let held = shard.holding(&key)?.hints;
            let seen = held.iter().find(|hint| hint.target == target);
            let seen = seen.map_or(NOTHING, |hint| hint.record.record.digest());
            shard.release(ticket, target, key, seen)?;
            return Ok(Kind::Clear { replaces: false });
        }
    }
    Ok(Kind::Merge)
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
        if let Ok(kind) = make(&mut shard, ticket, step) {
            let level = if kind == Kind::Merge { step.level } else { Durability::Synced };
            for place in changed(step) {
                let history = histories.entry(place).or_default();
                waiting.entry(ticket).or_insert_with(Vec::new).push((place, history.len()));
                history.push(Made { kind, level, actor: ticket, acknowledged: false });
            }
        }
        if step.then != Then::GoesOn {
            shard.submit();
        }
        if step.then == Then::Waits {
            hear(&completions, &mut waiting, &mut histories);
        }
    }
    shard.submit();
    hear(&completions, &mut waiting, &mut histories);
    histories
}

/// Waits until every change is answered.
fn hear(
    completions: &Receiver<Vec<Completion>>,
    waiting: &mut BTreeMap<u64, Vec<(Place, usize)>>,
    histories: &mut Histories,
) {
    while !waiting.is_empty() {
        for done in completions.recv_timeout(PATIENCE).expect("every ticket is answered") {
            for (place, index) in waiting.remove(&done.ticket).expect("once") {
                histories.get_mut(&place).unwrap()[index].acknowledged = done.result.is_ok();
            }
        }
    }
}

/// Returns what loads find after each change, while nothing is lost.
fn held_after(history: &[Made]) -> Vec<Actors> {
    let mut held = Actors::new();
    let after = |made: &Made| {
        if made.kind != Kind::Merge {
            held.clear();
        }
        if made.kind != (Kind::Clear { replaces: false }) {
            held.insert(made.actor);
        }
        held.clone()
    };
    history.iter().map(after).collect()
}

/// Returns everything that may be left of a place: what its changes make of it, in their order, without any of those
/// that were not promised.
///
/// A change is promised if it was acknowledged at a level which outlives this crash: it is among those that happened,
/// and promised ones keep their order. Between any other change of the place and its neighbours no order is promised: a
/// power cut leaves what it likes of what was not synced, and a write or a sync may fail before one that succeeds. So a
/// removal that was not promised may be undone though a merge after it stays, even a promised one.
///
/// A merge brings with it all that its place held when it was made, whatever becomes of the changes from
/// which that came: so a replacement's version may come back without having replaced anything.
fn possible(history: &[Made], crash: Crash) -> BTreeSet<Actors> {
    let enough = if crash == Crash::Power { Durability::Synced } else { Durability::Written };
    let mut possible = BTreeSet::from([Actors::new()]);
    for (made, held) in history.iter().zip(held_after(history)) {
        let happened = |left: &Actors| match made.kind {
            Kind::Merge => left | &held,
            Kind::Clear { .. } | Kind::Drop => held.clone(),
        };
        let with: BTreeSet<Actors> = possible.iter().map(happened).collect();
        if made.acknowledged && made.level >= enough {
            possible.clear();
        }
        possible.extend(with);
    }
    possible
}

/// Returns what may be left as [`possible`] does, if nothing has failed before the process ended: then only the last
/// changes may be missing.
fn possible_in_order(history: &[Made]) -> BTreeSet<Actors> {
    let promised = |made: &Made| made.acknowledged && made.level >= Durability::Written;
    let certain = history.iter().rposition(promised).map_or(0, |last| last + 1);
    let held = [Actors::new()].into_iter().chain(held_after(history));
    held.skip(certain).collect()
}

fn check(shard: &mut Shard, histories: &Histories, possible: impl Fn(&[Made]) -> BTreeSet<Actors>) {
    let mut held = 0;
    for (place, history) in histories {
        let key = key(&place.key.to_string());
        let clock = match place.target {
            None => clock(shard.load(&key).unwrap().as_ref()),
            Some(target) => {
                let hints = shard.holding(&key).unwrap().hints;
                let hint = hints.iter().find(|hint| hint.target.0 == target);
                held += u64::from(hint.is_some());
                clock(hint.map(|hint| &hint.record))
            }
        };
        let left: Actors = clock.entries().iter().map(|entry| entry.actor.0).collect();
        let possible = possible(history);
        assert!(possible.contains(&left), "{place:?}: {left:?}, not {possible:?}: {history:#?}");
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

    // Recovery itself is cut short, again and again, before it is left in peace. Its last operation makes
    // durable that its segments are gone.
    for (round, share) in (1..).zip([0.2, 1.0, 0.6, 1.0]) {
        let seed = seed ^ round;
        let rehearsal = Machine::new(seed);
        let (rehearsed, on) = (disk.after(crash, &rehearsal), engine.after(crash, &rehearsal));
        let mut length = 0;
        recover(&rehearsed, &on, |_| length = rehearsal.operations());
        let cut_short_at = |operation| {
            let machine = Machine::new(seed);
            machine.die_at(operation);
            let (disk, engine) = (disk.after(crash, &machine), engine.after(crash, &machine));
            (!recover(&disk, &engine, |_| ())).then_some((disk, engine))
        };
        // The shard's threads begin at once with operations of their own, some of which were counted as well.
        let last = (length as f64 * share) as u64;
        let cut_short = (0..=last).rev().find_map(cut_short_at);
        (disk, engine) = cut_short.expect("without its first operation no recovery succeeds");
    }
    for round in 5..7 {
        let machine = Machine::new(seed ^ round);
        (disk, engine) = (disk.after(crash, &machine), engine.after(crash, &machine));
        let recovered = recover(&disk, &engine, |shard| {
            if crash == Crash::Process && !steps.iter().any(|step| step.fails_sync) {
                check(shard, &histories, possible_in_order);
            } else {
                check(shard, &histories, |history| possible(history, crash));
            }
        });
        assert!(recovered, "an undisturbed recovery succeeds");
    }
}

/// Opens the shard and lets `look` at it. Returns false if that fails.
fn recover(disk: &FaultyDisk, engine: &Engine, look: impl FnOnce(&mut Shard)) -> bool {
    let opened = engine.open().and_then(|engine| open(disk, engine));
    opened.map(|(mut shard, _)| look(&mut shard)).is_some()
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

/// Returns the history of one record, each change answered before the next, with whether its sync fails.
fn record_history(changes: &[(Kind, bool)]) -> Vec<Step> {
    let place = Place { key: 0, target: None };
    let (level, then) = (Durability::Synced, Then::Waits);
    let step = |&(kind, fails_sync)| Step { place, kind, level, then, fails_sync };
    changes.iter().map(step).collect()
}

/// Cuts the power at the history's end, under many seeds.
fn survives_at_its_end(steps: &[Step]) {
    (0..16).for_each(|seed| survives(steps, seed, 2.0, Crash::Power));
}

#[test]
fn a_merge_outlives_the_replacement_before_it_whose_sync_failed() {
    survives_at_its_end(&record_history(&[
        (Kind::Merge, false),
        (Kind::Clear { replaces: true }, true),
        (Kind::Merge, false),
    ]));
}

#[test]
fn a_merge_outlives_the_removal_before_it_whose_sync_failed() {
    survives_at_its_end(&record_history(&[
        (Kind::Merge, false),
        (Kind::Merge, false),
        (Kind::Clear { replaces: false }, true),
        (Kind::Merge, false),
    ]));
}

#[test]
fn a_removal_said_again_is_kept_though_the_first_sync_failed() {
    survives_at_its_end(&record_history(&[
        (Kind::Merge, false),
        (Kind::Clear { replaces: false }, true),
        (Kind::Clear { replaces: false }, false),
    ]));
}

/// Case of changes, each with whether it was promised, and the versions that may be left, numbered from 1.
type Case<'a> = (&'a [(Kind, bool)], &'a [&'a [u64]]);

#[test]
fn what_may_be_left_is_what_the_changes_make_without_some_that_were_not_promised() {
    let (merge, remove) = (Kind::Merge, Kind::Clear { replaces: false });
    let replace = Kind::Clear { replaces: true };
    let cases: &[Case] = &[
        (&[], &[&[]]),
        (&[(merge, true)], &[&[1]]),
        (&[(merge, false)], &[&[], &[1]]),
        (&[(merge, false), (merge, true)], &[&[1, 2]]),
        (&[(merge, true), (merge, false)], &[&[1], &[1, 2]]),
        (&[(merge, true), (remove, true)], &[&[]]),
        (&[(merge, true), (remove, false)], &[&[], &[1]]),
        (&[(merge, true), (remove, true), (merge, false)], &[&[], &[3]]),
        (&[(merge, true), (remove, false), (merge, true)], &[&[1, 3], &[3]]),
        (&[(merge, true), (replace, true)], &[&[2]]),
        (&[(merge, true), (replace, false)], &[&[1], &[2]]),
        (&[(merge, true), (replace, false), (merge, true)], &[&[1, 2, 3], &[2, 3]]),
    ];
    for &(changes, expected) in cases {
        let made = |(actor, &(kind, acknowledged))| Made {
            kind,
            level: Durability::Synced,
            actor,
            acknowledged,
        };
        let history: Vec<Made> = (1..).zip(changes).map(made).collect();
        let expected = expected.iter().map(|actors| actors.iter().copied().collect()).collect();
        assert_eq!(possible(&history, Crash::Power), expected, "{changes:?}");
    }
}

#[test]
fn some_of_the_keys_share_a_partition_and_some_do_not() {
    let kind = Kind::Drop;
    let (level, then) = (Durability::Synced, Then::Waits);
    let changed = (0..KEYS).map(|key| {
        let place = Place { key, target: None };
        changed(Step { place, kind, level, then, fails_sync: false }).len()
    });
    let changed: BTreeSet<usize> = changed.collect();
    assert!(changed.len() > 1, "{changed:?}");
}
