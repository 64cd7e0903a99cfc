//! One shard on a disk that does what the test wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::limits::SIBLINGS_MAX;
use jedlik_protocol::{Blob, Durability, EncodedRecord, PlacedKey, Record, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

use super::{Completion, Shard};
use crate::faulty::{Crash, FaultyDisk, Machine};
use crate::fixtures::{IDENTITY, covers, dot, key, key_at, put, record, with_local};
use crate::tests::Engine;
use crate::{
    HintRow, HintRows, MemoryStore, OpenError, RangeQuery, ShardIdentity, ShardOptions, Store,
    StoreError, Writes,
};

mod drops;
mod hints;
mod leftovers;
mod metadata;
mod model;
mod reserves;
mod revisions;

/// Time that is longer than any of these tests needs on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    machine: Machine,
    disk: FaultyDisk,
    engine: Arc<dyn Store>,
    options: ShardOptions,
}

impl Bench {
    fn new() -> Self {
        let machine = Machine::new(1);
        let disk = FaultyDisk::new(&machine);
        let options = ShardOptions {
            // Far enough away that no test sees a sync that it did not ask for.
            sync_interval: PATIENCE * 10,
            flush_retry: Duration::from_millis(1),
            // Each hold looks at the disk itself.
            disk_check_interval: Duration::ZERO,
            // Room for some records and not for all.
            records_bytes: 2 << 10,
            ..ShardOptions::new(IDENTITY, "/faulty".into())
        };
        Self { machine, disk, engine: Arc::new(MemoryStore::new()), options }
    }

    fn open(&self) -> Running {
        let (sender, completions) = channel();
        let completed = Box::new(move |done| drop(sender.send(done)));
        let opened = Shard::open_on(
            Box::new(self.disk.clone()),
            self.options.clone(),
            self.engine.clone(),
            completed,
        );
        Running { shard: opened.unwrap().0, completions, next_ticket: 0 }
    }
}

struct Running {
    shard: Shard,
    completions: Receiver<Vec<Completion>>,
    next_ticket: u64,
}

impl Running {
    fn apply(&mut self, name: &str, record: StoredRecord, level: Durability) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.shard.apply(ticket, key(name), record, level).unwrap();
        ticket
    }

    /// Submits, and waits for `count` answers; returns them by ticket.
    fn answers(&mut self, count: usize) -> BTreeMap<u64, Result<(), StoreError>> {
        self.shard.submit();
        let mut answers = BTreeMap::new();
        while answers.len() < count {
            let done = self.completions.recv_timeout(PATIENCE).expect("an answer");
            answers.extend(done.into_iter().map(|done| (done.ticket, done.result)));
        }
        answers
    }

    fn put(&mut self, name: &str, record: StoredRecord) -> Result<(), StoreError> {
        let ticket = self.apply(name, record, Durability::Synced);
        self.answers(1).remove(&ticket).unwrap()
    }

    fn wait_until(&mut self, what: &str, met: impl Fn(&Shard) -> bool) {
        let started = Instant::now();
        while !met(&self.shard) {
            assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
            self.shard.submit();
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_load_sees_the_apply_before_it_and_neither_waits_for_the_disk() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.apply("a", record(1, 1, 10), Durability::Synced);
    assert!(covers(running.shard.load(&key("a")).unwrap().as_ref(), dot(1, 1)));
    running.apply("a", record(2, 1, 10), Durability::Synced);
    let both = running.shard.load(&key("a")).unwrap();
    assert!(covers(both.as_ref(), dot(1, 1)) && covers(both.as_ref(), dot(2, 1)));
    assert!(bench.engine.load(&key("a")).unwrap().is_none());
}

#[test]
fn applies_submitted_together_cost_one_sync() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("first", record(1, 1, 10)).unwrap();
    let before = bench.machine.syncs();
    for i in 0..100 {
        running.apply(&i.to_string(), record(1, 1, 100), Durability::Synced);
    }
    let answers = running.answers(100);
    assert!(answers.values().all(Result::is_ok));
    assert_eq!(bench.machine.syncs() - before, 1);
    let stats = running.shard.stats();
    assert_eq!((stats.journal.appends, stats.journal.groups, stats.journal.syncs), (101, 2, 2));
}

