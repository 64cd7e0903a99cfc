//! Engines that end their process: in a process of their own, which is this program again.

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::panic;
use std::path::Path;
use std::process::{Command, ExitStatus};

use jedlik_protocol::PlacedKey;

use crate::fixtures::{key, put, record};
use crate::{
    Guarded, OpenError, RedbOptions, RedbStore, ShardFolder, Store, StoreError, engine_at_work,
    note_engine_panic,
};

/// Environment variable that names the part of an engine's life which ends the process.
const PART: &str = "JEDLIK_ENGINE_ENDS_IN";
const FOLDER: &str = "JEDLIK_ENGINE_FOLDER";
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;

type Engine = Guarded<RedbStore>;

fn open(folder: &ShardFolder) -> Result<Engine, OpenError> {
    let path = folder.engine_path();
    Guarded::open(&path, || RedbStore::open(&path, &RedbOptions::default()))
}

fn filled(root: &Path) -> (ShardFolder, PlacedKey) {
    let folder = ShardFolder::new(root, 0);
    folder.prepare().unwrap();
    put(&open(&folder).unwrap(), &[(key("kept"), record(1, 1, 100))]).unwrap();
    (folder, key("kept"))
}

/// Value whose destructor, run because of a panic, panics itself.
struct Cursor;

impl Drop for Cursor {
    fn drop(&mut self) {
        panic!("it is of an unknown kind again");
    }
}

fn end_in_a_destructor() {
    let _cursor = Cursor;
    panic!("a page of an unknown kind");
}

/// Lives one part of an engine's life, in the process that a test has started for it; most parts end that process.
fn live(part: &str, root: &Path) {
    panic::set_hook(Box::new(|panic| {
        if engine_at_work() {
            note_engine_panic(&panic.to_string());
        }
    }));
    let folder = ShardFolder::new(root, 0);
    let path = folder.engine_path();
    let opened = || RedbStore::open(&path, &RedbOptions::default());
    match part {
        "open" => {
            let _ended: Result<Engine, _> = Guarded::open(&path, || {
                end_in_a_destructor();
                opened()
            });
        }
        "killed" => {
            let _ended: Result<Engine, _> = Guarded::open(&path, || {
                let me = std::process::id().to_string();
                Command::new("kill").args(["-KILL", &me]).status().unwrap();
                loop {
                    std::thread::park();
                }
            });
        }
        "call" => {
            let engine = Guarded::open(&path, opened).unwrap();
            put(&engine, &[(key("late"), record(2, 1, 100))]).unwrap();
            let call = |_: &RedbStore| -> Result<(), StoreError> {
                end_in_a_destructor();
                Ok(())
            };
            let _ended = engine.call("writing a batch of records", call);
        }
        "caught" => {
            let engine = Guarded::open(&path, opened).unwrap();
            // From now on nothing else takes the note away.
            put(&engine, &[(key("late"), record(2, 1, 100))]).unwrap();
            let call = |_: &RedbStore| -> Result<(), StoreError> { panic!("one panic alone") };
            assert!(engine.call("reading a record", call).is_err());
        }
        "reading out" => {
            let note = std::sync::Arc::new(super::FaultNote::of_reading_out(&path));
            note.begin();
            note.during(|| {
                let _caught = crate::guarded::guarded(|| panic!("one row"));
                let _ended = crate::guarded::guarded(end_in_a_destructor);
            });
        }
        other => panic!("no such part: {other}"),
    }
}

/// Runs the test `test` of this file once more, as a process that plays `part` and nothing else.
fn run(test: &str, part: &str, root: &Path) -> ExitStatus {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("fault_note::tests::{test}")]);
    command.env(PART, part).env(FOLDER, root).output().unwrap().status
}

/// Plays the part that this process was started for. Returns false if it is the one that runs tests.
fn plays_a_part() -> bool {
    let (Ok(part), Some(root)) = (env::var(PART), env::var_os(FOLDER)) else { return false };
    live(&part, Path::new(&root));
    true
}

