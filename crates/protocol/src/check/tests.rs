//! Frames whose bytes are laid out well and say what must not be said.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use jedlik_hashing::{NodeId, Partition, PartitionCount, Position, Ring, RingNode};
use jedlik_vclock::{ActorId, ClockEntry, Dot, VectorClock};
use rkyv::{Archive, Serialize};

use crate::admin::AdminRequest;
use crate::bucket::{BucketEntry, BucketProps};
use crate::client::{ClientRequest, ClientResponse, GetRequest, ScanAnswer, ScanMark, Topology};
use crate::codec::Frame;
use crate::error::{DecodeError, InvalidKey};
use crate::gossip::{
    Delta, Gossip, Load, MemberRecord, Ready, Speaks, StagedChange, Staging, Status,
};
use crate::limits::HINT_TARGETS_MAX;
use crate::peer::{DigestPage, Outline, Page, PeerRequest, PeerResponse};
use crate::{
    Blob, ClusterId, Digest, Durability, EncodedRecord, Gone, Incarnation, Key, Layout, LayoutId,
    PartitionSet, PlacedLayout, ProtocolVersion, Quorum, Record,
};

const EMPTY_KEY: DecodeError = DecodeError::Key(InvalidKey::EmptyKey);
const EMPTY_BUCKET: DecodeError = DecodeError::Key(InvalidKey::EmptyBucket);

fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed { what }
}

fn key() -> Key {
    Key::new("bucket", "key").unwrap()
}

/// Laid out as a key is, with nothing checked.
#[derive(Archive, Serialize)]
struct LooseKey {
    bucket: Blob,
    key: Blob,
}

fn loose_key(bucket: &str, name: &str) -> Key {
    let loose = LooseKey { bucket: bucket.into(), key: name.into() };
    let bytes = Bytes::from(rkyv::to_bytes::<rkyv::rancor::Error>(&loose).unwrap().into_vec());
    crate::codec::decode_unchecked(&bytes)
}

/// Laid out as a ring is, with nothing checked.
#[derive(Archive, Serialize)]
struct LooseRing {
    partitions: PartitionCount,
    nodes: Vec<RingNode>,
    tokens: Vec<u16>,
}

/// A layout of two partitions, on one node, with these tokens.
fn layout(tokens: Vec<u16>) -> Layout {
    let node = RingNode { node: NodeId(1), zone: "zone".into(), weight: 1 };
    let partitions = PartitionCount::new(2).unwrap();
    let loose = LooseRing { partitions, nodes: vec![node], tokens };
    let bytes = Bytes::from(rkyv::to_bytes::<rkyv::rancor::Error>(&loose).unwrap().into_vec());
    let ring: Ring = crate::codec::decode_unchecked(&bytes);
    Layout { version: 1, parent: LayoutId::default(), ring, gone: vec![] }
}

fn topology(layout: Layout) -> ClientResponse {
    let layout = Some(layout);
    ClientResponse::Topology(Topology { cluster: ClusterId(1), layout, members: vec![] })
}

fn get(key: Key) -> ClientRequest {
    let (r, pr) = (Quorum::Default, Quorum::Default);
    ClientRequest::Get(GetRequest { key, n: None, r, pr, timeout_ms: 1 })
}

fn mark() -> ScanMark {
    ScanMark { position: Position(0), key: loose_key("bucket", "") }
}

/// Bytes that no codec has seen.
fn garbage() -> EncodedRecord {
    let bytes = Bytes::from(
        rkyv::to_bytes::<rkyv::rancor::Error>(&Blob::from("garbage")).unwrap().into_vec(),
    );
    crate::codec::decode_unchecked(&bytes)
}

fn member(weight: u32) -> MemberRecord {
    MemberRecord {
        node: NodeId(1),
        name: String::new(),
        address: ([127, 0, 0, 1], 1).into(),
        zone: String::new(),
        weight,
        incarnation: Incarnation(1),
        generation: 1,
        version: 1,
        status: Status::Up,
        layout: LayoutId::default(),
        ready: Ready::default(),
        load: Load::default(),
        speaks: Speaks::default(),
    }
}

