//! Journals cut, damaged and mixed up, and what a replay makes of them.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{Durability, StoredRecord};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::proptest;
use proptest::sample::Index;

use super::frame::{self, FRAME_HEADER_BYTES, MAGIC};
use super::replay::{DamagedRegion, Recovery, Sink, replay};
use super::segment::{self, Header, HeaderError, SEGMENT_HEADER_BYTES};
use super::{Edit, bodies, push_drop, push_frame};
use crate::faulty::{FaultyDisk, Machine};
use crate::fixtures::{IDENTITY, key, record, with_local};
use crate::{Completion, Disk, MemoryStore, OpenError, Shard, ShardOptions, Store, mark};

const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a journal of so many synced groups of one frame each, for keys "0", "1" and so on.
fn journal_of(frames: u64) -> FaultyDisk {
    let disk = FaultyDisk::new(&Machine::new(1));
    let (sender, completions) = channel::<Vec<Completion>>();
    let completed = Box::new(move |done| drop(sender.send(done)));
    let options = ShardOptions::new(IDENTITY, "/faulty".into());
    let engine = Arc::new(MemoryStore::new());
    let (mut shard, _) =
        Shard::open_on(Box::new(disk.clone()), options, engine, completed).unwrap();
    for i in 0..frames {
        shard.apply(i, key(&i.to_string()), record(i + 1, 1, 50), Durability::Synced).unwrap();
        shard.submit();
        let done = completions.recv_timeout(PATIENCE).expect("an answer");
        done.into_iter().for_each(|done| done.result.unwrap());
    }
    disk
}

fn read(disk: &FaultyDisk) -> (Recovery, Arc<dyn Store>) {
    let engine: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let replayed = replay(
        disk,
        IDENTITY,
        &engine,
        (Sink::Engine { batch_bytes: 1 << 20, free_bytes: u64::MAX }, None),
    )
    .unwrap();
    (replayed.recovery, engine)
}

fn only_segment(disk: &FaultyDisk) -> (String, Vec<u8>) {
    let names = disk.names();
    assert_eq!(names.len(), 1);
    (names[0].clone(), disk.bytes(&names[0]))
}

/// Returns the length of a frame; all frames of these tests have the same.
fn frame_length(bytes: &[u8], frames: usize) -> usize {
    assert_eq!((bytes.len() - SEGMENT_HEADER_BYTES) % frames, 0);
    (bytes.len() - SEGMENT_HEADER_BYTES) / frames
}

#[test]
fn a_tail_torn_at_any_byte_ends_the_replay_cleanly() {
    let disk = journal_of(3);
    let (name, bytes) = only_segment(&disk);
    let last = bytes.len() - frame_length(&bytes, 3);
    for end in last..bytes.len() {
        disk.put(&name, bytes[..end].to_vec());
        let (recovery, engine) = read(&disk);
        let torn_bytes = (end - last) as u64;
        assert_eq!(recovery, Recovery { records: 2, segments: 1, torn_bytes, damaged: vec![] });
        assert_eq!(engine.record_count().unwrap(), 2);
    }
}

#[test]
fn a_last_frame_with_any_byte_changed_is_torn() {
    let disk = journal_of(2);
    let (name, bytes) = only_segment(&disk);
    let length = frame_length(&bytes, 2);
    for at in bytes.len() - length..bytes.len() {
        disk.put(&name, bytes.clone());
        disk.edit(&name, |bytes| bytes[at] ^= 0x10);
        let (recovery, _) = read(&disk);
        assert_eq!((recovery.records, recovery.damaged.len()), (1, 0), "byte {at}");
        assert_eq!(recovery.torn_bytes, length as u64);
    }
}

#[test]
fn damage_before_synced_frames_is_reported_and_the_rest_is_replayed() {
    let disk = journal_of(4);
    let (name, bytes) = only_segment(&disk);
    let length = frame_length(&bytes, 4);
    for damaged in 0..3 {
        let offset = SEGMENT_HEADER_BYTES + damaged * length;
        for at in offset..offset + length {
            disk.put(&name, bytes.clone());
            disk.edit(&name, |bytes| bytes[at] ^= 0x10);
            let (recovery, engine) = read(&disk);
            assert_eq!((recovery.records, recovery.torn_bytes), (3, 0), "byte {at}");
            let region = DamagedRegion {
                segment: name.clone(),
                offset_bytes: offset as u64,
                length_bytes: length as u64,
                records: 1,
            };
            assert_eq!(recovery.damaged, [region]);
            for i in 0..4 {
                let there = engine.load(&key(&i.to_string())).unwrap().is_some();
                assert_eq!(there, i != damaged);
            }
        }
    }
}

