//! Which folders, engines and journals a directory takes for its own, whatever was put back and wherever a start ended.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jedlik_hashing::PartitionCount;
use jedlik_protocol::{Durability, Incarnation};
use tempfile::tempdir;

use super::{MarkFound, in_engine};
use crate::fixtures::{IDENTITY, key, record};
use crate::{DataDir, Identity, RedbOptions, RedbStore, Shard, ShardIdentity, ShardOptions, Store};

const SHARDS: u16 = 2;

fn identity() -> Identity {
    Identity {
        cluster: IDENTITY.cluster,
        node: IDENTITY.node,
        shards: SHARDS,
        engine: "redb".into(),
        partitions: PartitionCount::DEFAULT,
    }
}

fn engine(path: &Path) -> Arc<dyn Store> {
    Arc::new(RedbStore::open(path, &RedbOptions::default()).unwrap())
}

fn open(directory: &DataDir, shard: u16) -> Shard {
    let folder = directory.shard_folder(shard);
    folder.prepare().unwrap();
    let identity = ShardIdentity { shard, ..IDENTITY };
    let options = ShardOptions::new(identity, folder.journal_dir());
    Shard::open(options, engine(&folder.engine_path()), Box::new(|_| {})).unwrap().0
}

/// Returns for each shard whether the directory takes it for its own.
fn expected(directory: &DataDir) -> Vec<bool> {
    let judge = |shard| {
        let folder = directory.shard_folder(shard);
        let path = folder.engine_path();
        let found = match path.exists() {
            true => in_engine(&*engine(&path)).unwrap(),
            false => MarkFound::Nothing,
        };
        directory.expects(shard, found, folder.journal_mark())
    };
    (0..SHARDS).map(judge).collect()
}

/// Step of a start after which it is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    Opened,
    FirstMarked,
    AllMarked,
    Noted,
    Written,
    FirstClosed,
    AllClosed,
    Stopped,
}

const ALL: [Until; 8] = [
    Until::Opened,
    Until::FirstMarked,
    Until::AllMarked,
    Until::Noted,
    Until::Written,
    Until::FirstClosed,
    Until::AllClosed,
    Until::Stopped,
];

/// Lives a life of the node, which ends at `until`. Returns what it takes for its own when it begins.
fn live(path: &Path, life: u64, until: Until) -> Vec<bool> {
    let mut directory = DataDir::open(path, &identity(), Incarnation(life)).unwrap();
    let taken = expected(&directory);
    let mut shards: Vec<Shard> = (0..SHARDS).map(|shard| open(&directory, shard)).collect();
    let mark = directory.life_mark();
    for (shard, step) in shards.iter_mut().zip([Until::FirstMarked, Until::AllMarked]) {
        if until >= step {
            shard.mark_life(mark).unwrap();
        }
    }
    if until >= Until::Noted {
        directory.note_life_marks(&[0, 1]).unwrap();
        directory.note_serving().unwrap();
    }
    if until >= Until::Written {
        for shard in &mut shards {
            shard.apply(1, key("k"), record(life, 1, 10), Durability::Synced).unwrap();
            shard.submit();
        }
    }
    for (shard, step) in shards.into_iter().zip([Until::FirstClosed, Until::AllClosed]) {
        if until >= step {
            shard.close().unwrap();
        }
    }
    if until == Until::Stopped {
        directory.mark_clean().unwrap();
    }
    taken
}

/// Copies a folder, and not by a program: until it has begun, a child process holds the locks of directories that other
/// tests have open.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

fn replace(with: &Path, at: &Path) {
    if at.is_dir() {
        fs::remove_dir_all(at).unwrap();
    } else {
        fs::remove_file(at).unwrap();
    }
    copy(with, at);
}

#[test]
fn a_start_that_ends_at_any_point_leaves_shards_that_the_next_one_takes_for_its_own() {
    let new = tempdir().unwrap();
    assert_eq!(live(&new.path().join("data"), 1, Until::Stopped), [true, true]);
    for first in ALL {
        for second in [Until::Opened, Until::FirstMarked, Until::Noted] {
            let place = tempdir().unwrap();
            copy(&new.path().join("data"), &place.path().join("data"));
            let place = place.path().join("data");
            assert_eq!(live(&place, 2, first), [true, true], "{first:?}");
            let taken = live(&place, 3, second);
            assert_eq!(taken, [true, true], "{first:?}, then {second:?}");
            let taken = live(&place, 4, Until::Opened);
            assert_eq!(taken, [true, true], "{first:?}, {second:?}, then another");
        }
    }
}

#[test]
fn a_start_that_is_given_up_and_any_number_that_are_killed_cost_no_shard() {
    let place = tempdir().unwrap();
    live(place.path(), 1, Until::Stopped);
    live(place.path(), 2, Until::AllMarked);
    for life in 3..38 {
        assert_eq!(live(place.path(), life, Until::Opened), [true, true], "life {life}");
        let given_up = DataDir::open(place.path(), &identity(), Incarnation(1000 + life)).unwrap();
        assert_eq!(expected(&given_up), [true, true], "life {life}");
        given_up.give_up().unwrap();
    }
    assert_eq!(live(place.path(), 60, Until::Opened), [true, true]);
}

