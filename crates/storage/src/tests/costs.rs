//! Costs of puts and listings at the engine, to be read by those who change it: nothing is asserted, since no two
//! machines are alike.
//!
//! `cargo test -p jedlik-storage --profile sim -- --ignored --nocapture costs`

use std::path::Path;
use std::time::{Duration, Instant};

use jedlik_hashing::PartitionCount;
use jedlik_protocol::{ClusterId, Key, PlacedKey, StoredRecord};

use crate::fixtures::{everything_of, put, record};
use crate::{LsmOptions, LsmStore, RangeQuery, RedbOptions, RedbStore, Store};

const PARTITIONS: u32 = 64;
/// Number of records of 1 KiB that one flush has, about.
const BATCH_RECORDS: usize = 16_384;

/// Engine whose costs are measured, without a filter before it.
#[derive(Debug)]
enum Kind {
    Redb(RedbOptions),
    Lsm,
}

impl Kind {
    fn open(&self, path: &Path) -> Box<dyn Store> {
        match self {
            Self::Redb(options) => Box::new(RedbStore::open(path, options).unwrap()),
            Self::Lsm => Box::new(LsmStore::open(path, &LsmOptions::default()).unwrap()),
        }
    }
}

/// Returns redb with different numbers of keys from which a bucket is marked, and sorted tables, which have no marks.
fn engines() -> impl Iterator<Item = Kind> {
    let redb =
        [16, 64, 256].map(|marked_keys| RedbOptions { marked_keys, ..RedbOptions::default() });
    redb.map(Kind::Redb).into_iter().chain([Kind::Lsm])
}

fn placed(bucket: &str, name: &str) -> PlacedKey {
    let partitions = PartitionCount::new(PARTITIONS).expect("a power of two");
    PlacedKey::new(ClusterId(7), partitions, Key::new(bucket, name).unwrap())
}

/// Returns records of so many bytes, in batches as a flusher makes them.
fn batches(
    keys: impl Iterator<Item = PlacedKey>,
    value_bytes: usize,
) -> Vec<Vec<(PlacedKey, StoredRecord)>> {
    let record = record(1, 1, value_bytes);
    let all: Vec<_> = keys.map(|key| (key, record.clone())).collect();
    let batch = |chunk: &[(PlacedKey, StoredRecord)]| {
        let mut batch = chunk.to_vec();
        batch.sort_by(|a, b| a.0.cmp(&b.0));
        batch
    };
    all.chunks(BATCH_RECORDS).map(batch).collect()
}

fn write_all(store: &dyn Store, batches: &[Vec<(PlacedKey, StoredRecord)>]) -> Duration {
    let started = Instant::now();
    batches.iter().for_each(|batch| put(store, batch).unwrap());
    started.elapsed()
}

/// Lists the keys of a bucket as a node does. Returns how many there are, in how many pages, and how long it took.
fn list(store: &dyn Store, bucket: &str) -> (usize, usize, Duration) {
    let (started, mut found, mut pages) = (Instant::now(), 0, 0);
    for partition in 0..PARTITIONS {
        let mut query = RangeQuery {
            bucket: Some(bucket.into()),
            values: false,
            limit_examined: 2_048,
            limit_examined_bytes: 2 << 20,
            ..everything_of(partition)
        };
        loop {
            let page = store.range(&query).unwrap();
            found += page.records.len();
            pages += 1;
            query.after = page.until;
            if query.after.is_none() {
                break;
            }
        }
    }
    (found, pages, started.elapsed())
}

#[test]
#[ignore = "it measures"]
fn costs_of_new_keys_and_of_listings() {
    let dense = batches((0..100_000).map(|i| placed("dense", &i.to_string())), 100);
    let many = (0..100_000).map(|i| placed(&format!("few-{}", i % 1_000), &i.to_string()));
    let many = batches(many, 100);
    let sparse = batches((0..10).map(|i| placed("sparse", &i.to_string())), 100);
    for (round, what) in (0..4).flat_map(|round| engines().map(move |what| (round, what))) {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str| what.open(&folder.path().join(name));
        let (store, other) = (open("dense"), open("few"));
        println!("round {round}, {what:?}");
        println!("  100,000 new keys of one bucket: {:?}", write_all(&*store, &dense));
        println!("  again: {:?}", write_all(&*store, &dense));
        println!("  100,000 new keys of 1,000 buckets: {:?}", write_all(&*other, &many));
        println!("  again: {:?}", write_all(&*other, &many));
        write_all(&*store, &many);
        write_all(&*store, &sparse);
        println!("  10 keys beside 200,000: {:?}", list(&*store, "sparse"));
        println!("  none beside 200,000: {:?}", list(&*store, "none"));
        println!("  100,000: {:?}", list(&*store, "dense"));
    }
}

#[test]
#[ignore = "it measures"]
fn costs_of_large_values() {
    let large = batches((0..200).map(|i| placed("large", &i.to_string())), 1 << 20);
    let small = batches((0..200).map(|i| placed("small", &i.to_string())), 100);
    for round in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        for (what, engine) in [
            ("apart", Kind::Redb(RedbOptions::default())),
            (
                "beside",
                Kind::Redb(RedbOptions {
                    large_record_bytes: usize::MAX,
                    ..RedbOptions::default()
                }),
            ),
            ("sorted", Kind::Lsm),
        ] {
            let open = || engine.open(&folder.path().join(what));
            let store = open();
            let written = write_all(&*store, &large);
            let again = write_all(&*store, &large);
            write_all(&*store, &small);
            drop(store);
            let store = open();
            println!("round {round}, {what}: 200 of 1 MiB: {written:?}, again: {again:?}");
            println!("  keys: {:?}", list(&*store, "large"));
            println!("  small keys beside: {:?}", list(&*store, "small"));
            let started = Instant::now();
            large[0].iter().for_each(|(key, _)| assert!(store.load(key).unwrap().is_some()));
            println!("  200 loads: {:?}", started.elapsed());
        }
    }
}