#[test]
fn each_durability_is_answered_when_it_is_reached() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("first", record(1, 1, 10)).unwrap();
    let syncs = bench.machine.syncs();
    let buffered = running.apply("a", record(1, 1, 10), Durability::Buffered);
    let written = running.apply("b", record(1, 1, 10), Durability::Written);
    running.shard.submit();
    let first = running.completions.try_recv().expect("buffered is answered by submit itself");
    assert_eq!(first[0].ticket, buffered);
    assert!(running.answers(1)[&written].is_ok());
    assert_eq!(bench.machine.syncs(), syncs);
}

#[test]
fn what_nobody_waits_for_is_synced_within_the_interval() {
    let mut bench = Bench::new();
    bench.options.sync_interval = Duration::from_millis(1);
    let mut running = bench.open();
    running.apply("a", record(1, 1, 10), Durability::Written);
    running.answers(1).into_values().for_each(Result::unwrap);
    running.wait_until("the record is synced", |shard| {
        let stats = shard.stats().journal;
        stats.syncs == 1 && stats.syncs_us.count() == 1
    });
    let groups = running.shard.stats().journal.groups_bytes;
    assert!(groups.count() == 1 && groups.sum() > 0, "{groups:?}");
}

#[test]
fn a_record_is_copied_out_of_the_buffer_that_it_arrived_in() {
    let bench = Bench::new();
    let mut running = bench.open();
    let arrived = record(1, 1, 10);
    let mut message = vec![0; 1 << 20];
    message.extend_from_slice(arrived.record.bytes());
    let message = bytes::Bytes::from(message);
    let slice = Blob::from(message.slice(1 << 20..));
    let sliced = StoredRecord { local: None, record: EncodedRecord::from_bytes(slice).unwrap() };
    running.apply("a", sliced, Durability::Buffered);
    running.answers(1);
    assert!(message.is_unique(), "nothing keeps the message");
    assert_eq!(running.shard.load(&key("a")).unwrap(), Some(arrived));
}

#[test]
fn the_local_actor_stays_unless_a_newer_one_comes() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("a", with_local(record(1, 1, 1), 1)).unwrap();
    running.put("a", record(2, 1, 1)).unwrap();
    let local = |shard: &Shard| shard.load(&key("a")).unwrap().unwrap().local.unwrap().actor.0;
    assert_eq!(local(&running.shard), 1);
    running.put("a", with_local(record(2, 2, 1), 9)).unwrap();
    assert_eq!(local(&running.shard), 9);
    drop(running);
    assert_eq!(local(&bench.open().shard), 9);
}

#[test]
fn full_buffers_go_into_the_engine_and_their_segments_go_away() {
    let mut bench = Bench::new();
    bench.options.buffer_limit_bytes = 10_000;
    let mut running = bench.open();
    for i in 0..100 {
        // The flusher is given its time: this is not about overload.
        running.wait_until("there is room", |shard| {
            shard.stats().buffer_bytes < 10_000 || shard.layers.frozen.is_none()
        });
        running.put(&i.to_string(), record(1, 1, 1000)).unwrap();
    }
    assert!(running.shard.stats().engine.flushes >= 5);
    let held = |shard: &Shard| shard.stats().buffer_records + shard.stats().engine.records;
    running.wait_until("the last flush is over", |shard| shard.layers.frozen.is_none());
    assert_eq!(held(&running.shard), 100);
    let disk = bench.disk.clone();
    running.wait_until("one segment is left", |_| disk.names().len() <= 1);
    for i in 0..100 {
        assert!(running.shard.load(&key(&i.to_string())).unwrap().is_some());
    }
}

#[test]
fn close_leaves_an_empty_journal_and_everything_in_the_engine() {
    let bench = Bench::new();
    let mut running = bench.open();
    for i in 0..10 {
        running.apply(&i.to_string(), record(1, 1, 10), Durability::Buffered);
    }
    running.shard.close().unwrap();
    assert!(bench.disk.names().is_empty());
    assert_eq!(bench.engine.record_count().unwrap(), 10);
}

