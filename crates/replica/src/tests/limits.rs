//! Refusals: the limits, the words of the message, and that nothing was done.

use alloc::format;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetRequest, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::{CLOCK_ENTRIES_LIMIT, RECORD_OVERHEAD_BYTES};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{ActiveLayouts, Blob, LayoutId, Quorum, Stamp};

use super::cluster::{Cluster, after, blind, get_request, terms};
use crate::{Counter, Input, Output};

const N1: NodeId = NodeId(1);

fn refused(cluster: &mut Cluster, request: ClientRequest) -> Failure {
    match cluster.request(N1, request) {
        ClientResponse::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_outside_its_limits_is_refused_in_words_that_name_them() {
    let small = BucketProps { value_limit_bytes: 8, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("small", small)]);
    let other = cluster.put(N1, blind("bob", "x")).expect("a put");
    let put = |change: fn(&mut PutRequest)| {
        let mut put = blind("alice", "tea");
        change(&mut put);
        ClientRequest::Put(put)
    };
    let get = |change: fn(&mut GetRequest)| {
        let mut get = get_request("alice");
        change(&mut get);
        ClientRequest::Get(get)
    };
    let (invalid, too_large) = (ErrorCode::InvalidRequest, ErrorCode::ValueTooLarge);
    let table = [
        (get(|get| get.r = Quorum::Count(4)), invalid, "r=4 is above the 3 replicas"),
        (get(|get| get.r = Quorum::Count(0)), invalid, "r has to be at least 1"),
        (get(|get| get.pr = Quorum::Count(9)), invalid, "pr=9"),
        (get(|get| get.n = Some(4)), invalid, "n=4 is not between 1 and the bucket's n=3"),
        (get(|get| get.timeout_ms = 0), invalid, "timeout_ms=0"),
        (put(|put| put.w = Quorum::Count(5)), invalid, "w=5"),
        (put(|put| put.dw = Quorum::Count(5)), invalid, "dw=5"),
        (put(|put| put.n = Some(0)), invalid, "n=0"),
        (put(|put| put.ttl_ms = Some(0)), invalid, "use at least 1 ms, or none"),
        (
            put(|put| put.context = Some(Blob::from("nonsense!"))),
            ErrorCode::InvalidContext,
            "format",
        ),
        (ClientRequest::Put(after("alice", "x", &other)), ErrorCode::InvalidContext, "another key"),
        (ClientRequest::Put(blind("small/a", "123456789")), too_large, "value_limit_bytes=8"),
    ];
    for (request, code, words) in table {
        let failure = refused(&mut cluster, request);
        assert_eq!(failure.code, code, "{failure}");
        assert!(failure.message.contains(words), "{failure}");
        assert!(!failure.maybe_applied);
    }
    assert_eq!(cluster.held(N1, "alice"), None);
}

#[test]
fn a_request_for_more_replicas_than_there_are_nodes_is_refused_in_words_that_say_so() {
    let mut cluster = Cluster::new(2, &[]);
    let get = |r| ClientRequest::Get(GetRequest { r, ..get_request("alice") });
    let put = |w| ClientRequest::Put(PutRequest { w, ..blind("alice", "tea") });
    for (what, request) in [("get", get(Quorum::Count(3))), ("put", put(Quorum::Count(3)))] {
        let failure = refused(&mut cluster, request);
        assert_eq!(failure.code, ErrorCode::Unavailable, "{failure}");
        assert!(failure.message.starts_with(what), "{failure}");
        assert!(failure.message.contains("no more than 2 nodes"), "{failure}");
        assert!(!failure.maybe_applied);
    }
    assert_eq!(cluster.held(N1, "alice"), None, "nothing was done");
    cluster.put(N1, blind("alice", "tea")).expect("two of two do");
    cluster.get(N1, "alice", 2).expect("two of two do");
}

#[test]
fn siblings_past_the_limit_are_refused_until_somebody_reconciles() {
    let props = BucketProps { sibling_limit: 3, sibling_warning: 2, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("carts", props)]);
    for value in ["1", "2", "3"] {
        cluster.put(N1, blind("alice", value)).expect("a put");
    }
    let failure = cluster.put(N1, blind("alice", "4")).expect_err("the limit is reached");
    assert_eq!(failure.code, ErrorCode::TooManySiblings);
    assert!(failure.message.contains("sibling_limit=3") && failure.message.contains("get the key"));
    let context = cluster.get(N1, "alice", 2).expect("a get").context.expect("a context");
    cluster.put(N1, after("alice", "all", &context)).expect("a put that reconciles");
    assert_eq!(cluster.values(N1, "alice", 3), ["all"]);
}

#[test]
fn a_record_past_its_limit_is_refused() {
    let record_limit_bytes = 20_000 + RECORD_OVERHEAD_BYTES;
    let props =
        BucketProps { value_limit_bytes: 20_000, record_limit_bytes, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("carts", props)]);
    cluster.put(N1, blind("alice", &"a".repeat(20_000))).expect("a put");
    let failure =
        cluster.put(N1, blind("alice", &"b".repeat(20_000))).expect_err("two are too many");
    assert_eq!(failure.code, ErrorCode::RecordTooLarge);
    assert!(failure.message.contains("record_limit_bytes=36384"), "{failure}");
}

