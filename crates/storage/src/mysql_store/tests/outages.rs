//! Connections that are lost, and servers that are killed, stall or stop, under an engine that is open.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use jedlik_hashing::Partition;
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_services::PrivateServer;
use mysql::prelude::Queryable;

use super::{AccessFile, MysqlAddress, MysqlStore, Place, started};
use crate::fixtures::{everything_of, key, key_at, key_of, lines_of, put, record};
use crate::mysql_store::salvage;
use crate::{MemoryStore, Store, StoreError, Writes};

/// Longest time that anything here may take on a machine that does other work.
const LONG: Duration = Duration::from_secs(90);

fn open(place: &Place) -> MysqlStore {
    MysqlStore::open(&place.path(), &place.options()).unwrap()
}

/// Calls `act` until it gives a value.
fn until<T>(what: &str, mut act: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = act() {
            return found;
        }
        assert!(began.elapsed() < LONG, "{what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Returns a batch of two records, written as of `round`.
fn batch(round: u64) -> Vec<(PlacedKey, StoredRecord)> {
    let mut batch = vec![
        (key_at(1, "left"), record(round, 1, 300)),
        (key_at(2, "right"), record(round, 1, 30_000)),
    ];
    let own = (key_at(100 + u128::from(round), "own"), record(round, 1, 20));
    batch.push(own);
    batch
}

/// Returns the round of which both records are, which one batch has written.
fn round_of(store: &MysqlStore) -> u64 {
    let page = store.range(&everything_of(0)).unwrap();
    assert!(page.damaged.is_empty());
    let held: BTreeMap<_, _> = page.records.into_iter().collect();
    let all = held.len() as u64;
    let round = all.saturating_sub(2);
    for (key, record) in (1..=round).flat_map(batch).collect::<BTreeMap<_, _>>() {
        assert_eq!(held.get(&key), Some(&record), "round {round}");
    }
    assert_eq!(store.record_count().unwrap(), all);
    round
}

#[test]
fn what_a_write_returned_for_is_there_after_the_server_was_killed_and_each_batch_as_a_whole() {
    let server = started(PrivateServer::start, &[]);
    let place = Place::on(&server);
    let store = Arc::new(open(&place));
    let mut acknowledged = 0;
    for kill in 0..6 {
        let stop = AtomicBool::new(false);
        acknowledged = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut done = acknowledged;
                while !stop.load(Ordering::Relaxed) {
                    match put(&*store, &batch(done + 1)) {
                        Ok(()) => done += 1,
                        Err(error) => assert!(!error.is_damage(), "{error}"),
                    }
                }
                done
            });
            thread::park_timeout(Duration::from_millis(40 * (1 + kill % 3)));
            server.kill().unwrap();
            server.start_again(&[]).unwrap();
            until("the server answers again", || store.load(&key("x")).ok());
            stop.store(true, Ordering::Relaxed);
            writer.join().unwrap()
        });
        let found = round_of(&store);
        assert!(found == acknowledged || found == acknowledged + 1, "{found}, not {acknowledged}");
        until("a write succeeds", || put(&*store, &batch(found + 1)).ok());
        acknowledged = found + 1;
    }
    assert!(acknowledged > 6, "something was written in between");
    drop(store);
    assert_eq!(round_of(&open(&place)), acknowledged);
}

#[test]
fn a_salvage_waits_for_a_server_that_is_away_and_takes_no_row_for_unreadable() {
    let server = started(PrivateServer::start, &[]);
    let place = Place::on(&server);
    put(&open(&place), &batch(1)).unwrap();
    let source = MysqlStore::open_unchanged(&place.path()).unwrap();
    server.kill().unwrap();
    let target = MemoryStore::new();
    let error = salvage(&place.path(), &target).unwrap_err();
    assert!(matches!(error, StoreError::Engine { .. }), "{error}");
    let salvaged = thread::scope(|scope| {
        scope.spawn(|| {
            thread::park_timeout(Duration::from_millis(300));
            server.start_again(&[]).unwrap();
        });
        source.copy_into(&target).unwrap()
    });
    assert_eq!((salvaged.records, salvaged.failures), (3, 0));
    assert_eq!(target.record_count().unwrap(), 3);
}

