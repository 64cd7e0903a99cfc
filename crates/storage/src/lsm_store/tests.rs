//! The log-structured engine against a model, killed processes, power cuts, disks without room, and files that rot.

use std::fs;
use std::path::Path;

use jedlik_storage_port::Hint;

use crate::fixtures::{hint, key_of, record};
use crate::{LsmOptions, LsmStore};

mod crashes;
mod folders;
mod full_disk;
mod merges;
mod model;
mod power_cuts;
mod recorded;
mod rot;

/// Returns options by which values that nobody needs are soon too many.
fn options() -> LsmOptions {
    LsmOptions { cache_bytes: 1 << 20, garbage_bytes: 64 << 10 }
}

fn open(path: &Path) -> LsmStore {
    LsmStore::open(path, &options()).unwrap()
}

/// Returns a hint at a place of the test's choice, whose value lies apart if it is large.
fn hint_of(target: u64, since_ms: u64, partition: u32, position: u128, value_bytes: usize) -> Hint {
    let key = key_of(partition, position, "k");
    Hint { key, record: record(since_ms + 1, 1, value_bytes), ..hint(target, since_ms, "k") }
}

/// Returns the paths of all files in a folder and below it.
fn files_of(path: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_of(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}
