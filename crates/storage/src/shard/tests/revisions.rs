//! Records replaced and removed.

use std::time::Instant;

use jedlik_protocol::{Digest, Durability, StoredRecord};
use jedlik_storage_port::RecordChange;

use super::super::meta;
use super::{Bench, PATIENCE, Running};
use crate::fixtures::{covers, dot, key, put, record, with_local};
use crate::tests::Engine;

fn digest(stored: &StoredRecord) -> Digest {
    stored.record.digest()
}

/// Returns the change from one record to another.
fn change(before: Option<&StoredRecord>, after: Option<&StoredRecord>) -> RecordChange {
    RecordChange::sound(before.map(meta), after.map(meta))
}

impl Running {
    fn revise(&mut self, name: &str, expected: Digest, new: Option<StoredRecord>) -> RecordChange {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let change = self.shard.revise(ticket, key(name), expected, new).unwrap();
        self.answers(1).remove(&ticket).unwrap().unwrap();
        change
    }
}

#[test]
fn an_apply_tells_what_was_there_and_what_is_there_now() {
    let bench = Bench::new();
    let mut running = bench.open();
    let (first, second) = (record(1, 1, 10), record(1, 2, 99));
    let mut apply = |stored: &StoredRecord| {
        running.shard.apply(0, key("a"), stored.clone(), Durability::Buffered).unwrap()
    };
    assert_eq!(apply(&first), change(None, Some(&first)));
    let both = change(Some(&first), Some(&second));
    assert_eq!(apply(&second), both);
    let same = change(Some(&second), Some(&second));
    assert_eq!(apply(&first), same, "it was seen already");
    assert_eq!(both.digests(), (Some(digest(&first)), Some(digest(&second))));
    let sizes = [both.before, both.after].map(|meta| meta.unwrap().bytes as usize);
    assert_eq!(sizes, [&first, &second].map(|stored| stored.record.bytes().len()));
}

#[test]
fn a_revision_replaces_or_removes_only_what_the_caller_has_seen() {
    let bench = Bench::new();
    let old = with_local(record(1, 2, 10), 1);
    put(&*bench.engine, &[(key("a"), old.clone())]).unwrap();
    let mut running = bench.open();
    let new = record(2, 1, 10);

    let unchanged = change(Some(&old), Some(&old));
    assert_eq!(running.revise("a", digest(&new), None), unchanged);
    assert_eq!(running.shard.load(&key("a")).unwrap(), Some(old.clone()));

    let replaced = change(Some(&old), Some(&new));
    assert_eq!(running.revise("a", digest(&old), Some(new.clone())), replaced);
    let loaded = running.shard.load(&key("a")).unwrap();
    assert_eq!(loaded, Some(new.clone()), "nothing of the old one is left, not even its actor");

    let removed = change(Some(&new), None);
    assert_eq!(running.revise("a", digest(&new), None), removed);
    assert_eq!(running.shard.load(&key("a")).unwrap(), None);
    assert_eq!(running.revise("a", digest(&new), None), change(None, None));
    assert_eq!(running.shard.stats().revisions, 2);

    running.put("a", record(3, 1, 10)).unwrap();
    assert!(!covers(running.shard.load(&key("a")).unwrap().as_ref(), dot(1, 1)));
}

#[test]
fn a_revision_is_answered_after_its_sync_and_a_refused_one_after_what_it_saw() {
    let bench = Bench::new();
    let mut running = bench.open();
    let old = record(1, 1, 10);
    running.put("a", old.clone()).unwrap();
    let syncs = bench.machine.syncs();
    running.revise("a", digest(&old), Some(record(2, 1, 10)));
    assert_eq!(bench.machine.syncs(), syncs + 1);
    running.apply("a", record(3, 1, 10), Durability::Buffered);
    running.answers(1);
    running.revise("a", digest(&old), None);
    assert_eq!(bench.machine.syncs(), syncs + 2, "what was seen is synced first");
    put(&*bench.engine, &[(key("b"), record(3, 1, 10))]).unwrap();
    running.revise("b", digest(&old), None);
    assert_eq!(bench.machine.syncs(), syncs + 2, "the engine has it");
}

