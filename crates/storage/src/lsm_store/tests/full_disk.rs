//! Disks without room, and syncs that fail. For lack of room a write changes nothing, and costs neither the engine nor
//! what was written before; a disk that reports errors costs the engine, which is damaged from then on.
//!
//! The disk is a small file system in memory, which `unshare` mounts for one process alone. Root may do that anywhere,
//! others where the system lets them; in CI it must work.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::crashes::{assert_whole, batch, number_in};
use super::recorded::{is_here, started_by};
use super::{open, options};
use crate::tests::memory_folder;
use crate::{LsmStore, Store, StoreError};

const FOLDER: &str = "JEDLIK_TEST_FULL_FOLDER";
const FULL: &str = "lsm_store::tests::full_disk::a_disk_that_is_full_at_any_step_of_a_write_costs_that_write_alone";
const FAILING: &str = "lsm_store::tests::full_disk::a_sync_that_fails_at_any_step_of_a_write_takes_back_nothing_that_was_written";
/// Shell script that mounts a disk of 8 MiB at its first argument, and becomes the program after it.
const ON_SMALL_DISK: &str = "mount -t tmpfs -o size=8m tmpfs \"$1\" || exit 1; shift; exec \"$@\"";
const PAGE_BYTES: usize = 4 << 10;
/// Number of pages that a write may take: one more each time.
const ROOM_PAGES: usize = 60;

/// Returns the command that runs one of these tests again, in a process of its own.
fn this(test: &str, folder: &Path) -> Command {
    let mut this = Command::new(env::current_exe().unwrap());
    this.args(["--exact", "--nocapture", test]).env(FOLDER, folder);
    this
}

/// Returns a command that runs a program on a small disk at `folder`; `None` where nobody may mount one.
fn on_small_disk(program: &Command, folder: &Path) -> Option<Command> {
    let unshared = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_SMALL_DISK, "sh"]);
        command.arg(folder);
        command
    };
    let mounts = unshared().arg("true").status().is_ok_and(|status| status.success());
    assert!(mounts || env::var_os("CI").is_none(), "no small disk can be mounted");
    if !mounts {
        eprintln!("skipped: no small disk can be mounted");
    }
    mounts.then(|| started_by(unshared(), program))
}

/// Fills the disk up to so many pages.
fn fill(path: &Path, left_pages: usize) {
    let mut filler = File::create(path).unwrap();
    let page = [0; PAGE_BYTES];
    while filler.write_all(&page).is_ok() {}
    let length = filler.metadata().unwrap().len();
    filler.set_len(length - (left_pages * PAGE_BYTES) as u64).unwrap();
}

#[test]
fn a_disk_that_is_full_at_any_step_of_a_write_costs_that_write_alone() {
    let Some(folder) = env::var_os(FOLDER) else {
        let folder = memory_folder();
        let Some(mut child) = on_small_disk(&this(FULL, folder.path()), folder.path()) else {
            return;
        };
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("both kinds"), "{said}");
        return;
    };
    let folder = PathBuf::from(folder);
    let (path, filler) = (folder.join("records.lsm"), folder.join("filler"));
    let mut store = open(&path);
    let (mut number, mut refused) = (0, 0);
    for left_pages in 0..ROOM_PAGES {
        fill(&filler, left_pages);
        match store.write(&batch(number + 1)) {
            Ok(()) => number += 1,
            Err(error) => {
                assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
                refused += 1;
            }
        }
        // What is there can be read from a full disk, now and by the next process.
        assert_eq!(number_in(&store), number);
        if left_pages % 7 == 0 {
            drop(store);
            store = LsmStore::open(&path, &options()).unwrap();
        }
        if number > 0 {
            assert_whole(&store, number);
        }
        fs::remove_file(&filler).unwrap();
        number += 1;
        store.write(&batch(number)).unwrap();
        assert_whole(&store, number);
    }
    assert!(refused > 5 && refused < ROOM_PAGES, "{refused} of {ROOM_PAGES}");
    println!("both kinds");
}

#[test]
fn a_sync_that_fails_at_any_step_of_a_write_takes_back_nothing_that_was_written() {
    if let Some(folder) = env::var_os(FOLDER) {
        let store = open(&PathBuf::from(folder).join("records.lsm"));
        for number in 1..=4 {
            while let Err(error) = store.write(&batch(number)) {
                assert!(!matches!(error, StoreError::DiskFull { .. }), "{error}");
                println!("could not write {number}: {error}");
                if error.is_damage() {
                    return;
                }
                // Nothing of it is there, or all of it.
                assert!((number - 1..=number).contains(&number_in(&store)));
            }
            assert_whole(&store, number);
            println!("wrote {number}");
        }
        return;
    }
    if !is_here() {
        return;
    }
    let mut failed = 0;
    for sync in 1..200 {
        let folder = memory_folder();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e"]);
        strace.arg(format!("inject=fsync,fdatasync:error=EIO:when={sync}"));
        let output = started_by(strace, &this(FAILING, folder.path())).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let wrote = (1..=4).rev().find(|number| said.contains(&format!("wrote {number}")));
        if wrote.is_some() {
            let store = open(&folder.path().join("records.lsm"));
            let found = number_in(&store);
            assert!(wrote.is_some_and(|wrote| (wrote..=wrote + 1).contains(&found)), "{said}");
            assert_whole(&store, found);
        }
        failed += usize::from(said.contains("could not write"));
        if output.status.success() && !said.contains("could not write") && failed > 0 {
            break;
        }
    }
    assert!(failed > 15, "{failed} syncs");
}