/// Makes a directory and a copy of it from before its last life; returns both after that life's end.
fn aged(place: &Path, last: Until) -> (PathBuf, PathBuf) {
    let (data, before) = (place.join("data"), place.join("before"));
    fs::create_dir(&data).unwrap();
    live(&data, 1, Until::Stopped);
    live(&data, 2, Until::Stopped);
    copy(&data, &before);
    live(&data, 3, last);
    (data, before)
}

#[test]
fn every_part_that_was_put_back_is_known_and_costs_its_own_shard_alone() {
    const PARTS: [&str; 5] = [
        "node.toml",
        "shard-0/records.redb",
        "shard-0/journal",
        "shard-1/records.redb",
        "shard-1/journal",
    ];
    for last in [Until::Written, Until::Stopped] {
        let template = tempdir().unwrap();
        let (after, before) = aged(template.path(), last);
        for old in 0..1_u32 << PARTS.len() {
            let place = tempdir().unwrap();
            let data = place.path().join("data");
            copy(&after, &data);
            let is_old = |part: usize| old & 1 << part != 0;
            for (_, name) in PARTS.iter().enumerate().filter(|(part, _)| is_old(*part)) {
                replace(&before.join(name), &data.join(name));
            }
            let directory = DataDir::open(&data, &identity(), Incarnation(4)).unwrap();
            // A shard is the directory's own where all three are of one time.
            let own = |shard: usize| {
                is_old(0) == is_old(1 + 2 * shard) && is_old(0) == is_old(2 + 2 * shard)
            };
            assert_eq!(expected(&directory), [own(0), own(1)], "{last:?}, old parts {old:05b}");
        }
    }
}

#[test]
fn a_copy_taken_in_the_last_life_itself_is_known_once_that_has_stopped_cleanly() {
    let place = tempdir().unwrap();
    let (data, during) = (place.path().join("data"), place.path().join("during"));
    fs::create_dir(&data).unwrap();
    live(&data, 1, Until::Written);
    copy(&data.join("shard-0"), &during);
    let mut directory = DataDir::open(&data, &identity(), Incarnation(2)).unwrap();
    let mut shards: Vec<Shard> = (0..SHARDS).map(|shard| open(&directory, shard)).collect();
    let mark = directory.life_mark();
    shards.iter_mut().for_each(|shard| shard.mark_life(mark).unwrap());
    directory.note_life_marks(&[0, 1]).unwrap();
    fs::remove_dir_all(&during).unwrap();
    copy(&data.join("shard-0"), &during);
    shards.into_iter().for_each(|shard| shard.close().unwrap());
    directory.mark_clean().unwrap();
    replace(&during, &data.join("shard-0"));
    let directory = DataDir::open(&data, &identity(), Incarnation(3)).unwrap();
    assert_eq!(expected(&directory), [false, true]);
}

#[test]
fn a_shard_that_is_set_aside_lies_whole_in_a_folder_and_has_lost_its_past() {
    let place = tempdir().unwrap();
    let (data, before) = aged(place.path(), Until::Stopped);
    replace(&before.join("shard-1"), &data.join("shard-1"));
    let mut directory = DataDir::open(&data, &identity(), Incarnation(4)).unwrap();
    assert_eq!(expected(&directory), [true, false]);
    let path = directory.set_shard_aside(1).unwrap().unwrap();
    assert!(path.join("records.redb").exists() && path.join("journal/life").exists());
    assert!(path.parent().unwrap().join("README.txt").exists());
    assert_eq!(directory.lost_shards(), [1]);
    let lying = directory.shard_folder(1).lying_aside();
    assert!(matches!(&lying[..], [one] if one.path == path && !one.damaged), "{lying:?}");
    assert!(directory.shard_folder(0).lying_aside().is_empty());
    // A start that fails after it, or is killed, does not forget that the shard is lost.
    directory.give_up().unwrap();
    let mut directory = DataDir::open(&data, &identity(), Incarnation(5)).unwrap();
    assert_eq!((expected(&directory), directory.lost_shards()), (vec![true, false], &[1][..]));
    assert_eq!(directory.set_shard_aside(1).unwrap(), None, "there is nothing to set aside");
}

#[test]
fn a_damaged_shard_that_is_built_anew_is_still_the_directorys_own() {
    let place = tempdir().unwrap();
    let (data, _) = aged(place.path(), Until::Written);
    let directory = DataDir::open(&data, &identity(), Incarnation(4)).unwrap();
    let path = directory.shard_folder(0).engine_path();
    // Nothing of the engine can be read any more.
    let length = fs::metadata(&path).unwrap().len() as usize;
    fs::write(&path, vec![7; length]).unwrap();
    directory.shard_folder(0).rebuild("rot", 1).unwrap();
    assert_eq!(expected(&directory), [true, true]);
}
