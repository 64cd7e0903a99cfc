//! Which starts keep the incarnation, and which are refused.

use std::fs;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::{ClusterId, Incarnation};
use tempfile::tempdir;

use super::DataDir;
use crate::{Identity, OpenError, ShardProgress};

fn identity() -> Identity {
    Identity {
        cluster: ClusterId(0xfeed_0000_0000_0001),
        node: NodeId(2),
        shards: 4,
        engine: "redb".into(),
        partitions: PartitionCount::DEFAULT,
    }
}

fn refusal(opened: Result<DataDir, OpenError>) -> (OpenError, String) {
    let error = opened.expect_err("refused");
    let text = error.to_string();
    (error, text)
}

#[test]
fn every_start_is_a_life_of_its_own_and_the_directory_remembers_the_last_32() {
    let place = tempdir().unwrap();
    let path = place.path().join("data");
    assert_eq!(DataDir::shards_at(&path).unwrap(), None);
    let first = DataDir::open(&path, &identity(), Incarnation(1)).unwrap();
    assert!(first.was_clean());
    assert_eq!((first.incarnation(), first.generation()), (Incarnation(1), 1));
    first.mark_clean().unwrap();

    let second = DataDir::open(&path, &identity(), Incarnation(2)).unwrap();
    assert!(second.was_clean());
    assert_eq!((second.incarnation(), second.generation()), (Incarnation(2), 2), "a clean stop");
    drop(second);

    let third = DataDir::open(&path, &identity(), Incarnation(3)).unwrap();
    assert!(!third.was_clean());
    assert_eq!((third.incarnation(), third.generation()), (Incarnation(3), 3));
    assert_eq!(third.lives(), [1, 2, 3].map(Incarnation));
    assert_eq!(DataDir::shards_at(&path).unwrap(), Some(4));
    drop(third);

    for life in 4..=40 {
        drop(DataDir::open(&path, &identity(), Incarnation(life)).unwrap());
    }
    let last = DataDir::open(&path, &identity(), Incarnation(41)).unwrap();
    assert_eq!(last.generation(), 41);
    assert_eq!(last.lives(), (10..=41).map(Incarnation).collect::<Vec<_>>());
}

#[test]
fn a_start_that_is_given_up_leaves_the_directory_as_it_was() {
    let place = tempdir().unwrap();
    let path = place.path().join("data");
    let open = |life| DataDir::open(&path, &identity(), Incarnation(life)).unwrap();
    open(1).give_up().unwrap();
    let second = open(2);
    assert!(second.was_clean(), "nothing was ever written");
    drop(second);
    let text = || fs::read_to_string(path.join("node.toml")).unwrap();
    let unclean = text();
    open(3).give_up().unwrap();
    assert_eq!(text(), unclean, "an unclean stop stays one");
    open(4).mark_clean().unwrap();
    let clean = text();
    for life in 5..50 {
        open(life).give_up().unwrap();
    }
    assert_eq!(text(), clean, "no life is forgotten for it, either");
}

#[test]
fn a_directory_in_use_is_refused_and_left_as_it_is() {
    let place = tempdir().unwrap();
    let first = DataDir::open(place.path(), &identity(), Incarnation(1)).unwrap();
    let (error, text) = refusal(DataDir::open(place.path(), &identity(), Incarnation(2)));
    assert!(matches!(error, OpenError::InUse { .. }), "{text}");
    first.mark_clean().unwrap();
    let next = DataDir::open(place.path(), &identity(), Incarnation(3)).unwrap();
    assert_eq!(next.lives(), [1, 3].map(Incarnation), "a refusal is no start");
}