fn close(delta: Delta) -> Frame {
    Frame::Gossip(Gossip::Close(delta))
}

/// A layout that others have left, in this order.
fn gone(nodes: &[u64]) -> Layout {
    let gone = nodes.iter().map(|node| Gone { node: NodeId(*node), forced: false }).collect();
    Layout { gone, ..layout(vec![0, 0]) }
}

fn placed(layout: Layout, flipped: &[u32]) -> Frame {
    let flipped = flipped.iter().copied().map(Partition).collect();
    close(Delta { layouts: vec![PlacedLayout { layout, flipped }], ..Delta::default() })
}

fn flips(partition: u32) -> Frame {
    let flipped = PartitionSet::from_iter([Partition(partition)]);
    close(Delta { flips: vec![(LayoutId::default(), flipped)], ..Delta::default() })
}

fn ready(partition: u32) -> Frame {
    let partitions = PartitionSet::from_iter([Partition(partition)]);
    let ready = Ready { partitions, ..Ready::default() };
    Frame::Gossip(Gossip::Offer(MemberRecord { ready, ..member(1) }.into(), Digest(1)))
}

fn staging(nodes: &[u64], change: &StagedChange) -> Frame {
    let changes = nodes.iter().map(|node| (NodeId(*node), change.clone())).collect();
    close(Delta { staging: Some(Staging { changes, ..Staging::default() }), ..Delta::default() })
}

fn bucket(name: &str, n: u8) -> Frame {
    let props = BucketProps { n, ..BucketProps::default() };
    let entry = BucketEntry { name: name.into(), version: 1, props };
    close(Delta { buckets: vec![entry], ..Delta::default() })
}

fn request(request: PeerRequest) -> Frame {
    Frame::PeerRequest { id: 1, layout: LayoutId::default(), heard: 0, request }
}

fn response(response: PeerResponse) -> Frame {
    Frame::PeerResponse { id: 1, clock: 0, response }
}

fn client_response(response: ClientResponse) -> Frame {
    Frame::ClientResponse { id: 1, layout: 1, response }
}

fn page(key: Key, record: EncodedRecord, until: Option<ScanMark>) -> Frame {
    response(PeerResponse::Page(Page { records: vec![(key, record)], until }))
}

fn scanned() -> ClientResponse {
    ClientResponse::Scanned(ScanAnswer { items: vec![], next: Some(mark()) })
}

fn write(key: Key, record: EncodedRecord) -> Frame {
    request(PeerRequest::Write { key, record, durability: Durability::Synced })
}

fn scan(bucket: &str, after: Option<ScanMark>) -> Frame {
    request(PeerRequest::Scan { bucket: bucket.into(), partition: Partition(0), after, limit: 1 })
}

fn hint(key: Key, record: EncodedRecord, targets: usize) -> Frame {
    let (targets, durability) = (vec![NodeId(1); targets], Durability::Synced);
    request(PeerRequest::Hint { key, record, targets, durability })
}

fn deliver(key: Key, record: EncodedRecord) -> Frame {
    request(PeerRequest::Deliver { key, record })
}

fn revise(key: Key, record: Option<EncodedRecord>) -> Frame {
    request(PeerRequest::Revise { key, expected: Digest(1), record })
}

fn compare(key: Key) -> Frame {
    request(PeerRequest::Compare { key, digest: Digest(1), durably: true })
}

fn digests(after: Option<ScanMark>) -> Frame {
    let (partition, n, first_leaf, last_leaf) = (Partition(0), 3, 0, 0);
    request(PeerRequest::Digests { partition, n, first_leaf, last_leaf, after, clocks: true })
}

fn digest_page(key: Key, until: Option<ScanMark>) -> Frame {
    let outline = Outline { digest: Digest(1), clock: None };
    response(PeerResponse::Digests(DigestPage { digests: vec![(key, outline)], until }))
}

/// Laid out as a clock is, with nothing checked.
#[derive(Archive, Serialize)]
struct LooseClock {
    entries: Vec<ClockEntry>,
}

