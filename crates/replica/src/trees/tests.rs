//! Trees against all records that make them: whatever changes, whenever they are read.

use alloc::format;
use alloc::vec;
use core::slice;

use jedlik_hashing::Position;
use jedlik_protocol::Digest;
use proptest::collection::vec as vec_of;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

const P1: Partition = Partition(1);
const P2: Partition = Partition(2);
const N: u8 = 3;
/// Number of keys in each partition, in the order in which they are stored.
const KEYS: u16 = 12;
/// Numbers of replicas of the buckets that the keys are in, in turn.
const COUNTS: [u8; 2] = [2, 3];

fn partitions() -> PartitionCount {
    PartitionCount::new(8).unwrap()
}

/// Returns the key of this number; four neighbours share a leaf, two of each N.
fn key_of(partition: Partition, number: u16) -> PlacedKey {
    let leaf = u32::from(number / 4) * 90;
    let (first, _) = partitions().leaf_range(partition, leaf, LEAF_BITS);
    let position = Position(first.0 + u128::from(number));
    let key = Key::new("b", format!("k{number:03}").as_str()).unwrap();
    PlacedKey { partition, position, key }
}

fn n_of(number: u16) -> u8 {
    COUNTS[usize::from(number) % COUNTS.len()]
}

fn meta(version: u8) -> RecordMeta {
    RecordMeta { digest: Digest(version.into()), bytes: 10 + u32::from(version) }
}

fn change(key: &PlacedKey, n: u8, before: Option<u8>, after: Option<u8>) -> TreeChange {
    TreeChange::new(partitions(), key, n, before.map(meta), after.map(meta))
}

/// Records of one partition, by the number of their key: their versions.
type Records = BTreeMap<u16, u8>;

/// Returns the records as a reading shows them.
fn page_of(partition: Partition, records: &Records) -> Vec<TreeChange> {
    let shown = |(number, version): (&u16, &u8)| {
        change(&key_of(partition, *number), n_of(*number), None, Some(*version))
    };
    records.iter().map(shown).collect()
}

/// Returns the tree that the records of one N make.
fn tree_of(partition: Partition, records: &Records, n: u8) -> Tree {
    let mut tree = Tree::new();
    for (number, version) in records.iter().filter(|(number, _)| n_of(**number) == n) {
        let key = key_of(partition, *number);
        let leaf = partitions().leaf(key.position, LEAF_BITS) as u16;
        tree.change(leaf, None, Some(item(key.position.0, meta(*version).digest.0)));
    }
    tree
}

fn bytes_of(records: &Records) -> u64 {
    records.values().map(|version| u64::from(meta(*version).bytes)).sum()
}

fn kept(partitions: &[Partition]) -> Trees {
    let mut trees = Trees::default();
    partitions.iter().for_each(|partition| trees.keep(*partition));
    trees
}

/// Reads all of a partition at once.
fn read_whole(trees: &mut Trees, partition: Partition, records: &Records) -> bool {
    trees.begin_reading(partition);
    trees.read(1, partition, page_of(partition, records).into_iter(), None)
}

/// Returns trees of the first partition that are whole, of these records.
fn whole(records: &Records) -> Trees {
    let mut trees = kept(&[P1]);
    read_whole(&mut trees, P1, records);
    trees
}

fn damaged(trees: &Trees) -> Vec<PlacedKey> {
    trees.damaged(P1).cloned().collect()
}

#[derive(Debug, Clone)]
enum Event {
    /// A record is written, replaced or removed, and the trees are told.
    Change(u16, Option<u8>),
    /// It is so on disk, and nobody is told; only while nothing is read.
    Silent(u16, Option<u8>),
    Begin,
    /// A page is read that ends so many keys after the one before.
    Page(u16),
    LastPage,
    Distrust,
    ReadAnew,
}

fn event() -> impl Strategy<Value = Event> {
    let version = || prop_oneof![1 => Just(None), 2 => (0..3_u8).prop_map(Some)];
    prop_oneof![
        12 => (0..KEYS, version()).prop_map(|(number, version)| Event::Change(number, version)),
        1 => (0..KEYS, version()).prop_map(|(number, version)| Event::Silent(number, version)),
        3 => Just(Event::Begin),
        6 => (1..5_u16).prop_map(Event::Page),
        3 => Just(Event::LastPage),
        1 => Just(Event::Distrust),
        1 => Just(Event::ReadAnew),
    ]
}

