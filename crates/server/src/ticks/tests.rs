//! When there is a tick, what it leaves in the directory, and what a disk that refuses it holds up.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::{
    ClusterId, Durability, EncodedRecord, Incarnation, Key, PlacedKey, Record, StoredRecord,
};
use jedlik_storage::{DataDir, Identity, MemoryStore, Shard, ShardIdentity, ShardOptions};

use super::Ticks;
use crate::clock::Clock;

const LONG: Duration = Duration::from_secs(60);
const CLUSTER: ClusterId = ClusterId(1);
const NODE: NodeId = NodeId(2);

/// Shard of a data directory, with what watches it.
struct Watched {
    path: PathBuf,
    dir: DataDir,
    shard: Shard,
    applied: u64,
}

fn open(path: &Path, life: u64) -> DataDir {
    let identity = Identity {
        cluster: CLUSTER,
        node: NODE,
        shards: 1,
        engine: "redb".into(),
        partitions: PartitionCount::DEFAULT,
    };
    DataDir::open(path, &identity, Incarnation(life)).unwrap()
}

impl Watched {
    fn new(path: PathBuf) -> Self {
        let dir = open(&path, 3);
        let identity = ShardIdentity { cluster: CLUSTER, node: NODE, shard: 0 };
        let folder = dir.shard_folder(0);
        folder.prepare().unwrap();
        let options = ShardOptions::new(identity, folder.journal_dir());
        let engine = Arc::new(MemoryStore::new());
        let (shard, _) = Shard::open(options, engine, Box::new(|_| {})).unwrap();
        Self { path, dir, shard, applied: 0 }
    }

    fn ticks(&self, message_life: Duration) -> Ticks {
        let ticks = Ticks::new(Some(self.dir.progress_file()), Clock::start(), message_life);
        ticks.watch(0, self.shard.progress());
        ticks
    }

    /// Stores one more record, and waits until it is synced.
    fn store(&mut self) {
        self.applied += 1;
        let before = self.shard.progress().now();
        let key = Key::new("b", self.applied.to_string().as_str()).unwrap();
        let key = PlacedKey::new(CLUSTER, PartitionCount::DEFAULT, key);
        let record = StoredRecord { record: EncodedRecord::encode(&Record::new()), local: None };
        self.shard.apply(self.applied, key, record, Durability::Synced).unwrap();
        self.shard.submit();
        let start = Instant::now();
        while self.shard.progress().now() == before {
            assert!(start.elapsed() < LONG, "it is not synced");
            std::thread::yield_now();
        }
    }
}

#[test]
fn there_is_a_tick_only_if_something_was_stored_and_the_next_life_finds_it() {
    let place = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(place.path().join("data"));
    let ticks = watched.ticks(LONG);
    ticks.begin();
    assert_eq!(ticks.advance(), None, "nothing was stored");
    for tick in 1..=3 {
        watched.store();
        assert_eq!((ticks.advance(), ticks.advance()), (Some(tick), None));
    }
    let held = watched.shard.progress().now();
    ticks.close();
    watched.store();
    assert_eq!(ticks.advance(), None, "nothing is written any more");
    let Watched { path, dir, shard, .. } = watched;
    drop((dir, shard));
    let next = open(&path, 4);
    assert_eq!((next.ticks(), next.shard_progress(0)), (vec![(Incarnation(3), 3)], Some(held)));
}

#[test]
fn what_was_said_of_a_shard_that_is_made_anew_counts_no_more() {
    let place = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(place.path().join("data"));
    let ticks = watched.ticks(LONG);
    watched.store();
    assert_eq!(ticks.advance(), Some(1));
    ticks.forget(0);
    let Watched { path, dir, shard, .. } = watched;
    drop((dir, shard));
    let next = open(&path, 4);
    assert_eq!((next.ticks(), next.shard_progress(0)), (vec![(Incarnation(3), 1)], None));
}

#[test]
fn while_the_disk_refuses_ticks_nothing_may_be_collected_and_it_is_tried_again() {
    let place = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(place.path().join("data"));
    let ticks = watched.ticks(Duration::from_millis(50));
    watched.store();
    assert_eq!(ticks.advance(), Some(1));
    // A folder of that name refuses to be replaced by a file.
    let file = watched.path.join("progress");
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("in-the-way")).unwrap();
    watched.store();
    let start = Instant::now();
    while ticks.admit_collection().is_ok() {
        assert_eq!(ticks.advance(), None);
        assert!(start.elapsed() < LONG, "it is still admitted");
    }
    let refusal = ticks.admit_collection().unwrap_err();
    assert!(refusal.code.retryable() && refusal.message.contains("nothing may be forgotten"));
    fs::remove_dir_all(&file).unwrap();
    assert_eq!(ticks.advance(), Some(2));
    // An engine that keeps nothing has no ticks, and no copies that could be put back.
    assert!(Ticks::new(None, Clock::start(), Duration::ZERO).admit_collection().is_ok());
}
