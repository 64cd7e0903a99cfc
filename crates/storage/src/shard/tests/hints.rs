//! Hints held, shown and released.

use std::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::{Durability, StoredRecord};
use jedlik_storage_port::{Hint, HintMark, HintTotals, Holding};

use super::{Bench, Running};
use crate::fixtures::{covers, dot, hint, key, put_hints, record, with_local};
use crate::tests::Engine;
use crate::{Directory, Disk, StoreError};

impl Running {
    fn hold_record(&mut self, target: u64, since_ms: u64, name: &str, record: StoredRecord) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let (target, level) = (NodeId(target), Durability::Synced);
        self.shard.hold(ticket, target, key(name), record, since_ms, level).unwrap();
        self.answers(1).remove(&ticket).unwrap().unwrap();
    }

    fn hold(&mut self, target: u64, since_ms: u64, name: &str) {
        self.hold_record(target, since_ms, name, record(1, 1, 20));
    }

    fn release(&mut self, target: u64, name: &str, seen: &StoredRecord) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let digest = seen.record.digest();
        self.shard.release(ticket, NodeId(target), key(name), digest).unwrap();
        self.answers(1).remove(&ticket).unwrap().unwrap();
    }

    /// Returns all hints of the target, read `limit` at a time.
    fn hints(&mut self, target: u64, limit: usize) -> Vec<Hint> {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = self.shard.hints(NodeId(target), after.as_ref(), limit, 1 << 20).unwrap();
            seen.extend(page.hints);
            after = page.until;
            if after.is_none() {
                return seen;
            }
        }
    }

    fn totals(&mut self, target: u64) -> Option<(u64, Option<u64>)> {
        let totals: BTreeMap<NodeId, HintTotals> = self.shard.hint_totals().into_iter().collect();
        totals.get(&NodeId(target)).map(|totals| (totals.count, totals.oldest_ms))
    }
}

fn names(hints: &[Hint]) -> Vec<String> {
    hints.iter().map(|hint| String::from_utf8_lossy(hint.key.key.key()).into_owned()).collect()
}

#[test]
fn hints_of_a_key_are_merged_for_each_target_and_its_own_record_is_not_theirs() {
    let bench = Bench::new();
    let mut running = bench.open();
    assert_eq!(running.shard.holding(&key("a")).unwrap().hints, []);
    running.hold_record(2, 70, "a", with_local(record(1, 1, 20), 1));
    running.hold_record(2, 80, "a", record(2, 1, 20));
    running.hold_record(1, 90, "a", record(3, 1, 20));
    running.hold(2, 60, "b");
    assert_eq!(running.shard.load(&key("a")).unwrap(), None);
    let held = running.shard.holding(&key("a")).unwrap().hints;
    let places: Vec<(u64, u64)> = held.iter().map(|hint| (hint.target.0, hint.since_ms)).collect();
    assert_eq!(places, [(1, 90), (2, 70)]);
    let merged = Some(&held[1].record);
    assert!(covers(merged, dot(1, 1)) && covers(merged, dot(2, 1)) && !covers(merged, dot(3, 1)));
    assert_eq!(held[1].record.local, with_local(record(1, 1, 0), 1).local);
    running.hold(2, 50, "a");
    assert_eq!(
        running.shard.holding(&key("a")).unwrap().hints[1].since_ms,
        50,
        "the oldest stands"
    );
    assert_eq!(names(&running.hints(2, 10)), ["a", "b"]);
    assert_eq!(running.shard.stats().hints.count, 3);
}

#[test]
fn a_release_removes_what_was_seen_and_nothing_newer() {
    let bench = Bench::new();
    let mut running = bench.open();
    let (old, new) = (record(1, 1, 20), record(1, 2, 20));
    running.hold_record(2, 70, "a", old.clone());
    running.hold_record(2, 80, "a", new.clone());
    running.release(2, "a", &old);
    assert_eq!(running.totals(2), Some((1, Some(70))));
    running.release(2, "b", &new);
    running.release(3, "a", &new);
    assert_eq!(running.shard.stats().hints.releases, 0);
    running.release(2, "a", &new);
    assert_eq!(
        (running.totals(2), running.shard.holding(&key("a")).unwrap().hints),
        (None, vec![])
    );
    assert_eq!(running.hints(2, 1), []);
    // One held again begins anew.
    running.hold_record(2, 99, "a", old);
    assert_eq!(running.totals(2), Some((1, Some(99))));
    let stats = running.shard.stats().hints;
    assert_eq!((stats.holds, stats.releases, stats.count), (3, 1, 1));
}

