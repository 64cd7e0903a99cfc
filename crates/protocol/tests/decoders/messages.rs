//! Strategies for everything that a frame can hold.

use std::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, PartitionCount, Position, RingNode, plan_first};
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, BackgroundChange, BackgroundReport, ClusterStatus, Explanation,
    HintReport, Holder, MemberStatus, NodeStats, PlanReport, PlannedNode, RepairReport,
};
use jedlik_protocol::bucket::{BucketEntry, BucketProps, Reconcile};
use jedlik_protocol::client::{
    Acknowledgement, ClientRequest, ClientResponse, Endpoint, GetAnswer, GetRequest, PutAnswer,
    PutRequest, ScanAnswer, ScanItem, ScanMark, ScanRequest, Topology, Version,
};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{Delta, Gossip, MemberDigest, MemberRecord, Status, Summary};
use jedlik_protocol::peer::{
    DigestPage, HintSummary, Inspection, Page, PeerRequest, PeerResponse, RecordSummary,
    SiblingSummary, Standing,
};
use jedlik_protocol::{
    Blob, ClusterId, Digest, Durability, EncodedRecord, Incarnation, Key, Layout, Quorum, Record,
};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

const QUORUMS: [Quorum; 5] =
    [Quorum::Default, Quorum::One, Quorum::Majority, Quorum::All, Quorum::Count(7)];
const LEVELS: [Durability; 3] = [Durability::Buffered, Durability::Written, Durability::Synced];
const CODES: [ErrorCode; 16] = [
    ErrorCode::InvalidRequest,
    ErrorCode::InvalidContext,
    ErrorCode::ValueTooLarge,
    ErrorCode::RecordTooLarge,
    ErrorCode::TooManySiblings,
    ErrorCode::Timeout,
    ErrorCode::Unavailable,
    ErrorCode::Overloaded,
    ErrorCode::NotReady,
    ErrorCode::StaleLayout,
    ErrorCode::NotOwner,
    ErrorCode::TooOld,
    ErrorCode::Forbidden,
    ErrorCode::Storage,
    ErrorCode::PlanChanged,
    ErrorCode::Internal,
];

fn blob(least: usize) -> impl Strategy<Value = Blob> {
    vec(any::<u8>(), least..40).prop_map(Blob::from)
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé ]{0,12}"
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<u64>().prop_map(Digest)
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

pub(crate) fn key() -> impl Strategy<Value = Key> {
    (blob(1), blob(1))
        .prop_map(|(bucket, key)| Key::new(bucket, key).expect("it is within the limits"))
}

fn content() -> impl Strategy<Value = Content<Blob>> {
    prop_oneof![3 => blob(0).prop_map(Content::Value), 1 => Just(Content::Tombstone)]
}

fn write() -> impl Strategy<Value = Write<Blob>> {
    (any::<u128>(), any::<u64>(), of(any::<u64>()), content()).prop_map(
        |(write_id, written_at_ms, expires_at_ms, content)| Write {
            write_id: WriteId(write_id),
            written_at_ms,
            expires_at_ms,
            content,
        },
    )
}

/// A record after some puts, each under one of a few actors, each with or without a context.
pub(crate) fn record() -> impl Strategy<Value = Record> {
    vec((0..4_u64, any::<bool>(), write()), 0..6).prop_map(|puts| {
        let mut record = Record::new();
        for (actor, replaces, write) in puts {
            let context = if replaces { record.clock().clone() } else { VectorClock::new() };
            record.put(&context, ActorId(actor), write);
        }
        record
    })
}

fn encoded() -> impl Strategy<Value = EncodedRecord> {
    record().prop_map(|record| EncodedRecord::encode(&record))
}

fn layout() -> impl Strategy<Value = Layout> {
    (any::<u64>(), vec((text(), 1..9_u32), 1..5), 2..6_u32).prop_map(|(version, nodes, bits)| {
        let ring_node = |(index, (zone, weight))| RingNode { node: NodeId(index), zone, weight };
        let nodes = (0..).zip(nodes).map(ring_node).collect();
        let partitions = PartitionCount::new(1 << bits).expect("it is a power of two");
        let ring = plan_first(nodes, partitions, 3).expect("there are fewer nodes than partitions");
        Layout { version, ring }
    })
}

fn quorum() -> impl Strategy<Value = Quorum> {
    select(&QUORUMS[..])
}

