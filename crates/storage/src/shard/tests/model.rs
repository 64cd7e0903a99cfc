//! Random histories of one shard beside a model that is nothing but maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{Digest, Durability, PlacedKey, StoredRecord};
use jedlik_storage_port::{Hint, HintMark, HintTotals, RecordChange};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof};
use proptest::proptest;

use super::super::meta;
use super::{Bench, Running};
use crate::fixtures::{everything_of, record};
use crate::merge::merged;
use crate::tests::Engine;
use crate::{RangeQuery, Shard, Store};

const KEYS: u8 = 6;
const PARTITIONS: u32 = 4;
const TARGETS: u64 = 2;

#[derive(Debug, Clone, Copy)]
enum Step {
    Apply { key: u8 },
    Revise { key: u8, removes: bool, knows: bool },
    Hold { target: u64, key: u8, since_ms: u64 },
    Release { target: u64, key: u8, knows: bool },
    Drop { partition: u32 },
    Flush,
    Crash,
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let known = || any::<u8>().prop_map(|dice| dice % 4 > 0);
    let step = prop_oneof![
        4 => (0..KEYS).prop_map(|key| Step::Apply { key }),
        2 => (0..KEYS, any::<bool>(), known())
            .prop_map(|(key, removes, knows)| Step::Revise { key, removes, knows }),
        4 => (0..TARGETS, 0..KEYS, 0..9u64)
            .prop_map(|(target, key, since_ms)| Step::Hold { target, key, since_ms }),
        3 => (0..TARGETS, 0..KEYS, known())
            .prop_map(|(target, key, knows)| Step::Release { target, key, knows }),
        2 => (0..PARTITIONS).prop_map(|partition| Step::Drop { partition }),
        2 => proptest::strategy::Just(Step::Flush),
        1 => proptest::strategy::Just(Step::Crash),
        1 => proptest::strategy::Just(Step::Stop),
    ];
    vec(step, 1..60)
}

#[derive(Default)]
struct Model {
    records: BTreeMap<PlacedKey, StoredRecord>,
    hints: BTreeMap<(NodeId, PlacedKey), Hint>,
}

fn name(key: u8) -> PlacedKey {
    super::key(&format!("k{key}"))
}

/// Digest that no record and no hint has.
const NO_DIGEST: Digest = Digest(0);

/// Makes one change in the shard and in the model. `actor` belongs to this step alone.
fn change(running: &mut Running, model: &mut Model, step: Step, actor: u64) {
    let written = record(actor, 1, if actor.is_multiple_of(3) { 300 } else { 30 });
    let shard = &mut running.shard;
    match step {
        Step::Apply { key } => {
            let before = model.records.get(&name(key));
            let after = merged(before, written.clone()).unwrap();
            let expected = RecordChange::sound(before.map(meta), Some(meta(&after)));
            let change = shard.apply(actor, name(key), written, Durability::Synced).unwrap();
            assert_eq!(change, expected);
            model.records.insert(name(key), after);
        }
        Step::Revise { key, removes, knows } => {
            let before = model.records.get(&name(key)).map(meta);
            let new = (!removes).then_some(written);
            let expected = before.filter(|_| knows).map(|before| before.digest);
            let change =
                shard.revise(actor, name(key), expected.unwrap_or(NO_DIGEST), new.clone()).unwrap();
            let after = match expected {
                Some(_) => new.as_ref().map(meta),
                None => before,
            };
            assert_eq!(change, RecordChange::sound(before, after));
            match (expected, new) {
                (None, _) => {}
                (Some(_), Some(new)) => drop(model.records.insert(name(key), new)),
                (Some(_), None) => drop(model.records.remove(&name(key))),
            }
        }
        Step::Hold { target, key, since_ms } => {
            let target = NodeId(target);
            let before = model.hints.get(&(target, name(key)));
            let hint = Hint {
                target,
                since_ms: before.map_or(since_ms, |before| before.since_ms.min(since_ms)),
                key: name(key),
                record: merged(before.map(|before| &before.record), written.clone()).unwrap(),
            };
            shard.hold(actor, target, name(key), written, since_ms, Durability::Synced).unwrap();
            model.hints.insert((target, name(key)), hint);
        }
        Step::Release { target, key, knows } => {
            let place = (NodeId(target), name(key));
            let before = model.hints.get(&place).map(|before| before.record.record.digest());
            let digest = before.filter(|_| knows).unwrap_or(NO_DIGEST);
            shard.release(actor, place.0, place.1.clone(), digest).unwrap();
            if before == Some(digest) {
                model.hints.remove(&place);
            }
        }
        Step::Drop { partition } => {
            let partition = Partition(partition);
            shard.drop_partition(actor, partition).unwrap();
            model.records.retain(|key, _| key.partition != partition);
        }
        Step::Flush | Step::Crash | Step::Stop => return,
    }
    running.answers(1).into_values().for_each(Result::unwrap);
}

