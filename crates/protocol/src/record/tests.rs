//! Digests of records.

use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

use super::{EncodedRecord, Record};
use crate::Blob;

fn put(record: &mut Record, actor: u64, value: &str) {
    let content = Content::Value(Blob::from(value));
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