/// Records of a partition as they are, and how its trees stray from them.
#[derive(Debug, Default)]
struct Truth {
    records: Records,
    /// Sum of the items that the kept tree has too many of, by key; all 0 if it says what the records do.
    strayed: BTreeMap<u16, u64>,
    /// Key up to which the reading under way has come.
    until: Option<Option<u16>>,
    changes: u64,
}

impl Truth {
    fn set(&mut self, number: u16, version: Option<u8>) -> Option<u8> {
        match version {
            Some(version) => self.records.insert(number, version),
            None => self.records.remove(&number),
        }
    }

    fn set_silently(&mut self, number: u16, version: Option<u8>) {
        let before = self.set(number, version);
        let item_of = |version: Option<u8>| {
            let position = key_of(P1, number).position.0;
            version.map_or(0, |version| item(position, meta(version).digest.0))
        };
        let strayed = self.strayed.entry(number).or_default();
        *strayed = strayed.wrapping_add(item_of(before)).wrapping_sub(item_of(version));
    }

    fn has_strayed(&self) -> bool {
        self.strayed.values().any(|sum| *sum != 0)
    }

    /// Returns the page after the last key read, up to and with `until`.
    fn page(&self, until: Option<u16>) -> Vec<TreeChange> {
        let after = self.until.flatten();
        let is_in = |number: &u16| after.is_none_or(|after| *number > after);
        let mut records = self.records.clone();
        records.retain(|number, _| is_in(number) && until.is_none_or(|until| *number <= until));
        page_of(P1, &records)
    }
}