#[test]
fn a_close_that_can_not_flush_keeps_the_journal() {
    let mut bench = Bench::new();
    let engine = Engine::redb(&bench.machine);
    bench.engine = engine.open().unwrap();
    let mut running = bench.open();
    running.put("a", record(1, 1, 10)).unwrap();
    bench.machine.set_free_bytes(Some(0));
    let error = running.shard.close().unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    bench.machine.set_free_bytes(None);
    assert!(bench.open().shard.load(&key("a")).unwrap().is_some());
}

#[test]
fn a_full_disk_fails_the_writes_that_met_it_and_no_later_one() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("a", record(1, 1, 100)).unwrap();
    let length = |disk: &FaultyDisk| disk.bytes(&disk.names()[0]).len();
    let before = length(&bench.disk);
    bench.machine.set_free_bytes(Some(50));
    let error = running.put("b", record(1, 1, 100)).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert_eq!(length(&bench.disk), before, "the part that was written is cut off");
    assert!(running.shard.load(&key("a")).unwrap().is_some(), "reads go on");
    bench.machine.set_free_bytes(None);
    running.put("c", record(1, 1, 100)).unwrap();
    drop(running);

    let disk = bench.disk.after(Crash::Power, &Machine::new(2));
    let again = Bench { disk, ..bench }.open();
    for (name, there) in [("a", true), ("b", false), ("c", true)] {
        assert_eq!(again.shard.load(&key(name)).unwrap().is_some(), there, "{name}");
    }
}

#[test]
fn a_failed_sync_ends_the_shards_life_and_what_was_synced_before_is_there_in_the_next() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("a", record(1, 1, 100)).unwrap();
    bench.machine.fail_syncs(1);
    let error = running.put("b", record(1, 1, 100)).unwrap_err();
    assert!(matches!(error, StoreError::SyncFailed { .. }), "{error}");
    assert!(error.ends_shard() && !error.is_damage());
    // Later syncs would succeed, and keep nothing of what was lost.
    let error = running.put("c", record(1, 1, 100)).unwrap_err();
    assert!(matches!(error, StoreError::SyncFailed { .. }), "{error}");
    assert!(running.shard.failure().is_some_and(|failure| failure.ends_shard()));
    drop(running);

    // The next life reads what the system shows of the file, which may be more than is on the disk.
    let mut again = bench.open();
    assert!(again.shard.failure().is_none());
    again.put("d", record(1, 1, 100)).unwrap();
    let shown = again.shard.load(&key("b")).unwrap().is_some();
    drop(again);
    for seed in 0..20 {
        let disk = bench.disk.after(Crash::Power, &Machine::new(seed));
        let (shard, recovery) = Shard::open_on(
            Box::new(disk),
            bench.options.clone(),
            bench.engine.clone(),
            Box::new(drop),
        )
        .unwrap();
        assert_eq!(recovery.damaged, [], "what was never synced is torn");
        for (name, there) in [("a", true), ("b", shown), ("d", true)] {
            assert_eq!(shard.load(&key(name)).unwrap().is_some(), there, "{name}");
        }
    }
}

#[test]
fn a_disk_that_does_not_finish_a_sync_is_seen_to_be_busy_until_it_does() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("a", record(1, 1, 100)).unwrap();
    let stall = bench.machine.stall_syncs();
    running.apply("b", record(1, 1, 100), Durability::Synced);
    let a_while = Duration::from_millis(20);
    running.wait_until("it is noticed", |shard| shard.disk_busy() > Some(a_while));
    assert!(running.shard.load(&key("b")).unwrap().is_some(), "reads go on");
    drop(stall);
    running.wait_until("it goes on", |shard| shard.disk_busy().is_none());
    assert!(running.answers(1).into_values().all(|result| result.is_ok()));
}

