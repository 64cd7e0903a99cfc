//! Digests of records.

use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

use super::{EncodedRecord, Record};

fn put(record: &mut Record, actor: u64, value: &str) {
    let content = Content::Value(value.into());
    let write = Write { write_id: WriteId(1), written_at_ms: 1, expires_at_ms: None, content };
    record.put(&VectorClock::new(), ActorId(actor), write);
}

#[test]
fn replicas_that_merged_in_different_orders_have_one_digest() {
    let (mut a, mut b) = (Record::new(), Record::new());
    put(&mut a, 1, "red");
    put(&mut b, 2, "blue");
    let (mut here, mut there) = (a.clone(), b.clone());
    here.merge(&b);
    there.merge(&a);
    let digest = |record| EncodedRecord::encode(record).digest();
    assert_eq!(digest(&here), digest(&there));
    assert_ne!(digest(&here), digest(&a));
}

#[test]
fn records_with_lengths_merge_as_the_whole_ones_do() {
    let (mut a, mut b) = (Record::new(), Record::new());
    put(&mut a, 1, "a value of more than eight bytes");
    b.merge(&a);
    put(&mut b, 2, "blue");
    let (whole, other) = (EncodedRecord::encode(&a), EncodedRecord::encode(&b));
    let (stripped, stripped_other) = (whole.with_lengths().unwrap(), other.with_lengths().unwrap());
    assert!(stripped.bytes().len() < whole.bytes().len());
    let (mut merged, mut merged_stripped) = (a, stripped.decode().unwrap());
    merged.merge(&b);
    merged_stripped.merge(&stripped_other.decode().unwrap());
    let expected = EncodedRecord::encode(&merged).with_lengths().unwrap();
    assert_eq!(EncodedRecord::encode(&merged_stripped).digest(), expected.digest());
    assert_eq!(merged_stripped.siblings().len(), 2);
    assert!(merged_stripped.siblings().iter().all(|sibling| sibling.is_live(0)));
}

fn attempt(actor: u64, value: &str, write_id: u128) -> Record {
    let mut record = Record::new();
    let content = Content::Value(value.into());
    let write =
        Write { write_id: WriteId(write_id), written_at_ms: 1, expires_at_ms: None, content };
    record.put(&VectorClock::new(), ActorId(actor), write);
    record
}

#[test]
fn attempts_of_one_write_hold_their_value_once_and_come_back_whole() {
    let value = "x".repeat(10_000);
    let mut record = attempt(1, &value, 7);
    let once = EncodedRecord::encode(&record).bytes().len();
    for actor in [2, 3, 4] {
        record.merge(&attempt(actor, &value, 7));
    }
    let encoded = EncodedRecord::encode(&record);
    assert!(encoded.bytes().len() < once + 500, "{} bytes", encoded.bytes().len());
    assert_eq!(encoded.decode(), Ok(record.clone()));
    record.merge(&attempt(5, &value, 8));
    let two = EncodedRecord::encode(&record);
    assert!(two.bytes().len() > 2 * once, "another write's value is its own");
    assert_eq!(two.decode(), Ok(record));
}

#[test]
fn a_write_id_used_twice_for_different_values_loses_neither() {
    for other in ["", "other"] {
        let mut record = attempt(1, "value", 7);
        record.merge(&attempt(2, other, 7));
        assert_eq!(EncodedRecord::encode(&record).decode(), Ok(record));
    }
}
