//! What a shard's driver does where its disk refuses what it is to keep, or does not finish it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self as std_mpsc, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_membership::View;
use jedlik_protocol::gossip::Delta;
use jedlik_protocol::limits::SMALL_FRAME_BYTES;
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{
    ClusterId, Durability, EncodedRecord, Incarnation, Key, Now, PlacedKey, Record, Stamp,
    StoredRecord,
};
use jedlik_replica::{
    BudgetSettings, Config, Counter, Output, Replica, ShardPast, StorageFault, Tuning,
};
use jedlik_storage::{
    Completed, Completion, HintRow, HintRows, MemoryStore, RangeQuery, Shard, ShardIdentity,
    ShardOptions, Store, StoreError, Writes,
};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};
use tempfile::{TempDir, tempdir};
use tokio::sync::mpsc;

use super::visit::{LOOK_US, VISIT_MAIL, Visit};
use super::{Desk, Ended, ShardDriver, ShardEnvironment, ShardLimits, VOTES, keeping};
use crate::clock::{AgreedClock, Clock};
use crate::inbox::{Inbox, InboxLimits, Mail, inbox};
use crate::lines::lines_of;
use crate::peers::Peers;
use crate::pool::Pool;
use crate::presence::Presence;
use crate::ticks::Ticks;

const CLUSTER: ClusterId = ClusterId(1);
/// Time that is never reached, in microseconds of the monotonic clock.
const FAR_US: u64 = u64::MAX / 2;

/// Engine that refuses what is to be kept of votes while it is told to, or finishes no write.
#[derive(Default)]
struct Refusing {
    within: MemoryStore,
    refuses: AtomicBool,
    stalls: Mutex<bool>,
    goes_on: Condvar,
}

impl Refusing {
    fn stall(&self, stalls: bool) {
        *self.stalls.lock().unwrap() = stalls;
        self.goes_on.notify_all();
    }
}

/// Name under which the engine keeps what has no vote.
const ROW: &str = "lasting.votes";

type Stored<T> = Result<T, StoreError>;

