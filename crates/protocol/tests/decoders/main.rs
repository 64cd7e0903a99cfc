//! Every decoder, fed with what well-behaved senders send and with damaged bytes.

mod bodies;
mod messages;

use bytes::Bytes;
use jedlik_protocol::client::{ClientRequest, PutRequest};
use jedlik_protocol::codec::{Frame, decode_knowledge, encode_knowledge};
use jedlik_protocol::error::DecodeError;
use jedlik_protocol::limits::FRAME_LIMIT_BYTES;
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{
    ActiveLayouts, Attributes, Blob, ClusterId, Context, Durability, EncodedRecord, Incarnation,
    Key, ProtocolVersion, Quorum, Record, Stamp, Terms, Value,
};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

/// Damage to a frame's bytes: some bytes are changed, and the end or the start is cut off.
type Damage = (Vec<(Index, u8)>, Option<(Index, bool)>);

fn damage() -> impl Strategy<Value = Damage> {
    (vec((any::<Index>(), any::<u8>()), 0..6), of((any::<Index>(), any::<bool>())))
}

fn damaged(bytes: &[u8], (changes, cut): &Damage) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (index, byte) in changes {
        let index = index.index(bytes.len());
        bytes[index] = *byte;
    }
    if let Some((at, keep_start)) = cut {
        let at = at.index(bytes.len() + 1);
        bytes = if *keep_start { bytes[..at].to_vec() } else { bytes[at..].to_vec() };
    }
    bytes
}

fn encoded(frame: &Frame) -> Bytes {
    Bytes::from(frame.encode(ProtocolVersion::V5).into_vec())
}

fn key() -> Key {
    Key::new("bucket", "key").expect("it is within the limits")
}

fn attributes() -> Attributes {
    Attributes::default().with_content_type("text/plain")
}

fn put_frame(value: Blob) -> Frame {
    Frame::ClientRequest {
        id: 1,
        request: ClientRequest::Put(PutRequest {
            key: key(),
            content: Content::Value(Value::with_attributes(value, &attributes())),
            context: None,
            write_id: WriteId(1),
            ttl_ms: None,
            n: None,
            w: Quorum::Default,
            pw: Quorum::Default,
            dw: Quorum::Default,
            timeout_ms: 1_000,
        }),
    }
}

fn record_of(value: &[u8]) -> Record {
    let mut record = Record::new();
    let content = Content::Value(value.into());
    let write = Write { write_id: WriteId(1), written_at_ms: 1, expires_at_ms: Some(2), content };
    record.put(&VectorClock::new(), ActorId(1), write);
    record
}

fn lies_within(part: &[u8], whole: &Bytes) -> bool {
    let range = whole.as_ptr_range();
    part.as_ptr() >= range.start && part.as_ptr_range().end <= range.end
}

const STAMP: Stamp = Stamp { life: Incarnation(1), clock: 1 };

fn terms() -> Terms {
    Terms {
        life: Incarnation(1),
        layouts: ActiveLayouts::default(),
        receiver_clock: 0,
        trace: None,
    }
}

proptest! {
    #[test]
    fn every_frame_comes_back_as_it_was_sent_in_the_version_in_which_it_was_and_no_other(
        frame in messages::frame(),
    ) {
        let versions = [ProtocolVersion::V5, ProtocolVersion::V6];
        for sent in versions {
            let bytes = Bytes::from(frame.encode(sent).into_vec());
            prop_assert_eq!(frame.encoded_length(sent), bytes.len());
            for read in versions {
                let decoded = Frame::decode(&bytes, read).ok();
                prop_assert_eq!(decoded.as_ref(), (sent == read).then_some(&frame));
            }
        }
    }

    #[test]
    fn every_record_comes_back_as_it_was_stored(record in messages::record()) {
        let stored = EncodedRecord::encode(&record);
        prop_assert_eq!(EncodedRecord::from_bytes(stored.bytes().clone()), Ok(stored.clone()));
        prop_assert_eq!(stored.decode(), Ok(record));
    }

    #[test]
    fn equal_records_have_equal_bytes(record in messages::record()) {
        let mut rebuilt = Record::new();
        rebuilt.merge(&record);
        rebuilt.merge(&EncodedRecord::encode(&record).decode().unwrap());
        prop_assert_eq!(EncodedRecord::encode(&rebuilt), EncodedRecord::encode(&record));
        prop_assert_eq!(
            EncodedRecord::encode(&rebuilt).digest(),
            EncodedRecord::encode(&record).digest()
        );
    }

    #[test]
    fn a_damaged_frame_is_refused_or_still_well_formed(
        frame in messages::frame(), damage in damage(),
    ) {
        for version in [ProtocolVersion::V5, ProtocolVersion::V6] {
            bodies::frame(&damaged(&frame.encode(version), &damage));
        }
    }

    #[test]
    fn a_damaged_record_is_refused_or_still_well_formed(
        record in messages::record(), damage in damage(),
    ) {
        bodies::record(&damaged(EncodedRecord::encode(&record).bytes(), &damage));
    }

    #[test]
    fn a_damaged_context_is_refused(record in messages::record(), damage in damage()) {
        let (cluster, key) = (ClusterId(1), key());
        let token = Context(record.clock().clone()).encode(cluster, &key);
        let damaged = damaged(&token, &damage);
        bodies::context(&damaged);
        let accepted = Context::decode(&Blob::from(&damaged[..]), cluster, &key).is_ok();
        prop_assert_eq!(accepted, damaged == *token);
    }

    #[test]
    fn arbitrary_bytes_break_no_decoder(bytes in vec(any::<u8>(), 0..400)) {
        bodies::frame(&bytes);
        bodies::record(&bytes);
        bodies::context(&bytes);
    }

    #[test]
    fn a_context_is_accepted_for_its_key_and_cluster_alone(
        record in messages::record(), ours in messages::key(), other in messages::key(),
    ) {
        let (cluster, context) = (ClusterId(1), Context(record.clock().clone()));
        let token = context.encode(cluster, &ours);
        prop_assert_eq!(Context::decode(&token, cluster, &other).is_ok(), ours == other);
        prop_assert!(Context::decode(&token, ClusterId(2), &ours).is_err());
        prop_assert_eq!(Context::decode(&token, cluster, &ours), Ok(context));
    }
}