proptest! {
    #[test]
    fn any_interleaving_of_changes_and_pages_ends_in_the_trees_that_all_records_make(
        events in vec_of(event(), 1..60),
    ) {
        let (mut trees, mut truth) = (kept(&[P1, P2]), Truth::default());
        for event in events.into_iter().chain([Event::Begin, Event::LastPage]) {
            match event {
                Event::Change(number, version) => {
                    let before = truth.set(number, version);
                    truth.changes += 1;
                    let key = key_of(P1, number);
                    trees.changed(&key, change(&key, n_of(number), before, version));
                }
                Event::Silent(number, version) if truth.until.is_none() => {
                    truth.set_silently(number, version);
                }
                Event::Begin => {
                    trees.begin_reading(P1);
                    truth.until = Some(None);
                }
                Event::Page(keys) if truth.until.is_some() => {
                    let until = truth.until.flatten().map_or(keys - 1, |until| until + keys);
                    let page = truth.page(Some(until)).into_iter();
                    prop_assert!(!trees.read(7, P1, page, Some(key_of(P1, until))));
                    truth.until = Some(Some(until));
                    let (_, come_to) = trees.reading(P1).expect("it goes on");
                    prop_assert_eq!(come_to, Some(key_of(P1, until)));
                }
                Event::LastPage if truth.until.is_some() => {
                    let wrong = trees.is_whole(P1) && truth.has_strayed();
                    let page = truth.page(None).into_iter();
                    prop_assert_eq!(trees.read(8, P1, page, None), wrong);
                    (truth.until, truth.strayed) = (None, BTreeMap::new());
                    prop_assert!(trees.is_whole(P1) && trees.reading(P1).is_none());
                    prop_assert_eq!(trees.read_us(P1), Some(8));
                }
                Event::Distrust => {
                    trees.distrust();
                    (truth.until, truth.changes) = (None, 0);
                    truth.strayed.clear();
                    prop_assert!(!trees.is_whole(P1) && trees.reading(P1).is_none());
                }
                Event::ReadAnew => {
                    trees.read_anew(P1);
                    prop_assert!(!trees.is_whole(P1));
                }
                Event::Silent(..) | Event::Page(_) | Event::LastPage => {}
            }
            prop_assert_eq!(trees.changes(P1), truth.changes);
            if trees.is_whole(P1) && !truth.has_strayed() {
                let records = &truth.records;
                for n in COUNTS {
                    let tree = tree_of(P1, records, n);
                    prop_assert_eq!(trees.holds(P1, n), !tree.is_empty());
                    prop_assert_eq!(trees.whole(P1, n), Some(tree));
                }
                prop_assert_eq!(trees.whole(P1, 5), Some(Tree::new()));
                let load = trees.load();
                let expected = (records.len() as u64, bytes_of(records));
                prop_assert_eq!((load.records, load.bytes), expected);
                prop_assert_eq!(trees.is_empty(P1), records.is_empty());
            } else if !trees.is_whole(P1) {
                for n in COUNTS {
                    prop_assert_eq!((trees.whole(P1, n), trees.holds(P1, n)), (None, false));
                }
                prop_assert!(!trees.is_empty(P1), "it may hold some");
            }
        }
        prop_assert!(trees.is_whole(P1) && !truth.has_strayed());
        prop_assert!(!trees.is_whole(P2), "a partition is read alone");
    }

    #[test]
    fn trees_that_are_kept_over_a_stop_are_those_that_were_whole_and_undamaged(
        records in vec_of(vec_of((0..KEYS, 0..3_u8), 0..8), 0..5),
        whole in vec_of(any::<bool>(), 5), damaged in vec_of(any::<bool>(), 5),
    ) {
        let mut trees = Trees::default();
        let all: Vec<(Partition, Records)> = (0..)
            .map(Partition)
            .zip(records.into_iter().map(|records| records.into_iter().collect()))
            .collect();
        for ((partition, records), (whole, damaged)) in all.iter().zip(whole.iter().zip(&damaged)) {
            trees.keep(*partition);
            read_whole(&mut trees, *partition, records);
            if *damaged {
                trees.note_damage(&[key_of(*partition, KEYS)]);
            }
            if !whole {
                trees.read_anew(*partition);
            }
        }
        let bytes = trees.encode();
        let decoded = Trees::decode(&bytes);
        let mut kept = 0;
        for (index, (partition, records)) in all.iter().enumerate() {
            let expected = whole[index] && !damaged[index];
            prop_assert_eq!(decoded.keeps(*partition), expected);
            prop_assert_eq!(decoded.is_whole(*partition), expected);
            for n in COUNTS {
                let tree = expected.then(|| tree_of(*partition, records, n));
                prop_assert_eq!(decoded.whole(*partition, n), tree);
            }
            kept += if expected { bytes_of(records) } else { 0 };
            prop_assert_eq!(decoded.read_us(*partition), None, "not in this life");
        }
        prop_assert_eq!(decoded.load().bytes, kept);
        prop_assert_eq!(decoded.encode(), bytes);
    }
}

#[test]
fn bytes_that_are_cut_within_a_tree_or_have_more_behind_leave_no_trees() {
    let records = Records::from([(1, 1), (2, 2), (9, 1)]);
    let mut trees = kept(&[P1, P2]);
    let mut ends = vec![0];
    for (partition, records) in [(P1, &records), (P2, &Records::new())] {
        read_whole(&mut trees, partition, records);
    }
    let bytes = trees.encode();
    // What one tree takes: partition, records, bytes, N, length, and the tree.
    for n in COUNTS {
        let tree = tree_of(P1, &records, n).encode().len();
        ends.push(ends.last().unwrap() + 4 + 8 + 8 + 1 + 4 + tree);
    }
    ends.push(ends.last().unwrap() + 4 + 8 + 8 + 1 + 4 + Tree::new().encode().len());
    assert_eq!(ends.last(), Some(&bytes.len()));
    for length in (0..bytes.len()).filter(|length| !ends.contains(length)) {
        let decoded = Trees::decode(&bytes[..length]);
        assert!(!decoded.keeps(P1) && !decoded.keeps(P2), "cut to {length} bytes");
    }
    for more in [&[0][..], &bytes[..30], &[0xff; 64]] {
        let decoded = Trees::decode(&[&bytes[..], more].concat());
        assert!(!decoded.keeps(P1) && !decoded.keeps(P2), "{more:?} behind");
    }
    assert!(Trees::decode(&bytes).keeps(P2));
}

