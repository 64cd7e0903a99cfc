//! Strategies for everything that a frame can hold.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroU128};

use jedlik_hashing::{NodeId, Partition, PartitionCount, Position, RingNode, plan_first};
use jedlik_protocol::access::{AccessEntry, Grant, Right, Subject};
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, BackgroundChange, BackgroundReport, ClusterStatus, CopiesAtRisk,
    DrainReport, Explanation, HintReport, Holder, MemberState, MemberStatus, MergeReport,
    NodeStats, PlanReport, PlannedNode, RepairReport, ShardTrouble, Transfer, TransferReport,
    TroubleKind, WorkKind,
};
use jedlik_protocol::bucket::{BucketEntry, BucketProps, Reconcile};
use jedlik_protocol::client::{
    Acknowledgement, ClientRequest, ClientResponse, GetAnswer, GetRequest, MemberAddress,
    PutAnswer, PutRequest, ScanAnswer, ScanItem, ScanMark, ScanOf, ScanRequest, Topology, Version,
};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{
    Delta, Gossip, Life, Load, MemberDigest, MemberRecord, Ready, Rival, Speaks, StagedChange,
    Staging, Status, Summary,
};
use jedlik_protocol::inspection::{HintSummary, Inspection, RecordSummary, SiblingSummary};
use jedlik_protocol::peer::{
    Comparison, DigestEntry, DigestPage, Doubt, Page, PeerRequest, PeerResponse, ScannedPage,
    Vouching,
};
use jedlik_protocol::{
    ActiveLayouts, Attributes, Blob, ClusterId, Departed, Digest, Durability, EncodedRecord,
    Incarnation, Key, Layout, LayoutId, PartitionSet, Quorum, Record, Stamp, Terms, TraceContext,
    Value, WireLayout,
};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

const QUORUMS: [Quorum; 5] =
    [Quorum::Default, Quorum::One, Quorum::Majority, Quorum::All, Quorum::Count(7)];
const WORK: [WorkKind; 4] =
    [WorkKind::Handoff, WorkKind::Repair, WorkKind::Collection, WorkKind::Transfer];