impl Store for Refusing {
    fn load(&self, key: &PlacedKey) -> Stored<Option<StoredRecord>> {
        self.within.load(key)
    }
    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Stored<Option<HintRow>> {
        self.within.load_hint(target, key)
    }
    fn write(&self, writes: &Writes) -> Stored<()> {
        let stalls = self.stalls.lock().unwrap();
        drop(self.goes_on.wait_while(stalls, |stalls| *stalls).unwrap());
        let is_row = writes.metadata.iter().any(|(name, _)| name == ROW);
        if is_row && self.refuses.load(Ordering::SeqCst) {
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
    fn next_partition(&self, from: Partition) -> Stored<Option<Partition>> {
        self.within.next_partition(from)
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
    fn hint_totals(&self) -> Stored<Vec<(NodeId, HintTotals)>> {
        self.within.hint_totals()
    }
    fn metadata(&self, name: &str) -> Stored<Option<Vec<u8>>> {
        self.within.metadata(name)
    }
    fn metadata_names(&self) -> Stored<Vec<String>> {
        self.within.metadata_names()
    }
    fn size_bytes(&self) -> Stored<u64> {
        self.within.size_bytes()
    }
    fn record_count(&self) -> Stored<u64> {
        self.within.record_count()
    }
}

/// Guard that lets the engine go on before the driver's threads are waited for: a test that fails would not end.
struct LetsGo(Arc<Refusing>);

impl Drop for LetsGo {
    fn drop(&mut self) {
        self.0.stall(false);
    }
}

/// Driver with its engine, and what its storage completes.
struct Bench {
    _lets_go: LetsGo,
    driver: ShardDriver,
    inbox: Inbox,
    engine: Arc<Refusing>,
    completions: Receiver<Vec<Completion>>,
    place: TempDir,
}

impl Bench {
    fn new() -> Self {
        let place = tempdir().unwrap();
        let engine = Arc::new(Refusing::default());
        let (completed, completions) = std_mpsc::channel();
        let storage = open(&place, &engine, Box::new(move |done| drop(completed.send(done))));
        let around = ShardEnvironment {
            limits: ShardLimits { operations: 10, stall_after: Duration::from_secs(60) },
            open_bytes: Pool::new(1 << 20, 1),
            clock: AgreedClock::new(Clock::start()),
            peers: Arc::new(Peers::default()),
            membership: mpsc::channel(10).0,
            ticks: Ticks::new(None, Clock::start(), Duration::from_secs(30)),
            presence: Presence::default(),
            tracer: None,
        };
        let (inbox, reader) = inbox(
            InboxLimits { inputs: 10, stall_after: Duration::from_secs(60) },
            Pool::new(1 << 20, 1).share(),
        );
        let mut driver = ShardDriver::new(replica(), storage, reader, around, Arc::default());
        let nobody = BTreeSet::new();
        let view = View::new(NodeId(1), CLUSTER, PartitionCount::DEFAULT, Delta::default(), nobody);
        driver.view = Some(Arc::new(view));
        Self { _lets_go: LetsGo(Arc::clone(&engine)), driver, inbox, engine, completions, place }
    }

    /// Gives the driver the completions that come next, and returns the first one's ticket.
    fn hear(&mut self, now: Now) -> u64 {
        let done = self.completions.recv_timeout(Duration::from_secs(60)).expect("it is answered");
        let ticket = done[0].ticket;
        self.driver.complete(now, done);
        ticket
    }

    /// Does what the end of a turn does.
    fn submit(&mut self, now: Now) {
        self.driver.hold_back(now);
        self.driver.storage.submit();
    }

    fn kept(&self) -> Option<Vec<u8>> {
        self.driver.storage.kept(VOTES).unwrap()
    }

    fn apply(&mut self, ticket: u64, name: &str) {
        self.apply_record(ticket, name, &Record::new());
    }

    fn apply_record(&mut self, ticket: u64, name: &str, record: &Record) {
        let record = EncodedRecord::encode(record);
        let record = StoredRecord { local: None, record };
        self.driver.storage.apply(ticket, placed(name), record, Durability::Written).unwrap();
    }
}

fn placed(name: &str) -> PlacedKey {
    PlacedKey::new(CLUSTER, PartitionCount::DEFAULT, Key::new("carts", name).unwrap())
}

fn open(place: &TempDir, engine: &Arc<Refusing>, completed: Completed) -> Shard {
    let identity = ShardIdentity { cluster: CLUSTER, node: NodeId(1), shard: 0 };
    let options = ShardOptions::new(identity, place.path().join("journal"));
    let store: Arc<dyn Store> = Arc::clone(engine) as _;
    Shard::open(options, store, completed).unwrap().0
}

fn replica() -> Replica {
    Replica::new(Config {
        me: NodeId(1),
        cluster: CLUSTER,
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
    })
}

#[test]
fn what_the_disk_refuses_to_keep_of_votes_is_tried_again_until_it_is_kept() {
    let mut bench = Bench::new();
    bench.engine.refuses.store(true, Ordering::SeqCst);
    let mut now = bench.driver.around.clock.now();
    bench.driver.keep_votes(now, b"none of partition 3".to_vec(), true);
    assert_eq!(bench.hear(now), keeping::TICKET);
    assert!(bench.kept().is_none());
    // Who can't be told of what was lost is not kept waiting for it.
    bench.apply(7, "alice");
    bench.submit(now);
    assert_eq!(bench.hear(now), 7);
    now.mono_us += 5_000_000;
    bench.driver.retry_votes(now);
    bench.hear(now);
    assert!(bench.kept().is_none(), "it still refuses");
    bench.engine.refuses.store(false, Ordering::SeqCst);
    bench.driver.retry_votes(now);
    let nothing = bench.completions.recv_timeout(Duration::from_millis(100));
    assert!(nothing.is_err(), "not before a second has passed");
    now.mono_us += 5_000_000;
    bench.driver.retry_votes(now);
    bench.hear(now);
    assert!(bench.kept().is_some());
}

#[test]
fn while_the_disk_does_not_finish_what_was_lost_of_votes_loads_go_on_and_nothing_is_written_before_it()
 {
    let mut bench = Bench::new();
    let now = bench.driver.around.clock.now();
    bench.engine.stall(true);
    bench.driver.keep_votes(now, b"none of partition 3".to_vec(), true);
    // A later one never comes before it.
    bench.driver.keep_votes(now, b"none of partition 4".to_vec(), false);
    bench.apply(7, "alice");
    bench.submit(now);
    let later = Now { mono_us: now.mono_us + 70_000_000, ..now };
    bench.driver.watch_disk(later);
    assert!(bench.driver.disk.admit(later).is_err(), "the disk is seen to stall");
    let nothing = bench.completions.recv_timeout(Duration::from_millis(100));
    assert!(nothing.is_err(), "a record is acknowledged before what was lost is on disk");
    assert_eq!(bench.driver.storage.stats().journal.appends, 0);
    bench.engine.stall(false);
    assert_eq!(bench.hear(now), keeping::TICKET);
    bench.submit(now);
    let after = [bench.hear(now), bench.hear(now)];
    assert!(after.contains(&7) && after.contains(&keeping::TICKET), "{after:?}");
    assert_eq!(bench.kept().as_deref(), Some(b"none of partition 4".as_slice()));
}

#[test]
fn room_that_comes_and_goes_and_pages_that_can_not_be_read_have_a_line_as_they_begin_and_one_as_they_end()
 {
    let mut bench = Bench::new();
    let start = bench.driver.around.clock.now();
    let after = |second: u64| Now { mono_us: start.mono_us + second * 1_000_000, ..start };
    let full = StoreError::NearlyFull { free_bytes: 1, reserve_bytes: 2 };
    let lines = lines_of(|| {
        for second in 0..50 {
            bench.driver.note_no_room(after(second), &full);
            bench.driver.note_unreadable(after(second), &StorageFault::Overloaded);
            bench.driver.watch_disk(after(second));
        }
        bench.driver.watch_disk(after(200));
    });
    let texts = [
        "records and hints are refused",
        "a page of records can't be read",
        "there is room on the disk again",
        "no page of records was unreadable",
    ];
    assert_eq!(lines.len(), texts.len(), "{lines:#?}");
    let has = |(line, text): (&String, &str)| line.contains(text);
    assert!(lines.iter().zip(texts).all(has), "{lines:#?}");
}

#[test]
fn while_the_disk_does_not_finish_what_was_gained_of_votes_writes_go_on() {
    let mut bench = Bench::new();
    let now = bench.driver.around.clock.now();
    bench.engine.stall(true);
    bench.driver.keep_votes(now, b"none of partition 4".to_vec(), false);
    bench.apply(7, "alice");
    bench.submit(now);
    assert_eq!(bench.hear(now), 7);
    bench.engine.stall(false);
    assert_eq!(bench.hear(now), keeping::TICKET);
}

#[test]
fn what_is_lost_while_an_earlier_gain_is_being_written_is_written_after_it_and_before_all_else() {
    let mut bench = Bench::new();
    let now = bench.driver.around.clock.now();
    bench.engine.stall(true);
    bench.driver.keep_votes(now, b"none of partition 3".to_vec(), false);
    bench.apply(6, "before");
    bench.submit(now);
    assert_eq!(bench.hear(now), 6, "nothing waits for a gain");
    bench.driver.keep_votes(now, b"none of partitions 3 and 4".to_vec(), true);
    // What comes after it is written in its place, and waits as it would.
    bench.driver.keep_votes(now, b"none of partition 4".to_vec(), false);
    bench.apply(7, "after");
    bench.submit(now);
    let nothing = bench.completions.recv_timeout(Duration::from_millis(100));
    assert!(nothing.is_err(), "a record is acknowledged before what was lost is on disk");
    bench.engine.stall(false);
    for expected in [keeping::TICKET, keeping::TICKET, 7] {
        assert_eq!(bench.hear(now), expected);
        bench.submit(now);
    }
    assert_eq!(bench.kept().as_deref(), Some(b"none of partition 4".as_slice()));
}

#[test]
fn a_clean_stop_waits_for_the_last_of_what_has_no_vote() {
    let Bench { mut driver, engine, completions, place: _place, .. } = Bench::new();
    let now = driver.around.clock.now();
    engine.stall(true);
    driver.keep_votes(now, b"none of partition 3".to_vec(), true);
    driver.keep_votes(now, b"none of partition 4".to_vec(), true);
    engine.stall(false);
    assert_eq!(driver.close(), Ended::Clean);
    assert_eq!(completions.iter().count(), 2);
    let kept = engine.metadata(ROW).unwrap();
    assert_eq!(kept.as_deref(), Some(b"none of partition 4".as_slice()));
}

#[test]
fn a_stop_lets_nothing_go_that_waits_for_a_row_which_the_disk_refuses() {
    let mut bench = Bench::new();
    let now = bench.driver.around.clock.now();
    bench.apply(6, "before");
    bench.submit(now);
    assert_eq!(bench.hear(now), 6);
    bench.engine.refuses.store(true, Ordering::SeqCst);
    bench.driver.keep_votes(now, b"none of partition 3".to_vec(), true);
    bench.apply(7, "after");
    let Bench { driver, engine, place, .. } = bench;
    assert_eq!(driver.close(), Ended::Unclean);
    let storage = open(&place, &engine, Box::new(|_| {}));
    assert!(storage.load(&placed("before")).unwrap().is_some());
    assert!(storage.load(&placed("after")).unwrap().is_none());
}

/// Returns an answer that nobody waits for.
fn answer() -> Mail {
    let (stamp, response) = (Stamp::UNTOLD, PeerResponse::Same);
    Mail::PeerAnswer { from: NodeId(2), id: 1, stamp, response }
}

/// Returns a record of one version with a value of this length.
fn large(length: usize) -> Record {
    let mut record = Record::new();
    let content = Content::Value(vec![0; length].into());
    let write = Write { write_id: WriteId(1), written_at_ms: 1, expires_at_ms: None, content };
    record.put(&VectorClock::new(), ActorId(1), write);
    record
}

fn load(name: &str) -> Output {
    Output::Load { ticket: 1, key: placed(name) }
}

#[test]
fn a_visitor_may_do_what_needs_no_engine() {
    let mut bench = Bench::new();
    assert!(bench.driver.may_wait(&load("alice")), "the engine may have it");
    bench.apply(7, "alice");
    assert!(!bench.driver.may_wait(&load("alice")), "the buffer has it");
    bench.apply_record(8, "large", &large(SMALL_FRAME_BYTES));
    assert!(bench.driver.may_wait(&load("large")), "it takes a while to copy it");
    assert!(!bench.driver.may_wait(&Output::Count(Counter::Gets)));
    assert!(bench.driver.may_wait(&Output::Sync { ticket: 1 }));
    let survey = Output::Survey { ticket: 1, partitions: vec![Partition(1)] };
    assert!(bench.driver.may_wait(&survey));
}

#[test]
fn a_visitor_leaves_large_records_to_the_thread() {
    let mut bench = Bench::new();
    let record = Some(EncodedRecord::encode(&large(SMALL_FRAME_BYTES)));
    let (stamp, response) = (Stamp::UNTOLD, PeerResponse::Read(record));
    bench.inbox.push(Mail::PeerAnswer { from: NodeId(2), id: 1, stamp, response });
    assert_eq!(bench.driver.visit(), Visit::Unfinished);
    assert_eq!(bench.inbox.waiting(), 1);
}

#[test]
fn a_visitor_takes_a_few_requests_and_answers_and_leaves_the_rest_in_order() {
    let mut bench = Bench::new();
    bench.driver.visits.turned_us = FAR_US;
    assert!((0..VISIT_MAIL).all(|_| bench.inbox.leave_answer(answer()).is_none()));
    assert!(matches!(bench.driver.visit(), Visit::Done(_)));
    assert_eq!(bench.inbox.waiting(), 0);
    for mail in [answer(), Mail::Repair(None), answer()] {
        bench.inbox.push(mail);
    }
    assert_eq!(bench.driver.visit(), Visit::Unfinished);
    assert_eq!(bench.inbox.waiting(), 2, "what comes after an order waits for it");
    assert!(bench.driver.turn());
    assert_eq!(bench.inbox.waiting(), 0);
}

#[test]
fn what_a_visitor_has_left_comes_before_all_else() {
    let mut bench = Bench::new();
    assert!(bench.driver.turn());
    bench.driver.visits.is_visited = true;
    bench.driver.visits.unexecuted = Some(load("alice"));
    bench.driver.execute_all(bench.driver.around.clock.now());
    assert!(bench.driver.visits.unexecuted.is_some(), "it may wait for the engine");
    assert!(bench.inbox.leave_answer(answer()).is_none());
    assert_eq!(bench.driver.visit(), Visit::Unfinished);
    assert_eq!(bench.inbox.waiting(), 1);
    assert!(bench.driver.turn() && bench.driver.visits.unexecuted.is_none());
    assert_eq!(bench.inbox.waiting(), 0);
}

#[test]
fn completions_that_come_after_what_a_visitor_has_left_wait_for_it_too() {
    let mut bench = Bench::new();
    let completed = |ticket| Completion { ticket, result: Ok(()) };
    bench.driver.visits.unexecuted = Some(load("alice"));
    let now = bench.driver.around.clock.now();
    bench.driver.complete(now, vec![completed(1), completed(2)]);
    let waits = |mail: &Mail| matches!(mail, Mail::Completed(waiting) if waiting.len() == 2);
    let mail = bench.driver.inbox.take_if(waits).expect("both wait");
    bench.driver.inbox.put_back(mail);
    assert!(bench.inbox.leave_answer(answer()).is_none());
    assert!(bench.driver.inbox.take_if(waits).is_some(), "they come first");
}

#[test]
fn now_and_then_a_visitor_leaves_a_turn_to_the_thread_which_looks_at_the_disk() {
    let mut bench = Bench::new();
    bench.driver.visits.turned_us = FAR_US;
    assert!(matches!(bench.driver.visit(), Visit::Done(_)));
    assert!(bench.driver.turn() && bench.driver.visits.turned_us < FAR_US);
    let looks_us = bench.driver.visits.turned_us + LOOK_US;
    while bench.driver.around.clock.now().mono_us <= looks_us {
        std::thread::yield_now();
    }
    assert_eq!(bench.driver.visit(), Visit::Unfinished);
}

#[tokio::test]
async fn what_is_left_is_seen_to_by_a_visitor_or_by_the_thread() {
    let Bench { _lets_go, mut driver, inbox, place: _place, .. } = Bench::new();
    assert!(driver.turn());
    let desk = Desk::new(inbox);
    let (inbox, seat, reader) = (&desk.inbox, &desk.seat, driver.inbox.clone());
    let clock = driver.around.clock.clone();
    let left = || {
        assert!(inbox.leave_answer(answer()).is_none());
        desk.attend(true);
        inbox.waiting()
    };
    assert_eq!(left(), 1, "there is no driver yet");
    *seat.take() = Some(driver);
    assert_eq!(left(), 0);
    let taken = seat.take();
    assert_eq!(left(), 1, "somebody else is at work");
    drop(taken);
    let timers = tokio::spawn(desk.clone().keep_time(clock));
    let limit = tokio::time::Instant::now() + Duration::from_secs(60);
    while inbox.waiting() > 0 {
        assert!(tokio::time::Instant::now() < limit, "timers look once at their start");
        tokio::task::yield_now().await;
    }
    timers.abort();
    assert!(reader.take().is_none());
}