#[test]
fn a_refused_revision_makes_durable_what_it_saw_though_what_made_it_so_failed() {
    let old = record(1, 1, 10);
    for new in [None, Some(record(2, 1, 10))] {
        let bench = Bench::new();
        put(&*bench.engine, &[(key("a"), old.clone())]).unwrap();
        let mut running = bench.open();
        bench.machine.set_free_bytes(Some(0));
        running.shard.revise(100, key("a"), digest(&old), new.clone()).unwrap();
        running.answers(1)[&100].as_ref().expect_err("the journal has no room");
        bench.machine.set_free_bytes(None);
        let refused = change(new.as_ref(), new.as_ref());
        assert_eq!(running.revise("a", digest(&old), new.clone()), refused);
        assert_eq!(running.shard.stats().revisions, 1);
        drop(running);
        assert_eq!(bench.open().shard.load(&key("a")).unwrap(), new);
    }
}

#[test]
fn a_removed_record_stays_away_from_pages_and_through_flushes() {
    let mut bench = Bench::new();
    bench.options.buffer_limit_bytes = 1;
    let old = record(1, 1, 10);
    put(&*bench.engine, &[(key("a"), old.clone())]).unwrap();
    let mut running = bench.open();
    running.revise("a", digest(&old), None);
    // The next change hands the removal to the flusher.
    running.put("b", old.clone()).unwrap();
    assert_eq!(running.shard.load(&key("a")).unwrap(), None, "while it is flushed");
    running.wait_until("the flush is over", |shard| shard.layers.frozen.is_none());
    assert_eq!(running.shard.load(&key("a")).unwrap(), None);
    assert_eq!(bench.engine.load(&key("a")).unwrap(), None);
    running.shard.close().unwrap();
    assert_eq!(bench.engine.record_count().unwrap(), 1);
}

#[test]
fn a_removal_survives_a_crash_and_so_does_what_came_after_it() {
    let bench = Bench::new();
    let old = record(1, 1, 10);
    put(&*bench.engine, &[(key("a"), old.clone()), (key("b"), old.clone())]).unwrap();
    let mut running = bench.open();
    running.put("a", record(1, 2, 10)).unwrap();
    running.revise("a", digest(&record(1, 2, 10)), None);
    running.revise("b", digest(&old), None);
    running.put("b", record(2, 1, 10)).unwrap();
    drop(running);
    let running = bench.open();
    assert_eq!(running.shard.load(&key("a")).unwrap(), None);
    assert_eq!(running.shard.load(&key("b")).unwrap(), Some(record(2, 1, 10)));
}

#[test]
fn a_sync_that_succeeds_covers_what_the_journal_had_no_room_for_when_it_came() {
    let bench = Bench::new();
    let mut running = bench.open();
    bench.machine.set_free_bytes(Some(0));
    running.shard.apply(100, key("a"), record(1, 1, 10), Durability::Synced).unwrap();
    running.answers(1)[&100].as_ref().expect_err("the journal has no room");
    bench.machine.set_free_bytes(None);
    let started = Instant::now();
    loop {
        running.shard.sync(200);
        if running.answers(1)[&200].is_ok() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain until the engine was given it");
    }
    drop(running);
    assert_eq!(bench.open().shard.load(&key("a")).unwrap(), Some(record(1, 1, 10)));
}

#[test]
fn a_record_that_can_not_be_read_is_removed_and_one_that_can_stays() {
    let mut bench = Bench::new();
    let engine = Engine::redb(&bench.machine);
    let store = engine.open().unwrap();
    let (bad, good) = (record(0x77, 1, 300), record(1, 2, 10));
    put(&*store, &[(key("bad"), bad), (key("good"), good.clone())]).unwrap();
    drop(store);
    let Engine::Redb(backend) = &engine else { panic!("a redb engine") };
    assert!(backend.replace(&[0x77; 300], &[0x78; 300]) > 0);
    bench.engine = engine.open().unwrap();
    let mut running = bench.open();
    running.shard.load(&key("bad")).unwrap_err();
    for (ticket, name) in [(70, "bad"), (71, "good")] {
        running.shard.remove_damaged(ticket, key(name)).unwrap();
        running.answers(1).remove(&ticket).unwrap().unwrap();
    }
    assert_eq!(running.shard.load(&key("bad")).unwrap(), None);
    assert_eq!(running.shard.load(&key("good")).unwrap(), Some(good));
}
