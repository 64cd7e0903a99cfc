//! Records of the largest size, and pages among them.

use jedlik_protocol::limits::RECORD_MAX_BYTES;

use super::{MysqlStore, Place};
use crate::fixtures::{everything_of, hint, key_at, put, put_hints, record};
use crate::{RangeQuery, Store};

#[test]
fn the_largest_record_is_stored_and_read_and_pages_end_with_it() {
    let place = Place::new();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    let largest = record(1, 1, RECORD_MAX_BYTES - (64 << 10));
    let small = record(2, 1, 9);
    let batch: Vec<_> = [&small, &largest, &small, &largest, &small]
        .into_iter()
        .zip(1..)
        .map(|(record, position)| (key_at(position, "k"), record.clone()))
        .collect();
    put(&store, &batch).unwrap();
    assert_eq!(store.load(&batch[1].0).unwrap().as_ref(), Some(&largest));
    let mut query = RangeQuery { limit_bytes: 1 << 20, ..everything_of(0) };
    let mut lengths = Vec::new();
    loop {
        let page = store.range(&query).unwrap();
        assert!(page.damaged.is_empty());
        lengths.push(page.records.len());
        query.after = page.until;
        if query.after.is_none() {
            break;
        }
    }
    assert_eq!(lengths, [2, 2, 1]);
    let held = jedlik_storage_port::Hint { record: largest, ..hint(3, 5, "held") };
    put_hints(&store, std::slice::from_ref(&held));
    let found = store.load_hint(held.target, &held.key).unwrap().unwrap();
    assert_eq!(found.record, Some(held.record));
}
