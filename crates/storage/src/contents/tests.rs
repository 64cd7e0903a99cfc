//! Readings and digests of every engine's contents.

use std::sync::Arc;

use jedlik_hashing::{NodeId, Partition};
use jedlik_storage_port::HintMark;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::{ContentsDigest, Digester, PAGE_BYTES, Place, Reader};
use crate::faulty::Machine;
use crate::fixtures::{hint, key_of, put, put_hints, record, with_local};
use crate::tests::Engine;
use crate::{MemoryStore, Store, StoreError, Writes};

/// Fills an engine with records of several partitions, hints and metadata.
fn fill(store: &dyn Store) {
    let mut records: Vec<_> = (0..300)
        .map(|i| (key_of(i % 7, u128::from(i) << 90, &i.to_string()), record(1, 1, 100)))
        .collect();
    records.push((key_of(u32::MAX, 3, "last"), with_local(record(2, 2, 5), 9)));
    records.sort_by(|a, b| a.0.cmp(&b.0));
    put(store, &records).unwrap();
    for target in [4, u64::MAX] {
        put_hints(store, &["a", "b", "c"].map(|name| hint(target, 70, name)));
    }
    let metadata = vec![("past".to_owned(), Some(vec![1])), ("a".to_owned(), Some(vec![]))];
    store.write(&Writes { metadata, ..Writes::default() }).unwrap();
}

fn digest(store: &dyn Store) -> Result<ContentsDigest, StoreError> {
    let (mut reader, mut digester) = (Reader::new(Place::START, PAGE_BYTES), Digester::default());
    while let Some(page) = reader.next_page(store)? {
        digester.add(&page);
    }
    Ok(digester.finish())
}

#[test]
fn engines_that_hold_the_same_have_one_digest_and_a_copy_has_it_too() {
    let reference = MemoryStore::new();
    fill(&reference);
    let expected = digest(&reference).unwrap();
    assert_eq!((expected.records, expected.hints), (301, 6));
    for engine in Engine::all(&Machine::new(1)) {
        let store = engine.open().unwrap();
        fill(&*store);
        assert_eq!(digest(&*store).unwrap(), expected);
        for other in Engine::all(&Machine::new(2)) {
            let copy = other.open().unwrap();
            let mut reader = Reader::new(Place::START, 700);
            while let Some(page) = reader.next_page(&*store).unwrap() {
                copy.write(&page.into_writes()).unwrap();
            }
            assert_eq!(digest(&*copy).unwrap(), expected);
        }
    }
}

#[test]
fn a_digest_tells_any_change() {
    let expected = {
        let store = MemoryStore::new();
        fill(&store);
        digest(&store).unwrap()
    };
    type Act = fn(&dyn Store);
    let acts: [Act; 5] = [
        |store| put(store, &[(key_of(0, 0, "0"), record(1, 1, 101))]).unwrap(),
        |store| put(store, &[(key_of(0, 0, "0"), with_local(record(1, 1, 100), 1))]).unwrap(),
        |store| store.drop_partitions(&[Partition(u32::MAX)].into()).unwrap(),
        |store| put_hints(store, &[hint(4, 71, "a")]),
        |store| {
            let metadata = vec![("past".to_owned(), None)];
            store.write(&Writes { metadata, ..Writes::default() }).unwrap();
        },
    ];
    for (number, act) in acts.into_iter().enumerate() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        fill(&*store);
        act(&*store);
        assert_ne!(digest(&*store).unwrap(), expected, "act {number}");
    }
}

fn any_place() -> impl Strategy<Value = Place> {
    let key = (any::<u32>(), any::<u128>(), "[a-z\0]{1,9}");
    let key = key.prop_map(|(partition, position, name)| key_of(partition, position, &name));
    let target = any::<u64>().prop_map(NodeId);
    prop_oneof![
        any::<u32>().prop_map(|partition| Place::Partition(Partition(partition))),
        key.clone().prop_map(Place::Record),
        target.clone().prop_map(Place::Target),
        (target, any::<u64>(), key).prop_map(|(target, since_ms, key)| {
            Place::Hint(target, HintMark { since_ms, key })
        }),
        Just(Place::Metadata),
        Just(Place::End),
    ]
}

proptest! {
    #[test]
    fn a_place_is_read_as_it_was_written(place in any_place()) {
        prop_assert_eq!(Place::decode(&place.encode()), Some(place));
    }

    #[test]
    fn any_bytes_are_a_place_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = Place::decode(&bytes);
    }
}