#[test]
fn a_request_made_under_an_older_layout_is_refused_and_one_under_a_newer_waits() {
    let mut cluster = Cluster::new(3, &[]);
    let newer = LayoutId { version: 2, digest: 0 };
    let cases = [(LayoutId::default(), ErrorCode::StaleLayout), (newer, ErrorCode::UnknownLayout)];
    for (layout, code) in cases {
        let request = PeerRequest::Read { key: super::cluster::key("alice"), known: None, n: 3 };
        let now = cluster.now;
        let replica = &mut cluster.node(N1).replica;
        let layouts = ActiveLayouts::only(layout);
        replica.handle(
            now,
            Input::Peer { from: NodeId(2), reply: 9, terms: terms(layouts, 0), request },
        );
        let answer =
            core::iter::from_fn(|| replica.poll_output()).find_map(|output| match output {
                Output::AnswerPeer { response: PeerResponse::Refused(failure), .. } => {
                    Some(failure.code)
                }
                _ => None,
            });
        assert_eq!(answer, Some(code));
    }
}

#[test]
fn a_request_by_who_does_not_reckon_with_an_older_layout_that_counts_is_refused_as_well() {
    let mut cluster = Cluster::with_ring(4, 3, &[]);
    cluster.commit(&[1, 2, 3, 4], &[], &[N1]);
    let view = cluster.view(N1);
    let [newest, older] = [0, 1].map(|place| view.layouts()[place].id());
    // An asker that has another layout in the place of this one: a rival that it was overruled by, or has overruled.
    let before = LayoutId { version: older.version, digest: older.digest.wrapping_sub(1) };
    let cases = [
        (Vec::from([older]), None),
        // All data has left it.
        (Vec::new(), None),
        (Vec::from([before]), Some(ErrorCode::StaleLayout)),
    ];
    for (rest, code) in cases {
        let layouts = ActiveLayouts { newest, older: rest.clone() };
        let now = cluster.now;
        let replica = &mut cluster.node(N1).replica;
        let key = super::cluster::key("alice");
        let request = PeerRequest::Read { key, known: None, n: 3 };
        let input = Input::Peer { from: NodeId(2), reply: 9, terms: terms(layouts, 0), request };
        replica.handle(now, input);
        let outputs: Vec<Output> = core::iter::from_fn(|| replica.poll_output()).collect();
        let refused = outputs.iter().find_map(|output| match output {
            Output::AnswerPeer { response: PeerResponse::Refused(failure), .. } => {
                Some(failure.code)
            }
            _ => None,
        });
        assert_eq!(refused, code, "{rest:?}");
        let tells = outputs.contains(&Output::Behind { node: NodeId(2) });
        assert_eq!(tells, code.is_some(), "{rest:?}: they gossip");
    }
}

#[test]
fn a_node_that_is_no_member_is_refused_without_a_layout_or_a_clock() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    let known = cluster.node(N1).replica.cx.layout();
    for layout in [LayoutId::default(), known] {
        let request = PeerRequest::Read { key: super::cluster::key("alice"), known: None, n: 3 };
        let now = cluster.now;
        let replica = &mut cluster.node(N1).replica;
        let layouts = ActiveLayouts::only(layout);
        replica.handle(
            now,
            Input::Peer { from: NodeId(9), reply: 9, terms: terms(layouts, 0), request },
        );
        let outputs: Vec<Output> = core::iter::from_fn(|| replica.poll_output()).collect();
        let [
            Output::AnswerPeer {
                stamp: Stamp::UNTOLD,
                response: PeerResponse::Refused(failure),
                ..
            },
        ] = &outputs[..]
        else {
            panic!("it learns something: {outputs:?}");
        };
        assert_eq!(failure.code, ErrorCode::UnknownLayout);
        assert!(!failure.message.contains(&format!("{:016x}", known.digest)), "{failure}");
    }
}

#[test]
fn a_forwarded_put_is_coordinated_where_it_arrives_and_never_forwarded_again() {
    let mut cluster = Cluster::new(6, &[]);
    let fallback = *cluster.owners("alice").last().expect("six nodes");
    let now = cluster.now;
    let replica = &mut cluster.node(fallback).replica;
    replica.handle(now, Input::PeerLost { node: N1 });
    let request = PeerRequest::Forward(ClientRequest::Put(blind("alice", "tea")));
    let layouts = ActiveLayouts::default();
    replica.handle(now, Input::Peer { from: N1, reply: 9, terms: terms(layouts, 0), request });
    let refused = core::iter::from_fn(|| replica.poll_output()).any(|output| {
        matches!(output, Output::AnswerPeer { response: PeerResponse::Refused(failure), .. }
            if failure.code == ErrorCode::TooOld)
    });
    assert!(refused, "it may be a put that its client has long given up");
    let stranger = cluster.owners("alice")[4];
    cluster.down.extend(cluster.owners("alice")[..3].to_vec());
    cluster.put(stranger, blind("alice", "tea")).expect("a fallback coordinates it");
    assert_eq!(cluster.counts[&Counter::Forwards], 1);
    assert_eq!(cluster.counts[&Counter::Puts], 1);
}

/// Found by the simulator: seed 145 of its first version. The clock of the node that wrote the version
/// before was behind, so its entry was the oldest and went, and every replica brought that version back.
#[test]
fn a_put_past_the_limit_of_clock_entries_replaces_what_it_saw() {
    let (mut cluster, n2) = (Cluster::new(3, &[]), NodeId(2));
    let mut context = cluster.put(N1, blind("alice", "first")).expect("a put");
    for life in 2..=CLOCK_ENTRIES_LIMIT as u64 {
        cluster.restart(N1, life);
        context = cluster.put(N1, after("alice", &format!("v{life}"), &context)).expect("a put");
    }
    cluster.now.wall_ms -= 1_000_000;
    context = cluster.put(n2, after("alice", "late", &context)).expect("a put");
    cluster.now.wall_ms += 1_000_000;
    cluster.put(N1, after("alice", "newest", &context)).expect("a put");
    assert_eq!(cluster.values(N1, "alice", 3), ["newest"]);
}