#[test]
fn a_tree_whose_bytes_are_wrong_leaves_no_trees() {
    let trees = whole(&Records::from([(1, 1), (2, 2)]));
    let bytes = trees.encode();
    let first = 4 + 8 + 8 + 1 + 4;
    let first_tree = first..first + tree_of(P1, &Records::from([(2, 2)]), 2).encode().len();
    for place in first_tree {
        let mut wrong = bytes.clone();
        wrong[place] ^= 1;
        assert!(!Trees::decode(&wrong).keeps(P1), "byte {place}");
    }
}

#[test]
fn trees_are_kept_once_and_dropped_with_all_that_is_known_of_them() {
    let records = Records::from([(1, 1), (2, 2)]);
    let mut trees = whole(&records);
    trees.keep(P1);
    assert!(trees.is_whole(P1), "to keep what is kept changes nothing");
    trees.note_damage(&[key_of(P1, 5)]);
    trees.drop(P1);
    assert!(!trees.keeps(P1) && !trees.has_damage(P1) && trees.is_empty(P1));
    assert_eq!((trees.load(), trees.changes(P1), trees.unread()), (Load::default(), 0, 0));
    trees.changed(&key_of(P1, 1), change(&key_of(P1, 1), N, None, Some(1)));
    trees.note_damage(&[key_of(P1, 5)]);
    trees.begin_reading(P1);
    assert_eq!(trees.reading(P1), None);
    assert!(!trees.read(1, P1, page_of(P1, &records).into_iter(), None));
    assert!(!trees.keeps(P1) && !trees.has_damage(P1), "nothing of what comes late is kept");
    trees.keep(P1);
    assert!(!trees.is_whole(P1));
    assert_eq!(trees.unread(), 1);
}

#[test]
fn each_reading_has_a_number_of_its_own_and_begins_at_the_start() {
    let records = Records::from([(1, 1), (4, 2)]);
    let mut trees = kept(&[P1, P2]);
    assert_eq!(trees.reading(P1), None);
    trees.begin_reading(P1);
    trees.begin_reading(P2);
    let (first, none) = trees.reading(P1).expect("it has begun");
    assert_eq!(none, None);
    assert_ne!(trees.reading(P2).expect("it has begun").0, first);
    trees.read(1, P1, page_of(P1, &records).into_iter(), Some(key_of(P1, 5)));
    assert_eq!(trees.reading(P1), Some((first, Some(key_of(P1, 5)))));
    trees.begin_reading(P1);
    let (second, none) = trees.reading(P1).expect("it has begun again");
    assert_eq!(none, None);
    assert_ne!(second, first);
    // What the former reading had read does not count twice.
    trees.read(1, P1, page_of(P1, &records).into_iter(), None);
    assert_eq!(trees.whole(P1, 2), Some(tree_of(P1, &records, 2)));
    assert_eq!(trees.load().records, 2);
    assert!(!trees.read(1, P1, page_of(P1, &records).into_iter(), None), "no reading, no page");
    assert_eq!(trees.load().records, 2);
}

#[test]
fn a_reading_says_that_the_tree_was_wrong_only_if_it_counted() {
    let (one, two) = (Records::from([(2, 1)]), Records::from([(2, 1), (4, 1)]));
    for (why, before, distrusted, read, expected) in [
        ("the same records", &one, false, &one, false),
        ("one more record", &one, false, &two, true),
        ("one record less", &two, false, &one, true),
        ("another version", &one, false, &Records::from([(2, 2)]), true),
        ("no record any more", &one, false, &Records::new(), true),
        ("the first record of its N", &Records::new(), false, &one, true),
        ("nothing, still", &Records::new(), false, &Records::new(), false),
        ("a tree that did not count", &one, true, &two, false),
    ] {
        let mut trees = whole(before);
        if distrusted {
            trees.read_anew(P1);
        }
        assert_eq!(read_whole(&mut trees, P1, read), expected, "{why}");
        assert_eq!(trees.whole(P1, 2), Some(tree_of(P1, read, 2)), "{why}");
        assert!(!read_whole(&mut trees, P1, read), "{why}: it is put right");
    }
}