#[test]
fn a_directory_made_for_something_else_is_refused_with_what_to_do() {
    let place = tempdir().unwrap();
    drop(DataDir::open(place.path(), &identity(), Incarnation(1)).unwrap());
    let own = "point the node at its own data directory";
    let fixed = "set the configuration back";
    for (expected, what, remedy) in [
        (Identity { cluster: ClusterId(9), ..identity() }, "has cluster feed000000000001", own),
        (Identity { node: NodeId(9), ..identity() }, "has node 0000000000000002", own),
        (Identity { shards: 9, ..identity() }, "has a shard count of 4", fixed),
        (Identity { engine: "memory".into(), ..identity() }, "has engine redb", fixed),
        (
            Identity { partitions: PartitionCount::new(64).unwrap(), ..identity() },
            "has a partition count of 256",
            fixed,
        ),
    ] {
        let (_, text) = refusal(DataDir::open(place.path(), &expected, Incarnation(2)));
        assert!(text.contains(what) && text.contains(remedy), "{text}");
    }
    let generation = DataDir::open(place.path(), &identity(), Incarnation(2)).unwrap().generation();
    assert_eq!(generation, 2, "a refusal is no start");
}

#[test]
fn a_node_file_of_which_a_bit_has_changed_is_refused_and_says_what_to_do() {
    let place = tempdir().unwrap();
    let path = place.path().join("data");
    DataDir::open(&path, &identity(), Incarnation(1)).unwrap().mark_clean().unwrap();
    let file = path.join("node.toml");
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&file, &flipped).unwrap();
        let (error, text) = refusal(DataDir::open(&path, &identity(), Incarnation(2)));
        assert!(matches!(error, OpenError::Damaged { .. }), "byte {at}: {text}");
        assert!(text.contains("--new"), "byte {at}: {text}");
        assert_eq!(fs::read(&file).unwrap(), flipped, "byte {at}");
    }
    for cut in 0..whole.len() {
        fs::write(&file, &whole[..cut]).unwrap();
        let (error, text) = refusal(DataDir::open(&path, &identity(), Incarnation(2)));
        assert!(matches!(error, OpenError::Damaged { .. }), "{cut} bytes: {text}");
    }
    fs::write(&file, &whole).unwrap();
    DataDir::open(&path, &identity(), Incarnation(2)).unwrap();
}

#[test]
fn newer_damaged_and_strange_directories_are_refused() {
    for (content, wanted) in [
        ("format = 5\nsomething = \"new\"\n", "has format 5, newer than 4"),
        ("format = 1\nsomething = \"old\"\n", "has format 1"),
        ("format = ", "is damaged"),
        ("format = 2\n", "has format 2"),
        ("format = 3\n", "has format 3"),
        ("format = 4\n", "is damaged: it does not begin with its checksum. Restore it, or"),
    ] {
        let place = tempdir().unwrap();
        fs::write(place.path().join("node.toml"), content).unwrap();
        let (_, text) = refusal(DataDir::open(place.path(), &identity(), Incarnation(1)));
        assert!(text.contains(wanted), "{text}");
    }
    let place = tempdir().unwrap();
    fs::write(place.path().join("thesis.tex"), "").unwrap();
    let (error, text) = refusal(DataDir::open(place.path(), &identity(), Incarnation(1)));
    assert!(matches!(error, OpenError::NotADataDir { .. }), "{text}");
}

#[test]
fn a_first_start_that_was_interrupted_can_be_repeated_on_a_new_file_system_too() {
    let place = tempdir().unwrap();
    fs::write(place.path().join("lock"), "").unwrap();
    fs::write(place.path().join("node.toml.new"), "form").unwrap();
    fs::create_dir(place.path().join("lost+found")).unwrap();
    DataDir::open(place.path(), &identity(), Incarnation(1)).unwrap();
}

