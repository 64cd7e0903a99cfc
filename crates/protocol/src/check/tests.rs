//! Frames whose bytes are laid out well and whose contents are not allowed.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use jedlik_hashing::{NodeId, Partition, PartitionCount, Position, Ring, RingNode};
use jedlik_vclock::{ActorId, ClockEntry, Content, Dot, VectorClock, WriteId};
use rkyv::{Archive, Serialize};

use super::INSPECTED_HINTS_MAX;
use crate::admin::AdminRequest;
use crate::bucket::{BucketEntry, BucketProps};
use crate::client::{
    ClientRequest, ClientResponse, GetAnswer, GetRequest, PutRequest, ScanAnswer, ScanMark,
    Topology, Version,
};
use crate::error::{DecodeError, InvalidKey};
use crate::frame::Frame;
use crate::gossip::{
    Delta, Gossip, Life, Load, MemberRecord, Ready, Speaks, StagedChange, Staging, Status,
};
use crate::inspection::{HintSummary, Inspection, RecordSummary, SiblingSummary};
use crate::limits::{
    ADMIN_LIST_MAX, ADMIN_TEXT_BYTES, ANSWER_VALUES_BYTES, BUCKET_LIMIT_BYTES, CLOCK_ENTRIES_MAX,
    CONTEXT_LIMIT_BYTES, DIGEST_PAGE_RECORDS, FRAME_LIMIT_BYTES, HINT_TARGETS_MAX, KEY_LIMIT_BYTES,
    RECORD_MAX_BYTES, REQUEST_LIMIT_BYTES, SCAN_PAGE_BYTES, SCAN_PAGE_RECORDS, SIBLINGS_MAX,
    VALUE_LIMIT_MAX_BYTES,
};
use crate::peer::{DigestEntry, DigestPage, Doubt, Page, PeerRequest, PeerResponse, ScannedPage};
use crate::{
    ActiveLayouts, Blob, ClusterId, Departed, Digest, Durability, EncodedRecord, Incarnation, Key,
    Layout, LayoutId, PartitionSet, ProtocolVersion, Quorum, Record, Stamp, Terms, WireLayout,
    archive,
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
    archive::decode(&bytes, "value laid out by hand").unwrap()
}

/// Laid out as a ring is, with nothing checked.
#[derive(Archive, Serialize)]
struct LooseRing {
    partitions: PartitionCount,
    nodes: Vec<RingNode>,
    tokens: Vec<u16>,
}