#[test]
fn what_the_disk_refuses_is_known_until_it_takes_something_again() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("a", record(1, 1, 100)).unwrap();
    assert!(running.shard.disk_refuses().is_none());
    bench.machine.set_free_bytes(Some(0));
    running.put("b", record(1, 1, 100)).unwrap_err();
    let first = running.shard.disk_refuses().expect("the disk is full");
    assert!(matches!(first.error, StoreError::DiskFull { .. }), "{}", first.error);
    running.put("b", record(1, 1, 100)).unwrap_err();
    assert_eq!(running.shard.disk_refuses().map(|refused| refused.since), Some(first.since));
    bench.machine.set_free_bytes(None);
    running.put("b", record(1, 1, 100)).unwrap();
    assert!(running.shard.disk_refuses().is_none());
}

#[test]
fn an_engine_without_room_refuses_and_goes_on_once_there_is_some() {
    let mut bench = Bench::new();
    bench.options.buffer_limit_bytes = 10_000;
    let engine = Engine::redb(&bench.machine);
    bench.engine = engine.open().unwrap();
    let mut running = bench.open();
    // The engine can't take anything; the journal has no room either, which is not what is looked at.
    bench.machine.set_free_bytes(Some(0));
    let mut refused = None;
    for i in 0..1000 {
        match running.shard.apply(i, key(&i.to_string()), record(1, 1, 1000), Durability::Buffered)
        {
            Ok(_) => running.shard.submit(),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    let refused = refused.expect("memory is bounded");
    assert!(
        matches!(refused, StoreError::Overloaded { .. } | StoreError::DiskFull { .. }),
        "{refused}"
    );
    assert!(running.shard.stats().buffer_bytes < 3 * 10_000);
    running.wait_until("the flush has failed", |shard| shard.stats().engine.flush_failures > 0);
    let next = || (key("next"), record(1, 1, 1000));
    running.shard.hear_flusher();
    let (name, stored) = next();
    let error = running.shard.apply(5000, name, stored, Durability::Synced).unwrap_err();
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");

    bench.machine.set_free_bytes(None);
    running.wait_until("the flush has succeeded", |shard| shard.layers.frozen.is_none());
    let (name, stored) = next();
    running.shard.apply(5001, name, stored, Durability::Synced).unwrap();
}

/// Engine in memory that takes a batch only when the test lets it.
struct Gated {
    inner: MemoryStore,
    gate: Mutex<Receiver<()>>,
}

impl Store for Gated {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        self.inner.load(key)
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        self.inner.load_hint(target, key)
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        self.gate.lock().unwrap().recv_timeout(PATIENCE).expect("the test opens the gate");
        self.inner.write(writes)
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        self.inner.drop_partitions(partitions)
    }

    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError> {
        self.inner.sweep(limit_records)
    }

    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        self.inner.hints(target, after, limit_hints, limit_bytes)
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        self.inner.hint_totals()
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        self.inner.next_partition(from)
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.inner.range(query)
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.inner.hint_range(target, query)
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.metadata(name)
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        self.inner.metadata_names()
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.inner.size_bytes()
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        self.inner.record_count()
    }
}

#[test]
fn a_slow_engine_holds_writers_back_at_twice_the_buffers_limit() {
    let (open_gate, gate) = channel();
    let mut bench = Bench::new();
    bench.options.buffer_limit_bytes = 10_000;
    bench.engine = Arc::new(Gated { inner: MemoryStore::new(), gate: Mutex::new(gate) });
    let mut running = bench.open();
    let mut refused = None;
    while refused.is_none() && running.next_ticket < 1000 {
        let (ticket, name) = (running.next_ticket, running.next_ticket.to_string());
        refused =
            running.shard.apply(ticket, key(&name), record(1, 1, 1000), Durability::Synced).err();
        running.next_ticket += 1;
        running.shard.submit();
    }
    let applied = running.next_ticket - 1;
    let refused = refused.expect("memory is bounded");
    assert!(
        matches!(
            refused,
            StoreError::Overloaded {
                what: "the buffer (storage.buffer_bytes)",
                limit_bytes: 10_000,
                ..
            }
        ),
        "{refused}"
    );
    let buffered = running.shard.stats().buffer_bytes;
    assert!((20_000..24_000).contains(&buffered), "{buffered} bytes are buffered");
    assert_eq!(running.shard.stats().buffer_records, applied);
    for i in 0..applied {
        assert!(running.shard.load(&key(&i.to_string())).unwrap().is_some(), "{i} is readable");
    }

    open_gate.send(()).unwrap();
    running.wait_until("the flush is over", |shard| shard.layers.frozen.is_none());
    open_gate.send(()).unwrap();
    running.answers(applied as usize).into_values().for_each(Result::unwrap);
    running.put("next", record(1, 1, 1000)).unwrap();
}