#[test]
fn membership_state_is_replaced_whole_and_checked() {
    let place = tempdir().unwrap();
    let directory = DataDir::open(place.path(), &identity(), Incarnation(1)).unwrap();
    assert_eq!(directory.load_state().unwrap(), None);
    directory.save_state(b"one").unwrap();
    directory.save_state(b"two, longer").unwrap();
    assert_eq!(directory.load_state().unwrap(), Some(b"two, longer".to_vec()));

    let path = place.path().join("state");
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(directory.load_state().is_err(), "byte {at}");
    }
    let with_format = |format| {
        let mut bytes = bytes.clone();
        bytes[8] = format;
        fs::write(&path, bytes).unwrap();
        directory.load_state().unwrap_err()
    };
    assert!(matches!(with_format(5), OpenError::NewerFormat { found: 5, .. }));
    for format in [1, 2, 3] {
        let older = with_format(format);
        assert!(matches!(older, OpenError::OlderFormat { .. }), "{older}");
        assert!(older.to_string().contains("with an empty one"), "{older}");
    }
}

#[test]
fn a_start_goes_on_with_the_tick_that_the_life_before_has_come_to_and_with_what_shards_held_then() {
    let place = tempdir().unwrap();
    let path = place.path().join("data");
    let open = |life| DataDir::open(&path, &identity(), Incarnation(life)).unwrap();
    let held = ShardProgress { engine: Some(7), ..ShardProgress::default() };
    let first = open(1);
    assert!(first.ticks().is_empty() && first.shard_progress(1).is_none(), "it begins");
    first.progress_file().save(0, &[]).unwrap();
    first.progress_file().save(3, &[(1, held.clone())]).unwrap();
    drop(first);

    let second = open(2);
    assert_eq!(second.ticks(), [(Incarnation(1), 3)]);
    assert_eq!((second.shard_progress(0), second.shard_progress(1)), (None, Some(held.clone())));
    drop(second);
    // The second life has come to no tick; what the first has said of shards says nothing about what they hold now.
    let mut third = open(3);
    assert_eq!(third.ticks(), [(Incarnation(1), 3), (Incarnation(2), 0)]);
    assert_eq!(third.shard_progress(1), None);
    third.progress_file().save(1, &[(1, held.clone()), (2, held.clone())]).unwrap();
    // What the cluster remembers of a life beyond the directory is accounted for, whatever comes.
    third.give_up_life(Incarnation(1)).unwrap();
    drop(third);
    let mut fourth = open(4);
    assert_eq!(fourth.ticks(), [(Incarnation(2), 0), (Incarnation(3), 1)]);
    fourth.lose_shard(1).unwrap();
    assert_eq!(fourth.shard_progress(1), None, "it has lost its past anyway");
    assert_eq!(fourth.shard_progress(2), Some(held.clone()));
    drop(fourth);

    // A start that was given up leaves it to the next one.
    let fifth = open(5);
    fifth.progress_file().save(9, &[(2, held.clone())]).unwrap();
    drop(fifth);
    open(6).give_up().unwrap();
    let sixth = open(6);
    assert_eq!(sixth.ticks().last(), Some(&(Incarnation(5), 9)));
    assert_eq!(sixth.shard_progress(2), Some(held));
    drop(sixth);
    // What can't be read says nothing against the directory.
    fs::write(path.join("progress"), "rotten").unwrap();
    assert_eq!(open(7).ticks().last(), Some(&(Incarnation(5), 9)));
}

#[test]
fn each_shard_has_a_directory_of_its_own() {
    let place = tempdir().unwrap();
    let directory = DataDir::open(place.path(), &identity(), Incarnation(1)).unwrap();
    let folders = [0, 1].map(|shard| directory.shard_folder(shard));
    folders.iter().for_each(|folder| folder.prepare().unwrap());
    let [zero, one] = folders.map(|folder| folder.journal_dir().parent().unwrap().to_path_buf());
    assert!(zero.is_dir() && one.is_dir() && zero != one);
}

#[test]
fn a_folder_that_is_somebody_elses_is_refused_and_nothing_is_left_in_it() {
    let place = tempdir().unwrap();
    fs::write(place.path().join("letter.txt"), "dear").unwrap();
    let (error, text) = refusal(DataDir::open(place.path(), &identity(), Incarnation(1)));
    assert!(matches!(error, OpenError::NotADataDir { .. }), "{text}");
    let left = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["letter.txt"]);
}