#[test]
fn every_shorter_piece_of_a_frame_is_refused_or_well_formed() {
    let whole = encoded(&put_frame(Blob::from(&[7; 100][..])));
    for length in 0..whole.len() {
        bodies::frame(&whole[..length]);
        bodies::frame(&whole[length..]);
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_read() {
    let length = FRAME_LIMIT_BYTES + 1;
    let expected = Err(DecodeError::TooLong { length, limit: FRAME_LIMIT_BYTES });
    assert_eq!(Frame::decode(&Bytes::from(vec![0; length]), ProtocolVersion::V5), expected);
}

#[test]
fn what_is_large_is_a_slice_of_the_received_bytes() {
    let value = [7; 1024];
    let bytes = encoded(&put_frame(Blob::from(&value[..])));
    let Frame::ClientRequest { request: ClientRequest::Put(put), .. } =
        Frame::decode(&bytes, ProtocolVersion::V5).unwrap()
    else {
        panic!("a put was sent");
    };
    let Content::Value(received) = &put.content else { panic!("a value was put") };
    assert_eq!(received.bytes()[..], value);
    let attributes = received.encoded_attributes();
    for part in [received.bytes(), attributes, put.key.bucket(), put.key.key()] {
        assert!(lies_within(part, &bytes));
    }

    let record = EncodedRecord::encode(&record_of(&value));
    let key = key();
    let request = PeerRequest::Write { key, record, durability: Durability::Synced };
    let bytes = encoded(&Frame::PeerRequest { id: 1, terms: terms(), request });
    let Frame::PeerRequest { request: PeerRequest::Write { record, .. }, .. } =
        Frame::decode(&bytes, ProtocolVersion::V5).unwrap()
    else {
        panic!("a write was sent");
    };
    assert!(lies_within(record.bytes(), &bytes));
    let decoded = record.decode().unwrap();
    let Content::Value(stored) = &decoded.siblings()[0].content else { panic!("a value") };
    assert!(lies_within(stored.bytes(), &bytes));
}

proptest! {
    #[test]
    fn what_a_node_knows_is_read_back_and_damaged_bytes_are_refused_or_within_the_limits(
        delta in messages::delta(), damage in damage(),
    ) {
        let bytes = encode_knowledge(&delta);
        prop_assert_eq!(decode_knowledge(&bytes.clone().into()).unwrap(), delta);
        if let Ok(read) = decode_knowledge(&damaged(&bytes, &damage).into()) {
            prop_assert!(read.members.iter().all(|member| member.weight > 0));
        }
    }
}

#[test]
fn a_kibibyte_costs_little_more_on_disk_and_on_the_wire() {
    let record = EncodedRecord::encode(&record_of(&[7; 1024]));
    let stored = record.bytes().len() - 1024;
    let key = key();
    let names = key.bucket().len() + key.key().len();
    let request = PeerRequest::Write { key, record, durability: Durability::Synced };
    let frame = Frame::PeerRequest { id: 1, terms: terms(), request };
    let frame = frame.encode(ProtocolVersion::V5).len();
    let sent = frame - names - 1024;
    println!("overhead of a record: {stored} bytes, of its frame: {sent} bytes");
    assert!(stored <= 128, "{stored} bytes");
    // Every frame has eight bytes for the older active layouts, of which there are none while nothing moves, and eight
    // for the life that sends it; every value has eight for its attributes, of which there are none; a request has four
    // for its trace, of which there is none.
    assert!(sent <= 224, "{sent} bytes");
    let acknowledgement =
        Frame::PeerResponse { id: 1, stamp: STAMP, response: PeerResponse::Written }
            .encode(ProtocolVersion::V5)
            .len();
    println!("an acknowledgement: {acknowledgement} bytes");
    assert!(acknowledgement <= 116, "{acknowledgement} bytes");
}

#[test]
fn an_acknowledgement_stays_small() {
    let frame = Frame::PeerResponse { id: 1, stamp: STAMP, response: PeerResponse::Written };
    let length = frame.encode(ProtocolVersion::V5).len();
    println!("an acknowledgement: {length} bytes");
    assert!(length <= 128, "{length} bytes");
}