#[test]
fn a_server_that_stalls_holds_a_reader_up_once_and_then_nobody_until_it_goes_on() {
    let server = started(PrivateServer::start, &[]);
    let place = Place::on(&server);
    let store = open(&place);
    put(&store, &batch(1)).unwrap();
    let lines = lines_of(|| {
        server.pause().unwrap();
        let began = Instant::now();
        let error = store.load(&key_at(1, "left")).unwrap_err();
        assert!(matches!(error, StoreError::Engine { .. }) && !error.is_damage(), "{error}");
        assert!(began.elapsed() < super::link::READER_PATIENCE * 3, "{:?}", began.elapsed());
        let began = Instant::now();
        for _ in 0..1_000 {
            let error = store.load(&key_at(1, "left")).unwrap_err();
            assert!(error.to_string().contains("it is looked for"), "{error}");
            assert!(put(&store, &batch(2)).is_err());
            assert_eq!(store.record_count().unwrap(), 3);
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        server.resume().unwrap();
        let loaded = until("the server is found", || store.load(&key_at(1, "left")).ok());
        assert_eq!(loaded, Some(record(1, 1, 300)));
        put(&store, &batch(2)).unwrap();
    });
    let away: Vec<_> = lines.iter().filter(|line| line.contains("MySQL server")).collect();
    assert!(!away.is_empty(), "{lines:?}");
    assert!(away[0].contains("does not answer; looking for it"), "{lines:?}");
    assert!(away.len() <= 2, "{lines:?}");
    assert_eq!(round_of(&store), 2);
}

#[test]
fn a_server_that_was_started_again_is_used_without_a_word() {
    let server = started(PrivateServer::start, &[]);
    let place = Place::on(&server);
    let store = open(&place);
    for round in 1..4 {
        put(&store, &batch(round)).unwrap();
        assert!(store.load(&key_at(1, "left")).unwrap().is_some());
        server.stop().unwrap();
        server.start_again(&[]).unwrap();
        assert_eq!(store.load(&key_at(1, "left")).unwrap(), Some(record(round, 1, 300)));
    }
    put(&store, &batch(4)).unwrap();
    assert_eq!(round_of(&store), 4);
}

/// Ends all connections to the server but the one that asks.
fn kill_all(place: &Place) {
    let (mut conn, ids) = until("the server lists its connections", || {
        let mut conn = mysql::Conn::new(place.access.options().unwrap()).ok()?;
        let others = "SELECT id FROM information_schema.processlist \
                      WHERE db = 'shop' AND id <> CONNECTION_ID()";
        let ids: Vec<u64> = conn.query(others).ok()?;
        Some((conn, ids))
    });
    for id in ids {
        // It may have ended by itself.
        let _ = conn.query_drop(format!("KILL CONNECTION {id}"));
    }
}

#[test]
fn connections_that_are_killed_cost_no_call() {
    let server = started(PrivateServer::start, &[]);
    let place = Place::on(&server);
    let store = open(&place);
    for round in 1..20 {
        put(&store, &batch(round)).unwrap();
        kill_all(&place);
        assert_eq!(store.load(&key_at(1, "left")).unwrap(), Some(record(round, 1, 300)));
        assert_eq!(store.metadata("none").unwrap(), None);
    }
    assert_eq!(round_of(&store), 19);
}

/// Socket between an engine and its server, on which answers are lost.
struct Between {
    socket: PathBuf,
    /// Whether the answer to the next commit is lost, and the connection with it.
    loses: Arc<AtomicBool>,
}

impl Between {
    fn before(server: PathBuf, folder: &Path) -> Self {
        let between = Self { socket: folder.join("between.sock"), loses: Arc::default() };
        let listener = UnixListener::bind(&between.socket).unwrap();
        let loses = Arc::clone(&between.loses);
        thread::spawn(move || {
            // It ends with the process.
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                let loses = Arc::clone(&loses);
                thread::spawn(move || carry(client, server, &loses));
            }
        });
        between
    }
}

