//! Room that the engines on disk take after a day of overwriting, and after one of filling and deleting, in fast motion.
//!
//! `JEDLIK_SPACE_RECORDS` is the number of records, of 1 KiB, and `JEDLIK_SPACE_ROUNDS` how often each is written; with
//! more than a few, run it as a release build with `--nocapture`, which shows the most room that was taken meanwhile.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jedlik_protocol::PlacedKey;
use tempfile::TempDir;

use super::memory_folder;
use crate::fixtures::{key_of, put, record};
use crate::{LsmOptions, LsmStore, RedbOptions, RedbStore, RewriteOptions, Store, Writes};

/// Time that is longer than merges and the rests between them take on a loaded machine, of as many records as anyone tries.
const PATIENCE: Duration = Duration::from_secs(900);
const VALUE_BYTES: usize = 1_024;
/// Size of a record with its key in an engine, in bytes, about.
const ROW_BYTES: u64 = 1_100;
/// Room that engines may take besides twice what they hold: of tables, lists of files, and pages for the next commit.
const BESIDE_BYTES: u64 = 1 << 20;

fn number(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |number| number.parse().unwrap())
}

/// Engine under test, with slack that suits so few records.
struct Bench {
    name: &'static str,
    store: Arc<dyn Store>,
    records: u64,
    most_bytes: u64,
    _folder: TempDir,
}

impl Bench {
    fn all() -> Vec<Self> {
        let records = number("JEDLIK_SPACE_RECORDS", 1_500);
        let slack_bytes = (records * ROW_BYTES / 20).min(4 << 20);
        let redb = |path: &Path| -> Arc<dyn Store> {
            let rewrite = RewriteOptions { slack_bytes, ..RewriteOptions::default() };
            let options = RedbOptions { rewrite, ..RedbOptions::default() };
            Arc::new(RedbStore::open(path, &options).unwrap())
        };
        let lsm = |path: &Path| -> Arc<dyn Store> {
            let options = LsmOptions { garbage_bytes: slack_bytes, ..LsmOptions::default() };
            Arc::new(LsmStore::open(path, &options).unwrap())
        };
        let bench = |name, open: &dyn Fn(&Path) -> Arc<dyn Store>| {
            let folder = memory_folder();
            let store = open(&folder.path().join("records"));
            Self { name, store, records, most_bytes: 0, _folder: folder }
        };
        vec![bench("redb", &redb), bench("lsm", &lsm)]
    }

    /// Returns the key with a number; its place is as far from its neighbours' as hashes are.
    fn key(number: u64) -> PlacedKey {
        let position = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        key_of(number as u32 % 8, position, &number.to_string())
    }

    fn write(&mut self, mut keys: Vec<PlacedKey>, counter: u64) {
        keys.sort();
        keys.dedup();
        let rows: Vec<_> =
            keys.into_iter().map(|key| (key, record(1, counter, VALUE_BYTES))).collect();
        put(&*self.store, &rows).unwrap();
        self.rest();
    }

    fn remove(&mut self, mut keys: Vec<PlacedKey>) {
        keys.sort();
        let records = keys.into_iter().map(|key| (key, None)).collect();
        self.store.write(&Writes { records, ..Writes::default() }).unwrap();
        self.rest();
    }

    /// Lets the engine work as a flusher does between two batches.
    fn rest(&mut self) {
        self.store.sweep(1_000).unwrap();
        self.most_bytes = self.most_bytes.max(self.store.size_bytes().unwrap());
    }

    /// Waits until the engine takes at most twice what it holds.
    fn settle(&mut self, doing: &str) {
        let held_bytes = self.store.record_count().unwrap() * ROW_BYTES;
        let began = Instant::now();
        loop {
            while self.store.sweep(1_000).unwrap() {}
            let bytes = self.store.size_bytes().unwrap();
            if bytes <= 2 * held_bytes + BESIDE_BYTES {
                println!(
                    "{} after {doing}: {bytes} B for {held_bytes} B held, {} B at most meanwhile",
                    self.name, self.most_bytes
                );
                self.most_bytes = 0;
                return;
            }
            let waited = began.elapsed();
            assert!(waited < PATIENCE, "{} {doing}: {bytes} B for {held_bytes} B", self.name);
            thread::park_timeout(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_day_of_overwriting_and_one_of_filling_and_deleting_leave_twice_the_room_of_the_records() {
    let rounds = number("JEDLIK_SPACE_ROUNDS", 12);
    for mut bench in Bench::all() {
        let records = bench.records;
        let batch = (records / 12).min(7_500);
        let mut random = 1_u64;
        let mut drawn = move || {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (random >> 33) % records
        };
        for counter in 1..=rounds * 12 {
            bench.write((0..batch).map(|_| Bench::key(drawn())).collect(), counter);
        }
        bench.settle("overwriting");
        for round in 1..=rounds / 3 {
            for first in (0..records).step_by(batch as usize) {
                let keys = first..records.min(first + batch);
                bench.write(keys.map(|key| Bench::key(round * records + key)).collect(), 1);
            }
            // All of an earlier filling goes, but for a few records spread over all of it.
            let gone = (0..records).filter(|key| key % 50 != 0);
            bench.remove(gone.map(|key| Bench::key(round * records + key)).collect());
        }
        bench.settle("filling and deleting");
    }
}
