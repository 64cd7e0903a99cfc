//! What is opened again after files were taken away.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::{ClusterId, Incarnation};
use jedlik_storage::{
    DamagedRegion, DataDir, Identity, Recovery, ShardFolder, ShardIdentity, ShardOptions,
};
use tempfile::tempdir;

use super::{REGIONS_LOGGED, ROOMS, ShardSource, log_recovery, room};
use crate::config::Engine;
use crate::inbox::{InboxLimits, inbox};
use crate::lines::lines_of;
use crate::pool::Pool;
use crate::shard::Desk;

fn source(dir: &DataDir) -> ShardSource {
    let identity = ShardIdentity { cluster: ClusterId(1), node: NodeId(1), shard: 0 };
    let folder = dir.shard_folder(0);
    let limits = InboxLimits { inputs: 10, stall_after: Duration::from_secs(60) };
    let (inbox, _reader) = inbox(limits, Pool::new(1 << 20, 1).share());
    ShardSource {
        engine: Engine::Redb,
        options: ShardOptions::new(identity, folder.journal_dir()),
        cache_bytes: 1 << 20,
        folder,
        mark: Some(dir.life_mark()),
        desk: Desk::new(inbox),
    }
}

fn opened(path: &Path) -> ShardSource {
    let owner = Identity {
        cluster: ClusterId(1),
        node: NodeId(1),
        shards: 1,
        engine: "redb".into(),
        partitions: PartitionCount::DEFAULT,
    };
    let source = source(&DataDir::open(path, &owner, Incarnation(7)).unwrap());
    assert!(!source.open().unwrap().has_lost_past());
    assert!(!source.open_again().unwrap().has_lost_past(), "all is there");
    source
}

#[test]
fn a_shard_that_is_opened_again_without_its_files_knows_that_it_has_lost_its_past() {
    for gone in [ShardFolder::engine_path, ShardFolder::journal_dir] {
        let place = tempdir().unwrap();
        let source = opened(place.path());
        let gone = gone(&source.folder);
        fs::remove_file(&gone).or_else(|_| fs::remove_dir_all(&gone)).unwrap();
        assert!(source.open_again().unwrap().has_lost_past(), "without {}", gone.display());
    }
}

#[test]
fn nothing_is_put_in_the_place_of_a_data_directory_that_is_gone() {
    let place = tempdir().unwrap();
    let source = opened(place.path());
    fs::remove_dir_all(place.path()).unwrap();
    let refused = source.open_again().err().unwrap();
    assert!(refused.to_string().contains("node.toml"), "{refused}");
    assert!(!place.path().exists());
}

#[test]
fn of_a_journal_that_is_damaged_in_many_places_the_first_are_logged_and_the_rest_counted() {
    let damaged = (0..100).map(|offset_bytes| DamagedRegion {
        segment: "segment".into(),
        offset_bytes,
        length_bytes: 1,
        records: 2,
    });
    let recovery = Recovery { damaged: damaged.collect(), ..Recovery::default() };
    let lines = lines_of(|| log_recovery(3, &recovery));
    assert_eq!(lines.len(), REGIONS_LOGGED + 1, "{lines:#?}");
    assert!(lines[REGIONS_LOGGED].contains("parts=92 records=184"), "{lines:#?}");
}

#[test]
fn nodes_fill_different_parts_of_a_buffer_and_all_of_them_most_of_it() {
    let bytes = 8 << 20;
    let mut rooms: Vec<usize> = (0..ROOMS).map(|node| room(bytes, NodeId(node))).collect();
    assert!(rooms.iter().all(|room| (bytes * 3 / 4..=bytes).contains(room)), "{rooms:?}");
    rooms.dedup();
    assert_eq!(rooms.len(), ROOMS as usize);
    assert!(rooms[0] - rooms[1] > 16 << 10, "a few records apart");
}
