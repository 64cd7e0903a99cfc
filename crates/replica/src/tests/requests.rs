//! Clients' requests when nothing fails.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::{BucketProps, Reconcile};
use jedlik_protocol::client::{ClientRequest, ClientResponse, PutRequest, ScanOf, ScanRequest};
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::limits::RECORD_OVERHEAD_BYTES;
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{Blob, Quorum};
use jedlik_protocol::{Durability, Now};
use jedlik_vclock::Content;

use super::cluster::{Cluster, after, blind, from_one, get_request};
use crate::Counter;

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

#[test]
fn two_blind_puts_make_siblings_and_a_put_with_their_context_reconciles_them() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    cluster.put(N2, blind("alice", "salt")).expect("a put");
    let answer = cluster.get(N3, "alice", 2).expect("a get");
    assert_eq!(super::cluster::values(&answer), ["salt", "tea"]);
    let context = answer.context.expect("a context");
    cluster.put(N3, after("alice", "tea and salt", &context)).expect("a put");
    for node in [N1, N2, N3] {
        assert_eq!(cluster.values(node, "alice", 1), ["tea and salt"]);
        assert_eq!(cluster.values(node, "alice", 3), ["tea and salt"]);
    }
}

#[test]
fn a_put_goes_to_an_owner_in_one_hop_and_any_node_reads() {
    let mut cluster = Cluster::new(6, &[]);
    let owners = cluster.owners("alice");
    let stranger = *owners.last().expect("six nodes");
    cluster.put(stranger, blind("alice", "tea")).expect("a put");
    assert_eq!(cluster.counts[&Counter::Forwards], 1);
    assert_eq!(cluster.held(stranger, "alice"), None, "it only passed the put on");
    for owner in &owners[..3] {
        assert!(cluster.held(*owner, "alice").is_some());
    }
    assert_eq!(cluster.values(stranger, "alice", 2), ["tea"]);
    assert_eq!(cluster.counts[&Counter::Forwards], 1, "a get is coordinated where it arrives");
}

#[test]
fn at_rest_a_get_moves_the_value_to_the_client_only() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    let held: Vec<_> = [N1, N2, N3].map(|node| cluster.held(node, "alice")).into();
    assert!(held.iter().all(|record| *record == held[0] && record.is_some()));
    cluster.values(N2, "alice", 3);
    assert_eq!(cluster.counts.get(&Counter::ReadRepairsStale), None);
}

#[test]
fn a_get_asks_r_replicas_and_one_in_sixteen_asks_all() {
    const GETS: usize = 1_600;
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    cluster.sent.clear();
    for _ in 0..GETS {
        assert_eq!(cluster.values(N1, "alice", 2), ["tea"]);
    }
    let mut reads = [N2, N3].map(|node| {
        let is_read = |(from, to, request): &&(NodeId, NodeId, PeerRequest)| {
            *from == N1 && *to == node && matches!(request, PeerRequest::Read { .. })
        };
        cluster.sent.iter().filter(is_read).count()
    });
    reads.sort_unstable();
    assert!((50..150).contains(&reads[0]) && reads[1] == GETS, "{reads:?}");
}

#[test]
fn puts_of_one_key_that_arrive_together_draw_different_dots() {
    let mut cluster = Cluster::new(3, &[]);
    let coordinator = cluster.owners("alice")[0];
    // The first put makes the actor that the others extend.
    cluster.put(coordinator, blind("alice", "bread")).expect("a put");
    let replies = ["tea", "salt", "milk"]
        .map(|value| cluster.ask(coordinator, ClientRequest::Put(blind("alice", value))));
    cluster.deliver();
    for reply in replies {
        assert!(matches!(cluster.answers[&reply], ClientResponse::Put(_)));
    }
    assert_eq!(cluster.values(N1, "alice", 3), ["bread", "milk", "salt", "tea"]);
}

#[test]
fn a_retried_put_is_one_version_wherever_the_retry_lands() {
    let mut cluster = Cluster::new(3, &[]);
    for node in [N1, N1, N2, N3] {
        cluster.put(node, blind("alice", "tea")).expect("a put");
    }
    assert_eq!(cluster.counts[&Counter::RetriedPuts], 3);
    assert_eq!(cluster.get(N1, "alice", 3).expect("a get").versions.len(), 1);
}