/// A layout of two partitions on one node, with these tokens.
fn layout(tokens: Vec<u16>) -> Layout {
    let node = RingNode { node: NodeId(1), zone: "zone".into(), weight: 1 };
    let partitions = PartitionCount::new(2).unwrap();
    let loose = LooseRing { partitions, nodes: vec![node], tokens };
    let bytes = Bytes::from(rkyv::to_bytes::<rkyv::rancor::Error>(&loose).unwrap().into_vec());
    let ring: Ring = archive::decode(&bytes, "value laid out by hand").unwrap();
    Layout { version: 1, parent: LayoutId::default(), ring, departed: vec![] }
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

/// A record of bytes that no codec has written.
fn garbage() -> EncodedRecord {
    let bytes = Bytes::from(
        rkyv::to_bytes::<rkyv::rancor::Error>(&Blob::from("garbage")).unwrap().into_vec(),
    );
    archive::decode(&bytes, "value laid out by hand").unwrap()
}

fn member(weight: u32) -> MemberRecord {
    MemberRecord {
        node: NodeId(1),
        name: String::new(),
        address: ([127, 0, 0, 1], 1).into(),
        zone: String::new(),
        weight,
        life: Life::new(Incarnation(1)),
        generation: 1,
        version: 1,
        status: Status::Up,
        layout: LayoutId::default(),
        ready: Ready::default(),
        load: Load::default(),
        speaks: Speaks::default(),
        message_life_ms: 30_000,
    }
}

fn close(delta: Delta) -> Frame {
    Frame::Gossip(Gossip::Close(delta))
}

/// A layout from which these nodes have departed, in this order.
fn departed(nodes: &[u64]) -> Layout {
    let departed =
        nodes.iter().map(|node| Departed { node: NodeId(*node), forced: false }).collect();
    Layout { departed, ..layout(vec![0, 0]) }
}

fn placed(layout: Layout, flipped: &[u32]) -> Frame {
    let flipped = flipped.iter().copied().map(Partition).collect();
    close(Delta { layouts: vec![WireLayout { layout, flipped }], ..Delta::default() })
}

fn flips(partition: u32) -> Frame {
    let flipped = PartitionSet::from_iter([Partition(partition)]);
    close(Delta { flips: vec![(LayoutId::default(), flipped)], ..Delta::default() })
}

fn ready(partition: u32) -> Frame {
    let partitions = PartitionSet::from_iter([Partition(partition)]);
    let ready = Ready { partitions, ..Ready::default() };
    Frame::Gossip(Gossip::Offer(MemberRecord { ready, ..member(1) }.into(), Digest(1), 7))
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
    let terms = Terms {
        life: Incarnation(1),
        layouts: ActiveLayouts::default(),
        receiver_clock: 0,
        trace: None,
    };
    Frame::PeerRequest { id: 1, terms, request }
}

fn response(response: PeerResponse) -> Frame {
    Frame::PeerResponse { id: 1, stamp: Stamp::UNTOLD, response }
}

fn client_response(response: ClientResponse) -> Frame {
    Frame::ClientResponse { id: 1, layout: 1, response }
}

fn page(key: Key, record: EncodedRecord, until: Option<ScanMark>) -> Frame {
    response(PeerResponse::Page(Page { records: vec![(key, record)], until }))
}

fn scanned_page(key: Key, record: EncodedRecord, damaged: Key) -> Frame {
    let page = Page { records: vec![(key, record)], until: None };
    response(PeerResponse::Scanned(ScannedPage { page, damaged: vec![damaged], doubt: None }))
}

fn scanned() -> ClientResponse {
    ClientResponse::Scanned(ScanAnswer { items: vec![], next: Some(mark()) })
}

fn write(key: Key, record: EncodedRecord) -> Frame {
    request(PeerRequest::Write { key, record, durability: Durability::Synced })
}

fn scan(bucket: &str, after: Option<ScanMark>) -> Frame {
    request(PeerRequest::Scan {
        bucket: Some(bucket.into()),
        n: 3,
        partition: Partition(0),
        after,
        limit: 1,
        values: true,
        counts: 0,
    })
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
    let (digest, lives) = (Digest(1), Digest(2));
    request(PeerRequest::Compare { key, digest, n: 3, lives, durably: true })
}

fn digests(after: Option<ScanMark>) -> Frame {
    let (partition, n, first_leaf, last_leaf) = (Partition(0), 3, 0, 0);
    let (clocks, synced) = (true, true);
    request(PeerRequest::Digests { partition, n, first_leaf, last_leaf, after, clocks, synced })
}

fn digest_page(key: Key, until: Option<ScanMark>) -> Frame {
    let entry = DigestEntry { digest: Digest(1), clock: None };
    response(PeerResponse::Digests(DigestPage { digests: vec![(key, entry)], until }))
}

/// Laid out as a clock is, with nothing checked.
#[derive(Archive, Serialize)]
struct LooseClock {
    entries: Vec<ClockEntry>,
}

/// A page of one digest, whose clock has each of these actors with its counter.
fn clock_page(entries: &[(u64, u64)]) -> Frame {
    let entry = |(actor, counter): &(u64, u64)| ClockEntry {
        actor: ActorId(*actor),
        counter: *counter,
        touched_ms: 0,
    };
    let loose = LooseClock { entries: entries.iter().map(entry).collect() };
    let bytes = Bytes::from(rkyv::to_bytes::<rkyv::rancor::Error>(&loose).unwrap().into_vec());
    let clock: VectorClock = archive::decode(&bytes, "value laid out by hand").unwrap();
    let entry = DigestEntry { digest: Digest(1), clock: Some(clock) };
    response(PeerResponse::Digests(DigestPage { digests: vec![(key(), entry)], until: None }))
}

fn explain(key: Key) -> ClientRequest {
    ClientRequest::Admin(AdminRequest::Explain { key })
}

fn offer(weight: u32) -> Frame {
    Frame::Gossip(Gossip::Offer(member(weight).into(), Digest(1), 7))
}

fn too_many(what: &'static str, limit: usize) -> DecodeError {
    DecodeError::TooMany { what, count: limit + 1, limit }
}

fn entries(count: usize) -> Vec<(u64, u64)> {
    (1..=count as u64).map(|actor| (actor, 1)).collect()
}

/// A record whose clock has `clock` entries, with `siblings` siblings of one actor.
fn record_of(clock: usize, siblings: usize) -> EncodedRecord {
    let mut context = VectorClock::new();
    for (actor, counter) in entries(clock.saturating_sub(1)) {
        context.extend(Dot { actor: ActorId(actor), counter }, 1);
    }
    let mut record = Record::new();
    for write_id in 0..siblings {
        let write = jedlik_vclock::Write {
            write_id: WriteId(write_id as u128),
            written_at_ms: 0,
            expires_at_ms: None,
            content: Content::Tombstone,
        };
        record.put(&context, ActorId(u64::MAX), write);
    }
    EncodedRecord::encode(&record)
}

fn admin(request: AdminRequest) -> Frame {
    Frame::ClientRequest { id: 1, request: ClientRequest::Admin(request) }
}

fn stage(count: usize, zone: usize) -> Frame {
    let change = StagedChange::Join { zone: "z".repeat(zone), weight: 1 };
    let changes = (0..count as u64).map(|node| (NodeId(node), change.clone())).collect();
    admin(AdminRequest::Stage { changes, dry_run: true })
}

fn unstage(count: usize) -> Frame {
    admin(AdminRequest::Unstage { nodes: vec![NodeId(1); count] })
}

fn bucket_set(name: usize, count: usize, value: usize) -> Frame {
    let changes = vec![(String::from("n"), "1".repeat(value)); count];
    admin(AdminRequest::BucketSet { name: Blob::from(vec![b'b'; name]), changes })
}

fn records(count: usize) -> Frame {
    let record = EncodedRecord::encode(&Record::new());
    response(PeerResponse::Page(Page { records: vec![(key(), record); count], until: None }))
}

fn many_digests(count: usize) -> Frame {
    let entry = DigestEntry { digest: Digest(1), clock: None };
    let digests = vec![(key(), entry); count];
    response(PeerResponse::Digests(DigestPage { digests, until: None }))
}

fn inspected(clock: usize, siblings: usize, hints: usize) -> Frame {
    let sibling = SiblingSummary {
        actor: 1,
        counter: 1,
        write_id: WriteId(1),
        value_bytes: None,
        written_at_ms: 0,
        expires_at_ms: None,
    };
    let (clock, siblings) = (vec![(1, 1); clock], vec![sibling; siblings]);
    let record = RecordSummary { digest: Digest(1), clock, siblings };
    let empty = RecordSummary { digest: Digest(1), clock: vec![], siblings: vec![] };
    let hint = HintSummary { target: NodeId(1), since_ms: 0, record: empty };
    let hints = vec![hint; hints];
    let inspection = Inspection { record: Some(record), hints, ..Inspection::default() };
    response(PeerResponse::Inspected(inspection.into()))
}

fn decoded(frame: &Frame) -> Result<Frame, DecodeError> {
    let bytes = Bytes::from(frame.encode(ProtocolVersion::NEWEST).into_vec());
    Frame::decode(&bytes, ProtocolVersion::NEWEST)
}

#[test]
fn nothing_of_variable_length_is_longer_than_its_limit_which_itself_is_taken() {
    let page = SCAN_PAGE_RECORDS as usize;
    let digests = DIGEST_PAGE_RECORDS as usize;
    let (list, text) = (ADMIN_LIST_MAX, ADMIN_TEXT_BYTES);
    let long_clock = too_many("clock entries", CLOCK_ENTRIES_MAX);
    let crowd = too_many("siblings", SIBLINGS_MAX);
    let long_text = too_many("bytes of text", text);
    let clocks = |excess: usize| record_of(CLOCK_ENTRIES_MAX + excess, 1);
    let siblings = |excess: usize| record_of(1, SIBLINGS_MAX + excess);
    type Case<'a> = (&'a dyn Fn(usize) -> Frame, DecodeError);
    let cases: [Case<'_>; 15] = [
        (&|over| write(key(), clocks(over)), long_clock.clone()),
        (&|over| write(key(), siblings(over)), crowd.clone()),
        (&|over| hint(key(), clocks(over), 1), long_clock.clone()),
        (&|over| deliver(key(), siblings(over)), crowd.clone()),
        (&|over| clock_page(&entries(CLOCK_ENTRIES_MAX + over)), long_clock.clone()),
        (&|over| records(page + over), too_many("records in a page", page)),
        (&|over| many_digests(digests + over), too_many("digests in a page", digests)),
        (&|over| inspected(CLOCK_ENTRIES_MAX + over, 0, 0), long_clock),
        (&|over| inspected(0, SIBLINGS_MAX + over, 0), crowd),
        (
            &|over| inspected(0, 0, INSPECTED_HINTS_MAX + over),
            too_many("hints", INSPECTED_HINTS_MAX),
        ),
        (&|over| stage(list + over, 1), too_many("staged changes", list)),
        (&|over| stage(1, text + over), long_text.clone()),
        (&|over| unstage(list + over), too_many("nodes", list)),
        (&|over| bucket_set(text + over, 1, 1), long_text.clone()),
        (&|over| bucket_set(1, 1, text + over), long_text),
    ];
    for (index, (frame, expected)) in cases.into_iter().enumerate() {
        let allowed = frame(0);
        assert!(decoded(&allowed) == Ok(allowed), "case {index} at its limit");
        assert_eq!(decoded(&frame(1)).err(), Some(expected), "case {index}");
    }
}

