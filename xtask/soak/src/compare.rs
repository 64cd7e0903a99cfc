//! Steps taken at every engine, and the comparison of what each of them answers with the model.
//!
//! Invariant: an engine is held to the model, never to another engine, so that two of them can't be wrong alike.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, ensure};
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage::{HintWrite, RangeQuery, Store, Writes};
use jedlik_storage_port::{Hint, HintMark, HintTotals};

use crate::engines::Engine;
use crate::history::{Step, TARGETS};
use crate::model::Model;
use crate::names::{self, Names, PARTITIONS, bucket};

/// Counts of what was done and compared.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    written: u64,
    dropped: u64,
    loads: u64,
    paged: u64,
    hints: u64,
    reopenings: u64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { written, dropped, loads, paged, hints, reopenings } = self;
        write!(
            f,
            "{written} records and hints written, {dropped} partitions dropped, {reopenings} reopenings; compared: \
             {loads} loads, {paged} records and {hints} hints of pages"
        )
    }
}

/// Takes a step at every engine and at the model, and compares what it shows.
///
/// # Errors
/// An engine fails, or it holds something else than the model.
pub(crate) fn take(
    step: &Step,
    names: &Names,
    engines: &mut [Engine],
    model: &mut Model,
    compared: &mut Compared,
) -> anyhow::Result<()> {
    match step {
        Step::Write { records, hints, metadata } => {
            let records: BTreeMap<u32, Option<u64>> = records.iter().copied().collect();
            let hinted =
                hints.iter().map(|(target, number, version)| ((*target, *number), *version));
            let hinted: BTreeMap<(NodeId, u32), Option<u64>> = hinted.collect();
            let writes = batch(names, &records, &hinted, metadata.as_ref());
            each(engines, |store| Ok(store.write(&writes)?))?;
            compared.written += (records.len() + hinted.len()) as u64;
            apply(names, model, records, hinted, metadata.as_ref());
        }
        Step::Drop(partitions) => {
            let partitions = partitions.iter().copied().collect();
            each(engines, |store| Ok(store.drop_partitions(&partitions)?))?;
            compared.dropped += partitions.len() as u64;
            model.records.retain(|number, _| !partitions.contains(&names.key(*number).partition));
            model.dropped.extend(partitions);
        }
        Step::Sweep(limit) => {
            each(engines, |store| store.sweep(*limit).map(drop).map_err(Into::into))?;
        }
        Step::Load(numbers) => compared.loads += loads(names, engines, model, numbers)?,
        Step::Range { partition, bucket: of, values, page, after } => {
            let query = RangeQuery {
                after: after
                    .map(|number| names.key(number))
                    .filter(|key| key.partition == *partition)
                    .cloned(),
                bucket: of.map(bucket),
                values: *values,
                limit_records: *page,
                ..whole(*partition)
            };
            compared.paged += pages(names, engines, model, &query)?;
        }
        Step::Hints { target, page } => {
            compared.hints += hints_of(names, engines, model, *target, *page)?;
        }
        Step::Totals => totals(names, engines, model)?,
        Step::OpenAgain => {
            for engine in engines {
                engine.open_again()?;
            }
            compared.reopenings += 1;
        }
    }
    Ok(())
}

/// Compares loads of keys. Returns their number.
fn loads(names: &Names, engines: &[Engine], model: &Model, numbers: &[u32]) -> anyhow::Result<u64> {
    for number in numbers {
        let expected = model.records.get(number).map(|version| names::record(*number, *version));
        each(engines, |store| {
            let found = store.load(names.key(*number))?;
            ensure!(found == expected, "key {number}: {}", told(found.as_ref(), expected.as_ref()));
            Ok(())
        })?;
    }
    Ok(numbers.len() as u64)
}

