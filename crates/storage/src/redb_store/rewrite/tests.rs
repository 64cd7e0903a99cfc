//! Rewritings with everything going on beside them, cut short anywhere, and failing.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use jedlik_hashing::Partition;
use jedlik_protocol::PlacedKey;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::Config;

use super::copy_path;
use crate::contents::{ContentsDigest, Digester, PAGE_BYTES, Place, Reader};
use crate::disk::Space;
use crate::fixtures::{everything_of, hint, key_of, lines_of, put, put_hints, record, with_local};
use crate::format::key_bytes;
use crate::tests::memory_folder;
use crate::{
    HintWrite, MemoryStore, RangeQuery, RedbOptions, RedbStore, RewriteOptions, ShardFolder, Store,
    StoreError, Writes,
};

fn options() -> RedbOptions {
    RedbOptions {
        rewrite: RewriteOptions { slack_bytes: 256 << 10, page_bytes: 20_000 },
        ..RedbOptions::default()
    }
}

fn open(path: &Path) -> RedbStore {
    RedbStore::open(path, &options()).unwrap()
}

fn digest(store: &dyn Store) -> ContentsDigest {
    let (mut reader, mut digester) = (Reader::new(Place::START, PAGE_BYTES), Digester::default());
    while let Some(page) = reader.next_page(store).unwrap() {
        digester.add(&page);
    }
    digester.finish()
}

fn numbered(number: u32) -> PlacedKey {
    key_of(number % 5, u128::from(number) << 90, "k")
}

/// Fills an engine, and removes most of it again.
fn fill_and_delete(store: &dyn Store) {
    let mut keys: Vec<PlacedKey> = (0..400).map(numbered).collect();
    keys.sort();
    let rows: Vec<_> = keys.iter().map(|key| (key.clone(), record(1, 1, 5_000))).collect();
    rows.chunks(50).for_each(|rows| put(store, rows).unwrap());
    put_hints(store, &["a", "b", "c"].map(|name| hint(5, 9, name)));
    let gone = keys.into_iter().enumerate().filter(|(at, _)| at % 8 != 0);
    let records = gone.map(|(_, key)| (key, None)).collect();
    let metadata = vec![("past".to_owned(), Some(vec![1]))];
    store.write(&Writes { records, metadata, ..Writes::default() }).unwrap();
}

/// Takes steps until nothing is left to do. Returns their number.
fn sweep(store: &dyn Store) -> usize {
    (0..).take_while(|_| store.sweep(100).unwrap()).count()
}

/// Whether the file takes at most twice what counts, with some room for the least file there is.
fn is_small(store: &RedbStore) -> bool {
    store.size_bytes().unwrap() <= 2 * store.live_bytes().unwrap() + (256 << 10)
}

#[test]
fn deleted_records_give_their_room_back_and_all_else_stays() {
    let place = memory_folder();
    let path = place.path().join("records.redb");
    let store = open(&path);
    fill_and_delete(&store);
    let before = digest(&store);
    assert!(!is_small(&store), "there is room to give back");
    let steps = sweep(&store);
    assert!(steps > 10, "{steps} steps");
    assert!(is_small(&store), "{:?} for {:?}", store.size_bytes(), store.live_bytes());
    assert_eq!(digest(&store), before);
    assert!(!copy_path(&path).exists());

    put(&store, &[(numbered(1), record(1, 2, 10))]).unwrap();
    let after = digest(&store);
    drop(store);
    assert_eq!(digest(&open(&path)), after, "it is the file that a start opens");
}

#[test]
fn an_engine_is_rewritten_again_only_after_as_much_was_changed_as_counts() {
    let place = memory_folder();
    let path = place.path().join("records.redb");
    let options = RedbOptions {
        // So little that the file always takes too much.
        rewrite: RewriteOptions { slack_bytes: 0, page_bytes: 1 << 20 },
        ..RedbOptions::default()
    };
    let store = RedbStore::open(&path, &options).unwrap();
    let keys: Vec<PlacedKey> = {
        let mut keys: Vec<PlacedKey> = (0..20).map(numbered).collect();
        keys.sort();
        keys
    };
    let write = |counter| {
        let rows: Vec<_> =
            keys.iter().map(|key| (key.clone(), record(1, counter, 1_000))).collect();
        put(&store, &rows).unwrap();
    };
    write(1);
    assert!(sweep(&store) > 0, "the first one of a life");
    assert_eq!(sweep(&store), 0);
    put(&store, &[(keys[0].clone(), record(1, 2, 1_000))]).unwrap();
    assert_eq!(sweep(&store), 0, "one of twenty was changed");
    write(3);
    assert!(sweep(&store) > 0);
}