/// Carries bytes both ways until either end closes, or an answer is to be lost.
fn carry(mut client: UnixStream, mut server: UnixStream, loses: &AtomicBool) {
    let (mut back, mut answers) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let lost = Arc::new(AtomicBool::new(false));
    let is_lost = Arc::clone(&lost);
    let answering = thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok(count) = answers.read(&mut bytes) {
            if count == 0
                || is_lost.load(Ordering::SeqCst)
                || back.write_all(&bytes[..count]).is_err()
            {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
        let _ = answers.shutdown(Shutdown::Both);
    });
    let mut bytes = [0; 1 << 16];
    while let Ok(count) = client.read(&mut bytes) {
        let is_commit = bytes[..count].ends_with(b"COMMIT");
        if is_commit && loses.swap(false, Ordering::SeqCst) {
            lost.store(true, Ordering::SeqCst);
        }
        if count == 0 || server.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // Of a client that has gone, the server is to hear.
    let _ = server.shutdown(Shutdown::Write);
    answering.join().unwrap();
}

#[test]
fn a_batch_whose_answer_is_lost_is_sent_again_and_is_there_once() {
    let place = Place::new();
    let between = Between::before(super::server().socket(), place.folder.path());
    let mut options = place.options();
    options.access.address = MysqlAddress::Socket(between.socket.clone());
    let store = MysqlStore::open(&place.path(), &options).unwrap();
    let dropped = BTreeSet::from([Partition(9)]);
    for round in 1..12 {
        between.loses.store(true, Ordering::SeqCst);
        put(&store, &batch(round)).unwrap();
        assert!(!between.loses.load(Ordering::SeqCst), "the first answer was lost");
        assert_eq!(round_of(&store), round);

        put(&store, &[(key_of(9, 1, "k"), record(round, 1, 20))]).unwrap();
        between.loses.store(true, Ordering::SeqCst);
        store.drop_partitions(&dropped).unwrap();
        assert_eq!(store.load(&key_of(9, 1, "k")).unwrap(), None);
        between.loses.store(true, Ordering::SeqCst);
        while store.sweep(10).unwrap() {}
        assert_eq!(store.record_count().unwrap(), round + 2);
    }
    drop(store);
    assert_eq!(round_of(&open(&place)), 11);
}

#[test]
fn a_hundred_openings_leave_one_set_of_tables() {
    let place = Place::new();
    for round in 1..=100 {
        let store = open(&place);
        assert_eq!(store.record_count().unwrap(), if round == 1 { 0 } else { round + 1 });
        put(&store, &batch(round)).unwrap();
    }
    assert_eq!(round_of(&open(&place)), 100);
    let id = AccessFile::read(&place.path()).unwrap().unwrap().tables;
    let tables =
        super::sql_of(super::server(), &format!("SHOW TABLES IN shop LIKE 'jedlik_{id}%'"));
    assert_eq!(tables.lines().count(), 3, "{tables}");
}

#[test]
fn a_read_only_engine_takes_no_writes_and_needs_no_lock() {
    let place = Place::new();
    let store = open(&place);
    put(&store, &batch(1)).unwrap();
    let reader = MysqlStore::open_unchanged(&place.path()).unwrap();
    assert_eq!(round_of(&reader), 1);
    let error = reader.write(&Writes::default()).unwrap_err();
    assert!(error.to_string().contains("read only"), "{error}");
    put(&store, &batch(2)).unwrap();
}
