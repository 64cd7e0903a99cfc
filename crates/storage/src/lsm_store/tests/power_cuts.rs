//! Power cuts: of what a process did to its files, only what it has synced is sure to be left, and that suffices.
//!
//! The process is recorded by Debian's `strace`, which `cargo xtask test` installs; in CI it must be there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::crashes::{assert_whole, batch, number_in};
use super::recorded::{Files, record};
use super::{open, options};
use crate::tests::memory_folder;
use crate::{LsmStore, Store};

const FOLDER: &str = "JEDLIK_TEST_POWER_FOLDER";
const TEST: &str =
    "lsm_store::tests::power_cuts::a_power_cut_at_any_moment_leaves_every_batch_that_was_written";
/// Number of batches: enough for several merges, and for values to be written again.
const BATCHES: u64 = 70;
/// Number of moments that are tried, about.
const MOMENTS: usize = 150;

/// Writes batch after batch, and says the number of each that was written; the engine is opened again now and then.
fn write_some(path: &Path) {
    for first in (1..=BATCHES).step_by(20) {
        let store = open(path);
        for number in first..(first + 20).min(BATCHES + 1) {
            store.write(&batch(number)).unwrap();
            println!("wrote {number}");
        }
        let rests = || store.engine.with("", |opened| Ok(opened.waiting_runs())).unwrap() < 8;
        assert!(store.engine.pace.wait_for(Duration::from_secs(60), rests));
    }
}

/// Returns a chance of one half, by a seed.
fn coin(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40 & 1 == 1
    }
}

#[test]
fn a_power_cut_at_any_moment_leaves_every_batch_that_was_written() {
    if let Some(folder) = env::var_os(FOLDER) {
        write_some(&PathBuf::from(folder).join("records.lsm"));
        return;
    }
    let (root, trace) = (memory_folder(), memory_folder());
    let mut this = Command::new(env::current_exe().unwrap());
    this.args(["--exact", "--nocapture", TEST]).env(FOLDER, root.path());
    let Some(calls) = record(&this, &trace.path().join("calls")) else { return };
    let mut files = Files::of(root.path());
    let all = calls.iter().filter(|call| files.apply(call)).count();
    let every = all.div_ceil(MOMENTS);
    let mut files = Files::of(root.path());
    let (mut moments, mut said, mut tried) = (0, 0, 0);
    for call in &calls {
        said = call.printed().and_then(|text| number_said(&text)).unwrap_or(said);
        if !files.apply(call) {
            continue;
        }
        moments += 1;
        if moments % every != 0 && said > 3 {
            continue;
        }
        tried += 1;
        // Once nothing is left but what has to be, once anything may be.
        assert_left(&files, said, &mut || false);
        assert_left(&files, said, &mut coin(moments as u64));
    }
    assert_eq!(said, BATCHES);
    assert!(tried >= MOMENTS / 2, "{tried} of {moments} moments");
}

fn number_said(text: &str) -> Option<u64> {
    text.strip_prefix("wrote ")?.trim().parse().ok()
}

/// Asserts that a power cut leaves what was said to be written, and an engine that can be written to.
fn assert_left(files: &Files, said: u64, keeps: &mut impl FnMut() -> bool) {
    let left = memory_folder();
    files.leave(left.path(), keeps);
    let path = left.path().join("records.lsm");
    if said == 0 && !path.exists() {
        return;
    }
    let store = LsmStore::open(&path, &options()).unwrap_or_else(|error| panic!("{said}: {error}"));
    let found = number_in(&store);
    assert!((said..=said + 1).contains(&found), "{found}, {said} was said");
    if found > 0 {
        assert_whole(&store, found);
    }
    store.write(&batch(found + 1)).unwrap();
    assert_whole(&store, found + 1);
}