#[test]
fn a_record_was_added_since_a_moment_if_one_of_its_n_was_written_after_it_or_nothing_is_known() {
    let key = key_of(P1, 1);
    type Deed = fn(&mut Trees, &PlacedKey);
    let deeds: [(&str, Deed, bool); 9] = [
        ("nothing", |_, _| {}, false),
        ("a record is added", |trees, key| trees.changed(key, change(key, N, None, Some(2))), true),
        ("one is altered", |trees, key| trees.changed(key, change(key, N, Some(1), Some(2))), true),
        ("one is removed", |trees, key| trees.changed(key, change(key, N, Some(1), None)), false),
        ("one of another N", |trees, key| trees.changed(key, change(key, 2, None, Some(2))), false),
        (
            "one elsewhere",
            |trees, _| trees.changed(&key_of(P2, 1), change(&key_of(P2, 1), N, None, Some(2))),
            false,
        ),
        ("all trees are distrusted", |trees, _| trees.distrust(), true),
        ("the trees are dropped", |trees, _| trees.drop(P1), true),
        (
            "they are dropped and kept again",
            |trees, _| {
                trees.drop(P1);
                trees.keep(P1);
            },
            true,
        ),
    ];
    for (why, deed, expected) in deeds {
        let mut trees = kept(&[P1, P2]);
        trees.changed(&key, change(&key, N, None, Some(1)));
        let moment = trees.moment();
        assert!(!trees.added_since(P1, N, moment), "{why}: it was added before");
        assert!(trees.added_since(P1, N, moment - 1), "{why}");
        deed(&mut trees, &key);
        assert_eq!(trees.added_since(P1, N, moment), expected, "{why}");
        read_whole(&mut trees, P1, &Records::from([(1, 2)]));
        assert_eq!(trees.added_since(P1, N, moment), expected, "{why}: a reading adds nothing");
    }
}

#[test]
fn records_move_to_another_tree_when_the_n_of_their_bucket_changes_and_they_are_read_anew() {
    let (key, other) = (key_of(P1, 1), key_of(P1, 4));
    let mut trees = kept(&[P1]);
    let page = |n: u8| [change(&key, n, None, Some(1)), change(&other, 5, None, Some(1))];
    trees.begin_reading(P1);
    trees.read(1, P1, page(3).into_iter(), None);
    let tree = trees.whole(P1, 3).expect("it is whole");
    assert!(trees.holds(P1, 3) && trees.holds(P1, 5) && !trees.holds(P1, 2));
    trees.distrust();
    // A write comes before the partition is read; its old version is taken away where it never was.
    trees.changed(&key, change(&key, 2, Some(1), Some(1)));
    assert!(!trees.holds(P1, 3) && !trees.holds(P1, 2), "there is no telling before");
    trees.begin_reading(P1);
    trees.read(1, P1, page(2).into_iter(), None);
    assert_eq!(trees.whole(P1, 2), Some(tree));
    assert!(trees.holds(P1, 2) && trees.holds(P1, 5) && !trees.holds(P1, 3));
    assert_eq!(trees.load().records, 2);
}