#[test]
fn a_frame_missing_without_a_trace_is_reported() {
    let disk = journal_of(4);
    let (name, bytes) = only_segment(&disk);
    let length = frame_length(&bytes, 4);
    let second = SEGMENT_HEADER_BYTES + length;
    disk.edit(&name, |bytes| drop(bytes.drain(second..second + length)));
    let (recovery, _) = read(&disk);
    assert_eq!((recovery.records, recovery.torn_bytes), (3, 0));
    assert_eq!(recovery.damaged.len(), 1);
    assert_eq!((recovery.damaged[0].records, recovery.damaged[0].length_bytes), (1, 0));
}

#[test]
fn a_segment_whose_header_is_damaged_is_reported() {
    let disk = journal_of(2);
    let (name, _) = only_segment(&disk);
    disk.edit(&name, |bytes| bytes[20] ^= 1);
    let (recovery, _) = read(&disk);
    assert_eq!((recovery.records, recovery.damaged.len()), (0, 1));
}

#[test]
fn a_segment_cut_short_while_it_was_begun_is_torn() {
    let disk = journal_of(1);
    let (name, bytes) = only_segment(&disk);
    for end in 0..SEGMENT_HEADER_BYTES {
        disk.put(&name, bytes[..end].to_vec());
        let (recovery, _) = read(&disk);
        assert_eq!((recovery.records, recovery.damaged.len()), (0, 0));
    }
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_removed() {
    let disk = journal_of(1);
    let (name, _) = only_segment(&disk);
    disk.edit(&name, |bytes| {
        bytes[8] = 6;
        let checksum = crc32fast::hash(&bytes[..68]);
        bytes[68..72].copy_from_slice(&checksum.to_le_bytes());
    });
    let engine: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let error = replay(
        &disk,
        IDENTITY,
        &engine,
        (Sink::Engine { batch_bytes: 1 << 20, free_bytes: u64::MAX }, None),
    )
    .expect_err("refused");
    assert!(matches!(error, OpenError::NewerFormat { found: 6, known: 5, .. }), "{error}");
    assert_eq!(disk.names(), [name]);
}

#[test]
fn a_value_that_looks_like_a_frame_is_never_replayed() {
    // A whole journal of another shard's run as the bytes of a value, then damage before it.
    let (_, other) = only_segment(&journal_of(2));
    let disk = journal_of(1);
    let (name, bytes) = only_segment(&disk);
    disk.put(&name, [&bytes[..], &other[SEGMENT_HEADER_BYTES..]].concat());
    let (recovery, engine) = read(&disk);
    assert_eq!((recovery.records, engine.record_count().unwrap()), (1, 1));
}

#[test]
fn other_files_in_the_directory_are_left_alone() {
    let disk = journal_of(1);
    disk.put("notes.txt", b"mine".to_vec());
    assert_eq!(read(&disk).0.segments, 1);
    assert!(disk.list().unwrap().contains(&"notes.txt".to_owned()));
}

#[test]
fn headers_and_names_read_back() {
    let header = Header {
        identity: IDENTITY,
        number: 5,
        first_lsn: 6,
        synced_through: 4,
        generation: 9,
        salt: 0xfeed,
    };
    let bytes = header.encode();
    assert_eq!(Header::parse(&bytes), Ok(header));
    for at in 0..bytes.len() {
        let mut bytes = bytes;
        bytes[at] ^= 4;
        assert_eq!(Header::parse(&bytes), Err(HeaderError::Unreadable), "byte {at}");
    }
    assert_eq!(segment::number(&segment::name(17)), Some(17));
    assert_eq!(segment::number("17.journal"), None);
}

#[test]
fn the_frame_of_a_drop_has_its_partition_and_nothing_else() {
    for partition in [0, 1, 0x0102_0304, u32::MAX] {
        let mut frame = Vec::new();
        assert_eq!(push_drop(&mut frame, Partition(partition)), frame.len());
        assert_eq!(frame::seal(&mut frame, 5, 8, 7), 1);
        let read = frame::parse(&frame, 5).unwrap();
        assert_eq!(read.change, frame::FrameChange::Drop(Partition(partition)));
        assert_eq!((read.lsn, read.synced_through, read.length_bytes), (8, 7, frame.len()));
        for at in 0..frame.len() {
            let mut damaged = frame.clone();
            damaged[at] ^= 0x10;
            assert!(frame::parse(&damaged, 5).is_none(), "byte {at}");
            assert!(frame::parse(&frame[..at], 5).is_none(), "{at} bytes");
        }
        let payload = &frame[FRAME_HEADER_BYTES..];
        bodies::frame(payload);
        bodies::frame(&payload[..4]);
        bodies::frame(&[payload, b"more"].concat());
    }
}

#[test]
fn a_sector_that_can_not_be_read_costs_its_frames_and_the_shard_says_that_it_has_lost_them() {
    let disk = journal_of(4);
    let (name, bytes) = only_segment(&disk);
    let length = frame_length(&bytes, 4);
    assert!(!mark::has_lost_past(&*read(&disk).1).unwrap());
    for lost in 0..4 {
        let disk = journal_of(4);
        let (name, _) = only_segment(&disk);
        let start = SEGMENT_HEADER_BYTES + lost * length;
        disk.spoil(&name, start + 5..start + 9);
        let (recovery, engine) = read(&disk);
        // Of the last one no later frame says that it was synced, and yet it may have been.
        assert_eq!((recovery.records, recovery.damaged.len()), (3, 1), "frame {lost}");
        assert_eq!(recovery.torn_bytes, 0);
        assert!(mark::has_lost_past(&*engine).unwrap());
    }
    disk.spoil(&name, 0..1);
    let (recovery, engine) = read(&disk);
    assert_eq!((recovery.records, recovery.damaged.len()), (0, 1), "without its header");
    assert!(mark::has_lost_past(&*engine).unwrap());
}

#[test]
fn a_torn_value_full_of_what_looks_like_frames_is_passed_in_one_reading() {
    const VALUE_BYTES: usize = 8 << 20;
    let disk = journal_of(1);
    let (name, _) = only_segment(&disk);
    let mut lure = [0; FRAME_HEADER_BYTES];
    lure[..4].copy_from_slice(&MAGIC);
    // Each claims to be about as long as all that follows; to check that of all of them takes hours.
    lure[12..16].copy_from_slice(&(VALUE_BYTES as u32 / 2).to_le_bytes());
    disk.edit(&name, |bytes| bytes.extend(lure.repeat(VALUE_BYTES / FRAME_HEADER_BYTES)));
    let (recovery, _) = read(&disk);
    assert_eq!((recovery.records, recovery.torn_bytes), (1, VALUE_BYTES as u64));
}

#[test]
fn an_older_format_is_refused_and_nothing_is_removed() {
    let disk = journal_of(3);
    let (name, _) = only_segment(&disk);
    disk.edit(&name, |bytes| {
        assert_eq!(bytes[8], 5);
        bytes[8] = 4;
        let checksum = crc32fast::hash(&bytes[..68]);
        bytes[68..72].copy_from_slice(&checksum.to_le_bytes());
    });
    let engine: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let error = replay(
        &disk,
        IDENTITY,
        &engine,
        (Sink::Engine { batch_bytes: 1 << 20, free_bytes: u64::MAX }, None),
    )
    .expect_err("refused");
    assert!(matches!(error, OpenError::OlderFormat { found: 4, known: 5, .. }), "{error}");
    assert_eq!(disk.names(), [name]);
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Merge,
    Set,
    Remove,
    Hold,
    Release,
}

impl Kind {
    fn of(self, record: StoredRecord) -> Edit {
        let target = NodeId(77);
        match self {
            Self::Merge => Edit::Merge(record),
            Self::Set => Edit::Set(record),
            Self::Remove => Edit::Remove,
            Self::Hold => Edit::Hold { target, since_ms: 1 << 40, record },
            Self::Release => Edit::Release { target },
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Merge),
        Just(Kind::Set),
        Just(Kind::Remove),
        Just(Kind::Hold),
        Just(Kind::Release),
    ]
}

proptest! {
    #[test]
    fn bytes_from_anywhere_are_no_frame_or_one_that_is_written_the_same(
        bytes in vec(any::<u8>(), 0..200),
    ) {
        bodies::frame(&bytes);
    }

    #[test]
    fn a_damaged_payload_is_refused_or_read_as_what_it_says(
        size in 0..60usize,
        edit in kinds(),
        local in any::<bool>(),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        end in any::<Index>(),
    ) {
        let stored = if local { with_local(record(1, 1, size), 4) } else { record(1, 1, size) };
        let edit = edit.of(stored);
        let mut frame = Vec::new();
        push_frame(&mut frame, &key("name"), &edit).unwrap();
        let expected = Some(frame::FrameChange::Edit(key("name"), edit));
        frame::seal(&mut frame, 5, 8, 7);
        let read = frame::parse(&frame, 5);
        assert_eq!(read.map(|frame| frame.change), expected);
        let payload = &mut frame[FRAME_HEADER_BYTES..];
        bodies::frame(payload);
        for (at, byte) in changes {
            payload[at.index(payload.len())] = byte;
        }
        bodies::frame(payload);
        bodies::frame(&payload[..end.index(payload.len())]);
    }
}