fn flush(running: &mut Running) {
    running.wait_until("no flush is under way", |shard| shard.layers.frozen.is_none());
    let limit = std::mem::take(&mut running.shard.options.buffer_limit_bytes);
    running.shard.admit().unwrap();
    running.shard.options.buffer_limit_bytes = limit;
}

fn compare(shard: &mut Shard, model: &Model, limit: usize) {
    for key in (0..KEYS).map(name) {
        assert_eq!(shard.load(&key).unwrap().as_ref(), model.records.get(&key));
        let held: Vec<&Hint> = model.hints.values().filter(|hint| hint.key == key).collect();
        assert_eq!(shard.holding(&key).unwrap().hints.iter().collect::<Vec<_>>(), held);
    }
    let partitions = || (0..PARTITIONS).map(Partition);
    let mut occupied: Vec<Partition> = model.records.keys().map(|key| key.partition).collect();
    occupied.dedup();
    assert_eq!(shard.occupied(partitions()).unwrap(), occupied);
    let mut records = Vec::new();
    for partition in partitions() {
        let mut query = RangeQuery {
            partition,
            from: None,
            to: None,
            after: None,
            // All keys are of one bucket, which an engine may find by its marks.
            bucket: limit.is_multiple_of(2).then(|| "b".into()),
            values: true,
            limit_records: limit,
            limit_bytes: 1 << 20,
            limit_examined: 100,
            limit_examined_bytes: usize::MAX,
        };
        loop {
            let page = shard.range(&query).unwrap();
            records.extend(page.records);
            query.after = page.until;
            if query.after.is_none() {
                break;
            }
        }
    }
    assert_eq!(records, model.records.clone().into_iter().collect::<Vec<_>>());
    compare_scans(shard, model, limit);
    let mut totals = Vec::new();
    for target in (0..TARGETS).map(NodeId) {
        let hints: BTreeMap<HintMark, &Hint> = model
            .hints
            .values()
            .filter(|hint| hint.target == target)
            .map(|hint| (hint.mark(), hint))
            .collect();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = shard.hints(target, after.as_ref(), limit, 1 << 20).unwrap();
            seen.extend(page.hints);
            after = page.until;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.iter().collect::<Vec<_>>(), hints.values().copied().collect::<Vec<_>>());
        let total = |oldest: &HintMark| HintTotals {
            count: hints.len() as u64,
            bytes: hints.values().map(|hint| hint.size_bytes()).sum(),
            oldest_ms: Some(oldest.since_ms),
        };
        totals.extend(hints.keys().next().map(|oldest| (target, total(oldest))));
    }
    assert_eq!(shard.hint_totals(), totals);
}

/// Asserts that scans show records and hints of each key together, whatever the hints' targets.
fn compare_scans(shard: &Shard, model: &Model, limit: usize) {
    let mut expected = model.records.clone();
    for hint in model.hints.values() {
        let both = merged(expected.get(&hint.key), hint.record.clone()).unwrap();
        expected.insert(hint.key.clone(), both);
    }
    let mut lean = expected.clone();
    for stored in lean.values_mut() {
        stored.record = stored.record.with_lengths().unwrap();
    }
    for (values, expected) in [(true, expected), (false, lean)] {
        let mut seen = Vec::new();
        for partition in (0..PARTITIONS).map(Partition) {
            let mut query = RangeQuery {
                bucket: limit.is_multiple_of(2).then(|| "b".into()),
                limit_records: limit,
                values,
                ..everything_of(partition.0)
            };
            loop {
                let page = shard.scan(&query).unwrap();
                seen.extend(page.records);
                query.after = page.until;
                if query.after.is_none() {
                    break;
                }
            }
        }
        let record = |(key, stored): (PlacedKey, StoredRecord)| (key, stored.record.digest());
        let (seen, expected) = (seen.into_iter().map(record), expected.into_iter().map(record));
        assert_eq!(seen.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "values: {values}");
    }
}

fn agrees(engine: Arc<dyn Store>, bench: Bench, steps: &[Step]) {
    let mut bench = Bench { engine, ..bench };
    bench.options.sweep_limit_records = 1;
    let mut model = Model::default();
    let mut running = bench.open();
    for (actor, &step) in (1..).zip(steps) {
        match step {
            Step::Flush => flush(&mut running),
            Step::Crash => {
                drop(running);
                running = bench.open();
            }
            Step::Stop => {
                running.shard.close().unwrap();
                assert_eq!(bench.disk.names(), Vec::<String>::new());
                running = bench.open();
            }
            _ => change(&mut running, &mut model, step, actor),
        }
        compare(&mut running.shard, &model, 1 + actor as usize % 3);
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 60, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn a_shard_holds_what_maps_would_hold(steps in steps()) {
        for engine in 0..2 {
            let bench = Bench::new();
            // The engine in memory outlives the shard here, as a file would.
            let engine = Engine::all(&bench.machine)[engine].open().unwrap();
            agrees(engine, bench, &steps);
        }
    }
}
