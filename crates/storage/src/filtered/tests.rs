//! Filters beside a model of what is stored, over engines that are watched, interrupted and damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jedlik_hashing::{NodeId, Partition, Position};
use jedlik_protocol::{Durability, PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};

use super::Filtered;
use crate::fixtures::{IDENTITY, everything_of, key_of, put, record};
use crate::format::key_bytes;
use crate::hint::{HintRow, HintRows};
use crate::{
    Guarded, MemoryStore, RangeQuery, RedbOptions, RedbStore, Shard, ShardOptions, Store,
    StoreError, Writes,
};

type Hook = Box<dyn FnOnce() + Send>;

/// Store that counts loads, and lets a test act between a write's beginning and its end.
#[derive(Default)]
struct Watched {
    store: MemoryStore,
    loads: AtomicUsize,
    before_write: Mutex<Option<Hook>>,
    after_write: Mutex<Option<Hook>>,
    fails: Mutex<bool>,
}

impl Store for Watched {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.store.load(key)
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        self.store.load_hint(target, key)
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let (before, after) = (&self.before_write, &self.after_write);
        let take = |hook: &Mutex<Option<Hook>>| hook.lock().unwrap().take();
        take(before).into_iter().for_each(|act| act());
        let written = self.store.write(writes);
        take(after).into_iter().for_each(|act| act());
        // It says that it failed, and has stored everything.
        if *self.fails.lock().unwrap() { Err(StoreError::Closed) } else { written }
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        self.store.drop_partitions(partitions)
    }

    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError> {
        self.store.sweep(limit_records)
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        self.store.next_partition(from)
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.store.range(query)
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.store.hint_range(target, query)
    }

    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        self.store.hints(target, after, limit_hints, limit_bytes)
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        self.store.hint_totals()
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.metadata(name)
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        self.store.metadata_names()
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.store.size_bytes()
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        self.store.record_count()
    }
}

impl<S: Store> Filtered<S> {
    /// Whether `key` is known to be absent.
    fn denies(&self, key: &PlacedKey) -> bool {
        !self.known().may_hold(key)
    }
}

