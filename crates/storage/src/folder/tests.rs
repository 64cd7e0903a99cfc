//! A shard whose file is damaged in one place, set aside and opened anew.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jedlik_protocol::Durability;

use crate::fixtures::{IDENTITY, key, record};
use crate::{
    Filtered, Guarded, OpenError, Recovery, RedbOptions, RedbStore, Shard, ShardFolder,
    ShardOptions, Store,
};

const RECORDS: u64 = 2_000;

fn engine(folder: &ShardFolder) -> Result<Arc<dyn Store>, OpenError> {
    let path = folder.engine_path();
    let opened = Guarded::open(&path, || {
        RedbStore::open(&path, &RedbOptions::default()).map(Filtered::over)
    })?;
    Ok(Arc::new(opened))
}

fn open(folder: &ShardFolder) -> Result<(Shard, Recovery), OpenError> {
    folder.prepare()?;
    let options = ShardOptions::new(IDENTITY, folder.journal_dir());
    Shard::open(options, engine(folder)?, Box::new(|_| {}))
}

/// Makes a shard with `RECORDS` records in its engine, and one in its journal alone.
fn filled(root: &Path) -> ShardFolder {
    let folder = ShardFolder::new(root, 3);
    let (mut shard, _) = open(&folder).unwrap();
    for number in 0..RECORDS {
        let name = number.to_string();
        shard.apply(number, key(&name), record(number + 1, 1, 200), Durability::Synced).unwrap();
    }
    shard.close().unwrap();
    let (mut shard, _) = open(&folder).unwrap();
    shard.apply(1, key("late"), record(7, 1, 10), Durability::Synced).unwrap();
    shard.submit();
    drop(shard);
    folder
}

/// Breaks every page of records that holds `text`, in one byte. Returns the number of pages.
fn break_page(path: &Path, text: &[u8]) -> usize {
    let mut bytes = fs::read(path).unwrap();
    let mut broken = 0;
    for page in bytes.chunks_mut(4096).filter(|page| page[0] == 1) {
        if page.windows(text.len()).any(|window| window == text) {
            page[0] = 9;
            broken += 1;
        }
    }
    fs::write(path, bytes).unwrap();
    broken
}

#[test]
fn a_shard_with_a_broken_page_is_set_aside_and_all_other_records_are_in_the_one_in_its_place() {
    let root = tempfile::tempdir().unwrap();
    let folder = filled(root.path());
    assert!(break_page(&folder.engine_path(), b"1234") > 0);
    let (shard, _) = open(&folder).unwrap();
    assert!(!shard.has_lost_past());
    let error = shard.load(&key("1234")).unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert!(shard.failure().is_some_and(|failure| failure.is_damage()));
    assert!(shard.load(&key("1")).unwrap_err().is_damage(), "the engine is not asked again");
    drop(shard);

    let aside = folder.rebuild(&error.to_string(), 77).unwrap();
    assert!(aside.records > RECORDS - 100 && aside.records < RECORDS, "{aside:?}");
    assert!(aside.path.ends_with("set-aside/shard-3-77"), "{aside:?}");
    let said = fs::read_to_string(aside.path.join("README.txt")).unwrap();
    assert!(said.contains("does not have the bytes"), "{said}");
    assert!(aside.path.join("records.redb").exists());

    for _ in 0..2 {
        let (shard, _) = open(&folder).unwrap();
        assert!(shard.has_lost_past(), "also at the next start");
        assert!(shard.load(&key("1234")).unwrap().is_none());
        assert!(shard.load(&key("late")).unwrap().is_some());
        let there = (0..RECORDS).filter(|n| shard.load(&key(&n.to_string())).unwrap().is_some());
        assert_eq!(there.count() as u64 + 1, aside.records, "and the one of the journal");
    }
    let (shard, _) = open(&folder).unwrap();
    shard.keep("votes", b"none of it".to_vec()).unwrap();
    drop(shard);
    assert!(!open(&folder).unwrap().0.has_lost_past());
}

#[test]
fn what_was_kept_over_a_clean_stop_does_not_speak_for_the_shard_that_takes_the_place_of_a_damaged_one()
 {
    let root = tempfile::tempdir().unwrap();
    let folder = filled(root.path());
    let (shard, _) = open(&folder).unwrap();
    shard.keep("votes", b"none of it".to_vec()).unwrap();
    shard.close_with(&[("trees", b"of all records")]).unwrap();
    assert!(break_page(&folder.engine_path(), b"1234") > 0);
    folder.rebuild("it is damaged", 77).unwrap();
    let (mut shard, _) = open(&folder).unwrap();
    assert!(shard.load(&key("1234")).unwrap().is_none());
    assert_eq!(shard.take_metadata("trees").unwrap(), None, "they would hide what is missing");
    assert_eq!(shard.kept("votes").unwrap().as_deref(), Some(&b"none of it"[..]));
}

#[test]
fn a_file_that_is_none_any_more_costs_its_records_and_not_the_journal() {
    let root = tempfile::tempdir().unwrap();
    let folder = filled(root.path());
    fs::write(folder.engine_path(), vec![0x5a; 100_000]).unwrap();
    let error = open(&folder).map(drop).unwrap_err();
    assert!(error.is_damage(), "{error}");
    let aside = folder.rebuild(&error.to_string(), 77).unwrap();
    assert_eq!(aside.records, 0);
    let (shard, _) = open(&folder).unwrap();
    assert!(shard.has_lost_past() && shard.load(&key("late")).unwrap().is_some());
}

#[test]
fn setting_aside_goes_on_wherever_it_was_cut_short() {
    let root = tempfile::tempdir().unwrap();
    let folder = filled(root.path());
    let (old, new) = (root.path().join("shard-3"), root.path().join("shard-3.new"));
    // The new one was not complete.
    fs::create_dir(&new).unwrap();
    fs::write(new.join("records.redb"), b"half").unwrap();
    assert!(!open(&folder).unwrap().0.has_lost_past(), "the old one is still in its place");
    assert!(!new.exists());
    // The journal had been moved, the old one not.
    let full = |path: &Path| {
        let options = RedbOptions::default();
        let engine = RedbStore::open(&path.join("records.redb"), &options).unwrap();
        let metadata = vec![crate::mark::lost_past()];
        engine.write(&crate::Writes { metadata, ..crate::Writes::default() }).unwrap();
    };
    fs::create_dir(&new).unwrap();
    full(&new);
    fs::rename(old.join("journal"), new.join("journal")).unwrap();
    let (shard, _) = open(&folder).unwrap();
    assert!(shard.has_lost_past() && shard.load(&key("0")).unwrap().is_none());
    drop(shard);
    // The old one had been moved, the new one not.
    fs::rename(&old, &new).unwrap();
    assert!(open(&folder).unwrap().0.has_lost_past());
    assert!(old.exists() && !new.exists());
}
