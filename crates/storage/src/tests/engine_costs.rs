//! Costs of the engines on disk beside one another, to be read by those who choose: nothing is asserted. The server's
//! work counts as well.
//!
//! `cargo test -p jedlik-storage --release -- --ignored --nocapture costs_of_the_engines`
//!
//! `JEDLIK_COST_RECORDS` is the number of records, `JEDLIK_COST_ROUNDS` how often both are measured.

use std::env;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jedlik_hashing::PartitionCount;
use jedlik_protocol::{ClusterId, Key, PlacedKey};
use jedlik_services::PrivateServer;

use crate::fixtures::{everything_of, put, record};
use crate::mysql_store::tests::{Place, started};
use crate::{LsmOptions, LsmStore, MysqlStore, RangeQuery, RedbOptions, RedbStore, Store};

const PARTITIONS: u32 = 64;
/// Number of records of 1 KiB that one flush has, about.
const BATCH_RECORDS: usize = 7_500;
const VALUE_BYTES: usize = 1_024;
const LOADS: usize = 20_000;

/// Work of this process so far: processor time, and bytes handed to the system and to the disk.
#[derive(Clone, Copy)]
struct Spent {
    processor: Duration,
    handed_bytes: u64,
    disk_bytes: u64,
}

impl Spent {
    /// Returns the work of this process and of the servers that work for it.
    fn now(servers: &[u32]) -> Self {
        let servers = servers.iter().map(ToString::to_string);
        let all =
            std::iter::once("self".to_owned()).chain(servers).map(|process| Self::of(&process));
        all.reduce(|a, b| Self {
            processor: a.processor + b.processor,
            handed_bytes: a.handed_bytes + b.handed_bytes,
            disk_bytes: a.disk_bytes + b.disk_bytes,
        })
        .unwrap()
    }

    fn of(process: &str) -> Self {
        let times = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let fields: Vec<&str> = times[times.rfind(')').unwrap()..].split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        let io = fs::read_to_string(format!("/proc/{process}/io")).unwrap();
        let of = |name: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        Self {
            processor: Duration::from_millis(10 * (ticks(12) + ticks(13))),
            handed_bytes: of("wchar:"),
            disk_bytes: of("write_bytes:"),
        }
    }

    fn since(self, servers: &[u32]) -> String {
        let now = Self::now(servers);
        let payload = |bytes: u64| bytes as f64 / 1e6;
        format!(
            "{:.2} s of processor, {:.0} MB handed over, {:.0} MB to the disk",
            (now.processor - self.processor).as_secs_f64(),
            payload(now.handed_bytes - self.handed_bytes),
            payload(now.disk_bytes - self.disk_bytes),
        )
    }
}

fn placed(number: usize) -> PlacedKey {
    let partitions = PartitionCount::new(PARTITIONS).unwrap();
    let name = format!("record-{number:032}");
    PlacedKey::new(ClusterId(7), partitions, Key::new("b", &*name).unwrap())
}

/// Writes records `numbers` in sorted batches. Returns how long each took, sorted.
fn write(store: &dyn Store, numbers: &[usize], actor: u64) -> Vec<Duration> {
    let mut took: Vec<Duration> = numbers
        .chunks(BATCH_RECORDS)
        .map(|chunk| {
            let mut batch: Vec<_> = chunk
                .iter()
                .map(|number| (placed(*number), record(actor, 1, VALUE_BYTES)))
                .collect();
            batch.sort_by(|a, b| a.0.cmp(&b.0));
            let began = Instant::now();
            put(store, &batch).unwrap();
            began.elapsed()
        })
        .collect();
    took.sort();
    took
}

fn load(store: &dyn Store, from: usize, records: usize) -> Duration {
    let began = Instant::now();
    for at in 0..LOADS {
        let number = from + at * 7_919 % records;
        assert_eq!(store.load(&placed(number)).unwrap().is_some(), from == 0);
    }
    began.elapsed() / LOADS as u32
}