fn mark() -> impl Strategy<Value = ScanMark> {
    (any::<u128>(), key())
        .prop_map(|(position, key)| ScanMark { position: Position(position), key })
}

fn failure() -> impl Strategy<Value = Failure> {
    (select(&CODES[..]), text(), any::<bool>()).prop_map(|(code, message, maybe_applied)| Failure {
        code,
        message,
        maybe_applied,
    })
}

fn get() -> impl Strategy<Value = ClientRequest> {
    (key(), of(any::<u8>()), quorum(), quorum(), any::<u32>()).prop_map(
        |(key, n, r, pr, timeout_ms)| ClientRequest::Get(GetRequest { key, n, r, pr, timeout_ms }),
    )
}

fn put() -> impl Strategy<Value = ClientRequest> {
    let what = (key(), content(), of(blob(0)), any::<u128>(), of(any::<u64>()));
    let how = (of(any::<u8>()), quorum(), quorum(), quorum(), any::<u32>());
    (what, how).prop_map(|(what, (n, w, pw, dw, timeout_ms))| {
        let (key, content, context, write_id, ttl_ms) = what;
        let write_id = WriteId(write_id);
        let put = PutRequest { key, content, context, write_id, ttl_ms, n, w, pw, dw, timeout_ms };
        ClientRequest::Put(put)
    })
}

fn scan() -> impl Strategy<Value = ClientRequest> {
    let how = (any::<u32>(), any::<bool>(), quorum(), any::<u32>());
    (blob(1), any::<u32>(), of(mark()), how).prop_map(
        |(bucket, partition, after, (limit, values, r, timeout_ms))| {
            let partition = Partition(partition);
            let scan = ScanRequest { bucket, partition, after, limit, values, r, timeout_ms };
            ClientRequest::Scan(scan)
        },
    )
}

fn admin_request() -> impl Strategy<Value = AdminRequest> {
    prop_oneof![
        Just(AdminRequest::Status),
        Just(AdminRequest::Plan),
        digest().prop_map(|plan| AdminRequest::Commit { plan }),
        Just(AdminRequest::BucketList),
        blob(1).prop_map(|name| AdminRequest::BucketShow { name }),
        (blob(1), vec((text(), text()), 0..4))
            .prop_map(|(name, changes)| AdminRequest::BucketSet { name, changes }),
        Just(AdminRequest::Stats),
        key().prop_map(|key| AdminRequest::Explain { key }),
        Just(AdminRequest::Hints),
        of(any::<u32>())
            .prop_map(|partition| AdminRequest::Repair { partition: partition.map(Partition) }),
        Just(AdminRequest::RepairProgress),
        Just(AdminRequest::Background),
        (of(any::<bool>()), of(any::<u32>()), of(any::<u32>())).prop_map(
            |(paused, limit_per_s, slowdown_percent)| {
                let change = BackgroundChange { paused, limit_per_s, slowdown_percent };
                AdminRequest::SetBackground(change)
            }
        ),
    ]
}