fn unknown(record: EncodedRecord) -> Frame {
    response(PeerResponse::Unknown { why: Doubt::Refilling, record: Some(record) })
}

/// The limits of what is inside add up to the limit of the frame around it.
#[test]
fn the_largest_of_everything_fits_its_frame() {
    let blob = |length: usize| Blob::from(vec![0; length]);
    let longest = || Key::new(blob(BUCKET_LIMIT_BYTES), blob(KEY_LIMIT_BYTES)).unwrap();
    let put = ClientRequest::Put(PutRequest {
        key: longest(),
        content: Content::Value(blob(VALUE_LIMIT_MAX_BYTES as usize).into()),
        context: Some(blob(CONTEXT_LIMIT_BYTES)),
        write_id: WriteId(1),
        ttl_ms: Some(1),
        n: None,
        w: Quorum::Default,
        pw: Quorum::Default,
        dw: Quorum::Default,
        timeout_ms: 1,
    });
    let version = |length| Version {
        content: Content::Value(blob(length).into()),
        tag: 1,
        written_at_ms: 1,
        expires_at_ms: Some(1),
    };
    let mut versions = vec![version(0); SIBLINGS_MAX - 1];
    versions.push(version(ANSWER_VALUES_BYTES));
    let context = Some(blob(CONTEXT_LIMIT_BYTES));
    let got = GetAnswer { versions, context, answered: 1, primaries: 1, partial: false };
    let small = EncodedRecord::encode(&Record::new());
    // One byte less than ends a page, and then the largest record.
    let full =
        SCAN_PAGE_BYTES + RECORD_MAX_BYTES - SCAN_PAGE_RECORDS as usize * small.bytes().len();
    let mut records = vec![(longest(), small); SCAN_PAGE_RECORDS as usize - 1];
    records.push((longest(), raw(full)));
    let until = Some(ScanMark { position: Position(0), key: longest() });
    for (what, frame, limit) in [
        ("put", Frame::ClientRequest { id: 1, request: put }, REQUEST_LIMIT_BYTES),
        ("answer", client_response(ClientResponse::Got(got)), FRAME_LIMIT_BYTES),
        ("record", write(longest(), raw(RECORD_MAX_BYTES)), FRAME_LIMIT_BYTES),
        ("page", response(PeerResponse::Page(Page { records, until })), FRAME_LIMIT_BYTES),
        ("list", stage(ADMIN_LIST_MAX, 256), REQUEST_LIMIT_BYTES),
    ] {
        let length = frame.encoded_length(ProtocolVersion::NEWEST);
        assert!(length <= limit, "{what}: {length} bytes, over {limit}");
    }
}