#[test]
fn damage_is_known_until_the_record_is_written_or_gone_or_a_reading_finds_it_readable() {
    let [a, b] = [1, 2].map(|number| key_of(P1, number));
    type Deed = fn(&mut Trees, &PlacedKey);
    let deeds: [(&str, Deed, bool); 6] = [
        ("nothing", |_, _| {}, false),
        ("a write", |trees, key| trees.changed(key, change(key, N, None, Some(1))), true),
        ("a removal", |trees, key| trees.changed(key, change(key, N, Some(1), None)), true),
        ("it is gone", Trees::forget_damage, true),
        (
            "a reading is under way",
            |trees, _| {
                trees.begin_reading(P1);
                trees.read(1, P1, [].into_iter(), Some(key_of(P1, KEYS)));
            },
            false,
        ),
        (
            "a reading found it readable",
            |trees, key| {
                trees.begin_reading(P1);
                trees.note_damage(&[key_of(P1, 2)]);
                trees.read(1, P1, [change(key, N, None, Some(1))].into_iter(), None);
            },
            true,
        ),
    ];
    for (why, deed, mended) in deeds {
        let mut trees = kept(&[P1, P2]);
        assert!(!trees.has_damage(P1));
        trees.note_damage(&[a.clone(), b.clone()]);
        trees.note_damage(slice::from_ref(&a));
        assert_eq!(damaged(&trees), [a.clone(), b.clone()]);
        deed(&mut trees, &a);
        let left = if mended { vec![b.clone()] } else { vec![a.clone(), b.clone()] };
        assert_eq!(damaged(&trees), left, "{why}");
        assert_eq!(trees.has_damage_of(P1, |key| *key == a.key), !mended, "{why}");
        assert!(trees.has_damage_of(P1, |key| *key == b.key) && trees.has_damage(P1), "{why}");
        assert!(!trees.has_damage(P2) && !trees.has_damage_of(P2, |_| true), "{why}");
    }
}

#[test]
fn damage_met_while_a_reading_is_under_way_is_known_after_it_unless_it_is_gone_or_mended() {
    let [a, b] = [1, 2].map(|number| key_of(P1, number));
    type Deed = fn(&mut Trees, &PlacedKey);
    let deeds: [(Deed, bool); 3] = [
        (|_, _| (), false),
        (|trees, key| trees.changed(key, change(key, N, None, Some(1))), true),
        (Trees::forget_damage, true),
    ];
    for (deed, over) in deeds {
        let mut trees = kept(&[P1]);
        trees.begin_reading(P1);
        trees.note_damage(&[a.clone(), b.clone()]);
        trees.read(1, P1, [].into_iter(), Some(b.clone()));
        deed(&mut trees, &a);
        trees.read(1, P1, [].into_iter(), None);
        let expected = if over { vec![b.clone()] } else { vec![a.clone(), b.clone()] };
        assert_eq!(damaged(&trees), expected);
    }
}

#[test]
fn a_partition_with_more_damage_than_is_remembered_may_have_lost_any_key() {
    let keys: Vec<PlacedKey> = (0..DAMAGED_MAX as u32 + 3).map(numbered).collect();
    let mut trees = kept(&[P1]);
    trees.note_damage(&keys[..DAMAGED_MAX - 1]);
    assert!(!trees.has_damage_of(P1, |_| false), "all of it is known");
    trees.note_damage(&keys[DAMAGED_MAX - 1..]);
    assert!(trees.has_damage_of(P1, |_| false));
    assert_eq!(trees.damaged(P1).count(), DAMAGED_MAX);
}

fn numbered(number: u32) -> PlacedKey {
    let key = Key::new("b", format!("{number}").as_str()).unwrap();
    PlacedKey { key, ..key_of(P1, 0) }
}

#[test]
fn records_are_unmended_that_two_whole_readings_in_a_row_could_not_read() {
    let [a, b, c] = [1, 2, 3].map(|number| key_of(P1, number));
    let mut trees = kept(&[P1, P2]);
    let all = [&a, &b, &c];
    // Each turn: what the reading finds damaged, what is written before the next one, and what is unmended.
    for (turn, (found, written, unmended)) in [
        ("", "", ""),
        ("ab", "", ""),
        ("bc", "", "b"),
        ("bc", "b", "bc"),
        ("bc", "", "c"),
        ("", "", ""),
        ("c", "", ""),
        ("abc", "", "c"),
        ("abc", "", "abc"),
    ]
    .into_iter()
    .enumerate()
    {
        let named = |names: &str| -> Vec<PlacedKey> {
            names.bytes().map(|name| all[usize::from(name - b'a')].clone()).collect()
        };
        trees.begin_reading(P1);
        trees.note_damage(&named(found));
        trees.read(1, P1, [].into_iter(), None);
        assert_eq!(trees.take_unmended(P1), named(unmended), "reading {turn}");
        for key in named(written) {
            trees.changed(&key, change(&key, N, None, Some(1)));
        }
    }
    assert_eq!(trees.take_unmended(P2), []);
    assert_eq!(trees.take_unmended(Partition(5)), []);
}