fn client_request() -> impl Strategy<Value = ClientRequest> {
    prop_oneof![
        get(),
        put(),
        scan(),
        Just(ClientRequest::Topology),
        admin_request().prop_map(ClientRequest::Admin),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    (content(), any::<u64>(), any::<u64>(), of(any::<u64>())).prop_map(
        |(content, tag, written_at_ms, expires_at_ms)| Version {
            content,
            tag,
            written_at_ms,
            expires_at_ms,
        },
    )
}

fn acknowledgement(seed: u8) -> Acknowledgement {
    let node = NodeId(u64::from(seed));
    Acknowledgement {
        node,
        stands_in_for: (seed > 9).then_some(node),
        synced: seed.is_multiple_of(2),
    }
}

fn put_answer() -> impl Strategy<Value = PutAnswer> {
    (blob(0), any::<u16>(), any::<bool>(), any::<u8>(), any::<u8>()).prop_map(
        |(context, siblings, warning, acknowledged, synced)| PutAnswer {
            context,
            siblings,
            warning,
            acknowledged,
            synced,
            by: std::vec![acknowledgement(synced)],
        },
    )
}

fn scan_answer() -> impl Strategy<Value = ScanAnswer> {
    let item =
        (blob(1), vec(version(), 0..3)).prop_map(|(key, versions)| ScanItem { key, versions });
    (vec(item, 0..4), of(mark())).prop_map(|(items, next)| ScanAnswer { items, next })
}

fn topology() -> impl Strategy<Value = Topology> {
    let endpoint = (node(), text(), any::<SocketAddr>(), any::<bool>())
        .prop_map(|(node, name, address, alive)| Endpoint { node, name, address, alive });
    (any::<u64>(), of(layout()), vec(endpoint, 0..4)).prop_map(|(cluster, layout, members)| {
        Topology { cluster: ClusterId(cluster), layout, members }
    })
}

fn bucket_entry() -> impl Strategy<Value = BucketEntry> {
    let counts = (1..=16_u8).prop_flat_map(|n| (Just(n), 1..=n, 1..=n, 0..=n, 0..=n, 0..=n));
    let rules = (
        select(&LEVELS[..]),
        select(&[Reconcile::Siblings, Reconcile::LastWriteWins][..]),
        1..=1000_u16,
        of(any::<u64>()),
    );
    (blob(1), any::<u64>(), counts, rules).prop_map(|(name, version, counts, rules)| {
        let (n, r, w, pr, pw, dw) = counts;
        let (durability, reconcile, sibling_limit, ttl_ms) = rules;
        let sibling_warning = sibling_limit.min(10);
        let base = BucketProps { n, r, w, pr, pw, dw, ..BucketProps::default() };
        let props =
            BucketProps { durability, reconcile, sibling_warning, sibling_limit, ttl_ms, ..base };
        BucketEntry { name, version, props }
    })
}

fn member() -> impl Strategy<Value = MemberRecord> {
    let who = (node(), text(), any::<SocketAddr>(), text(), 1..=u32::MAX);
    let when = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    (who, when, select(&[Status::Up, Status::Away][..])).prop_map(|(who, when, status)| {
        let (node, name, address, zone, weight) = who;
        let (incarnation, generation, version, layout) = when;
        let incarnation = Incarnation(incarnation);
        MemberRecord {
            node,
            name,
            address,
            zone,
            weight,
            incarnation,
            generation,
            version,
            status,
            layout,
        }
    })
}

fn planned_node() -> impl Strategy<Value = PlannedNode> {
    (node(), text(), text(), any::<u32>(), any::<u32>(), any::<u64>()).prop_map(
        |(node, name, zone, weight, tokens, fair_share_milli)| PlannedNode {
            node,
            name,
            zone,
            weight,
            tokens,
            fair_share_milli,
        },
    )
}

fn record_summary() -> impl Strategy<Value = RecordSummary> {
    let sibling = (any::<u64>(), any::<u64>(), of(any::<u32>()), any::<u64>(), of(any::<u64>()))
        .prop_map(|(actor, counter, value_bytes, written_at_ms, expires_at_ms)| SiblingSummary {
            actor,
            counter,
            value_bytes,
            written_at_ms,
            expires_at_ms,
        });
    (digest(), vec(any::<(u64, u64)>(), 0..4), vec(sibling, 0..4))
        .prop_map(|(digest, clock, siblings)| RecordSummary { digest, clock, siblings })
}

fn inspection() -> impl Strategy<Value = Inspection> {
    let hint = (node(), any::<u64>(), record_summary())
        .prop_map(|(target, since_ms, record)| HintSummary { target, since_ms, record });
    (of(record_summary()), any::<bool>(), vec(hint, 0..3))
        .prop_map(|(record, damaged, hints)| Inspection { record, damaged, hints })
}

fn explanation() -> impl Strategy<Value = Explanation> {
    let holder = (node(), any::<u16>(), any::<bool>(), of(inspection()))
        .prop_map(|(node, rank, alive, holds)| Holder { node, rank, alive, holds });
    (any::<u128>(), any::<u32>(), any::<u8>(), of(record_summary()), vec(holder, 0..4)).prop_map(
        |(position, partition, n, merged, holders)| Explanation {
            position: Position(position),
            partition: Partition(partition),
            n,
            merged,
            holders,
        },
    )
}

fn hint_report() -> impl Strategy<Value = HintReport> {
    let held = (any::<u64>(), any::<u64>(), of(any::<u64>()));
    let delivery = (any::<bool>(), any::<u64>(), of(any::<u64>()), of(text()));
    (node(), held, delivery).prop_map(|(target, held, delivery)| {
        let (count, bytes, oldest_ms) = held;
        let (delivering, delivered, left_s, failure) = delivery;
        HintReport { target, count, bytes, oldest_ms, delivering, delivered, left_s, failure }
    })
}

fn repair_report() -> impl Strategy<Value = RepairReport> {
    let found = any::<[u64; 7]>();
    (any::<[u32; 3]>(), any::<[u64; 4]>(), found).prop_map(|(partitions, exchanges, found)| {
        let [partitions, done, building] = partitions;
        let [exchanges, agreed, failed, hash_requests] = exchanges;
        let [digest_requests, keys_compared, pulled, pushed, bytes, damaged, trees_corrected] =
            found;
        RepairReport {
            partitions,
            done,
            building,
            exchanges,
            agreed,
            failed,
            hash_requests,
            digest_requests,
            keys_compared,
            pulled,
            pushed,
            bytes,
            damaged,
            trees_corrected,
        }
    })
}

fn background_report() -> impl Strategy<Value = BackgroundReport> {
    let steps = vec((text(), any::<u64>()), 0..4);
    (any::<bool>(), any::<[u32; 3]>(), any::<[u64; 2]>(), steps).prop_map(
        |(paused, paces, latencies, steps)| BackgroundReport {
            paused,
            limit_per_s: paces[0],
            slowdown_percent: paces[1],
            pace_per_s: paces[2],
            foreground_p99_us: latencies[0],
            quiet_p99_us: latencies[1],
            steps,
        },
    )
}

fn admin_response() -> impl Strategy<Value = AdminResponse> {
    let member = (member(), any::<bool>(), any::<u32>())
        .prop_map(|(record, alive, tokens)| MemberStatus { record, alive, tokens });
    let status = (any::<u64>(), node(), any::<u64>(), any::<u32>(), vec(member, 0..4)).prop_map(
        |(cluster, node, layout, partitions, members)| ClusterStatus {
            cluster: ClusterId(cluster),
            node,
            layout,
            partitions,
            members,
        },
    );
    let plan = (digest(), any::<u64>(), any::<u32>(), vec(planned_node(), 0..4), vec(text(), 0..3))
        .prop_map(|(plan, layout, partitions, nodes, warnings)| PlanReport {
            plan,
            layout,
            partitions,
            nodes,
            warnings,
        });
    prop_oneof![
        status.prop_map(AdminResponse::Status),
        plan.prop_map(AdminResponse::Plan),
        any::<u64>().prop_map(|layout| AdminResponse::Committed { layout }),
        vec(bucket_entry(), 0..3).prop_map(AdminResponse::Buckets),
        bucket_entry().prop_map(AdminResponse::Bucket),
        vec((text(), any::<u64>()), 0..4)
            .prop_map(|counters| AdminResponse::Stats(NodeStats { counters })),
        explanation().prop_map(|explanation| AdminResponse::Explained(Box::new(explanation))),
        vec(hint_report(), 0..3).prop_map(AdminResponse::Hints),
        repair_report().prop_map(|report| AdminResponse::Repair(Box::new(report))),
        background_report().prop_map(|report| AdminResponse::Background(Box::new(report))),
    ]
}

fn client_response() -> impl Strategy<Value = ClientResponse> {
    let got = (vec(version(), 0..4), of(blob(0)), any::<u8>()).prop_map(
        |(versions, context, answered)| GetAnswer {
            versions,
            context,
            answered,
            primaries: answered / 2,
        },
    );
    prop_oneof![
        got.prop_map(ClientResponse::Got),
        put_answer().prop_map(ClientResponse::Put),
        scan_answer().prop_map(ClientResponse::Scanned),
        topology().prop_map(ClientResponse::Topology),
        admin_response().prop_map(ClientResponse::Admin),
        failure().prop_map(ClientResponse::Failed),
    ]
}

fn peer_request() -> impl Strategy<Value = PeerRequest> {
    prop_oneof![
        (key(), encoded(), select(&LEVELS[..])).prop_map(|(key, record, durability)| {
            PeerRequest::Write { key, record, durability }
        }),
        (key(), of(digest())).prop_map(|(key, known)| PeerRequest::Read { key, known }),
        (blob(1), any::<u32>(), of(mark()), any::<u32>()).prop_map(
            |(bucket, partition, after, limit)| PeerRequest::Scan {
                bucket,
                partition: Partition(partition),
                after,
                limit,
            }
        ),
        client_request().prop_map(PeerRequest::Forward),
        (key(), encoded(), vec(node(), 1..=16), select(&LEVELS[..])).prop_map(
            |(key, record, targets, durability)| PeerRequest::Hint {
                key,
                record,
                targets,
                durability
            }
        ),
        (key(), encoded()).prop_map(|(key, record)| PeerRequest::Deliver { key, record }),
        tree_request(),
        (key(), digest(), any::<bool>()).prop_map(|(key, digest, durably)| PeerRequest::Compare {
            key,
            digest,
            durably
        }),
        (key(), digest(), of(encoded())).prop_map(|(key, expected, record)| PeerRequest::Revise {
            key,
            expected,
            record
        }),
        key().prop_map(|key| PeerRequest::Inspect { key }),
    ]
}

fn tree_request() -> impl Strategy<Value = PeerRequest> {
    let tree = || (any::<u32>(), any::<u8>()).prop_map(|(number, n)| (Partition(number), n));
    prop_oneof![
        (tree(), of(any::<u8>()), any::<u64>()).prop_map(|((partition, n), branch, known)| {
            PeerRequest::Hashes { partition, n, branch, known }
        }),
        (tree(), any::<u16>(), any::<u16>(), of(mark())).prop_map(
            |((partition, n), first_leaf, last_leaf, after)| PeerRequest::Digests {
                partition,
                n,
                first_leaf,
                last_leaf,
                after
            }
        ),
    ]
}

fn peer_response() -> impl Strategy<Value = PeerResponse> {
    let page = (vec((key(), encoded()), 0..4), of(mark()))
        .prop_map(|(records, until)| Page { records, until });
    let digests = (vec((key(), digest()), 0..4), of(mark()))
        .prop_map(|(digests, until)| DigestPage { digests, until });
    prop_oneof![
        Just(PeerResponse::Written),
        of(encoded()).prop_map(PeerResponse::Read),
        Just(PeerResponse::Same),
        page.prop_map(PeerResponse::Page),
        client_response().prop_map(PeerResponse::Forwarded),
        any::<u16>().prop_map(|window| PeerResponse::Delivered { window }),
        vec(any::<u64>(), 0..40).prop_map(PeerResponse::Hashes),
        digests.prop_map(PeerResponse::Digests),
        select(&[Standing::Same, Standing::Nothing, Standing::Other][..])
            .prop_map(PeerResponse::Compared),
        any::<bool>().prop_map(PeerResponse::Revised),
        inspection().prop_map(|inspection| PeerResponse::Inspected(Box::new(inspection))),
        failure().prop_map(PeerResponse::Refused),
    ]
}

fn summary() -> impl Strategy<Value = Summary> {
    let known = (node(), any::<u64>(), any::<u64>())
        .prop_map(|(node, generation, version)| MemberDigest { node, generation, version });
    (vec(known, 0..4), vec((blob(1), any::<u64>(), digest()), 0..4), of((any::<u64>(), digest())))
        .prop_map(|(members, buckets, layout)| Summary { members, buckets, layout })
}

pub(crate) fn delta() -> impl Strategy<Value = Delta> {
    (vec(member(), 0..4), vec(bucket_entry(), 0..4), of(layout()))
        .prop_map(|(members, buckets, layout)| Delta { members, buckets, layout })
}

fn gossip() -> impl Strategy<Value = Gossip> {
    prop_oneof![
        (member(), summary()).prop_map(|(sender, summary)| Gossip::Offer(sender.into(), summary)),
        (delta(), summary()).prop_map(|(delta, summary)| Gossip::Exchange(delta, summary)),
        delta().prop_map(Gossip::Close),
        any::<u64>().prop_map(|nonce| Gossip::Probe { nonce }),
        any::<u64>().prop_map(|nonce| Gossip::Alive { nonce }),
        (node(), any::<u64>()).prop_map(|(target, nonce)| Gossip::ProbeFor { target, nonce }),
    ]
}

/// Any frame that a well-behaved sender could send.
pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        (any::<u64>(), client_request())
            .prop_map(|(id, request)| Frame::ClientRequest { id, request }),
        (any::<u64>(), any::<u64>(), client_response())
            .prop_map(|(id, layout, response)| { Frame::ClientResponse { id, layout, response } }),
        (any::<u64>(), any::<u64>(), any::<u64>(), peer_request()).prop_map(
            |(id, layout, heard, request)| Frame::PeerRequest { id, layout, heard, request }
        ),
        (any::<u64>(), any::<u64>(), peer_response())
            .prop_map(|(id, clock, response)| Frame::PeerResponse { id, clock, response }),
        gossip().prop_map(Frame::Gossip),
    ]
}