#[test]
fn a_put_that_asks_for_less_than_the_buckets_least_w_is_refused_and_told_what_would_allow_it() {
    let mut cluster = Cluster::new(3, &[("loose", from_one())]);
    for (put, words) in [
        (PutRequest { w: Quorum::One, ..blind("alice", "tea") }, "w=1 is below"),
        (PutRequest { n: Some(1), ..blind("alice", "tea") }, "w=1 of n=1 is below"),
    ] {
        let failure = cluster.put(N1, put).expect_err("it asks for too little");
        assert_eq!(failure.code, ErrorCode::InvalidRequest);
        assert!(failure.message.contains(words), "{failure}");
        assert!(failure.message.contains("`jedlik-admin bucket set carts min_w=1`"), "{failure}");
    }
    let put = PutRequest { w: Quorum::One, ..blind("loose/alice", "tea") };
    cluster.put(N1, put).expect("a put");
}

#[test]
fn retries_that_two_coordinators_minted_show_as_one_version() {
    let mut cluster = Cluster::new(3, &[("carts", from_one())]);
    // Neither sees the other's put in time.
    cluster.down.extend([N2, N3]);
    let one = PutRequest { w: Quorum::One, ..blind("alice", "tea") };
    cluster.put(N1, one.clone()).expect("a put");
    cluster.down = [N1].into();
    cluster.put(N2, one).expect("a put");
    cluster.down.clear();
    assert_eq!(cluster.values(N3, "alice", 3), ["tea"]);
}

/// Has three coordinators that don't hear one another each mint an attempt of one put.
fn tried_thrice(cluster: &mut Cluster, put: &PutRequest) -> Vec<Blob> {
    let put = PutRequest { w: Quorum::One, ..put.clone() };
    let contexts = [N1, N2, N3].map(|node| {
        cluster.down = [N1, N2, N3].into_iter().filter(|other| *other != node).collect();
        cluster.put(node, put.clone()).expect("a put")
    });
    cluster.down.clear();
    assert_eq!(cluster.values(N1, "alice", 3).len(), 1);
    contexts.into()
}

#[test]
fn attempts_of_one_put_count_once_for_the_limits_and_in_answers() {
    let props = BucketProps {
        sibling_warning: 2,
        sibling_limit: 2,
        value_limit_bytes: 10_000,
        record_limit_bytes: 10_000 + RECORD_OVERHEAD_BYTES,
        ..from_one()
    };
    let mut cluster = Cluster::new(3, &[("carts", props)]);
    tried_thrice(&mut cluster, &blind("alice", &"x".repeat(10_000)));
    let reply = cluster.request(N1, ClientRequest::Put(blind("alice", &"y".repeat(10_000))));
    let ClientResponse::Put(answer) = reply else { panic!("two values fit: {reply:?}") };
    assert_eq!((answer.siblings, answer.warning), (2, true));
    assert_eq!(cluster.values(N2, "alice", 3).len(), 2);
}

#[test]
fn a_put_that_follows_one_attempt_replaces_all_of_them() {
    for attempt in 0..3 {
        let mut cluster = Cluster::new(3, &[("carts", from_one())]);
        let contexts = tried_thrice(&mut cluster, &blind("alice", "tea"));
        cluster.put(N1, after("alice", "coffee", &contexts[attempt])).expect("a put");
        assert_eq!(cluster.values(N3, "alice", 3), ["coffee"], "after attempt {attempt}");
    }
}

#[test]
fn a_delete_leaves_a_context_and_a_concurrent_value_survives_it() {
    let mut cluster = Cluster::new(3, &[]);
    let context = cluster.put(N1, blind("alice", "tea")).expect("a put");
    let delete = |context: &Blob, name: &str| PutRequest {
        content: Content::Tombstone,
        ..after("alice", name, context)
    };
    cluster.put(N2, delete(&context, "first delete")).expect("a delete");
    let answer = cluster.get(N3, "alice", 2).expect("a get");
    assert_eq!(super::cluster::values(&answer), ["(deleted)"]);
    let seen = answer.context.expect("a tombstone has a context");

    cluster.put(N1, blind("alice", "milk")).expect("a put");
    cluster.put(N2, delete(&seen, "second delete")).expect("a delete");
    assert_eq!(cluster.values(N3, "alice", 2), ["(deleted)", "milk"]);
}

