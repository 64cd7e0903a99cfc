//! An engine that panics, and one whose disk fails.

use std::cell::Cell;
use std::io;
use std::path::Path;

use crate::fixtures::key;
use crate::{
    Guarded, MemoryStore, OpenError, RedbOptions, RedbStore, Store, StoreError, engine_at_work,
};

#[test]
fn a_panic_of_an_engine_is_damage_and_the_engine_is_not_called_again() {
    let store =
        Guarded::open(Path::new("/engine"), || Ok(MemoryStore::new())).expect("it can be opened");
    let calls = Cell::new(0);
    let call = || {
        store.call("reading a record", |_| -> Result<(), StoreError> {
            assert!(engine_at_work());
            calls.set(calls.get() + 1);
            unreachable!("a page of an unknown kind")
        })
    };
    for _ in 0..3 {
        let error = call().unwrap_err();
        assert!(error.is_damage() && error.ends_shard(), "{error}");
        assert!(error.to_string().contains("a page of an unknown kind"), "{error}");
    }
    assert_eq!(calls.get(), 1);
    assert!(!engine_at_work());
    assert!(store.load(&key("a")).unwrap_err().is_damage(), "so says every call");
    assert!(store.damage().is_some());
}

#[test]
fn a_disk_that_can_not_read_is_damage_and_one_that_is_full_is_not() {
    let failing = |error: fn() -> io::Error| {
        let store = Guarded::open(Path::new("/engine"), || Ok(MemoryStore::new()));
        let store = store.expect("it can be opened");
        let failed =
            store.call("reading", |_| -> Result<(), _> { Err(StoreError::io("reading", error())) });
        (failed.unwrap_err().is_damage(), store.load(&key("a")).is_err())
    };
    assert_eq!(failing(|| io::Error::from_raw_os_error(5)), (true, true), "EIO");
    assert_eq!(failing(|| io::ErrorKind::UnexpectedEof.into()), (true, true), "cut short");
    assert_eq!(failing(|| io::ErrorKind::StorageFull.into()), (false, false));
    assert_eq!(failing(|| io::ErrorKind::ReadOnlyFilesystem.into()), (false, false));
}

#[test]
fn a_panic_while_an_engine_is_opened_is_damage() {
    let open = || -> Result<MemoryStore, OpenError> { panic!("no such table") };
    let error = Guarded::open(Path::new("/engine"), open).expect_err("it panicked");
    assert!(error.is_damage() && error.to_string().contains("no such table"), "{error}");
}

#[test]
fn an_engine_that_is_well_is_closed_when_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.redb");
    let open = || Guarded::open(&path, || RedbStore::open(&path, &RedbOptions::default()));
    drop(open().expect("it is made"));
    open().expect("redb lets go of its file when it is closed");
}