#[test]
fn while_a_buffer_is_flushed_a_burst_of_large_records_is_taken_up_to_its_limit() {
    let (open_gate, gate) = channel();
    let mut bench = Bench::new();
    bench.options.buffer_limit_bytes = 10_000;
    bench.options.segment_limit_bytes = 10_000;
    bench.options.queue_limit_bytes = 10_000;
    bench.options.burst_limit_bytes = 200_000;
    bench.engine = Arc::new(Gated { inner: MemoryStore::new(), gate: Mutex::new(gate) });
    let mut running = bench.open();
    let mut refused = None;
    while refused.is_none() && running.next_ticket < 100 {
        let (ticket, name) = (running.next_ticket, running.next_ticket.to_string());
        let record = record(1, 1, 12_000);
        refused = running.shard.apply(ticket, key(&name), record, Durability::Synced).err();
        running.next_ticket += 1;
        running.shard.submit();
        running.wait_until("the queue is written", |shard| shard.stats().journal.queued_bytes == 0);
    }
    let refused = refused.expect("memory is bounded");
    assert!(matches!(refused, StoreError::Overloaded { limit_bytes: 200_000, .. }), "{refused}");
    assert!((200_000..240_000).contains(&running.shard.stats().buffer_bytes));
    open_gate.send(()).unwrap();
    let applied = running.next_ticket as usize - 1;
    running.answers(applied).into_values().for_each(Result::unwrap);
}

#[test]
fn a_full_queue_refuses_with_its_name_and_limit() {
    let mut bench = Bench::new();
    bench.options.queue_limit_bytes = 5_000;
    let mut running = bench.open();
    // Nothing is submitted, so nothing leaves the queue.
    let refused = (0..100)
        .find_map(|i| {
            let key = key(&i.to_string());
            running.shard.apply(i, key, record(1, 1, 1000), Durability::Synced).err()
        })
        .expect("memory is bounded");
    let StoreError::Overloaded { what, held_bytes, limit_bytes } = &refused else {
        panic!("{refused}")
    };
    assert_eq!((*what, *limit_bytes), ("the journal's queue (storage.queue_bytes)", 5_000));
    assert!((5_000..8_000).contains(held_bytes));
    assert!(refused.is_retryable());
    assert_eq!(running.shard.stats().overloads, 1);
    // Who asks first is told the same, and may go on once the queue is shorter.
    assert!(matches!(running.shard.admit(), Err(StoreError::Overloaded { .. })));
    running.shard.submit();
    running.wait_until("the queue is written", |shard| shard.stats().journal.queued_bytes == 0);
    running.shard.admit().unwrap();
}

#[test]
fn many_writes_to_one_key_do_not_grow_the_journal_without_bound() {
    let mut bench = Bench::new();
    bench.options.segment_limit_bytes = 20_000;
    let mut running = bench.open();
    for counter in 1..=100 {
        running.wait_until("there is room", |shard| {
            shard.layers.frozen.is_none() || shard.layers.active.journal_bytes() < 20_000
        });
        running.put("a", record(1, counter, 1000)).unwrap();
    }
    assert!(running.shard.stats().journal.bytes < 60_000);
    assert!(running.shard.stats().engine.flushes > 0);
}