#[test]
fn the_last_write_wins_where_the_bucket_says_so() {
    let props = BucketProps { reconcile: Reconcile::LastWriteWins, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("counters", props)]);
    cluster.put(N1, blind("counters/hits", "1")).expect("a put");
    // Even a coordinator whose clock is behind writes later than what it holds.
    cluster.now.wall_ms -= 60_000;
    cluster.put(N2, blind("counters/hits", "2")).expect("a put");
    assert_eq!(cluster.values(N3, "counters/hits", 3), ["2"]);
}

#[test]
fn a_version_expires_on_every_replica_alike() {
    let mut cluster = Cluster::new(3, &[]);
    let put = PutRequest { ttl_ms: Some(1_000), ..blind("alice", "tea") };
    cluster.put(N1, put).expect("a put");
    assert_eq!(cluster.values(N2, "alice", 1), ["tea"]);
    cluster.advance(1_001);
    for node in [N1, N2, N3] {
        assert_eq!(cluster.values(node, "alice", 1), [""; 0]);
    }
}

#[test]
fn a_node_that_has_heard_no_other_clock_says_of_nothing_that_it_has_expired_nor_when_it_will() {
    let mut cluster = Cluster::new(3, &[]);
    let brief = |value| PutRequest { ttl_ms: Some(1_000), ..blind("alice", value) };
    cluster.put(N1, brief("tea")).expect("a put");
    cluster.advance(1_001);
    let known = cluster.now;
    cluster.now.latest_ms = Now::UNHEARD_MS;
    assert_eq!(cluster.values(N2, "alice", 1), ["tea"]);
    let refused = cluster.put(N1, brief("rum")).expect_err("nobody could say when it expires");
    assert_eq!(refused.code, ErrorCode::NotReady, "{refused}");
    cluster.put(N1, blind("bob", "salt")).expect("a put of what is to stay");
    cluster.now = known;
    assert_eq!(cluster.values(N2, "alice", 1), [""; 0]);
    cluster.put(N1, brief("rum")).expect("a put");
}

#[test]
fn a_put_says_how_many_acknowledged_and_how_many_of_these_synced() {
    let written = BucketProps { durability: Durability::Written, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("logs", written)]);
    for (dw, w, synced) in [(Quorum::Default, 2, 0), (Quorum::Count(1), 2, 1), (Quorum::All, 3, 3)]
    {
        let put = PutRequest { dw, w: Quorum::Count(w), ..blind("logs/a", "x") };
        let ClientResponse::Put(answer) = cluster.request(N1, ClientRequest::Put(put)) else {
            panic!("a put fails")
        };
        assert_eq!((answer.acknowledged, answer.synced), (w, synced), "dw={dw}");
    }
}

#[test]
fn a_scan_of_every_partition_finds_every_live_key_once() {
    let mut cluster = Cluster::new(3, &[]);
    for name in ["a", "b", "c", "d", "e"] {
        cluster.put(N1, blind(name, name)).expect("a put");
    }
    let context = cluster.get(N1, "c", 2).expect("a get").context.expect("a context");
    let delete = PutRequest { content: Content::Tombstone, ..after("c", "gone", &context) };
    cluster.put(N1, delete).expect("a delete");
    let mut found = Vec::new();
    for partition in 0..16 {
        let scan = ScanRequest {
            of: ScanOf::Bucket(Blob::from("carts")),
            partition: jedlik_hashing::Partition(partition),
            after: None,
            limit: 10,
            values: true,
            r: Quorum::Default,
            timeout_ms: 1_000,
        };
        match cluster.request(N2, ClientRequest::Scan(scan)) {
            ClientResponse::Scanned(page) => found.extend(page.items),
            other => panic!("{other:?}"),
        }
    }
    let mut keys: Vec<_> = found.iter().map(|item| item.key.to_vec()).collect();
    keys.sort();
    assert_eq!(keys, [b"a", b"b", b"d", b"e"]);
}

#[test]
fn a_get_of_a_key_that_was_never_written_is_an_answer() {
    let mut cluster = Cluster::new(3, &[]);
    let ClientResponse::Got(answer) =
        cluster.request(N1, ClientRequest::Get(get_request("nobody")))
    else {
        panic!("absence is no failure")
    };
    assert_eq!((answer.versions.len(), answer.context), (0, None));
}