fn list(store: &dyn Store) -> (usize, Duration) {
    let (began, mut found) = (Instant::now(), 0);
    for partition in 0..PARTITIONS {
        let mut query = RangeQuery { limit_bytes: 2 << 20, ..everything_of(partition) };
        loop {
            let page = store.range(&query).unwrap();
            found += page.records.len();
            query.after = page.until;
            if query.after.is_none() {
                break;
            }
        }
    }
    (found, began.elapsed())
}

/// Writes `some` once more, and loads them one at a time meanwhile. Returns how long the 99th percentile of loads took,
/// and the longest.
fn beside(store: &dyn Store, some: &[usize]) -> (Duration, Duration) {
    let done = AtomicBool::new(false);
    let mut took = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut took = Vec::new();
            for number in some.iter().cycle().take_while(|_| !done.load(Ordering::Relaxed)) {
                let began = Instant::now();
                assert!(store.load(&placed(*number)).unwrap().is_some());
                took.push(began.elapsed());
            }
            took
        });
        write(store, some, 6);
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    took.sort();
    (took[took.len() * 99 / 100], took[took.len() - 1])
}

fn measure(name: &str, store: &dyn Store, records: usize, servers: &[u32]) {
    // In an order of no meaning, as keys come.
    let numbers: Vec<usize> = (0..records).map(|at| at * 7_919 % records).collect();
    let megabytes = |bytes: u64| bytes / 1_000_000;
    let before = Spent::now(servers);
    let took = write(store, &numbers, 1);
    println!("{name}: {records} records: {}", before.since(servers));
    let (half, most) = (took[took.len() / 2], took[took.len() - 1]);
    println!("  a batch: {half:?}, at most {most:?}");
    println!("  present {:?}, absent {:?}", load(store, 0, records), load(store, records, records));
    let (found, listing) = list(store);
    println!("  {found} listed: {:?} each", listing / found as u32);
    println!("  {} MB on disk", megabytes(store.size_bytes().unwrap()));
    let before = Spent::now(servers);
    let some: Vec<usize> = numbers.iter().copied().take(100_000).collect();
    for actor in 2..5 {
        write(store, &some, actor);
    }
    println!("  {} three times: {}", some.len(), before.since(servers));
    println!("  loads beside writes: {:?}", beside(store, &some));
    println!("  {} MB on disk", megabytes(store.size_bytes().unwrap()));
    let settled = Instant::now() + Duration::from_secs(20);
    while Instant::now() < settled {
        // So that merges find time, and the clock something to do.
        load(store, 0, records);
    }
    let least = store.size_bytes().unwrap();
    println!("  {} MB after a while", megabytes(least));
    println!("  present {:?}", load(store, 0, records));
}

#[test]
#[ignore = "it measures"]
fn costs_of_the_engines() {
    let size = |name: &str, default| env::var(name).map_or(default, |size| size.parse().unwrap());
    for round in 0..size("JEDLIK_COST_ROUNDS", 1) {
        println!("round {round}");
        let records = size("JEDLIK_COST_RECORDS", 300_000);
        let folder = tempfile::tempdir().unwrap();
        let (redb, lsm) = (folder.path().join("redb"), folder.path().join("lsm"));
        let redb = RedbStore::open(&redb, &RedbOptions::default()).unwrap();
        measure("redb", &redb, records, &[]);
        drop(redb);
        let lsm = LsmStore::open(&lsm, &LsmOptions::default()).unwrap();
        measure("lsm", &lsm, records, &[]);
        drop(lsm);
        // As much memory as the others have for caches.
        let server = started(PrivateServer::start_on_disk, &["--innodb-buffer-pool-size=16M"]);
        let place = Place::on(&server);
        let mysql = MysqlStore::open(&place.path(), &place.options()).unwrap();
        let servers = [server.pid().unwrap()];
        measure("mysql", &mysql, records, &servers);
    }
}
