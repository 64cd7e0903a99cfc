//! What a shard's driver does where its disk refuses what it is to keep.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_membership::View;
use jedlik_protocol::gossip::Delta;
use jedlik_protocol::{ClusterId, Incarnation, PlacedKey, StoredRecord};
use jedlik_replica::{BudgetSettings, Config, Replica, ShardPast, Tuning};
use jedlik_storage::{
    HintMark, HintRow, HintRows, HintTotals, MemoryStore, RangePage, RangeQuery, Shard,
    ShardIdentity, ShardOptions, Store, StoreError, Writes,
};
use tempfile::tempdir;
use tokio::sync::mpsc;

use super::{ShardDriver, ShardLimits, Surroundings, VOTES};
use crate::clock::{AgreedClock, Clock};
use crate::inbox::{InboxLimits, inbox};
use crate::peers::Peers;
use crate::pool::Pool;
use crate::ticks::Ticks;

/// An engine that refuses every write while it is told to.
#[derive(Default)]
struct Refusing {
    within: MemoryStore,
    refuses: AtomicBool,
}

type Stored<T> = Result<T, StoreError>;

impl Store for Refusing {
    fn load(&self, key: &PlacedKey) -> Stored<Option<StoredRecord>> {
        self.within.load(key)
    }
    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Stored<Option<HintRow>> {
        self.within.load_hint(target, key)
    }
    fn write(&self, writes: &Writes) -> Stored<()> {
        if self.refuses.load(Ordering::SeqCst) {
            let message = "no room".into();
            return Err(StoreError::Engine { doing: "writing", message });
        }
        self.within.write(writes)
    }
    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Stored<()> {
        self.within.drop_partitions(partitions)
    }
    fn sweep(&self, limit_records: usize) -> Stored<bool> {
        self.within.sweep(limit_records)
    }
    fn range(&self, query: &RangeQuery) -> Stored<RangePage> {
        self.within.range(query)
    }
    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Stored<RangePage> {
        self.within.hint_range(target, query)
    }
    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Stored<HintRows> {
        self.within.hints(target, after, limit_hints, limit_bytes)
    }
    fn hint_totals(&self) -> Stored<Vec<HintTotals>> {
        self.within.hint_totals()
    }
    fn metadata(&self, name: &str) -> Stored<Option<Vec<u8>>> {
        self.within.metadata(name)
    }
    fn size_bytes(&self) -> Stored<u64> {
        self.within.size_bytes()
    }
    fn record_count(&self) -> Stored<u64> {
        self.within.record_count()
    }
}

#[test]
fn what_the_disk_refuses_to_keep_of_votes_is_tried_again_until_it_is_kept() {
    let place = tempdir().unwrap();
    let (cluster, me) = (ClusterId(1), NodeId(1));
    let identity = ShardIdentity { cluster, node: me, shard: 0 };
    let options = ShardOptions::new(identity, place.path().join("journal"));
    let engine = Arc::new(Refusing::default());
    let store: Arc<dyn Store> = Arc::clone(&engine) as _;
    let (storage, _) = Shard::open(options, store, Box::new(|_| {})).unwrap();
    let replica = Replica::new(Config {
        me,
        cluster,
        incarnation: Incarnation(1),
        random_seed: [1; 32],
        shard: 0,
        shards: 1,
        clock_start: 1,
        tuning: Tuning {
            message_life_us: 1,
            exchange_interval_us: 1_000_000,
            scrub_interval_us: 1_000_000,
            budget: BudgetSettings::DEFAULT,
        },
        past: ShardPast::Continuous,
        votes: None,
    });
    let around = Surroundings {
        limits: ShardLimits { operations: 10, stall_after: Duration::from_secs(60) },
        open_bytes: Pool::new(1 << 20, 1),
        clock: AgreedClock::new(Clock::start()),
        peers: Arc::new(Peers::default()),
        membership: mpsc::channel(10).0,
        ticks: Ticks::new(None, Clock::start(), Duration::from_secs(30)),
    };
    let (_, reader) = inbox(
        InboxLimits { inputs: 10, stall_after: Duration::from_secs(60) },
        Pool::new(1 << 20, 1).share(),
    );
    let mut driver = ShardDriver::new(replica, storage, reader, around, Arc::default());

    engine.refuses.store(true, Ordering::SeqCst);
    let mut now = driver.around.clock.now();
    let nobody = BTreeSet::new();
    let view = View::new(me, cluster, PartitionCount::DEFAULT, Delta::default(), nobody);
    driver.view = Some(Arc::new(view));
    driver.keep_votes(now, b"none of partition 3".to_vec());
    let kept = |driver: &ShardDriver| driver.storage.kept(VOTES).unwrap();
    assert!(driver.disk.unkept.is_some() && kept(&driver).is_none());
    now.mono_us += 5_000_000;
    driver.retry_votes(now);
    assert!(driver.disk.unkept.is_some(), "it still refuses");
    engine.refuses.store(false, Ordering::SeqCst);
    driver.retry_votes(now);
    assert!(driver.disk.unkept.is_some(), "not before a second has passed");
    now.mono_us += 5_000_000;
    driver.retry_votes(now);
    assert!(driver.disk.unkept.is_none() && kept(&driver).is_some());
}