const LEVELS: [Durability; 3] = [Durability::Buffered, Durability::Written, Durability::Synced];
const CODES: [ErrorCode; 19] = [
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
    ErrorCode::UnknownLayout,
    ErrorCode::NotOwner,
    ErrorCode::TooOld,
    ErrorCode::Forbidden,
    ErrorCode::Storage,
    ErrorCode::PlanChanged,
    ErrorCode::Internal,
    ErrorCode::KeyBusy,
    ErrorCode::OtherLife,
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

fn content() -> impl Strategy<Value = Content<Value>> {
    prop_oneof![3 => value().prop_map(Content::Value), 1 => Just(Content::Tombstone)]
}

fn value() -> impl Strategy<Value = Value> {
    (blob(0), of("[a-z/]{0,9}"), vec((blob(0), blob(0)), 0..3)).prop_map(
        |(bytes, content_type, metadata)| {
            let attributes = Attributes { content_type, metadata, ..Attributes::default() };
            Value::with_attributes(bytes, &attributes)
        },
    )
}

fn write() -> impl Strategy<Value = Write<Value>> {
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

fn entry() -> impl Strategy<Value = DigestEntry> {
    let clock = record().prop_map(|record| record.clock().clone());
    (digest(), of(clock)).prop_map(|(digest, clock)| DigestEntry { digest, clock })
}

fn layout_id() -> impl Strategy<Value = LayoutId> {
    any::<(u64, u64)>().prop_map(|(version, digest)| LayoutId { version, digest })
}

fn active_layouts() -> impl Strategy<Value = ActiveLayouts> {
    (layout_id(), vec(layout_id(), 0..4))
        .prop_map(|(newest, older)| ActiveLayouts { newest, older })
}

fn partitions() -> impl Strategy<Value = PartitionSet> {
    vec(0..65_536_u32, 0..4).prop_map(|numbers| numbers.into_iter().map(Partition).collect())
}

fn layout() -> impl Strategy<Value = Layout> {
    let departed = btree_map(node(), any::<bool>(), 0..4).prop_map(|departed| {
        departed.into_iter().map(|(node, forced)| Departed { node, forced }).collect::<Vec<_>>()
    });
    let ring = (vec((text(), 1..9_u32), 1..5), 2..6_u32).prop_map(|(nodes, bits)| {
        let ring_node = |(index, (zone, weight))| RingNode { node: NodeId(index), zone, weight };
        let nodes = (0..).zip(nodes).map(ring_node).collect();
        let partitions = PartitionCount::new(1 << bits).expect("it is a power of two");
        plan_first(nodes, partitions, 3).expect("there are fewer nodes than partitions")
    });
    (any::<u64>(), layout_id(), ring, departed)
        .prop_map(|(version, parent, ring, departed)| Layout { version, parent, ring, departed })
}

fn placed_layout() -> impl Strategy<Value = WireLayout> {
    (layout(), vec(0..4_u32, 0..4)).prop_map(|(layout, flipped)| {
        let flipped = flipped.into_iter().map(Partition).collect();
        WireLayout { layout, flipped }
    })
}

fn staged_change() -> impl Strategy<Value = StagedChange> {
    prop_oneof![
        (text(), 1..=u32::MAX).prop_map(|(zone, weight)| StagedChange::Join { zone, weight }),
        Just(StagedChange::Leave),
        Just(StagedChange::Remove),
        (node(), text(), any::<bool>()).prop_map(|(by, zone, forced)| StagedChange::Replace {
            by,
            zone,
            forced
        }),
        (of(text()), of(1..=u32::MAX))
            .prop_map(|(zone, weight)| StagedChange::Set { zone, weight }),
    ]
}

fn staging() -> impl Strategy<Value = Staging> {
    (layout_id(), any::<u64>(), btree_map(node(), staged_change(), 0..4)).prop_map(
        |(base, revision, changes)| {
            let changes = changes.into_iter().collect();
            Staging { base, revision, changes }
        },
    )
}

fn load() -> impl Strategy<Value = Load> {
    any::<(u64, u64, u32, u64)>().prop_map(|(records, bytes, refilling, set_aside)| Load {
        records,
        bytes,
        refilling,
        set_aside,
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

fn scan_of() -> impl Strategy<Value = ScanOf> {
    prop_oneof![blob(1).prop_map(ScanOf::Bucket), any::<u8>().prop_map(ScanOf::EveryBucket),]
}

fn scan() -> impl Strategy<Value = ClientRequest> {
    let how = (any::<u32>(), any::<bool>(), quorum(), any::<u32>());
    (scan_of(), any::<u32>(), of(mark()), how).prop_map(
        |(of, partition, after, (limit, values, r, timeout_ms))| {
            let partition = Partition(partition);
            let scan = ScanRequest { of, partition, after, limit, values, r, timeout_ms };
            ClientRequest::Scan(scan)
        },
    )
}

fn admin_request() -> impl Strategy<Value = AdminRequest> {
    prop_oneof![
        Just(AdminRequest::Status),
        change_request(),
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
        any::<u32>().prop_map(|partitions| AdminRequest::Believe { partitions }),
        Just(AdminRequest::Background),
        any::<SocketAddr>().prop_map(|address| AdminRequest::Keep { address }),
        (of(select(&WORK[..])), of(any::<bool>()), of(any::<u32>()), of(any::<u32>())).prop_map(
            |(work, paused, limit_per_s, slowdown_percent)| {
                let change = BackgroundChange { work, paused, limit_per_s, slowdown_percent };
                AdminRequest::SetBackground(change)
            }
        ),
    ]
}

/// Requests about the layouts and about changes to them.
fn change_request() -> impl Strategy<Value = AdminRequest> {
    prop_oneof![
        Just(AdminRequest::Layouts),
        (vec((node(), staged_change()), 0..4), any::<bool>())
            .prop_map(|(changes, dry_run)| AdminRequest::Stage { changes, dry_run }),
        vec(node(), 0..4).prop_map(|nodes| AdminRequest::Unstage { nodes }),
        Just(AdminRequest::Plan),
        (digest(), any::<u32>(), any::<bool>())
            .prop_map(|(plan, lost, dry_run)| AdminRequest::Commit { plan, lost, dry_run }),
        Just(AdminRequest::Transfers),
        any::<bool>().prop_map(|drained| AdminRequest::Drain { drained }),
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
    let item = (blob(1), blob(1), any::<u64>(), vec(version(), 0..3)).prop_map(
        |(bucket, key, value_bytes, versions)| ScanItem { bucket, key, value_bytes, versions },
    );
    (vec(item, 0..4), of(mark())).prop_map(|(items, next)| ScanAnswer { items, next })
}

fn topology() -> impl Strategy<Value = Topology> {
    let endpoint = (node(), text(), any::<SocketAddr>(), any::<bool>())
        .prop_map(|(node, name, address, alive)| MemberAddress { node, name, address, alive });
    (any::<u64>(), of(layout()), vec(endpoint, 0..4)).prop_map(|(cluster, layout, members)| {
        Topology { cluster: ClusterId(cluster), layout, members }
    })
}

fn bucket_entry() -> impl Strategy<Value = BucketEntry> {
    let counts = (1..=16_u8).prop_flat_map(|n| (Just(n), 1..=n, 1..=n, 0..=n, 0..=n, 0..=n));
    let rules = (
        select(&LEVELS[..]),
        select(&[Reconcile::Siblings, Reconcile::LastWriteWins][..]),
        1..=500_u16,
        of(any::<u64>()),
    );
    (blob(1), any::<u64>(), counts, rules).prop_map(|(name, version, counts, rules)| {
        let (n, r, w, pr, pw, dw) = counts;
        let (durability, reconcile, sibling_limit, ttl_ms) = rules;
        let ttl_ms = ttl_ms.filter(|ttl_ms| *ttl_ms > 0);
        let sibling_warning = sibling_limit.min(10);
        let min_w = w.div_ceil(2);
        let base = BucketProps { n, r, w, min_w, pr, pw, dw, ..BucketProps::default() };
        let props =
            BucketProps { durability, reconcile, sibling_warning, sibling_limit, ttl_ms, ..base };
        BucketEntry { name, version, props }
    })
}

fn rival() -> impl Strategy<Value = Rival> {
    (any::<u64>(), any::<SocketAddr>())
        .prop_map(|(life, address)| Rival { incarnation: Incarnation(life), address })
}

fn life() -> impl Strategy<Value = Life> {
    let all = (any::<u64>(), of(rival()), of(any::<u64>()), any::<u32>());
    all.prop_map(|(life, rival, ousts, tick)| Life {
        incarnation: Incarnation(life),
        rival,
        ousts: ousts.map(Incarnation),
        tick,
    })
}

fn member() -> impl Strategy<Value = MemberRecord> {
    let who = (node(), text(), any::<SocketAddr>(), text(), 1..=u32::MAX);
    let when = (life(), any::<[u64; 2]>());
    let status = select(&[Status::Up, Status::Away, Status::Left][..]);
    let ready =
        (layout_id(), partitions()).prop_map(|(layout, partitions)| Ready { layout, partitions });
    let speaks = any::<[u16; 3]>().prop_map(|[protocol_min, protocol_max, storage]| Speaks {
        protocol_min,
        protocol_max,
        storage,
    });
    (who, when, status, layout_id(), (ready, load(), speaks)).prop_map(
        |(who, when, status, layout, (ready, load, speaks))| {
            let (node, name, address, zone, weight) = who;
            let (life, [generation, version]) = when;
            MemberRecord {
                node,
                name,
                address,
                zone,
                weight,
                life,
                generation,
                version,
                status,
                layout,
                ready,
                load,
                speaks,
                message_life_ms: weight,
            }
        },
    )
}

fn planned_node() -> impl Strategy<Value = PlannedNode> {
    let counts = (any::<[u32; 7]>(), any::<[u64; 2]>());
    (node(), text(), text(), counts).prop_map(|(node, name, zone, counts)| {
        let ([weight, tokens_before, tokens, owned_before, owned, gains, loses], shares) = counts;
        let [gains_bytes, fair_share_milli] = shares;
        PlannedNode {
            node,
            name,
            zone,
            weight,
            tokens_before,
            tokens,
            owned_before,
            owned,
            gains,
            loses,
            gains_bytes,
            fair_share_milli,
        }
    })
}

fn record_summary() -> impl Strategy<Value = RecordSummary> {
    let sibling = (any::<u64>(), any::<u64>(), of(any::<u32>()), any::<u64>(), of(any::<u64>()))
        .prop_map(|(actor, counter, value_bytes, written_at_ms, expires_at_ms)| SiblingSummary {
            actor,
            counter,
            write_id: WriteId(u128::from(written_at_ms)),
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
    (of(record_summary()), any::<bool>(), vec(hint, 0..3)).prop_map(|(record, damaged, hints)| {
        Inspection { record, damaged, hints, refilling: damaged }
    })
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

fn shard_trouble() -> impl Strategy<Value = ShardTrouble> {
    let kind = prop_oneof![
        Just(TroubleKind::Reopening),
        Just(TroubleKind::SetAside),
        Just(TroubleKind::Stalled),
        Just(TroubleKind::Full),
        Just(TroubleKind::ReadOnly),
        Just(TroubleKind::EarlierCopy),
        Just(TroubleKind::FilesGone),
    ];
    (any::<u16>(), kind, any::<u64>(), text())
        .prop_map(|(shard, kind, since_ms, what)| ShardTrouble { shard, kind, since_ms, what })
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
    (any::<[u32; 4]>(), any::<[u64; 4]>(), found).prop_map(|(partitions, exchanges, found)| {
        let [partitions, done, building, to_retry] = partitions;
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
            to_retry,
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
    let kinds = vec(select(&WORK[..]), 0..3);
    (any::<bool>(), kinds, any::<[u32; 3]>(), any::<[u64; 2]>(), steps, of(merge_report()))
        .prop_map(|(paused, paused_kinds, paces, latencies, steps, merges)| BackgroundReport {
            paused,
            paused_kinds,
            limit_per_s: paces[0],
            slowdown_percent: paces[1],
            pace_per_s: paces[2],
            foreground_p99_us: latencies[0],
            quiet_p99_us: latencies[1],
            steps,
            merges,
        })
}

fn merge_report() -> impl Strategy<Value = MergeReport> {
    (any::<u32>(), any::<[u64; 4]>(), of(any::<u64>())).prop_map(
        |(working, counts, last_age_ms)| {
            let [waiting_runs, merges, merged_bytes, garbage_bytes] = counts;
            MergeReport { working, waiting_runs, merges, merged_bytes, garbage_bytes, last_age_ms }
        },
    )
}

fn cluster_status() -> impl Strategy<Value = ClusterStatus> {
    let states = [
        MemberState::Joining,
        MemberState::Up,
        MemberState::Away,
        MemberState::Leaving,
        MemberState::Left,
        MemberState::Removed,
    ];
    let placed = of((text(), any::<u32>()));
    let member = (member(), any::<bool>(), select(states.to_vec()), any::<[u32; 3]>(), placed)
        .prop_map(|(record, alive, state, [tokens, owned, ready], placed)| MemberStatus {
            record,
            alive,
            state,
            tokens,
            owned,
            ready,
            placed,
        });
    let clocks = any::<[u64; 2]>();
    let parts = any::<[u32; 2]>();
    let named = (any::<u64>(), node(), layout_id());
    (named, parts, staging(), clocks, vec(member, 0..4)).prop_map(
        |((cluster, node, layout), [partitions, flipped], staging, clocks, members)| {
            ClusterStatus {
                clock_ms: clocks[0],
                agreed_ms: clocks[1],
                cluster: ClusterId(cluster),
                node,
                layout,
                partitions,
                flipped,
                staging,
                members,
            }
        },
    )
}

fn plan_report() -> impl Strategy<Value = PlanReport> {
    let names = (digest(), layout_id(), any::<u64>(), any::<u8>());
    let counts = (any::<[u32; 3]>(), any::<[u64; 2]>(), any::<[(u32, u32); 2]>());
    let risk = any::<[[u32; 3]; 3]>()
        .prop_map(|risk| risk.map(|[none, one, few]| CopiesAtRisk { none, one, few }));
    (names, vec(planned_node(), 0..4), counts, risk, vec(text(), 0..3)).prop_map(
        |((plan, base, version, n), nodes, counts, risk, warnings)| {
            let ([partitions, moves, least_moves], [bytes, estimate_s], faults) = counts;
            let [zone_faults, node_faults] = faults;
            PlanReport {
                plan,
                base,
                version,
                partitions,
                n,
                nodes,
                moves,
                least_moves,
                bytes,
                estimate_s,
                zone_faults,
                node_faults,
                risk,
                lost: partitions / 2,
                warnings,
            }
        },
    )
}

fn transfer_report() -> impl Strategy<Value = TransferReport> {
    let current = (any::<u32>(), node(), any::<bool>(), any::<u64>()).prop_map(
        |(partition, peer, outgoing, records)| Transfer {
            partition: Partition(partition),
            peer,
            outgoing,
            records,
        },
    );
    let now = (load(), any::<u64>(), vec(current, 0..3), vec(text(), 0..3));
    (layout_id(), any::<bool>(), any::<[u32; 6]>(), any::<[u64; 4]>(), now).prop_map(
        |(layout, paused, partitions, moved, (load, hints, current, blockers))| {
            let [owned, ready, flipped, leaving, unowned, dropped] = partitions;
            let [received_records, received_bytes, sent_records, sent_bytes] = moved;
            TransferReport {
                layout,
                paused,
                owned,
                ready,
                flipped,
                leaving,
                unowned,
                dropped,
                received_records,
                received_bytes,
                sent_records,
                sent_bytes,
                load,
                hints,
                current,
                blockers,
            }
        },
    )
}

fn admin_response() -> impl Strategy<Value = AdminResponse> {
    prop_oneof![
        cluster_status().prop_map(AdminResponse::Status),
        vec(placed_layout(), 0..3).prop_map(AdminResponse::Layouts),
        staging().prop_map(AdminResponse::Staged),
        plan_report().prop_map(|report| AdminResponse::Plan(Box::new(report))),
        layout_id().prop_map(|layout| AdminResponse::Committed { layout }),
        transfer_report().prop_map(|report| AdminResponse::Transfers(Box::new(report))),
        (any::<bool>(), any::<[u64; 2]>()).prop_map(|(drained, [requests, hints])| {
            AdminResponse::Drained(DrainReport { drained, requests, hints })
        }),
        vec(bucket_entry(), 0..3).prop_map(AdminResponse::Buckets),
        bucket_entry().prop_map(AdminResponse::Bucket),
        (vec((text(), any::<u64>()), 0..4), vec(shard_trouble(), 0..3)).prop_map(
            |(counters, troubles)| AdminResponse::Stats(NodeStats { counters, troubles })
        ),
        explanation().prop_map(|explanation| AdminResponse::Explained(Box::new(explanation))),
        vec(hint_report(), 0..3).prop_map(AdminResponse::Hints),
        repair_report().prop_map(|report| AdminResponse::Repair(Box::new(report))),
        any::<u32>().prop_map(AdminResponse::Believed),
        background_report().prop_map(|report| AdminResponse::Background(Box::new(report))),
        rival().prop_map(AdminResponse::Kept),
    ]
}

fn client_response() -> impl Strategy<Value = ClientResponse> {
    let got = (vec(version(), 0..4), of(blob(0)), any::<u8>()).prop_map(
        |(versions, context, answered)| GetAnswer {
            versions,
            context,
            answered,
            primaries: answered / 2,
            partial: answered % 2 == 1,
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
        (key(), of(digest()), any::<u8>()).prop_map(|(key, known, n)| PeerRequest::Read {
            key,
            known,
            n
        }),
        (
            of(blob(1)),
            any::<u8>(),
            any::<u32>(),
            of(mark()),
            any::<u32>(),
            any::<bool>(),
            any::<u64>()
        )
            .prop_map(|(bucket, n, partition, after, limit, values, counts)| {
                PeerRequest::Scan {
                    bucket,
                    n,
                    partition: Partition(partition),
                    after,
                    limit,
                    values,
                    counts,
                }
            }),
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
        (key(), digest(), any::<u8>(), digest(), any::<bool>()).prop_map(
            |(key, digest, n, lives, durably)| PeerRequest::Compare {
                key,
                digest,
                n,
                lives,
                durably
            }
        ),
        (key(), digest(), of(encoded())).prop_map(|(key, expected, record)| PeerRequest::Revise {
            key,
            expected,
            record
        }),
        key().prop_map(|key| PeerRequest::Inspect { key }),
        (any::<u32>().prop_map(Partition), any::<u8>(), any::<u64>(), layout_id()).prop_map(
            |(partition, n, counts, flipped)| PeerRequest::Vote { partition, n, counts, flipped }
        ),
    ]
}

fn tree_request() -> impl Strategy<Value = PeerRequest> {
    let tree = || (any::<u32>(), any::<u8>()).prop_map(|(number, n)| (Partition(number), n));
    prop_oneof![
        (tree(), of(any::<u8>()), any::<u64>(), any::<bool>()).prop_map(
            |((partition, n), branch, known, synced)| PeerRequest::Hashes {
                partition,
                n,
                branch,
                known,
                synced
            }
        ),
        (tree(), any::<u16>(), any::<u16>(), of(mark()), any::<(bool, bool)>()).prop_map(
            |((partition, n), first_leaf, last_leaf, after, (clocks, synced))| {
                PeerRequest::Digests { partition, n, first_leaf, last_leaf, after, clocks, synced }
            }
        ),
        (tree(), any::<u16>(), any::<u16>(), of(mark())).prop_map(
            |((partition, n), first_leaf, last_leaf, after)| PeerRequest::Fetch {
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
    let page = || {
        let parts = (vec((key(), encoded()), 0..4), of(mark()));
        parts.prop_map(|(records, until)| Page { records, until })
    };
    let doubt = || select(&[Doubt::Damaged, Doubt::Refilling][..]);
    let scanned = (page(), vec(key(), 0..3), of(doubt()))
        .prop_map(|(page, damaged, doubt)| ScannedPage { page, damaged, doubt });
    let digests = (vec((key(), entry()), 0..4), of(mark()))
        .prop_map(|(digests, until)| DigestPage { digests, until });
    prop_oneof![
        Just(PeerResponse::Written),
        of(encoded()).prop_map(PeerResponse::Read),
        Just(PeerResponse::Same),
        page().prop_map(PeerResponse::Page),
        client_response().prop_map(PeerResponse::Forwarded),
        any::<u16>().prop_map(|window| PeerResponse::Delivered { window }),
        vec(any::<u64>(), 0..40).prop_map(PeerResponse::Hashes),
        digests.prop_map(PeerResponse::Digests),
        select(&[Comparison::Same, Comparison::Nothing, Comparison::Other][..])
            .prop_map(PeerResponse::Compared),
        any::<bool>().prop_map(PeerResponse::Revised),
        inspection().prop_map(|inspection| PeerResponse::Inspected(Box::new(inspection))),
        failure().prop_map(PeerResponse::Refused),
        scanned.prop_map(PeerResponse::Scanned),
        (doubt(), of(encoded())).prop_map(|(why, record)| PeerResponse::Unknown { why, record }),
        (any::<u64>(), select(&[Vouching::Nothing, Vouching::LostNothing, Vouching::Votes][..]))
            .prop_map(|(life, vouching)| PeerResponse::Vote { life: Incarnation(life), vouching }),
    ]
}

fn summary() -> impl Strategy<Value = Summary> {
    let known = (node(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(
        |(node, generation, version, life)| MemberDigest {
            node,
            generation,
            version,
            incarnation: Incarnation(life),
        },
    );
    let buckets = vec((blob(1), any::<u64>(), digest()), 0..4);
    let layouts = vec((layout_id(), digest()), 0..4);
    let access = vec((subject(), any::<u64>(), digest()), 0..3);
    let staging = of((layout_id(), any::<u64>(), digest()));
    (vec(known, 0..4), buckets, access, layouts, staging).prop_map(
        |(members, buckets, access, layouts, staging)| Summary {
            members,
            buckets,
            access,
            layouts,
            staging,
        },
    )
}

pub(crate) fn delta() -> impl Strategy<Value = Delta> {
    let (layouts, flips) = (vec(placed_layout(), 0..3), vec((layout_id(), partitions()), 0..3));
    let (buckets, access) = (vec(bucket_entry(), 0..4), vec(access_entry(), 0..3));
    (vec(member(), 0..4), buckets, access, layouts, flips, of(staging())).prop_map(
        |(members, buckets, access, layouts, flips, staging)| Delta {
            members,
            buckets,
            access,
            layouts,
            flips,
            staging,
        },
    )
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        "[a-z0-9_-]{1,9}".prop_map(Subject::Token),
        "[a-z0-9-]{1,9}".prop_map(Subject::Certificate),
    ]
}

fn access_entry() -> impl Strategy<Value = AccessEntry> {
    let right = select(&[Right::Read, Right::Write, Right::Admin][..]);
    let grants = btree_map(blob(0), right, 0..4);
    let hash = any::<u64>().prop_map(|byte| [byte as u8; 32]);
    (subject(), any::<u64>(), hash, grants, of(any::<u64>()), any::<bool>()).prop_map(
        |(subject, version, secret_hash, grants, expires_at_ms, revoked)| AccessEntry {
            subject,
            version,
            secret_hash,
            grants: grants.into_iter().map(|(prefix, right)| Grant { prefix, right }).collect(),
            expires_at_ms,
            revoked,
        },
    )
}

fn gossip() -> impl Strategy<Value = Gossip> {
    prop_oneof![
        (member(), digest(), any::<u64>()).prop_map(|(sender, known, wall_ms)| Gossip::Offer(
            sender.into(),
            known,
            wall_ms
        )),
        Just(Gossip::Same),
        summary().prop_map(Gossip::Differ),
        (delta(), summary()).prop_map(|(delta, summary)| Gossip::Exchange(delta, summary)),
        delta().prop_map(Gossip::Close),
        any::<u64>().prop_map(|nonce| Gossip::Probe { nonce }),
        (any::<u64>(), any::<u64>()).prop_map(|(nonce, wall_ms)| Gossip::Alive { nonce, wall_ms }),
        (node(), any::<u64>()).prop_map(|(target, nonce)| Gossip::ProbeFor { target, nonce }),
        (placed_layout(), of(member().prop_map(Box::new)))
            .prop_map(|(layout, left)| Gossip::Fenced(layout.into(), left)),
        member().prop_map(|sender| Gossip::Recall(sender.into())),
        (
            any::<u64>(),
            of(member().prop_map(Box::new)),
            layout_id(),
            any::<u64>(),
            of(any::<u64>())
        )
            .prop_map(|(asked, record, layout, wall_ms, superseded_ms)| {
                let asked = Incarnation(asked);
                Gossip::Recalled { asked, record, layout, wall_ms, superseded_ms }
            }),
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    (any::<u64>(), active_layouts(), any::<u64>(), of(trace())).prop_map(
        |(life, layouts, receiver_clock, trace)| {
            let (life, trace) = (Incarnation(life), trace.map(Box::new));
            Terms { life, layouts, receiver_clock, trace }
        },
    )
}

fn trace() -> impl Strategy<Value = TraceContext> {
    (1..=u128::MAX, 1..=u64::MAX, any::<u8>()).prop_map(|(trace, span, flags)| {
        let trace = NonZeroU128::new(trace).expect("it is 1 or more");
        let span = NonZeroU64::new(span).expect("it is 1 or more");
        TraceContext { trace, span, flags }
    })
}

/// Any frame that a well-behaved sender could send.
pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        (any::<u64>(), client_request())
            .prop_map(|(id, request)| Frame::ClientRequest { id, request }),
        (any::<u64>(), any::<u64>(), client_response())
            .prop_map(|(id, layout, response)| { Frame::ClientResponse { id, layout, response } }),
        (any::<u64>(), terms(), peer_request())
            .prop_map(|(id, terms, request)| Frame::PeerRequest { id, terms, request }),
        (any::<u64>(), any::<u64>(), any::<u64>(), peer_response()).prop_map(
            |(id, life, clock, response)| {
                let stamp = Stamp { life: Incarnation(life), clock };
                Frame::PeerResponse { id, stamp, response }
            }
        ),
        gossip().prop_map(Frame::Gossip),
        (any::<u64>(), any::<u64>()).prop_map(|(id, bytes)| Frame::Coming { id, bytes }),
        any::<u64>().prop_map(|id| Frame::Withdraw { id }),
    ]
}