/// Compares everything, after what was dropped has been swept and every engine was opened again.
///
/// # Errors
/// As for [`take`].
pub(crate) fn all(
    names: &Names,
    engines: &mut [Engine],
    model: &Model,
    compared: &mut Compared,
) -> anyhow::Result<()> {
    each(engines, |store| {
        while store.sweep(10_000)? {}
        let (found, expected) = (store.record_count()?, model.records.len() as u64);
        ensure!(found == expected, "{found} records are counted instead of {expected}");
        Ok(())
    })?;
    for engine in &mut *engines {
        engine.open_again()?;
    }
    for partition in (0..PARTITIONS).map(Partition) {
        compared.paged += pages(names, engines, model, &whole(partition))?;
    }
    for target in (1..=u64::from(TARGETS)).map(NodeId) {
        compared.hints += hints_of(names, engines, model, target, 1_000)?;
    }
    totals(names, engines, model)
}

/// Runs `act` on each engine; an error names the engine.
fn each(engines: &[Engine], act: impl Fn(&dyn Store) -> anyhow::Result<()>) -> anyhow::Result<()> {
    engines.iter().try_for_each(|engine| act(engine.store()?).context(engine.name()))
}

fn batch(
    names: &Names,
    records: &BTreeMap<u32, Option<u64>>,
    hints: &BTreeMap<(NodeId, u32), Option<u64>>,
    metadata: Option<&(String, Option<Vec<u8>>)>,
) -> Writes {
    let record = |(number, version): (&u32, &Option<u64>)| {
        (names.key(*number).clone(), version.map(|version| names::record(*number, version)))
    };
    let mut records: Vec<(PlacedKey, Option<StoredRecord>)> = records.iter().map(record).collect();
    records.sort_by(|a, b| a.0.cmp(&b.0));
    let hint = |((target, number), version): (&(NodeId, u32), &Option<u64>)| HintWrite {
        target: *target,
        key: names.key(*number).clone(),
        hint: version.map(|version| names::hint(names, *target, *number, version)),
    };
    let mut hints: Vec<HintWrite> = hints.iter().map(hint).collect();
    hints.sort_by(|a, b| (a.target, &a.key).cmp(&(b.target, &b.key)));
    Writes { records, hints, metadata: metadata.into_iter().cloned().collect() }
}

fn apply(
    names: &Names,
    model: &mut Model,
    records: BTreeMap<u32, Option<u64>>,
    hints: BTreeMap<(NodeId, u32), Option<u64>>,
    metadata: Option<&(String, Option<Vec<u8>>)>,
) {
    for (number, version) in records {
        model.dropped.remove(&names.key(number).partition);
        match version {
            Some(version) => model.records.insert(number, version),
            None => model.records.remove(&number),
        };
    }
    for (place, version) in hints {
        match version {
            Some(version) => model.hints.insert(place, version),
            None => model.hints.remove(&place),
        };
    }
    if let Some((name, value)) = metadata {
        match value {
            Some(value) => model.metadata.insert(name.clone(), value.clone()),
            None => model.metadata.remove(name),
        };
    }
}

fn whole(partition: Partition) -> RangeQuery {
    RangeQuery {
        partition,
        from: None,
        to: None,
        after: None,
        bucket: None,
        values: true,
        limit_records: 500,
        limit_bytes: 1 << 20,
        limit_examined: 2_000,
        limit_examined_bytes: usize::MAX,
    }
}