/// A page of one digest, with a clock that has seen this much of each of these actors.
fn clock_page(entries: &[(u64, u64)]) -> Frame {
    let entry = |(actor, counter): &(u64, u64)| ClockEntry {
        actor: ActorId(*actor),
        counter: *counter,
        touched_ms: 0,
    };
    let loose = LooseClock { entries: entries.iter().map(entry).collect() };
    let bytes = Bytes::from(rkyv::to_bytes::<rkyv::rancor::Error>(&loose).unwrap().into_vec());
    let clock: VectorClock = crate::codec::decode_unchecked(&bytes);
    let outline = Outline { digest: Digest(1), clock: Some(clock) };
    response(PeerResponse::Digests(DigestPage { digests: vec![(key(), outline)], until: None }))
}

fn explain(key: Key) -> ClientRequest {
    ClientRequest::Admin(AdminRequest::Explain { key })
}

fn offer(weight: u32) -> Frame {
    Frame::Gossip(Gossip::Offer(member(weight).into(), Digest(1)))
}

#[test]
fn what_must_not_be_said_is_refused_wherever_it_is_said() {
    let record = EncodedRecord::encode(&Record::new());
    let no_key = || loose_key("bucket", "");
    let no_bucket = || loose_key("", "key");
    for (frame, expected) in [
        (Frame::ClientRequest { id: 1, request: get(no_key()) }, EMPTY_KEY),
        (request(PeerRequest::Forward(get(no_bucket()))), EMPTY_BUCKET),
        (request(PeerRequest::Read { key: no_key(), known: None }), EMPTY_KEY),
        (write(no_key(), record.clone()), EMPTY_KEY),
        (write(key(), garbage()), malformed("record")),
        (scan("", None), EMPTY_BUCKET),
        (scan("bucket", Some(mark())), EMPTY_KEY),
        (response(PeerResponse::Read(Some(garbage()))), malformed("record")),
        (hint(no_key(), record.clone(), 1), EMPTY_KEY),
        (hint(key(), garbage(), 1), malformed("record")),
        (hint(key(), record.clone(), 0), malformed("hint")),
        (hint(key(), record.clone(), HINT_TARGETS_MAX + 1), malformed("hint")),
        (deliver(no_bucket(), record.clone()), EMPTY_BUCKET),
        (deliver(key(), garbage()), malformed("record")),
        (revise(no_key(), None), EMPTY_KEY),
        (revise(key(), Some(garbage())), malformed("record")),
        (compare(no_key()), EMPTY_KEY),
        (request(PeerRequest::Inspect { key: no_bucket() }), EMPTY_BUCKET),
        (digests(Some(mark())), EMPTY_KEY),
        (digest_page(no_key(), None), EMPTY_KEY),
        (digest_page(key(), Some(mark())), EMPTY_KEY),
        (clock_page(&[(2, 1), (1, 1)]), malformed("clock")),
        (clock_page(&[(1, 0)]), malformed("clock")),
        (Frame::ClientRequest { id: 1, request: explain(no_key()) }, EMPTY_KEY),
        (request(PeerRequest::Forward(explain(no_bucket()))), EMPTY_BUCKET),
        (page(no_key(), record.clone(), None), EMPTY_KEY),
        (page(key(), garbage(), None), malformed("record")),
        (page(key(), record, Some(mark())), EMPTY_KEY),
        (response(PeerResponse::Forwarded(scanned())), EMPTY_KEY),
        (client_response(scanned()), EMPTY_KEY),
        (client_response(topology(layout(vec![0, 1]))), malformed("layout")),
        (client_response(topology(layout(vec![0]))), malformed("layout")),
        (placed(layout(vec![0, 1]), &[]), malformed("layout")),
        (placed(gone(&[2, 1]), &[]), malformed("layout")),
        (placed(gone(&[1, 1]), &[]), malformed("layout")),
        (placed(layout(vec![0, 0]), &[2]), malformed("set of partitions")),
        (flips(65_536), malformed("set of partitions")),
        (ready(65_536), malformed("set of partitions")),
        (staging(&[2, 1], &StagedChange::Leave), malformed("staging")),
        (staging(&[1, 1], &StagedChange::Leave), malformed("staging")),
        (
            staging(&[1], &StagedChange::Join { zone: String::new(), weight: 0 }),
            malformed("staging"),
        ),
        (staging(&[1], &StagedChange::Set { zone: None, weight: Some(0) }), malformed("staging")),
        (close(Delta { members: vec![member(0)], ..Delta::default() }), malformed("member")),
        (offer(0), malformed("member")),
        (bucket("", 3), EMPTY_BUCKET),
        (bucket("bucket", 0), malformed("bucket entry")),
    ] {
        let bytes = Bytes::from(frame.encode(ProtocolVersion::NEWEST).into_vec());
        assert_eq!(Frame::decode(&bytes, ProtocolVersion::NEWEST), Err(expected), "{frame:?}");
    }
}

