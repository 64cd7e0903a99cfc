//! Processes that are killed while they write and merge: what they had written is there, and each batch as a whole.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use jedlik_hashing::NodeId;

use super::open;
use crate::fixtures::{hint, key_of, record};
use crate::tests::memory_folder;
use crate::{HintWrite, Store, Writes};

const FOLDER: &str = "JEDLIK_TEST_LSM_FOLDER";
const KEYS: u64 = 24;

/// Returns the batch of a number: each of its records and its hint say the number.
pub(super) fn batch(number: u64) -> Writes {
    let value_bytes = |key: u64| if key.is_multiple_of(3) { 6_000 } else { 100 };
    let records = (0..KEYS).map(|key| {
        // Some are removed each time, other ones at the next.
        let stored = (key % 8 != number % 8).then(|| record(number, 1, value_bytes(key)));
        (key_of((key / 8) as u32, key.into(), "k"), stored)
    });
    let held = hint(9, number, "held");
    Writes {
        records: records.collect(),
        hints: vec![HintWrite::from(held)],
        metadata: vec![("number".into(), Some(number.to_le_bytes().to_vec()))],
    }
}

pub(super) fn number_in(store: &dyn Store) -> u64 {
    let number = store.metadata("number").unwrap();
    number.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// Writes batch after batch, and says the number of each that was written, until it is killed.
fn write_on(path: &Path) {
    let store = open(path);
    for number in number_in(&store) + 1.. {
        store.write(&batch(number)).unwrap();
        println!("wrote {number}");
        std::io::stdout().flush().unwrap();
    }
}

pub(super) fn assert_whole(store: &dyn Store, number: u64) {
    let Writes { records, hints, .. } = batch(number);
    for (key, expected) in &records {
        assert_eq!(store.load(key).unwrap(), *expected, "batch {number}");
    }
    let held = store.load_hint(NodeId(9), &hints[0].key).unwrap().unwrap();
    assert_eq!(held.into_hint(NodeId(9)), hints[0].hint);
    assert_eq!(store.hints(NodeId(9), None, 9, 1 << 20).unwrap().rows.len(), 1);
    let kept = records.iter().filter(|(_, record)| record.is_some()).count();
    assert_eq!(store.record_count().unwrap(), kept as u64);
}

/// Runs this very test in a process of its own, kills it after a while, and returns the last number that it said.
fn kill_a_writer(path: &Path, after: Duration) -> Option<u64> {
    let mut this = Command::new(env::current_exe().unwrap());
    this.args(["--exact", "--nocapture"]).arg(TEST).env(FOLDER, path);
    let mut child = this.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (say, said) = channel();
    let reader = thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let number = line.strip_prefix("wrote ").and_then(|number| number.parse().ok());
            number.map(|number: u64| say.send(number));
        }
    });
    let (until, mut last) = (Instant::now() + after, None);
    let left = || until.saturating_duration_since(Instant::now());
    while let Ok(number) = said.recv_timeout(left()) {
        last = Some(number);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    said.try_iter().last().or(last)
}

const TEST: &str = "lsm_store::tests::crashes::a_killed_process_leaves_every_batch_that_it_wrote_and_each_as_a_whole";

#[test]
fn a_killed_process_leaves_every_batch_that_it_wrote_and_each_as_a_whole() {
    if let Some(folder) = env::var_os(FOLDER) {
        write_on(&PathBuf::from(folder));
        return;
    }
    let root = memory_folder();
    let path = root.path().join("records.lsm");
    let mut written = 0;
    for round in 0..24 {
        // Another moment each time, among them such in the middle of an opening.
        let said = kill_a_writer(&path, Duration::from_millis(40 + round * 17));
        written = said.unwrap_or(written).max(written);
        if written == 0 && !path.exists() {
            continue;
        }
        let store = open(&path);
        let found = number_in(&store);
        assert!((written..=written + 1).contains(&found), "{found}, {written} was said");
        if found > 0 {
            assert_whole(&store, found);
        }
        written = found;
    }
    assert!(written > 20, "{written} batches are few");
}

#[test]
fn an_engine_that_is_opened_again_and_again_keeps_what_it_has() {
    let root = memory_folder();
    let path = root.path().join("records.lsm");
    for number in 1..=100 {
        let store = open(&path);
        assert_eq!(number_in(&store), number - 1);
        store.write(&batch(number)).unwrap();
        assert_whole(&store, number);
        drop(store);
    }
    assert_whole(&open(&path), 100);
}

#[test]
fn a_write_that_fails_leaves_nothing_behind_and_the_next_one_succeeds() {
    let root = memory_folder();
    let path = root.path().join("records.lsm");
    let store = open(&path);
    store.write(&batch(1)).unwrap();
    // The files of values can't be made where a file has taken their folder's place.
    let (values, away) = (path.join("blobs"), path.join("away"));
    fs::rename(&values, &away).unwrap();
    File::create(&values).unwrap();
    store.write(&batch(2)).unwrap_err();
    fs::remove_file(&values).unwrap();
    fs::rename(&away, &values).unwrap();
    store.write(&batch(2)).unwrap();
    assert_whole(&store, 2);
}