/// Compares all pages of a query, whose first page begins past its `after`. Returns the number of records.
fn pages(
    names: &Names,
    engines: &[Engine],
    model: &Model,
    query: &RangeQuery,
) -> anyhow::Result<u64> {
    let numbers = names.of_partition(query.partition).iter();
    let is_in = |number: &&u32| {
        let key = names.key(**number);
        query.after.as_ref().is_none_or(|after| key > after)
            && query.bucket.as_ref().is_none_or(|bucket| bucket == key.key.bucket())
    };
    let expected =
        numbers.filter(is_in).filter_map(|number| Some((*number, *model.records.get(number)?)));
    let expected: Vec<(u32, u64)> = expected.collect();
    each(engines, |store| {
        let (mut query, mut left) = (query.clone(), expected.iter());
        loop {
            let page = store.range(&query)?;
            ensure!(page.damaged.is_empty(), "damaged records: {:?}", page.damaged);
            ensure!(page.records.len() <= query.limit_records, "a page over its limit");
            for (key, found) in page.records {
                let Some((number, version)) = left.next() else {
                    anyhow::bail!("{key:?} is shown past the last record of {:?}", query.partition);
                };
                let mut expected = names::record(*number, *version);
                if !query.values {
                    expected.record = expected.record.with_lengths()?;
                }
                ensure!(
                    key == *names.key(*number) && found == expected,
                    "{key:?} is shown in place of key {number}: {}",
                    told(Some(&found), Some(&expected))
                );
            }
            query.after = page.until;
            if query.after.is_none() {
                ensure!(
                    left.next().is_none(),
                    "records are missing at the end of {:?}",
                    query.partition
                );
                return Ok(());
            }
        }
    })?;
    Ok(expected.len() as u64)
}

/// Compares all pages of the hints for a target, and each of the first ones by a load. Returns their number.
fn hints_of(
    names: &Names,
    engines: &[Engine],
    model: &Model,
    target: NodeId,
    limit: usize,
) -> anyhow::Result<u64> {
    let of_target = model.hints.iter().filter(|((of, _), _)| *of == target);
    let hint = |((_, number), version): (&(NodeId, u32), &u64)| {
        names::hint(names, target, *number, *version)
    };
    let mut expected: Vec<_> = of_target.map(hint).collect();
    expected.sort_by_key(Hint::mark);
    each(engines, |store| {
        let (mut after, mut left): (Option<HintMark>, _) = (None, expected.iter());
        loop {
            let page = store.hints(target, after.as_ref(), limit, 1 << 20)?;
            for row in page.rows {
                let found = row.into_hint(target);
                let expected = left.next();
                ensure!(found.as_ref() == expected, "{found:?} is shown in place of {expected:?}");
            }
            after = page.until;
            if after.is_none() {
                ensure!(left.next().is_none(), "hints for {target} are missing");
                break;
            }
        }
        for hint in expected.iter().take(20) {
            let found = store.load_hint(target, &hint.key)?.and_then(|row| row.into_hint(target));
            ensure!(found.as_ref() == Some(hint), "{found:?} is loaded in place of {hint:?}");
        }
        Ok(())
    })?;
    Ok(expected.len() as u64)
}

fn totals(names: &Names, engines: &[Engine], model: &Model) -> anyhow::Result<()> {
    let mut expected: BTreeMap<NodeId, HintTotals> = BTreeMap::new();
    for ((target, number), version) in &model.hints {
        let hint = names::hint(names, *target, *number, *version);
        let totals = expected.entry(*target).or_default();
        totals.count += 1;
        totals.bytes += hint.size_bytes();
        let oldest_ms = totals.oldest_ms.unwrap_or(u64::MAX).min(hint.since_ms);
        totals.oldest_ms = Some(oldest_ms);
    }
    let expected: Vec<(NodeId, HintTotals)> = expected.into_iter().collect();
    each(engines, |store| {
        let found = store.hint_totals()?;
        ensure!(found == expected, "totals of hints are {found:?} instead of {expected:?}");
        for number in 0..6 {
            let name = format!("name {number}");
            let (found, expected) = (store.metadata(&name)?, model.metadata.get(&name));
            ensure!(found.as_ref() == expected, "{name} is {found:?} instead of {expected:?}");
        }
        Ok(())
    })
}

/// Describes two records that are to be the same.
fn told(found: Option<&StoredRecord>, expected: Option<&StoredRecord>) -> String {
    let told = |stored: Option<&StoredRecord>| {
        stored.map_or_else(
            || "nothing".into(),
            |stored| {
                format!("{:?} ({} bytes)", stored.record.digest(), stored.record.bytes().len())
            },
        )
    };
    format!("{} instead of {}", told(found), told(expected))
}

#[cfg(test)]
mod tests;