#[test]
fn the_same_frames_pass_when_they_say_what_may_be_said() {
    let record = EncodedRecord::encode(&Record::new());
    for frame in [
        Frame::ClientRequest { id: 1, request: get(key()) },
        write(key(), record.clone()),
        scan("bucket", None),
        hint(key(), record.clone(), 1),
        hint(key(), record.clone(), HINT_TARGETS_MAX),
        deliver(key(), record.clone()),
        revise(key(), None),
        revise(key(), Some(record.clone())),
        compare(key()),
        request(PeerRequest::Inspect { key: key() }),
        digests(None),
        digest_page(key(), None),
        clock_page(&[(1, 1), (2, 1)]),
        Frame::ClientRequest { id: 1, request: explain(key()) },
        page(key(), record, None),
        client_response(topology(layout(vec![0, 0]))),
        placed(gone(&[1, 2]), &[0, 1]),
        flips(65_535),
        ready(65_535),
        staging(&[1, 2], &StagedChange::Leave),
        staging(&[1], &StagedChange::Set { zone: None, weight: None }),
        offer(1),
        bucket("bucket", 3),
    ] {
        let bytes = Bytes::from(frame.encode(ProtocolVersion::NEWEST).into_vec());
        assert_eq!(Frame::decode(&bytes, ProtocolVersion::NEWEST), Ok(frame));
    }
}

/// Laid out as a record is, with nothing checked.
#[derive(Archive, Serialize)]
struct LooseRecord {
    clock: VectorClock,
    siblings: Vec<crate::Sibling>,
}

#[test]
fn a_record_with_unsorted_repeated_or_uncovered_siblings_is_refused() {
    let mut sound = Record::new();
    for value in ["first", "second"] {
        let write = jedlik_vclock::Write {
            write_id: jedlik_vclock::WriteId(1),
            written_at_ms: 0,
            expires_at_ms: None,
            content: jedlik_vclock::Content::Value(Blob::from(value)),
        };
        sound.put(&VectorClock::new(), ActorId(1), write);
    }
    let [first, second] = sound.siblings() else { panic!("two were put") };
    let mut uncovered = first.clone();
    uncovered.dot = Dot { actor: ActorId(2), counter: 1 };
    let mut ahead = second.clone();
    ahead.dot.counter = 3;
    let mut zero = first.clone();
    zero.dot.counter = 0;
    for (why, siblings, accepted) in [
        ("sorted", vec![first, second], true),
        ("none", vec![], true),
        ("unsorted", vec![second, first], false),
        ("repeated", vec![first, first], false),
        ("of an actor the clock has not seen", vec![first, &uncovered], false),
        ("past what the clock has seen", vec![first, &ahead], false),
        ("counter 0", vec![&zero], false),
    ] {
        let siblings = siblings.into_iter().cloned().collect();
        let loose = LooseRecord { clock: sound.clock().clone(), siblings };
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&loose).unwrap().into_vec();
        assert_eq!(EncodedRecord::from_bytes(bytes).is_ok(), accepted, "{why}");
    }
}
