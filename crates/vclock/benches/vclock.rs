//! Benchmarks of clocks and records: what each put, and each get whose replicas differ, spends on causality.
//!
//! Invariant: values are numbers, so that no benchmark measures the copying of values.

use std::fmt;

use divan::{Bencher, black_box};
use jedlik_vclock::{ActorId, Content, Record, VectorClock, Write, WriteId};

/// Sizes of records: one version, some siblings, many.
const SHAPES: [Shape; 6] = [
    Shape { siblings: 1, entries: 3 },
    Shape { siblings: 3, entries: 3 },
    Shape { siblings: 20, entries: 3 },
    Shape { siblings: 1, entries: 64 },
    Shape { siblings: 3, entries: 64 },
    Shape { siblings: 20, entries: 64 },
];

fn main() {
    divan::main();
}

/// Size of a record: its number of siblings and of its clock's entries.
#[derive(Debug, Clone, Copy)]
struct Shape {
    siblings: u64,
    entries: u64,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "siblings {:>2}, entries {:>2}", self.siblings, self.entries)
    }
}

fn write(number: u64) -> Write<u64> {
    Write {
        write_id: WriteId(u128::from(number)),
        written_at_ms: number,
        expires_at_ms: None,
        content: Content::Value(number),
    }
}

/// Makes a record of that shape: each entry's actor puts once with the context so far, and then puts without
/// a context add the other siblings, actor after actor.
fn record(shape: Shape) -> Record<u64> {
    let mut record = Record::new();
    for entry in 0..shape.entries {
        let context = record.clock().clone();
        record.put(&context, ActorId(entry), write(entry));
    }
    for sibling in 1..shape.siblings {
        let actor = ActorId(sibling % shape.entries);
        record.put(&VectorClock::new(), actor, write(shape.entries + sibling));
    }
    assert_eq!(record.siblings().len() as u64, shape.siblings);
    assert_eq!(record.clock().len() as u64, shape.entries);
    record
}

/// Returns the record as it is after one more put by one of its actors that has seen all of it.
fn one_put_later(record: &Record<u64>) -> Record<u64> {
    let mut later = record.clone();
    later.put(record.clock(), ActorId(1), write(u64::MAX));
    later
}

#[divan::bench(args = [3, 64])]
fn clock_descends_from_an_older_one(bencher: Bencher, entries: u64) {
    let older = record(Shape { siblings: 1, entries });
    let newer = one_put_later(&older);
    bencher.bench(|| black_box(newer.clock()).descends(black_box(older.clock())));
}

#[divan::bench(args = [3, 64])]
fn clock_merges_a_newer_one(bencher: Bencher, entries: u64) {
    let older = record(Shape { siblings: 1, entries });
    let newer = one_put_later(&older);
    bencher
        .with_inputs(|| older.clock().clone())
        .bench_refs(|clock| clock.merge(black_box(newer.clock())));
}

#[divan::bench(args = SHAPES)]
fn record_merges_an_equal_one(bencher: Bencher, shape: Shape) {
    let held = record(shape);
    bencher.with_inputs(|| held.clone()).bench_refs(|record| record.merge(black_box(&held)));
}

#[divan::bench(args = SHAPES)]
fn record_merges_one_put_later(bencher: Bencher, shape: Shape) {
    let older = record(shape);
    let newer = one_put_later(&older);
    bencher.with_inputs(|| older.clone()).bench_refs(|record| record.merge(black_box(&newer)));
}

#[divan::bench(args = SHAPES)]
fn record_merges_one_sibling_more(bencher: Bencher, shape: Shape) {
    let held = record(shape);
    let mut more = held.clone();
    more.put(&VectorClock::new(), ActorId(1), write(u64::MAX));
    bencher.with_inputs(|| held.clone()).bench_refs(|record| record.merge(black_box(&more)));
}

#[divan::bench(args = SHAPES)]
fn record_takes_a_put_that_saw_it_all(bencher: Bencher, shape: Shape) {
    let held = record(shape);
    let context = held.clock().clone();
    bencher
        .with_inputs(|| held.clone())
        .bench_refs(|record| record.put(black_box(&context), ActorId(1), write(u64::MAX)));
}
