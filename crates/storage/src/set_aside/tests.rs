//! What is set aside, and that a crash in the middle leaves the rest to the next start.

use std::fs;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::gossip::Rival;
use jedlik_protocol::{ClusterId, Incarnation};
use tempfile::tempdir;

use super::{DataDir, date};
use crate::{Identity, MarkFound, OpenError};

fn rival(incarnation: u64, address: &str) -> Rival {
    Rival { incarnation: Incarnation(incarnation), address: address.parse().unwrap() }
}

fn identity() -> Identity {
    Identity {
        cluster: ClusterId(1),
        node: NodeId(2),
        shards: 3,
        engine: "redb".into(),
        partitions: PartitionCount::DEFAULT,
    }
}

fn open(path: &std::path::Path, life: u64) -> DataDir {
    DataDir::open(path, &identity(), Incarnation(life)).unwrap()
}

fn folder_of(directory: &DataDir, shard: u16) -> std::path::PathBuf {
    let folder = directory.shard_folder(shard);
    folder.prepare().unwrap();
    folder.path()
}

/// Makes a directory that was served with, whose shards each hold a file.
fn served(path: &std::path::Path) {
    let mut directory = open(path, 1);
    assert!(!directory.has_served());
    directory.note_serving().unwrap();
    for shard in 0..3 {
        fs::write(folder_of(&directory, shard).join("records"), format!("{shard}")).unwrap();
    }
    directory.mark_clean().unwrap();
}

#[test]
fn shards_of_a_directory_that_lacks_a_life_are_set_aside_at_the_next_start() {
    let place = tempdir().unwrap();
    served(place.path());
    let mut found = open(place.path(), 2);
    found.forget(Incarnation(40), 9).unwrap();
    drop(found);

    let next = open(place.path(), 3);
    assert_eq!(next.lives(), [1, 40, 2, 3].map(Incarnation));
    assert_eq!((next.generation(), next.accounted_generation()), (10, 9));
    assert_eq!(next.lost_shards(), [0, 1, 2]);
    for shard in 0..3 {
        assert_eq!(fs::read_dir(folder_of(&next, shard)).unwrap().count(), 0);
    }
    let mut aside = fs::read_dir(place.path().join("set-aside")).unwrap();
    let folder = aside.next().unwrap().unwrap().path();
    assert!(folder.to_str().unwrap().ends_with("-generation-2"), "{folder:?}");
    assert_eq!(fs::read_to_string(folder.join("shard-1/records")).unwrap(), "1");
    assert!(
        fs::read_to_string(folder.join("README.txt")).unwrap().contains("set aside by jedlik-node")
    );
    drop(next);
    assert_eq!(open(place.path(), 4).lost_shards(), [0, 1, 2], "until it is noted");
    open(place.path(), 5).note_marked().unwrap();
    assert!(open(place.path(), 6).lost_shards().is_empty());
}

#[test]
fn a_crash_in_the_middle_of_setting_aside_is_made_good_by_the_next_start() {
    let place = tempdir().unwrap();
    served(place.path());
    let mut found = open(place.path(), 2);
    found.forget(Incarnation(40), 9).unwrap();
    let folder = found.node().past.set_aside.clone().unwrap();
    drop(found);
    // As a crash leaves it after the first of three moves.
    let target = place.path().join("set-aside").join(folder);
    fs::create_dir_all(&target).unwrap();
    fs::rename(place.path().join("shard-0"), target.join("shard-0")).unwrap();

    drop(open(place.path(), 3));
    for shard in 0..3 {
        let records = target.join(format!("shard-{shard}/records"));
        assert_eq!(fs::read_to_string(records).unwrap(), format!("{shard}"));
    }
    let next = open(place.path(), 4);
    fs::write(folder_of(&next, 0).join("records"), "new").unwrap();
    drop(next);
    drop(open(place.path(), 5));
    assert!(place.path().join("shard-0/records").exists(), "only what was old is set aside");
}

#[test]
fn an_empty_directory_sets_nothing_aside() {
    let place = tempdir().unwrap();
    let mut first = open(place.path(), 1);
    first.forget(Incarnation(40), 9).unwrap();
    drop(first);
    let next = open(place.path(), 2);
    assert_eq!(next.lost_shards(), [0, 1, 2]);
    assert!(!place.path().join("set-aside").exists());
}

