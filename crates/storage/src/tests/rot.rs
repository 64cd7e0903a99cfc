//! Files that rot: bits flipped, parts of pages zeroed or torn, in the engine's file and in the journal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use jedlik_hashing::Partition;
use jedlik_protocol::{Durability, PlacedKey, StoredRecord};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::Index;
use proptest::{collection, proptest};

use crate::fixtures::{IDENTITY, everything_of, key_at, put, record};
use crate::{
    Filtered, Guarded, OpenError, RangeQuery, RedbOptions, RedbStore, Shard, ShardFolder,
    ShardOptions, Store, StoreError,
};

const PAGE_BYTES: usize = 4096;
const SECTOR_BYTES: usize = 512;
const KEYS: u64 = 400;

/// Damage that is done to a page.
#[derive(Debug, Clone, Copy)]
enum Rot {
    Flip {
        bit: u8,
    },
    Zero {
        bytes: usize,
    },
    /// From a sector on, past the first, the page has the bytes of the next one. A page that is replaced as a whole is
    /// in order in itself, which is not noticed.
    Torn,
}

/// Pages and places, by index, and the damage that is done there.
fn rots() -> impl Strategy<Value = Vec<(Index, Index, Rot)>> {
    let rot = prop_oneof![
        6 => (0..8_u8).prop_map(|bit| Rot::Flip { bit }),
        2 => (1..600_usize).prop_map(|bytes| Rot::Zero { bytes }),
        1 => Just(Rot::Torn),
    ];
    collection::vec((any::<Index>(), any::<Index>(), rot), 1..6)
}

