//! Of two acknowledged writes the later one stays.

use jedlik_protocol::{ClusterId, Context, Key, Record};
use jedlik_vclock::{ActorId, Content, VectorClock, Write};

use crate::Promise;
use crate::history::{Acknowledged, History, Seen, write_id};

const TOLD: Acknowledged = Acknowledged { by_primaries: true, frail: false };

/// Makes one blind put, acknowledged, and returns its write and the record of its coordinator.
fn put(history: &mut History, actor: u64, at_ms: u64, seen: Seen) -> (usize, Record) {
    let write = history.begin(false, seen, None);
    let record = record_of(write, actor, at_ms);
    history.observe(0, actor as u8, &record).unwrap();
    history.acknowledge(0, write, TOLD);
    (write, record)
}

/// Returns a record with one version.
fn record_of(write: usize, actor: u64, at_ms: u64) -> Record {
    let mut record = Record::new();
    let new = Write {
        write_id: write_id(write),
        content: Content::Value("tea".into()),
        written_at_ms: at_ms,
        expires_at_ms: None,
    };
    record.put(&VectorClock::new(), ActorId(actor), new);
    record
}

fn latest() -> History {
    let mut history = History::new(ClusterId(1), vec![Key::new("carts", "alice").unwrap()]);
    history.show_latest(0);
    history
}

fn judged(history: &History, record: &Record) -> Result<(), Promise> {
    let before = history.acknowledged(0, false);
    history.check_rest(0, record, &before).map_err(|breach| breach.promise)
}

#[test]
fn what_was_written_before_the_version_that_is_left_may_be_gone_and_nothing_later() {
    let mut history = latest();
    let (_, early) = put(&mut history, 1, 10, Seen::default());
    let (_, late) = put(&mut history, 2, 20, Seen::default());
    assert_eq!(judged(&history, &late), Ok(()));
    assert_eq!(judged(&history, &early), Err(Promise::NothingLost));
}

#[test]
fn a_version_is_later_than_what_its_client_had_seen() {
    let mut history = latest();
    let (_, first) = put(&mut history, 1, 30, Seen::default());
    let seen = history.seen_in(0, &first);
    put(&mut history, 2, 31, seen.clone());
    // The later put has a clock that is behind.
    let write = history.begin(false, seen, None);
    let breach = history.observe(0, 3, &record_of(write, 3, 10)).unwrap_err();
    assert_eq!(breach.promise, Promise::LaterThanSeen);
}

#[test]
fn a_version_is_later_than_what_its_coordinator_holds_as_it_stores_it() {
    let mut history = latest();
    let (_, held) = put(&mut history, 1, 30, Seen::default());
    let write = history.begin(false, Seen::default(), None);
    let minted = |at_ms| {
        let mut record = record_of(write, 2, at_ms);
        record.merge(&held);
        history
            .check_follows(0, &record, std::slice::from_ref(&held))
            .map_err(|breach| breach.promise)
    };
    assert_eq!(minted(31), Ok(()));
    assert_eq!(minted(29), Err(Promise::LaterThanSeen));
}

#[test]
fn what_was_collected_has_won_over_what_was_written_before() {
    let mut history = latest();
    put(&mut history, 1, 10, Seen::default());
    let (_, late) = put(&mut history, 2, 20, Seen::default());
    history.collect(0, &late);
    assert_eq!(judged(&history, &Record::new()), Ok(()));
    put(&mut history, 3, 30, Seen::default());
    assert_eq!(judged(&history, &Record::new()), Err(Promise::NothingLost));
}

#[test]
fn what_was_replaced_before_it_was_sent_lives_on_in_the_version_that_replaced_it() {
    let mut history = latest();
    // One coordinator mints a put on top of another, and sends only the second record.
    let (unsent, sent) = (0, 1);
    let mut record = Record::new();
    let mut tokens = Vec::new();
    for write in [unsent, sent] {
        assert_eq!(history.begin(false, Seen::default(), None), write);
        let new = Write {
            write_id: write_id(write),
            content: Content::Value("tea".into()),
            written_at_ms: 10 + write as u64,
            expires_at_ms: None,
        };
        let seen = record.clock().clone();
        record.put(&seen, ActorId(1), new);
        let key = Key::new("carts", "alice").unwrap();
        tokens.push(Context(record.clock().clone()).encode(ClusterId(1), &key));
    }
    history.observe(0, 1, &record).unwrap();
    history.acknowledge(0, unsent, TOLD);
    assert_eq!(judged(&history, &record), Err(Promise::NothingLost));
    // Another coordinator has minted a second attempt of it, later.
    let mut attempt = Record::new();
    let again = Write {
        write_id: write_id(unsent),
        content: Content::Value("tea".into()),
        written_at_ms: 20,
        expires_at_ms: None,
    };
    attempt.put(&VectorClock::default(), ActorId(2), again);
    history.observe(0, 2, &attempt).unwrap();
    history.replaced_unsent(0, unsent, &tokens[0]);
    assert_eq!(judged(&history, &record), Ok(()));
    assert_eq!(judged(&history, &Record::new()), Err(Promise::NothingLost));
}