#[test]
fn a_directory_that_was_given_up_is_refused_and_the_other_remembers_what_it_ended() {
    let place = tempdir().unwrap();
    served(place.path());
    let mut kept = open(place.path(), 2);
    kept.note_rival(rival(7, "127.0.0.1:9")).unwrap();
    drop(kept);
    let mut kept = open(place.path(), 3);
    assert_eq!(kept.rival(), Some(rival(7, "127.0.0.1:9")));
    assert_eq!(kept.outlived(), None);
    kept.note_absence(true).unwrap();
    kept.note_rival(rival(7, "127.0.0.1:10")).unwrap();
    drop(kept);
    let mut kept = open(place.path(), 3);
    assert_eq!(kept.outlived(), Some(true), "another news of the rival changes nothing of it");
    kept.prevail(false).unwrap();
    drop(kept);
    let mut kept = open(place.path(), 4);
    assert_eq!((kept.rival(), kept.outlived()), (None, None));
    assert_eq!(kept.ousts(), [Incarnation(7)]);
    kept.note_rival(rival(8, "127.0.0.1:9")).unwrap();
    kept.prevail(false).unwrap();
    assert_eq!(kept.ousts(), [Incarnation(7), Incarnation(8)]);
    assert_eq!(kept.lost_shards(), [0, 1, 2]);
    assert!(place.path().join("shard-1/records").exists(), "what it holds stays");
    kept.cede("127.0.0.1:9".parse().unwrap()).unwrap();
    drop(kept);
    let refused = DataDir::open(place.path(), &identity(), Incarnation(5)).unwrap_err();
    assert!(matches!(refused, OpenError::Ousted { .. }), "{refused}");
    assert!(refused.to_string().contains("127.0.0.1:9"), "{refused}");
}

#[test]
fn what_a_kept_process_holds_that_was_out_for_long_is_set_aside_at_the_next_start() {
    let other = rival(7, "127.0.0.1:9");
    let place = tempdir().unwrap();
    served(place.path());
    let mut kept = open(place.path(), 2);
    kept.note_life_marks(&[0, 1, 2]).unwrap();
    kept.note_rival(other).unwrap();
    kept.prevail(true).unwrap();
    drop(kept);
    let next = open(place.path(), 3);
    assert_eq!((next.rival(), next.ousts()), (None, vec![other.incarnation]));
    assert_eq!(next.lost_shards(), [0, 1, 2]);
    for shard in 0..3 {
        assert_eq!(fs::read_dir(folder_of(&next, shard)).unwrap().count(), 0);
        assert!(next.expects(shard, MarkFound::Nothing, MarkFound::Nothing), "it is new");
    }
    let folder = fs::read_dir(place.path().join("set-aside")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("shard-1/records")).unwrap(), "1");

    let empty = tempdir().unwrap();
    let mut kept = open(empty.path(), 2);
    kept.note_rival(other).unwrap();
    kept.prevail(true).unwrap();
    drop(kept);
    assert_eq!(open(empty.path(), 3).lost_shards(), [0, 1, 2]);
    assert!(!empty.path().join("set-aside").exists(), "it never served");
}

#[test]
fn days_have_the_dates_of_the_calendar() {
    for (day, expected) in [
        (0, "1970-01-01"),
        (59, "1970-03-01"),
        (11_016, "2000-02-29"),
        (11_017, "2000-03-01"),
        (20_454, "2026-01-01"),
        (20_785, "2026-11-28"),
    ] {
        assert_eq!(date(day), expected);
    }
}

#[test]
fn a_stopped_directory_is_believed_until_that_ends_and_no_life_begins_for_it() {
    let place = tempdir().unwrap();
    assert!(DataDir::believe(place.path()).is_err(), "it is no data directory");
    served(place.path());
    let running = open(place.path(), 2);
    assert!(matches!(DataDir::believe(place.path()), Err(OpenError::InUse { .. })));
    running.mark_clean().unwrap();
    assert_eq!(DataDir::believe(place.path()).unwrap(), None);
    let mut found = open(place.path(), 3);
    assert!(found.is_believed() && found.was_clean());
    found.give_up_life(Incarnation(40)).unwrap();
    drop(found);
    let mut found = open(place.path(), 4);
    assert!(found.is_believed(), "until it ends");
    assert_eq!(found.lives(), [1, 2, 40, 3, 4].map(Incarnation));
    found.end_belief().unwrap();
    drop(found);
    let mut found = open(place.path(), 5);
    assert!(!found.is_believed());
    // What was found to be an earlier copy, and is not set aside yet, is not.
    found.forget(Incarnation(50), 9).unwrap();
    drop(found);
    DataDir::believe(place.path()).unwrap();
    let next = open(place.path(), 6);
    assert!(next.lost_shards().is_empty() && next.shard_folder(1).path().join("records").exists());
    assert!(!place.path().join("set-aside").exists());
}