/// Damages pages that hold anything, past the first `spared` bytes.
fn rot(path: &Path, spared: usize, rots: &[(Index, Index, Rot)]) {
    let mut bytes = fs::read(path).unwrap();
    let full = |bytes: &[u8], page: usize| bytes[page..].iter().take(PAGE_BYTES).any(|b| *b != 0);
    let pages: Vec<usize> =
        (spared..bytes.len()).step_by(PAGE_BYTES).filter(|page| full(&bytes, *page)).collect();
    for (page, place, rot) in rots {
        let page = pages[page.index(pages.len())];
        let end = bytes.len().min(page + PAGE_BYTES);
        let at = page + place.index(end - page);
        match *rot {
            Rot::Flip { bit } => bytes[at] ^= 1 << bit,
            Rot::Zero { bytes: count } => bytes[at..end.min(at + count)].fill(0),
            Rot::Torn => {
                let at = page + (at - page).next_multiple_of(SECTOR_BYTES).max(SECTOR_BYTES);
                let next = at + PAGE_BYTES..(end + PAGE_BYTES).min(bytes.len());
                if next.start < next.end {
                    bytes.copy_within(next, at);
                }
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

/// Returns options by which some of the records are large, so that their values lie apart.
fn options() -> RedbOptions {
    RedbOptions { large_record_bytes: 2 * PAGE_BYTES, ..RedbOptions::default() }
}

fn open(folder: &ShardFolder) -> Result<Shard, OpenError> {
    folder.prepare()?;
    let path = folder.engine_path();
    let engine: Arc<dyn Store> =
        Arc::new(Guarded::open(&path, || RedbStore::open(&path, &options()).map(Filtered::over))?);
    let options = ShardOptions::new(IDENTITY, folder.journal_dir());
    Shard::open(options, engine, Box::new(|_| {})).map(|(shard, _)| shard)
}

fn records() -> BTreeMap<PlacedKey, StoredRecord> {
    let record = |number: u64| {
        // Spread as positions are.
        let position = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64;
        let value_bytes = if number.is_multiple_of(16) { 3 * PAGE_BYTES } else { 150 };
        (key_at(position, &number.to_string()), record(number + 1, 1, value_bytes))
    };
    (0..KEYS).map(record).collect()
}

/// Makes a shard that was closed, with all records in its engine, or dropped, with the last ones in its journal.
fn filled(root: &Path, closed: bool) -> (ShardFolder, BTreeMap<PlacedKey, StoredRecord>) {
    let (folder, records) = (ShardFolder::new(root, 0), records());
    let mut shard = open(&folder).unwrap();
    for (ticket, (key, record)) in (0..).zip(&records) {
        shard.apply(ticket, key.clone(), record.clone(), Durability::Synced).unwrap();
    }
    shard.submit();
    if closed {
        shard.close().unwrap();
    }
    (folder, records)
}

/// Asserts that every load gives the record or says that it can't, and that a page gives what is there or says what is
/// damaged. Returns how many records were found.
fn check(shard: &Shard, records: &BTreeMap<PlacedKey, StoredRecord>) -> usize {
    let mut found = 0;
    for (key, record) in records {
        match shard.load(key) {
            Ok(Some(loaded)) => {
                assert_eq!(&loaded, record, "another record");
                found += 1;
            }
            Ok(None) => assert!(shard.has_lost_past(), "absent, and nobody says why: {key:?}"),
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => assert!(error.is_damage(), "{error}"),
        }
    }
    let query = RangeQuery {
        partition: records.keys().next().unwrap().partition,
        from: None,
        to: None,
        after: None,
        bucket: None,
        values: true,
        limit_records: usize::MAX,
        limit_bytes: usize::MAX,
        limit_examined: usize::MAX,
        limit_examined_bytes: usize::MAX,
    };
    match shard.range(&query) {
        Ok(page) => {
            assert!(page.records.iter().all(|(key, record)| records.get(key) == Some(record)));
            let all = page.records.len() + page.damaged.len();
            assert!(all == records.len() || shard.has_lost_past(), "{all} of {}", records.len());
        }
        Err(error) => assert!(error.is_damage(), "{error}"),
    }
    found
}

#[test]
fn a_table_that_seems_to_be_of_another_kind_is_damage() {
    for (was, rotted) in [
        ("&[u8]", "&[u9]"),
        ("records", "recordr"),
        ("values", "valuer"),
        ("marks", "markr"),
        ("hints", "hintr"),
    ] {
        let root = tempfile::tempdir().unwrap();
        let (folder, _) = filled(root.path(), true);
        let path = folder.engine_path();
        let mut bytes = fs::read(&path).unwrap();
        let places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(was.as_bytes()));
        for at in places.collect::<Vec<_>>() {
            bytes[at..at + was.len()].copy_from_slice(rotted.as_bytes());
        }
        fs::write(&path, bytes).unwrap();
        let error = open(&folder).err().unwrap();
        assert!(error.is_damage(), "{was}: {error}");
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 40, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn an_engine_that_rots_gives_no_wrong_record_and_no_silence(rots in rots()) {
        let root = tempfile::tempdir().unwrap();
        let (folder, records) = filled(root.path(), true);
        rot(&folder.engine_path(), PAGE_BYTES, &rots);
        let shard = open(&folder);
        let why = match &shard {
            Ok(shard) => {
                check(shard, &records);
                shard.failure().map(|failure| failure.to_string())
            }
            Err(error) => {
                assert!(error.is_damage(), "{error}");
                Some(error.to_string())
            }
        };
        drop(shard);
        let Some(why) = why else { return Ok(()) };
        folder.rebuild(&why, 1).unwrap();
        let shard = open(&folder).unwrap();
        assert!(shard.has_lost_past() && shard.failure().is_none());
        check(&shard, &records);
        assert!(shard.failure().is_none(), "the new one is whole");
    }

    #[test]
    fn a_filter_that_is_learned_from_an_engine_that_rots_hides_nothing(rots in rots()) {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("records.redb");
        let partition = |key: PlacedKey| PlacedKey { partition: Partition((key.position.0 >> 126) as u32), ..key };
        let records: BTreeMap<_, _> =
            records().into_iter().map(|(key, record)| (partition(key), record)).collect();
        let all: Vec<_> = records.clone().into_iter().collect();
        put(&RedbStore::open(&path, &options()).unwrap(), &all).unwrap();
        rot(&path, PAGE_BYTES, &rots);
        let open = || RedbStore::open(&path, &options()).map(Filtered::over);
        let Ok(store) = Guarded::open(&path, open) else { return Ok(()) };
        for partition in 0..4 {
            let mut query = RangeQuery { limit_records: 7, ..everything_of(partition) };
            while let Ok(page) = store.range(&query) {
                query.after = page.until;
                if query.after.is_none() {
                    break;
                }
            }
        }
        for (key, record) in &records {
            match store.load(key) {
                Ok(loaded) => assert_eq!(loaded.as_ref(), Some(record)),
                Err(StoreError::Damaged { .. }) => {}
                Err(error) => assert!(error.is_damage(), "{error}"),
            }
        }
    }

    #[test]
    fn a_journal_that_rots_gives_no_wrong_record(rots in rots()) {
        let root = tempfile::tempdir().unwrap();
        let (folder, records) = filled(root.path(), false);
        let segment = fs::read_dir(folder.journal_dir()).unwrap().next().unwrap().unwrap().path();
        rot(&segment, 0, &rots);
        let shard = open(&folder).unwrap();
        let torn = records.len() - records.keys().filter(|key| shard.load(key).unwrap().is_some()).count();
        // All of it is one group, of which no later frame says that it was synced.
        if torn == 0 || shard.has_lost_past() {
            check(&shard, &records);
        }
    }
}
