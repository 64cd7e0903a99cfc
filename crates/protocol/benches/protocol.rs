//! Benchmarks of the codec: frames and records of small, usual and large values.
//!
//! Invariants: each input decodes to what was encoded before anything is measured; what an iteration encodes is freed in
//! it, since fresh pages for each of a sample's large outputs would cost ten times the encoding.

use bytes::Bytes;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, GetAnswer, GetRequest, PutRequest, Version,
};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::{
    Blob, ClusterId, Context, EncodedRecord, Key, ProtocolVersion, Quorum, Record, Value,
};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

const VERSION: ProtocolVersion = ProtocolVersion::NEWEST;
const CLUSTER: ClusterId = ClusterId(7);
const VALUE_BYTES: [usize; 3] = [100, 1 << 10, 64 << 10];

fn main() {
    divan::main();
}

fn key() -> Key {
    Key::new("carts", "customer-00012345").expect("it is within the limits")
}

fn value(bytes: usize) -> Content<Value> {
    Content::Value(vec![b'v'; bytes].into())
}

/// Makes the record of a key that three coordinators have written, with one version left.
fn record(value_bytes: usize) -> Record {
    let mut record = Record::new();
    for actor in 1..=3 {
        let context = record.clock().clone();
        let write = Write {
            write_id: WriteId(u128::from(actor)),
            written_at_ms: actor,
            expires_at_ms: None,
            content: value(value_bytes),
        };
        record.put(&context, ActorId(actor), write);
    }
    record
}

fn context() -> Blob {
    let clock: VectorClock = record(0).clock().clone();
    Context(clock).encode(CLUSTER, &key())
}

fn put(value_bytes: usize) -> Frame {
    let request = PutRequest {
        key: key(),
        content: value(value_bytes),
        context: Some(context()),
        write_id: WriteId(1),
        ttl_ms: None,
        n: None,
        w: Quorum::Default,
        pw: Quorum::Default,
        dw: Quorum::Default,
        timeout_ms: 5_000,
    };
    Frame::ClientRequest { id: 1, request: ClientRequest::Put(request) }
}

fn get() -> Frame {
    let request = GetRequest {
        key: key(),
        n: None,
        r: Quorum::Default,
        pr: Quorum::Default,
        timeout_ms: 5_000,
    };
    Frame::ClientRequest { id: 1, request: ClientRequest::Get(request) }
}

fn got(value_bytes: usize) -> Frame {
    let version =
        Version { content: value(value_bytes), tag: 1, written_at_ms: 1, expires_at_ms: None };
    let answer = GetAnswer {
        versions: vec![version],
        context: Some(context()),
        answered: 2,
        primaries: 2,
        partial: false,
    };
    Frame::ClientResponse { id: 1, layout: 1, response: ClientResponse::Got(answer) }
}

fn encode(bencher: Bencher, frame: &Frame) {
    let bytes = BytesCount::new(frame.encoded_length(VERSION));
    bencher.counter(bytes).bench(|| drop(black_box(black_box(frame).encode(VERSION))));
}

fn decode(bencher: Bencher, frame: &Frame) {
    let bytes = Bytes::from(frame.encode(VERSION).into_vec());
    assert_eq!(Frame::decode(&bytes, VERSION).as_ref(), Ok(frame));
    let count = BytesCount::new(bytes.len());
    bencher.counter(count).bench(|| Frame::decode(black_box(&bytes), VERSION));
}

#[divan::bench(args = VALUE_BYTES)]
fn encode_a_put(bencher: Bencher, value_bytes: usize) {
    encode(bencher, &put(value_bytes));
}

#[divan::bench(args = VALUE_BYTES)]
fn decode_a_put(bencher: Bencher, value_bytes: usize) {
    decode(bencher, &put(value_bytes));
}

#[divan::bench]
fn decode_a_get(bencher: Bencher) {
    decode(bencher, &get());
}

#[divan::bench(args = VALUE_BYTES)]
fn encode_the_answer_to_a_get(bencher: Bencher, value_bytes: usize) {
    encode(bencher, &got(value_bytes));
}

#[divan::bench(args = VALUE_BYTES)]
fn decode_the_answer_to_a_get(bencher: Bencher, value_bytes: usize) {
    decode(bencher, &got(value_bytes));
}

#[divan::bench(args = VALUE_BYTES)]
fn encode_a_record(bencher: Bencher, value_bytes: usize) {
    let record = record(value_bytes);
    let bytes = BytesCount::new(EncodedRecord::encode(&record).bytes().len());
    bencher.counter(bytes).bench(|| drop(black_box(EncodedRecord::encode(black_box(&record)))));
}

#[divan::bench(args = VALUE_BYTES)]
fn decode_a_record(bencher: Bencher, value_bytes: usize) {
    let record = record(value_bytes);
    let encoded = EncodedRecord::encode(&record);
    assert_eq!(encoded.decode().as_ref(), Ok(&record));
    let bytes = BytesCount::new(encoded.bytes().len());
    bencher.counter(bytes).bench(|| black_box(&encoded).decode());
}