/// Returns a key that is as far from the others as hashes are.
fn numbered(partition: u32, number: u64) -> PlacedKey {
    let position = u128::from(number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    key_of(partition, position, &number.to_string())
}

fn put_keys(store: &dyn Store, mut keys: Vec<PlacedKey>) {
    keys.sort();
    let records: Vec<_> = keys.into_iter().map(|key| (key, record(1, 1, 10))).collect();
    put(store, &records).unwrap();
}

/// Reads a partition to its end, `limit_records` at a time. Returns the number of records.
fn read(store: &dyn Store, partition: u32, limit_records: usize) -> usize {
    let mut query = RangeQuery { limit_records, ..everything_of(partition) };
    let mut records = 0;
    while let Ok(page) = store.range(&query) {
        records += page.records.len();
        query.after = page.until;
        if query.after.is_none() {
            break;
        }
    }
    records
}

/// Returns an engine that was full when it was opened, so that nothing is known of it.
fn opened_full(keys: Vec<PlacedKey>) -> Filtered<Watched> {
    let watched = Watched::default();
    put_keys(&watched, keys);
    Filtered::over(watched)
}

#[test]
fn of_an_engine_that_was_empty_absent_keys_are_known_without_a_look_at_it() {
    let store = Filtered::over(Watched::default());
    put_keys(&store, (0..2_000).map(|number| numbered(number as u32 % 4, number)).collect());
    for number in 2_000..4_000 {
        assert_eq!(store.load(&numbered(number as u32 % 4, number)).unwrap(), None);
    }
    let looks = store.engine.loads.load(Ordering::Relaxed);
    assert!(looks < 100, "{looks} looks for 2,000 absent keys");
    assert!((0..2_000).all(|n| store.load(&numbered(n as u32 % 4, n)).unwrap().is_some()));
    assert!(store.denies(&numbered(9, 1)), "a partition that nothing was put into");
}

#[test]
fn of_an_engine_that_held_records_a_partition_is_known_once_it_has_been_read_to_its_end() {
    let keys = || (0..50).map(|number| numbered(number as u32 % 2, number)).collect();
    let store = opened_full(keys());
    assert!(!store.denies(&numbered(0, 1_000)) && !store.denies(&numbered(7, 1_000)));
    assert_eq!(read(&store, 0, 7), 25);
    assert!(store.denies(&numbered(0, 1_000)) && !store.denies(&numbered(1, 1_000)));
    assert!((0..50).all(|n| store.load(&numbered(n as u32 % 2, n)).unwrap().is_some()));

    let store = opened_full(keys());
    let page = |query: &RangeQuery| store.range(query).unwrap();
    let first = RangeQuery { limit_records: 7, ..everything_of(0) };
    let until = page(&first).until;
    page(&RangeQuery { after: Some(numbered(0, 1_000)), ..everything_of(0) });
    page(&RangeQuery { from: Some(Position(1)), ..everything_of(0) });
    page(&RangeQuery { bucket: Some("b".into()), ..everything_of(0) });
    page(&RangeQuery { limit_records: 1, ..everything_of(0) });
    assert!(!store.denies(&numbered(0, 1_000)), "those leave something out");
    page(&RangeQuery { after: until, ..everything_of(0) });
    assert!(store.denies(&numbered(0, 1_000)), "the first page and this one do not");
}

#[test]
fn a_partition_that_was_dropped_is_known_to_be_empty_and_what_is_put_there_is_found() {
    let store = opened_full((0..50).map(|number| numbered(3, number)).collect());
    store.drop_partitions(&[Partition(3)].into()).unwrap();
    assert!((0..50).all(|number| store.denies(&numbered(3, number))));
    put_keys(&store, vec![numbered(3, 7)]);
    assert!(store.load(&numbered(3, 7)).unwrap().is_some());
}

#[test]
fn a_reading_that_begins_and_ends_around_a_write_has_what_was_written() {
    for (before, partition) in [(true, 0), (false, 0), (true, 1), (false, 1)] {
        let store = Arc::new(opened_full((0..20).map(|number| numbered(0, number)).collect()));
        let reader = Arc::clone(&store);
        let act: Hook = Box::new(move || {
            read(&*reader, partition, 7);
        });
        let hooks = &store.engine;
        let hook = if before { &hooks.before_write } else { &hooks.after_write };
        *hook.lock().unwrap() = Some(act);
        *hooks.fails.lock().unwrap() = !before;
        let records = vec![(numbered(partition, 500), Some(record(1, 1, 10)))];
        let written = store.write(&Writes { records, ..Writes::default() });
        assert_eq!(written.is_ok(), before);
        assert!(store.load(&numbered(partition, 500)).unwrap().is_some(), "{before} {partition}");
        assert!(store.denies(&numbered(partition, 1_000)), "the reading counts");
    }
}

#[test]
fn a_filter_is_made_anew_by_each_reading_so_that_what_was_removed_is_forgotten() {
    let store = Filtered::over(Watched::default());
    put_keys(&store, (0..100).map(|number| numbered(0, number)).collect());
    let gone = |number| (numbered(0, number), None);
    let mut records: Vec<_> = (0..90).map(gone).collect();
    records.sort_by(|a, b| a.0.cmp(&b.0));
    store.write(&Writes { records, ..Writes::default() }).unwrap();
    assert!(!store.denies(&numbered(0, 5)), "still taken for one that may be there");
    read(&store, 0, 7);
    let denied = (0..90).filter(|number| store.denies(&numbered(0, *number))).count();
    assert!(denied > 80, "{denied} of 90");
    assert!((90..100).all(|number| store.load(&numbered(0, number)).unwrap().is_some()));
}

#[test]
fn bytes_that_say_nothing_are_not_believed_and_nothing_is_once_something_was_written() {
    let store = opened_full(vec![numbered(0, 1)]);
    let kept = Filtered::over(MemoryStore::new()).filters().unwrap();
    for bytes in [&b""[..], &[1], &[2, 1], &[1, 2], &[1, 1, 0, 0], &[1, 0, 0, 0, 0, 0, 9, 0]] {
        store.restore_filters(bytes);
        assert!(!store.denies(&numbered(0, 9)), "{bytes:?}");
    }
    put_keys(&store, vec![numbered(0, 2)]);
    store.restore_filters(&kept);
    assert!(!store.denies(&numbered(0, 2)));
}

/// Opens a shard over a file of redb's at `root`, and returns its engine too.
fn open(root: &Path) -> (Shard, Arc<Guarded<Filtered<RedbStore>>>) {
    let path = root.join("records.redb");
    let engine = || RedbStore::open(&path, &RedbOptions::default()).map(Filtered::over);
    let engine = Arc::new(Guarded::open(&path, engine).unwrap());
    let journal = root.join("journal");
    fs::create_dir_all(&journal).unwrap();
    let options = ShardOptions::new(IDENTITY, journal);
    let (shard, _) = Shard::open(options, engine.clone(), Box::new(|_| {})).unwrap();
    (shard, engine)
}

/// Returns how many of a thousand absent keys an engine is asked for by loads.
fn unknown(shard: &Shard, engine: &Guarded<Filtered<RedbStore>>) -> usize {
    let absent = (100..1_100).map(|number| numbered(0, number));
    let filtered = engine
        .call("looking", |engine| Ok(absent.clone().filter(|key| !engine.denies(key)).count()));
    absent.for_each(|key| assert_eq!(shard.load(&key).unwrap(), None));
    filtered.unwrap()
}

#[test]
fn filters_are_kept_over_a_clean_stop_and_made_anew_after_any_other() {
    let root = tempfile::tempdir().unwrap();
    let fill = |shard: &mut Shard, numbers: std::ops::Range<u64>| {
        for number in numbers {
            shard.apply(number, numbered(0, number), record(1, 1, 10), Durability::Synced).unwrap();
        }
        shard.submit();
    };
    let holds = |shard: &Shard, numbers: std::ops::Range<u64>| {
        numbers.into_iter().all(|number| shard.load(&numbered(0, number)).unwrap().is_some())
    };
    let (mut shard, engine) = open(root.path());
    fill(&mut shard, 0..40);
    assert!(unknown(&shard, &engine) < 50, "an engine that was empty");
    shard.close().unwrap();
    drop(engine);

    let (mut shard, engine) = open(root.path());
    assert!(unknown(&shard, &engine) < 50, "after a clean stop");
    assert!(holds(&shard, 0..40));
    fill(&mut shard, 40..60);
    drop((shard, engine));

    let (shard, engine) = open(root.path());
    assert_eq!(unknown(&shard, &engine), 1_000, "the journal was replayed");
    assert!(holds(&shard, 0..60));
    assert_eq!(shard.range(&everything_of(0)).unwrap().records.len(), 60);
    assert!(unknown(&shard, &engine) < 50, "after a reading");
    assert!(holds(&shard, 0..60));
    shard.close().unwrap();
    drop(engine);

    let (shard, engine) = open(root.path());
    assert!(unknown(&shard, &engine) < 50, "nothing was written in that life");
    assert!(holds(&shard, 0..60));
}

#[test]
fn a_record_whose_partition_rots_is_not_taken_for_absent_after_a_reading_of_either() {
    let records: BTreeMap<_, _> = (0..40_u64)
        .map(|number| (key_of(number as u32 / 20, u128::from(number % 20 + 5), "k"), number))
        .collect();
    // The last one of its partition seems to be the first one of the next, and the other way round.
    for (rotted, bytes) in [((0, 24), [0, 0, 0, 1]), ((1, 5), [0, 0, 0, 0])] {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("records.redb");
        let position = if rotted.0 == 0 { 0 } else { 25 };
        let key = key_of(rotted.0, rotted.1, "k");
        let store = RedbStore::open(&path, &RedbOptions::default()).unwrap();
        let moved = records.keys().filter(|other| **other != key);
        let all = moved.cloned().chain([key.clone()]).collect();
        put_keys(&store, all);
        drop(store);
        let mut file = fs::read(&path).unwrap();
        let was = key_bytes(&key);
        let places = (0..file.len() - was.len()).filter(|at| file[*at..].starts_with(&was));
        for at in places.collect::<Vec<_>>() {
            file[at..at + 4].copy_from_slice(&bytes);
            // The order stays.
            file[at + 19] = position;
        }
        fs::write(&path, file).unwrap();
        let engine = || RedbStore::open(&path, &RedbOptions::default()).map(Filtered::over);
        let store = Guarded::open(&path, engine).unwrap();
        read(&store, 0, 7);
        read(&store, 1, 7);
        let loaded = store.load(&key);
        assert!(loaded.is_err(), "{loaded:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(u32, u64, bool)>),
    /// Reads a page of so many records, from the beginning or from where the last one ended.
    Read(u32, usize, bool),
    Drop(u32),
    /// Opens the engine again, with the kept filters or without.
    Reopen(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let entry = (0..3_u32, 0..60_u64, any::<bool>());
    let step = prop_oneof![
        4 => collection::vec(entry, 1..20).prop_map(Step::Write),
        6 => (0..3_u32, 1..12_usize, any::<bool>()).prop_map(|(p, n, on)| Step::Read(p, n, on)),
        1 => (0..3_u32).prop_map(Step::Drop),
        1 => any::<bool>().prop_map(Step::Reopen),
        1 => Just(Step::Read(0, 100, false)),
    ];
    collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn whatever_happens_a_load_gives_what_the_engine_holds(steps in steps()) {
        let mut model: BTreeMap<PlacedKey, StoredRecord> = BTreeMap::new();
        let mut store = Filtered::over(MemoryStore::new());
        let mut until: BTreeMap<u32, PlacedKey> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Write(entries) => {
                    let entries = entries.into_iter().map(|(partition, number, there)| {
                        (numbered(partition, number), there.then(|| record(1, 1, 5)))
                    });
                    let entries: BTreeMap<_, _> = entries.collect();
                    for (key, record) in &entries {
                        match record {
                            Some(record) => drop(model.insert(key.clone(), record.clone())),
                            None => drop(model.remove(key)),
                        }
                    }
                    let records = entries.into_iter().collect();
                    store.write(&Writes { records, ..Writes::default() }).unwrap();
                }
                Step::Read(partition, limit_records, on) => {
                    let after = if on { until.remove(&partition) } else { None };
                    let query = RangeQuery { after, limit_records, ..everything_of(partition) };
                    if let Some(end) = store.range(&query).unwrap().until {
                        until.insert(partition, end);
                    }
                }
                Step::Drop(partition) => {
                    store.drop_partitions(&[Partition(partition)].into()).unwrap();
                    model.retain(|key, _| key.partition != Partition(partition));
                }
                Step::Reopen(kept) => {
                    let filters = store.filters().unwrap();
                    store = Filtered::over(store.engine);
                    if kept {
                        store.restore_filters(&filters);
                    }
                }
            }
            for (partition, number) in (0..3).flat_map(|p| (0..60).map(move |n| (p, n))) {
                let key = numbered(partition, number);
                assert_eq!(store.load(&key).unwrap().as_ref(), model.get(&key));
            }
        }
    }
}