#[test]
fn a_page_joins_buffer_and_engine() {
    let bench = Bench::new();
    let both = [(key_at(1, "a"), record(1, 1, 9)), (key_at(3, "c"), record(1, 1, 9))];
    put(&*bench.engine, &both).unwrap();
    let mut running = bench.open();
    for (ticket, (position, name)) in [(2, "b"), (3, "c"), (4, "d")].into_iter().enumerate() {
        let key = key_at(position, name);
        running.shard.apply(ticket as u64, key, record(2, 1, 9), Durability::Buffered).unwrap();
    }
    for limit_records in [1, 2, 3, 10] {
        let mut query = RangeQuery {
            partition: Partition(0),
            from: None,
            to: None,
            after: None,
            bucket: Some("b".into()),
            values: true,
            limit_records,
            limit_bytes: 1 << 20,
            limit_examined: 10,
            limit_examined_bytes: usize::MAX,
        };
        let mut seen = Vec::new();
        loop {
            let page = running.shard.range(&query).unwrap();
            assert!(page.records.len() <= limit_records);
            seen.extend(page.records);
            query.after = page.until;
            if query.after.is_none() {
                break;
            }
        }
        let keys: Vec<&[u8]> = seen.iter().map(|(key, _)| &key.key.key()[..]).collect();
        assert_eq!(keys, [b"a", b"b", b"c", b"d"], "{limit_records} at a time");
        assert!(covers(Some(&seen[2].1), dot(1, 1)) && covers(Some(&seen[2].1), dot(2, 1)));
    }
}

#[test]
fn a_record_over_the_limit_of_a_frame_is_refused() {
    let bench = Bench::new();
    let mut running = bench.open();
    let error = running
        .shard
        .apply(0, key("a"), record(1, 1, crate::journal::PAYLOAD_LIMIT_BYTES), Durability::Synced)
        .unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    running.put("a", record(1, 1, 1)).unwrap();
}

#[test]
fn records_that_together_are_over_the_limit_of_any_record_stay_apart_and_nothing_is_lost() {
    let crowd = |actor: u64| {
        let mut crowd = Record::new();
        for write_id in 0..SIBLINGS_MAX as u128 / 2 + 1 {
            let content = Content::Tombstone;
            let write_id = WriteId(u128::from(actor) << 64 | write_id);
            let write = Write { write_id, written_at_ms: 1, expires_at_ms: None, content };
            crowd.put(&VectorClock::new(), ActorId(actor), write);
        }
        StoredRecord { local: None, record: EncodedRecord::encode(&crowd) }
    };
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("a", crowd(1)).unwrap();
    let error = running.shard.apply(9, key("a"), crowd(2), Durability::Synced).unwrap_err();
    assert!(matches!(error, StoreError::RecordOverLimit { .. }), "{error}");
    let target = NodeId(7);
    running.shard.hold(10, target, key("a"), crowd(2), 5, Durability::Synced).unwrap();
    assert_eq!(running.shard.load(&key("a")).unwrap(), Some(crowd(1)));
}

#[test]
fn another_shards_journal_is_refused() {
    let mut bench = Bench::new();
    let mut running = bench.open();
    running.put("a", record(1, 1, 1)).unwrap();
    drop(running);
    bench.options.identity = ShardIdentity { shard: 2, ..IDENTITY };
    let opened = Shard::open_on(
        Box::new(bench.disk.clone()),
        bench.options.clone(),
        bench.engine.clone(),
        Box::new(drop),
    );
    let error = opened.err().expect("refused");
    assert!(matches!(error, OpenError::Mismatch { .. }), "{error}");
    assert_eq!(bench.disk.names().len(), 1, "nothing was removed");
}

#[test]
fn a_journal_on_the_real_file_system_is_replayed_after_a_drop() {
    let place = tempfile::tempdir().unwrap();
    let options = ShardOptions::new(IDENTITY, place.path().join("journal"));
    let open = || {
        let (sender, completions) = channel();
        let completed = Box::new(move |done: Vec<Completion>| drop(sender.send(done)));
        let engine = Arc::new(MemoryStore::new());
        let (shard, recovery) = Shard::open(options.clone(), engine, completed).unwrap();
        (Running { shard, completions, next_ticket: 0 }, recovery)
    };
    let (mut running, recovery) = open();
    assert_eq!(recovery.records, 0);
    running.put("a", record(1, 1, 10)).unwrap();
    drop(running);
    let (running, recovery) = open();
    assert_eq!((recovery.records, recovery.torn_bytes), (1, 0));
    assert!(running.shard.load(&key("a")).unwrap().is_some());
}
