//! Which process of a node is listened to, and what is taken from one beside which another one runs.

use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::client::{ClientRequest, PutRequest};
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::gossip::{Delta, Life, MemberRecord, Rival};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, EncodedRecord, Incarnation, LayoutId, Quorum, Record};
use jedlik_vclock::Content;

use super::cluster::{Cluster, LIFE_US, after, blind, key, member, terms};
use crate::{Input, Output};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
/// A tombstone is collected within this, if nothing holds it up.
const COLLECTED_MS: u64 = 13 * LIFE_US / 1_000;

/// What others know of a node of which another process was started, in a later life.
fn superseded(node: NodeId) -> MemberRecord {
    MemberRecord { life: Life::new(Incarnation(2)), ..member(node.0) }
}

/// What others know of a node of which two processes know that they both run.
fn disputed(node: NodeId) -> MemberRecord {
    let rival = Rival { incarnation: Incarnation(2), address: member(9).address };
    MemberRecord { life: Life { rival: Some(rival), ..member(node.0).life }, ..member(node.0) }
}

/// Why N1 refuses a request of N2's process in its first life, if it does.
fn refusal(cluster: &mut Cluster, request: PeerRequest) -> Option<ErrorCode> {
    let now = cluster.now;
    let heard = Cluster::config(N1, 1).clock_start + now.mono_us;
    let terms = terms(cluster.view(N1).counting(), heard);
    let replica = &mut cluster.node(N1).replica;
    replica.handle(now, Input::Peer { from: N2, reply: 9, terms, request });
    core::iter::from_fn(|| replica.poll_output()).find_map(|output| match output {
        Output::AnswerPeer { response: PeerResponse::Refused(failure), .. } => Some(failure.code),
        _ => None,
    })
}

#[test]
fn a_process_that_is_not_the_one_known_or_has_a_rival_gives_and_asks_for_nothing() {
    let record = || EncodedRecord::encode(&Record::default());
    let (durability, partition) = (Durability::Synced, Partition(0));
    let requests = |lives: Digest| {
        Vec::from([
            PeerRequest::Write { key: key("k"), record: record(), durability },
            PeerRequest::Hint { key: key("k"), record: record(), targets: [N1].into(), durability },
            PeerRequest::Deliver { key: key("k"), record: record() },
            PeerRequest::Revise { key: key("k"), expected: Digest(1), record: None },
            PeerRequest::Read { key: key("k"), known: None, n: 3 },
            PeerRequest::Compare { key: key("k"), digest: Digest(1), n: 3, lives, durably: true },
            PeerRequest::Vote { partition, n: 3, counts: 0, flipped: LayoutId::default() },
        ])
    };
    let cases = [
        (None, None),
        (Some(superseded(N2)), Some(ErrorCode::OtherLife)),
        (Some(disputed(N2)), Some(ErrorCode::NotReady)),
    ];
    for (record, code) in cases {
        let mut cluster = Cluster::new(3, &[]);
        if let Some(record) = record {
            cluster.notice_record(record);
        }
        for request in requests(cluster.view(N1).lives()) {
            let said = alloc::format!("{request:?}");
            assert_eq!(refusal(&mut cluster, request), code, "{said}");
        }
        // What a client wants, and what an admin looks at, passes through any process.
        let put = PeerRequest::Forward(ClientRequest::Put(blind("k", "v")));
        assert_eq!(refusal(&mut cluster, put), None);
        assert_eq!(refusal(&mut cluster, PeerRequest::Inspect { key: key("k") }), None);
    }
}

#[test]
fn what_such_a_process_answers_counts_for_nothing_but_what_it_has_stored_while_there_are_two() {
    for (record, stores) in [(superseded(N2), false), (disputed(N2), true)] {
        let mut cluster = Cluster::new(3, &[]);
        cluster.put(N1, blind("alice", "tea")).expect("a put");
        let place = cluster.placed("alice");
        for other in [N1, NodeId(3)] {
            cluster.node(other).disk.remove(&place);
        }
        cluster.notice_record(record);
        assert!(cluster.held(N2, "alice").is_some(), "what was deleted elsewhere");
        let got = cluster.get(N1, "alice", 2).expect("the two others say that it is absent");
        assert_eq!(got.versions, []);
        assert!(cluster.get(N1, "alice", 3).is_err(), "its word does not count");
        let put = PutRequest { w: Quorum::All, ..blind("bob", "salt") };
        assert_eq!(cluster.put(N1, put).is_ok(), stores);
        cluster.run_for(2_000);
        assert_eq!(cluster.held(N1, "alice"), None, "nothing is merged of it");
    }
}

#[test]
fn a_process_that_stood_still_hands_on_nothing_and_learns_that_another_one_is_known() {
    let mut cluster = Cluster::new(3, &[]);
    let owners = cluster.owners("alice");
    let (still, others) = (owners[0], &owners[1..]);
    cluster.put(still, blind("alice", "tea")).expect("a put");
    let place = cluster.placed("alice");
    for other in others {
        cluster.node(*other).disk.remove(&place);
        cluster.restart(*other, 1);
    }
    cluster.notice_record(superseded(still));
    cluster.behind.clear();
    // It knows of nothing: it compares, and takes a put.
    cluster.repair(still);
    let put = PutRequest { timeout_ms: 500, ..blind("alice", "milk") };
    assert!(cluster.put(still, put).is_err(), "nobody else takes it");
    cluster.run_for(2_000);
    for other in others {
        assert_eq!(cluster.held(*other, "alice"), None);
        assert!(cluster.behind.contains(&(still, *other)), "it asks {other} what there is to know");
    }
}

#[test]
fn nothing_is_forgotten_while_members_differ_about_lives_or_one_runs_twice() {
    for place in 0..5 {
        let mut cluster = Cluster::new(5, &[]);
        let owners = cluster.owners("alice");
        let context = cluster.put(owners[0], blind("alice", "tea")).expect("a put");
        let end = PutRequest { content: Content::Tombstone, ..after("alice", "end", &context) };
        cluster.put(owners[0], end).expect("a delete");
        // One alone knows of a later process of another one: its owners or fallbacks, but for whoever asks.
        let (knows, of) = (owners[place], owners[if place == 4 { 3 } else { 4 }]);
        let version = 100;
        let news = |life| {
            let record = MemberRecord { life, version, ..member(of.0) };
            Delta { members: [record].into(), ..Delta::default() }
        };
        cluster.tell(knows, knows, news(Life::new(Incarnation(2))));
        cluster.run_for(5 * COLLECTED_MS);
        assert!(cluster.held(owners[0], "alice").is_some(), "{knows} knows of another process");
    }
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    let context = cluster.put(owners[0], blind("alice", "tea")).expect("a put");
    let end = PutRequest { content: Content::Tombstone, ..after("alice", "end", &context) };
    cluster.put(owners[0], end).expect("a delete");
    cluster.notice_record(disputed(owners[4]));
    cluster.run_for(5 * COLLECTED_MS);
    assert!(cluster.held(owners[0], "alice").is_some(), "one runs twice");
    cluster.notice_record(member(owners[4].0));
    cluster.run_for(5 * COLLECTED_MS);
    assert_eq!(cluster.held(owners[0], "alice"), None, "an admin has decided");
}