fn condemned(folder: &ShardFolder) -> Option<String> {
    match open(folder) {
        Ok(_) => None,
        Err(error) => {
            assert!(error.is_damage(), "{error}");
            Some(error.to_string())
        }
    }
}

#[test]
fn an_engine_that_has_ended_its_process_is_not_opened_again_and_is_set_aside_with_all_it_holds() {
    if plays_a_part() {
        return;
    }
    let this = "an_engine_that_has_ended_its_process_is_not_opened_again_and_is_set_aside_with_all_it_holds";
    for part in ["open", "call"] {
        let root = tempfile::tempdir().unwrap();
        let (folder, kept) = filled(root.path());
        assert_eq!(run(this, part, root.path()).signal(), Some(SIGABRT), "{part}");
        let why = condemned(&folder).unwrap_or_else(|| panic!("{part}: it is opened again"));
        assert!(why.contains("a page of an unknown kind"), "{part}: {why}");
        let aside = folder.rebuild(&why, 1).unwrap();
        assert!(aside.path.join("records.fault").exists(), "for inspection");
        let next = open(&folder).unwrap();
        assert!(next.load(&kept).unwrap().is_some(), "{part}: what could be read is there");
        drop(next);
        assert_eq!(condemned(&folder), None, "{part}");
    }
}

#[test]
fn a_panic_that_is_caught_is_held_against_nobody_at_the_next_start() {
    if plays_a_part() {
        return;
    }
    let this = "a_panic_that_is_caught_is_held_against_nobody_at_the_next_start";
    let root = tempfile::tempdir().unwrap();
    let (folder, kept) = filled(root.path());
    assert!(run(this, "caught", root.path()).success());
    let engine = open(&folder).unwrap();
    assert!(engine.load(&kept).unwrap().is_some());
}

#[test]
fn kills_while_an_engine_is_opened_count_only_if_nothing_else_happens_for_some_starts() {
    if plays_a_part() {
        return;
    }
    let this = "kills_while_an_engine_is_opened_count_only_if_nothing_else_happens_for_some_starts";
    let root = tempfile::tempdir().unwrap();
    let (folder, _) = filled(root.path());
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(run(this, "killed", root.path()).signal(), Some(SIGKILL));
        }
        let engine = open(&folder).unwrap();
        put(&engine, &[(key("late"), record(2, 1, 100))]).unwrap();
        let note = folder.engine_path().with_extension("fault");
        assert!(!note.exists(), "a write that has returned is enough");
        drop(engine);
    }
    for _ in 0..3 {
        assert_eq!(run(this, "killed", root.path()).signal(), Some(SIGKILL));
    }
    let why = condemned(&folder).expect("somebody looks into that");
    assert!(why.contains("3 processes in a row"), "{why}");
}

#[test]
fn a_file_that_ends_the_process_while_it_is_read_out_is_set_aside_without_being_read() {
    if plays_a_part() {
        return;
    }
    let this = "a_file_that_ends_the_process_while_it_is_read_out_is_set_aside_without_being_read";
    let root = tempfile::tempdir().unwrap();
    let (folder, kept) = filled(root.path());
    assert_eq!(run(this, "reading out", root.path()).signal(), Some(SIGABRT));
    let aside = folder.rebuild("it is damaged", 1).unwrap();
    assert_eq!(aside.records, 0);
    assert!(aside.path.join("records.redb").exists());
    assert!(open(&folder).unwrap().load(&kept).unwrap().is_none(), "others give it back");
    // One that can be read leaves no trace.
    let (folder, kept) = filled(&root.path().join("other"));
    folder.rebuild("it is damaged", 1).unwrap();
    assert!(open(&folder).unwrap().load(&kept).unwrap().is_some());
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "records.unreadable"), "{left:?}");
}