#[test]
fn a_release_said_again_is_as_durable_as_the_first_was_to_be() {
    let bench = Bench::new();
    put_hints(&*bench.engine, &[hint(2, 5, "a")]);
    let mut running = bench.open();
    bench.machine.set_free_bytes(Some(0));
    let digest = hint(2, 5, "a").record.record.digest();
    running.shard.release(0, NodeId(2), key("a"), digest).unwrap();
    running.answers(1)[&0].as_ref().expect_err("the journal has no room");
    bench.machine.set_free_bytes(None);
    running.shard.release(1, NodeId(2), key("a"), digest).unwrap();
    running.answers(1)[&1].as_ref().unwrap();
    drop(running);
    assert_eq!(bench.open().shard.holding(&key("a")).unwrap().hints, []);
}

#[test]
fn pages_of_hints_join_buffers_and_engine_in_the_order_of_their_age() {
    let mut bench = Bench::new();
    let stored: Vec<Hint> = (0..20).map(|i| hint(2, 100 + i * 10, &format!("engine{i}"))).collect();
    put_hints(&*bench.engine, &stored);
    bench.options.buffer_limit_bytes = 6_000;
    let mut running = bench.open();
    let mut expected: BTreeMap<HintMark, String> = stored
        .iter()
        .map(|hint| (hint.mark(), names(std::slice::from_ref(hint))[0].clone()))
        .collect();
    // Across several generations: some held, some released, some held again with another time.
    for i in 0..30 {
        // The changes of one round, three at most, need less than half of the buffer.
        running.wait_until("there is room", |shard| {
            shard.layers.frozen.is_none() || shard.layers.active.bytes() < 3_000
        });
        let (name, since_ms) = (format!("buffer{i}"), 95 + i * 9);
        running.hold(2, since_ms, &name);
        expected.insert(hint(2, since_ms, &name).mark(), name);
        if i % 2 == 0 {
            let gone = &stored[i as usize / 2];
            running.release(2, &format!("engine{}", i / 2), &gone.record);
            expected.remove(&gone.mark());
        }
        if i % 4 == 0 {
            let name = format!("engine{}", i / 2);
            running.hold(2, 400 + i, &name);
            expected.insert(hint(2, 400 + i, &name).mark(), name);
        }
        let oldest = expected.keys().next().map(|mark| mark.since_ms);
        assert_eq!(running.totals(2), Some((expected.len() as u64, oldest)));
        if i % 7 == 0 {
            for limit in [1, 3, 100] {
                let names = names(&running.hints(2, limit));
                assert_eq!(
                    names,
                    expected.values().cloned().collect::<Vec<_>>(),
                    "{limit} at once"
                );
            }
        }
    }
    assert!(running.shard.stats().engine.flushes > 0);
    running.shard.close().unwrap();
    let mut running = bench.open();
    assert_eq!(names(&running.hints(2, 4)), expected.values().cloned().collect::<Vec<_>>());
    let oldest = expected.keys().next().map(|mark| mark.since_ms);
    assert_eq!(running.totals(2), Some((expected.len() as u64, oldest)));
}

