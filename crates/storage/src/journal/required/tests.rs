//! Journals cut, removed, replaced and damaged, where it is known how far their shard had come.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use jedlik_protocol::Durability;

use crate::faulty::{FaultyDisk, Machine};
use crate::fixtures::{IDENTITY, key, record};
use crate::journal::replay::{Recovery, Sink, replay};
use crate::{
    Disk, MemoryStore, OpenError, Shard, ShardOptions, ShardProgress, Store, Writes, mark,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a journal of so many synced frames, and returns what the shard said of its progress after `noted` of them.
fn journal_of(frames: u64, noted: u64) -> (FaultyDisk, ShardProgress) {
    let disk = FaultyDisk::new(&Machine::new(1));
    let (sender, completions) = channel();
    let completed = Box::new(move |done| drop(sender.send(done)));
    let options = ShardOptions::new(IDENTITY, "/faulty".into());
    let engine = Arc::new(MemoryStore::new());
    let (mut shard, _) =
        Shard::open_on(Box::new(disk.clone()), options, engine, completed).unwrap();
    let watch = shard.progress();
    let mut reached = watch.now();
    for i in 1..=frames {
        shard.apply(i, key(&i.to_string()), record(i, 1, 50), Durability::Synced).unwrap();
        shard.submit();
        completions.recv_timeout(PATIENCE).expect("an answer");
        // The journal's thread says so once it has answered.
        while watch.now().synced_through < i {
            std::thread::yield_now();
        }
        if i == noted {
            reached = watch.now();
        }
    }
    (disk, reached)
}

fn read(
    disk: &FaultyDisk,
    engine: &Arc<dyn Store>,
    reached: &ShardProgress,
) -> Result<Recovery, OpenError> {
    let into = Sink::Engine { batch_bytes: 1 << 20, free_bytes: u64::MAX };
    replay(disk, IDENTITY, engine, (into, Some(reached))).map(|replayed| replayed.recovery)
}

fn empty() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// Returns why the journal is refused; `None` if it is not.
fn refusal(disk: &FaultyDisk, reached: &ShardProgress) -> Option<String> {
    match read(disk, &empty(), reached) {
        Ok(_) => None,
        Err(OpenError::Behind { what, .. }) => Some(what),
        Err(error) => panic!("{error}"),
    }
}

fn only_segment(disk: &FaultyDisk) -> (String, Vec<u8>) {
    let names = disk.names();
    assert_eq!(names.len(), 1);
    (names[0].clone(), disk.bytes(&names[0]))
}

#[test]
fn a_journal_cut_before_what_was_synced_is_refused_and_after_it_is_torn() {
    let (disk, reached) = journal_of(4, 3);
    let (name, bytes) = only_segment(&disk);
    let noted_bytes = reached.segments[0].length_bytes as usize;
    assert!(noted_bytes < bytes.len());
    for end in 0..=bytes.len() {
        disk.put(&name, bytes[..end].to_vec());
        let refused = refusal(&disk, &reached);
        assert_eq!(refused.is_some(), end < noted_bytes, "cut to {end} bytes: {refused:?}");
        if end >= noted_bytes {
            let engine = empty();
            let recovery = read(&disk, &engine, &reached).unwrap();
            assert_eq!(recovery.damaged, [], "cut to {end} bytes");
            assert_eq!(recovery.records, if end == bytes.len() { 4 } else { 3 });
            assert!(!mark::has_lost_past(&*engine).unwrap());
        }
    }
}

#[test]
fn a_segment_that_is_gone_or_of_another_journal_is_refused() {
    let (disk, reached) = journal_of(3, 3);
    let (name, _) = only_segment(&disk);
    let (other, elsewhere) = journal_of(5, 5);
    assert!(refusal(&other, &elsewhere).is_none());
    let what = refusal(&other, &reached).expect("its salt is another one");
    assert!(what.contains("another one"), "{what}");
    disk.remove(&name).unwrap();
    let what = refusal(&disk, &reached).expect("it is gone");
    assert!(what.contains(&name) && what.contains("gone"), "{what}");
}

#[test]
fn what_was_synced_and_can_not_be_read_is_damage_wherever_it_is() {
    let (disk, reached) = journal_of(4, 3);
    let (name, bytes) = only_segment(&disk);
    let noted_bytes = reached.segments[0].length_bytes as usize;
    let frame_bytes = bytes.len() - noted_bytes;
    for at in noted_bytes - frame_bytes..bytes.len() {
        disk.put(&name, bytes.clone());
        disk.edit(&name, |bytes| bytes[at] ^= 0x10);
        // Without the last frame, which says as well what was synced.
        disk.edit(&name, |bytes| bytes.truncate(noted_bytes.max(at + 1)));
        let engine = empty();
        let recovery = read(&disk, &engine, &reached).unwrap();
        let is_damage = at < noted_bytes;
        assert_eq!(recovery.damaged.len(), usize::from(is_damage), "byte {at}");
        assert_eq!(mark::has_lost_past(&*engine).unwrap(), is_damage, "byte {at}");
    }
}

#[test]
fn an_engine_that_holds_less_than_it_did_is_refused_and_one_that_holds_all_needs_no_journal() {
    let (disk, mut reached) = journal_of(3, 3);
    let generation = reached.segments[0].generation;
    let holds = |generation| {
        let engine = empty();
        let metadata = vec![mark::reached(generation)];
        engine.write(&Writes { metadata, ..Writes::default() }).unwrap();
        engine
    };
    let (name, _) = only_segment(&disk);
    disk.remove(&name).unwrap();
    let recovery = read(&disk, &holds(generation), &reached).expect("the engine holds it");
    assert_eq!((recovery.records, recovery.damaged.len()), (0, 0));
    reached.engine = Some(generation + 1);
    let error = read(&disk, &holds(generation), &reached).expect_err("it held more");
    assert!(matches!(error, OpenError::Behind { .. }), "{error}");
}