/// A record of `length` bytes that are all alike.
fn raw(length: usize) -> EncodedRecord {
    let blob = Blob::from(vec![0; length]);
    let bytes = Bytes::from(rkyv::to_bytes::<rkyv::rancor::Error>(&blob).unwrap().into_vec());
    archive::decode(&bytes, "value laid out by hand").unwrap()
}

#[test]
fn what_must_not_be_said_is_refused_wherever_it_is_said() {
    let record = EncodedRecord::encode(&Record::new());
    let no_key = || loose_key("bucket", "");
    let no_bucket = || loose_key("", "key");
    for (frame, expected) in [
        (Frame::ClientRequest { id: 1, request: get(no_key()) }, EMPTY_KEY),
        (request(PeerRequest::Forward(get(no_bucket()))), EMPTY_BUCKET),
        (request(PeerRequest::Read { key: no_key(), known: None, n: 3 }), EMPTY_KEY),
        (write(no_key(), record.clone()), EMPTY_KEY),
        (write(key(), garbage()), malformed("record")),
        (scan("", None), EMPTY_BUCKET),
        (scan("bucket", Some(mark())), EMPTY_KEY),
        (response(PeerResponse::Read(Some(garbage()))), malformed("record")),
        (unknown(garbage()), malformed("record")),
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
        (page(key(), record.clone(), Some(mark())), EMPTY_KEY),
        (scanned_page(key(), garbage(), key()), malformed("record")),
        (scanned_page(key(), record, no_key()), EMPTY_KEY),
        (response(PeerResponse::Forwarded(scanned())), EMPTY_KEY),
        (client_response(scanned()), EMPTY_KEY),
        (client_response(topology(layout(vec![0, 1]))), malformed("layout")),
        (client_response(topology(layout(vec![0]))), malformed("layout")),
        (placed(layout(vec![0, 1]), &[]), malformed("layout")),
        (placed(departed(&[2, 1]), &[]), malformed("layout")),
        (placed(departed(&[1, 1]), &[]), malformed("layout")),
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
        placed(departed(&[1, 2]), &[0, 1]),
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
            write_id: WriteId(1),
            written_at_ms: 0,
            expires_at_ms: None,
            content: Content::Value(value.into()),
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
        let mut bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&loose).unwrap().into_vec();
        // No sibling repeats another one's value.
        bytes.extend_from_slice(&[0, 0]);
        assert_eq!(EncodedRecord::from_bytes(bytes).is_ok(), accepted, "{why}");
    }
}