#[test]
fn a_target_is_drained_page_by_page_while_more_arrives() {
    let bench = Bench::new();
    let mut running = bench.open();
    for i in 0..20 {
        running.hold(2, 100 + i, &format!("k{i}"));
    }
    let mut delivered = 0;
    let mut after = None;
    loop {
        let page = running.shard.hints(NodeId(2), after.as_ref(), 3, 1 << 20).unwrap();
        for hint in page.hints {
            let name = names(std::slice::from_ref(&hint))[0].clone();
            running.release(2, &name, &hint.record);
            delivered += 1;
        }
        if delivered == 6 {
            running.hold(2, 500, "late");
        }
        after = page.until;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((delivered, running.totals(2)), (21, None));
}

#[test]
fn hints_leave_the_reserve_of_the_disk_to_records() {
    let mut bench = Bench::new();
    bench.options.disk_reserve_bytes = 1 << 20;
    let mut running = bench.open();
    running.hold(2, 1, "a");
    bench.machine.set_free_bytes(Some(1 << 19));
    let held = |running: &mut Running| {
        running.shard.hold(99, NodeId(2), key("b"), record(1, 1, 9), 1, Durability::Synced)
    };
    let error = held(&mut running).unwrap_err();
    let free_bytes = 1 << 19;
    assert!(
        matches!(error, StoreError::LowDisk { free_bytes: f, reserve_bytes: 0x10_0000 } if f == free_bytes),
        "{error}"
    );
    running.put("own", record(1, 1, 20)).unwrap();
    running.release(2, "a", &record(1, 1, 20));
    bench.machine.set_free_bytes(None);
    held(&mut running).unwrap();
    assert_eq!(running.shard.stats().hints.refusals, 1);
}

#[test]
fn the_disks_room_is_read_once_an_interval() {
    let mut bench = Bench::new();
    bench.options.disk_check_interval = super::PATIENCE;
    let mut running = bench.open();
    running.hold(2, 1, "a");
    bench.machine.set_free_bytes(Some(1 << 19));
    running.hold(2, 1, "b");
}

#[test]
fn the_room_of_the_real_file_system_is_read() {
    let place = tempfile::tempdir().unwrap();
    let read = Directory::open(place.path()).unwrap().space_reader();
    assert!((1..u64::MAX).contains(&read().unwrap().free_bytes));
    drop(place);
    read().expect_err("the directory is gone");
}

#[test]
fn a_damaged_hint_is_counted_left_out_and_removed() {
    let mut bench = Bench::new();
    let engine = Engine::redb(&bench.machine);
    let store = engine.open().unwrap();
    let bad = |name| Hint { record: record(0x77, 1, 300), ..hint(2, 5, name) };
    put_hints(&*store, &[bad("bad"), bad("renewed"), hint(2, 6, "good")]);
    drop(store);
    let Engine::Redb(backend) = &engine else { panic!("a redb engine") };
    assert!(backend.replace(&[0x77; 300], &[0x78; 300]) > 0);
    bench.engine = engine.open().unwrap();
    let mut running = bench.open();
    assert_eq!(running.totals(2), Some((3, Some(5))));
    let damaged = Holding { damaged_hints: true, ..Holding::default() };
    assert_eq!(running.shard.holding(&key("bad")).unwrap(), damaged);
    running.hold(2, 9, "renewed");
    let renewed = running.shard.holding(&key("renewed")).unwrap().hints;
    assert_eq!((renewed.len(), renewed[0].since_ms), (1, 5), "its time can be read");

    let page = running.shard.hints(NodeId(2), None, 10, 1 << 20).unwrap();
    assert_eq!(
        (names(&page.hints), page.damaged),
        (vec!["renewed".into(), "good".into()], vec![bad("bad").mark()])
    );
    assert_eq!(running.totals(2), Some((2, Some(5))));
    assert_eq!(running.shard.stats().hints.damaged, 2);
    running.shard.close().unwrap();
    assert_eq!(bench.engine.hint_totals().unwrap()[0].1.count, 2);
}

#[test]
fn hints_and_records_share_one_sync() {
    let bench = Bench::new();
    let mut running = bench.open();
    running.put("first", record(1, 1, 10)).unwrap();
    let before = bench.machine.syncs();
    let synced = Durability::Synced;
    running.apply("a", record(1, 1, 10), synced);
    running.shard.hold(50, NodeId(2), key("b"), record(1, 1, 9), 1, synced).unwrap();
    running.shard.hold(51, NodeId(3), key("b"), record(1, 1, 9), 1, synced).unwrap();
    running.answers(3).into_values().for_each(Result::unwrap);
    assert_eq!(bench.machine.syncs(), before + 1);
}