#[test]
fn the_file_in_the_place_of_the_first_one_counts_as_the_engines() {
    let root = memory_folder();
    let folder = ShardFolder::new(root.path(), 0);
    fs::create_dir_all(folder.journal_dir()).unwrap();
    let options = RedbOptions { replaced: folder.replaced(), ..options() };
    let store = RedbStore::open(&folder.engine_path(), &options).unwrap();
    let open = folder.open_files();
    let first = fs::metadata(folder.engine_path()).unwrap().ino();
    fill_and_delete(&store);
    assert!(sweep(&store) > 0);
    assert_ne!(fs::metadata(folder.engine_path()).unwrap().ino(), first);
    assert_eq!(folder.missing(&open), None);
    fs::copy(folder.engine_path(), root.path().join("other")).unwrap();
    fs::rename(root.path().join("other"), folder.engine_path()).unwrap();
    assert!(folder.missing(&open).is_some(), "somebody else's file does not");
}

#[derive(Debug, Clone)]
enum Act {
    Put(u32, u64, usize),
    Remove(u32),
    Hold(u64, u64, &'static str),
    Release(u64, &'static str),
    Note(&'static str, Option<u8>),
    Drop(u32),
    Step,
}

fn act() -> impl Strategy<Value = Act> {
    let number = 0_u32..60;
    let size = prop_oneof![1_usize..50, Just(70_000)];
    let name = prop_oneof![Just("a"), Just("b")];
    prop_oneof![
        4 => (number.clone(), 1_u64..9, size).prop_map(|(n, c, size)| Act::Put(n, c, size)),
        2 => number.prop_map(Act::Remove),
        2 => (1_u64..4, any::<u64>(), name.clone()).prop_map(|(t, s, n)| Act::Hold(t, s, n)),
        1 => (1_u64..4, name.clone()).prop_map(|(target, name)| Act::Release(target, name)),
        1 => (name, any::<Option<u8>>()).prop_map(|(name, value)| Act::Note(name, value)),
        1 => (0_u32..5).prop_map(Act::Drop),
        8 => Just(Act::Step),
    ]
}

fn run(store: &dyn Store, act: &Act) {
    let write = |writes: Writes| store.write(&writes).unwrap();
    match *act {
        Act::Put(number, counter, size) => {
            let row = with_local(record(number.into(), counter, size), 3);
            put(store, &[(numbered(number), row)]).unwrap();
        }
        Act::Remove(number) => {
            write(Writes { records: vec![(numbered(number), None)], ..Writes::default() });
        }
        Act::Hold(target, since_ms, name) => put_hints(store, &[hint(target, since_ms, name)]),
        Act::Release(target, name) => {
            let gone = HintWrite { hint: None, ..HintWrite::from(hint(target, 0, name)) };
            write(Writes { hints: vec![gone], ..Writes::default() });
        }
        Act::Note(name, value) => {
            let metadata = vec![(name.to_owned(), value.map(|byte| vec![byte]))];
            write(Writes { metadata, ..Writes::default() });
        }
        Act::Drop(partition) => store.drop_partitions(&[Partition(partition)].into()).unwrap(),
        Act::Step => drop(store.sweep(7).unwrap()),
    }
}

proptest! {
    #![proptest_config(Config { cases: 20, ..Config::default() })]

    #[test]
    fn whatever_is_written_beside_a_rewriting_is_in_the_new_file(
        acts in proptest::collection::vec(act(), 30..120),
        cut in any::<proptest::sample::Index>(),
    ) {
        let place = memory_folder();
        let path = place.path().join("records.redb");
        let (model, store) = (MemoryStore::new(), open(&path));
        fill_and_delete(&model);
        fill_and_delete(&store);
        let cut = cut.index(acts.len());
        for (at, act) in acts.iter().enumerate() {
            run(&model, act);
            run(&store, act);
            if at == cut {
                // As a kill leaves it, and as the next start finds it.
                let copied = memory_folder();
                for entry in fs::read_dir(place.path()).unwrap() {
                    let entry = entry.unwrap();
                    fs::copy(entry.path(), copied.path().join(entry.file_name())).unwrap();
                }
                let started = open(&copied.path().join("records.redb"));
                prop_assert_eq!(digest(&started), digest(&model));
                prop_assert_eq!(fs::read_dir(copied.path()).unwrap().count(), 1);
            }
        }
        prop_assert_eq!(digest(&store), digest(&model));
        sweep(&store);
        prop_assert_eq!(digest(&store), digest(&model));
        prop_assert_eq!(store.record_count().unwrap(), model.record_count().unwrap());
        drop(store);
        prop_assert_eq!(digest(&open(&path)), digest(&model));
    }
}

#[test]
fn threads_that_write_all_the_time_lose_nothing_by_a_rewriting() {
    let place = memory_folder();
    let path = place.path().join("records.redb");
    let store = Arc::new(open(&path));
    fill_and_delete(&*store);
    let ended = Arc::new(AtomicBool::new(false));
    // Each key is written once, so that no later write hides that one was lost.
    let key = |writer: u32, round: u64| key_of(writer, u128::from(round) << 64, "w");
    let writers = [0_u32, 1].map(|writer| {
        let (store, ended) = (Arc::clone(&store), Arc::clone(&ended));
        thread::spawn(move || {
            let mut round = 0;
            while !ended.load(Ordering::Relaxed) {
                round += 1;
                put(&*store, &[(key(writer, round), record(writer.into(), round, 30))]).unwrap();
            }
            round
        })
    });
    let first = fs::metadata(&path).unwrap().ino();
    let said = lines_of(|| assert!(sweep(&*store) > 0));
    ended.store(true, Ordering::Relaxed);
    assert_ne!(fs::metadata(&path).unwrap().ino(), first, "it came to its end: {said:?}");
    for (writer, thread) in (0_u32..).zip(writers) {
        for round in 1..=thread.join().unwrap() {
            let found = store.load(&key(writer, round)).unwrap();
            assert_eq!(found, Some(record(writer.into(), round, 30)), "round {round}");
        }
    }
}

#[test]
fn a_bucket_that_had_many_keys_before_a_rewriting_is_listed_whole_after_it() {
    let place = memory_folder();
    let options = RedbOptions { marked_keys: 3, ..options() };
    let store = RedbStore::open(&place.path().join("records.redb"), &options).unwrap();
    fill_and_delete(&store);
    let mut keys: Vec<PlacedKey> = (0..400).map(numbered).collect();
    keys.sort();
    let records = keys.into_iter().map(|key| (key, None)).collect();
    store.write(&Writes { records, ..Writes::default() }).unwrap();
    assert!(sweep(&store) > 0);
    put(&store, &[(numbered(1), record(1, 1, 10))]).unwrap();
    let query = RangeQuery { bucket: Some("b".into()), ..everything_of(1) };
    assert_eq!(store.range(&query).unwrap().records.len(), 1);
}

#[test]
fn a_file_that_can_not_be_made_costs_nothing_and_is_not_tried_again_at_once() {
    let place = memory_folder();
    let path = place.path().join("records.redb");
    let store = open(&path);
    fill_and_delete(&store);
    let before = digest(&store);
    fs::create_dir(copy_path(&path)).unwrap();
    assert_eq!(sweep(&store), 0);
    fs::remove_dir(copy_path(&path)).unwrap();
    assert_eq!(sweep(&store), 0, "later");
    put(&store, &[(numbered(0), record(1, 1, 5_000))]).unwrap();
    assert_eq!(digest(&store), before);
}

const TOTAL_BYTES: u64 = 100 << 20;

thread_local! {
    /// Room that is left on the disk of this thread's engine, in bytes.
    static FREE_BYTES: Cell<u64> = const { Cell::new(0) };
}

#[test]
fn a_disk_that_fills_up_ends_a_rewriting_before_others_go_without_room() {
    let place = memory_folder();
    let path = place.path().join("records.redb");
    let mut store = open(&path);
    store.rewriter.as_mut().unwrap().space =
        |_| Ok(Space { free_bytes: FREE_BYTES.get(), total_bytes: TOTAL_BYTES });
    fill_and_delete(&store);
    let before = digest(&store);
    FREE_BYTES.set(TOTAL_BYTES);
    assert!(store.sweep(1).unwrap() && store.sweep(1).unwrap());
    assert!(copy_path(&path).exists());
    FREE_BYTES.set(TOTAL_BYTES / 9);
    assert!(!store.sweep(1).unwrap());
    assert!(!copy_path(&path).exists(), "its room is given back at once");
    FREE_BYTES.set(TOTAL_BYTES);
    assert!(!store.sweep(1).unwrap(), "it is tried again, but later");
    assert_eq!(digest(&store), before);
}

#[test]
fn a_damaged_record_stays_damaged_and_ends_the_rewriting() {
    let place = memory_folder();
    let path = place.path().join("records.redb");
    let store = open(&path);
    fill_and_delete(&store);
    let key = numbered(0);
    let bytes = key_bytes(&key);
    let damage = |transaction: &redb::WriteTransaction| {
        let mut records = transaction.open_table(super::super::tables::RECORDS)?;
        records.insert(bytes.as_slice(), [1_u8, 2, 3, 4, 5, 6].as_slice())?;
        Ok(())
    };
    store.file.commit("a test", || {}, damage).unwrap();
    sweep(&store);
    assert!(matches!(store.load(&key), Err(StoreError::Damaged { .. })));
    assert!(!copy_path(&path).exists());
}
