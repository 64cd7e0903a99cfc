//! Two processes of one node: the one that others listen to, and what they take from either.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::{ActiveLayout, View};
use jedlik_protocol::client::{ClientRequest, ClientResponse, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{Delta, Life, MemberRecord, Rival};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, EncodedRecord, Incarnation, LayoutId, Quorum, Record};
use jedlik_vclock::Content;

use super::cluster::{Cluster, LIFE_US, after, blind, key, member, terms};
use crate::{Input, Output};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
/// Time within which a tombstone is collected if nothing holds it up, in milliseconds.
const COLLECTED_MS: u64 = 13 * LIFE_US / 1_000;

/// Returns the record of a node of which another process was started, in a later life.
fn superseded(node: NodeId) -> MemberRecord {
    MemberRecord { life: Life::new(Incarnation(2)), ..member(node.0) }
}

/// Returns the record of a node of which two processes know that they both run.
fn disputed(node: NodeId) -> MemberRecord {
    let rival = Rival { incarnation: Incarnation(2), address: member(9).address };
    MemberRecord { life: Life { rival: Some(rival), ..member(node.0).life }, ..member(node.0) }
}

/// Returns why N1 refuses a request of N2's process in its first life, if it does.
fn refusal(cluster: &mut Cluster, request: PeerRequest) -> Option<ErrorCode> {
    let now = cluster.now;
    let heard = Cluster::config(N1, 1).clock_start + now.mono_us;
    let terms = terms(cluster.view(N1).active_layouts(), heard);
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

/// Has a node's replica see these members changed by `see`, unlike its membership.
fn shown(cluster: &mut Cluster, node: NodeId, see: impl Fn(MemberRecord) -> Option<MemberRecord>) {
    let view = cluster.view(node);
    let up = view.members().map(|member| member.node).collect();
    let known = Delta {
        members: view.members().cloned().filter_map(see).collect(),
        layouts: view.layouts().iter().map(ActiveLayout::placed).collect(),
        ..Delta::default()
    };
    let view = View::new(node, view.cluster(), view.partitions(), known, up);
    cluster.step(node, Input::View(Arc::new(view)));
    cluster.deliver();
}

#[test]
fn a_node_of_which_nothing_is_known_but_its_place_is_taken_nothing_from() {
    let mut cluster = Cluster::new(3, &[]);
    shown(&mut cluster, N1, |member| (member.node != N2).then_some(member));
    let read = PeerRequest::Read { key: key("k"), known: None, n: 3 };
    assert_eq!(refusal(&mut cluster, read), Some(ErrorCode::OtherLife));
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
    cluster.sent.clear();
    cluster.run_for(5 * COLLECTED_MS);
    assert!(cluster.held(owners[0], "alice").is_some(), "one runs twice");
    let asks = |request: &PeerRequest| matches!(request, PeerRequest::Compare { .. });
    assert!(!cluster.sent.iter().any(|(_, _, request)| asks(request)), "nobody is asked meanwhile");
    cluster.notice_record(member(owners[4].0));
    cluster.run_for(5 * COLLECTED_MS);
    assert_eq!(cluster.held(owners[0], "alice"), None, "an admin has decided");
}

#[test]
fn a_tombstone_waits_anew_once_a_member_is_in_another_life() {
    for starts in [false, true] {
        let mut cluster = Cluster::new(5, &[]);
        let owners = cluster.owners("alice");
        let context = cluster.put(owners[0], blind("alice", "tea")).expect("a put");
        let end = PutRequest { content: Content::Tombstone, ..after("alice", "end", &context) };
        cluster.put(owners[0], end).expect("a delete");
        // The owners have been asked the first time.
        cluster.run_for(COLLECTED_MS / 2);
        let other = owners[4];
        if starts {
            cluster.notice_record(superseded(other));
            shown(&mut cluster, other, |member| match member.node == other {
                true => Some(MemberRecord { life: Life::new(Incarnation(2)), ..member }),
                false => Some(member),
            });
        }
        cluster.run_for(COLLECTED_MS / 2);
        assert_eq!(cluster.held(owners[0], "alice").is_some(), starts);
        cluster.run_for(COLLECTED_MS);
        assert_eq!(
            cluster.held(owners[0], "alice"),
            None,
            "it was asked for twice in its new life"
        );
    }
}

#[test]
fn a_put_waits_for_those_who_have_yet_to_hear_of_its_coordinators_life() {
    for heard in [true, false] {
        let mut cluster = Cluster::new(3, &[]);
        let coordinator = cluster.owners("alice")[0];
        // They take another process for it, for now.
        cluster.notice_record(superseded(coordinator));
        let put = PutRequest { w: Quorum::All, timeout_ms: 1_000, ..blind("alice", "tea") };
        let reply = cluster.ask(coordinator, ClientRequest::Put(put));
        cluster.deliver();
        assert!(!cluster.answers.contains_key(&reply), "it is refused by both, and waits");
        if heard {
            cluster.notice_record(member(coordinator.0));
        }
        cluster.run_for(40);
        let answer = cluster.answers.get(&reply);
        assert_eq!(matches!(answer, Some(ClientResponse::Put(_))), heard, "{answer:?}");
    }
}

#[test]
fn one_of_two_processes_that_know_of_one_another_does_not_ask_what_there_is_to_know() {
    let mut cluster = Cluster::new(3, &[]);
    let coordinator = cluster.owners("alice")[0];
    cluster.notice_record(superseded(coordinator));
    shown(&mut cluster, coordinator, |member| match member.node == coordinator {
        true => Some(disputed(coordinator)),
        false => Some(member),
    });
    cluster.behind.clear();
    cluster.ask(coordinator, ClientRequest::Put(blind("alice", "tea")));
    cluster.run_for(1_000);
    assert!(cluster.behind.iter().all(|(node, _)| *node != coordinator), "it knows already");
}

#[test]
fn a_hint_that_is_refused_for_its_keepers_life_is_delivered_later() {
    let mut cluster = Cluster::new(4, &[]);
    let owners = cluster.owners("alice");
    let (target, keeper) = (owners[2], owners[3]);
    cluster.notice_down(target);
    let put = PutRequest { w: Quorum::All, ..blind("alice", "tea") };
    cluster.put(owners[0], put).expect("a put");
    assert_eq!(cluster.hinted(keeper, "alice"), [target]);
    cluster.notice_record(superseded(keeper));
    cluster.sent.clear();
    cluster.notice_up(target);
    cluster.run_for(1_000);
    let delivers = |request: &PeerRequest| matches!(request, PeerRequest::Deliver { .. });
    assert!(cluster.sent.iter().any(|(from, _, request)| *from == keeper && delivers(request)));
    assert_eq!(cluster.hinted(keeper, "alice"), [target], "it is refused");
    cluster.notice_record(member(keeper.0));
    cluster.run_for(60_000);
    assert!(cluster.hinted(keeper, "alice").is_empty());
    assert!(cluster.held(target, "alice").is_some());
}

#[test]
fn a_refusal_and_what_is_passed_on_or_looked_at_are_taken_from_any_process() {
    let failure = || Failure::new(ErrorCode::Storage, "its disk");
    let any = [
        PeerResponse::Refused(failure()),
        PeerResponse::Forwarded(ClientResponse::Failed(failure())),
        PeerResponse::Inspected(Box::default()),
    ];
    let stored =
        [PeerResponse::Written, PeerResponse::Delivered { window: 1 }, PeerResponse::Revised(true)];
    let said = [PeerResponse::Same, PeerResponse::Read(None), PeerResponse::Hashes(Vec::new())];
    for (record, code) in
        [(superseded(N2), ErrorCode::OtherLife), (disputed(N2), ErrorCode::NotReady)]
    {
        let mut cluster = Cluster::new(3, &[]);
        cluster.notice_record(record);
        let mut heeded = |response: &PeerResponse| {
            let replica = &mut cluster.node(N1).replica;
            match replica.cx.heeded(N2, Incarnation(1), response.clone()) {
                heeded if heeded == *response => None,
                PeerResponse::Refused(failure) => Some(failure.code),
                other => panic!("{other:?} in place of {response:?}"),
            }
        };
        for response in &any {
            assert_eq!(heeded(response), None, "{response:?}");
        }
        for response in &stored {
            let counts = code == ErrorCode::NotReady;
            assert_eq!(heeded(response), (!counts).then_some(code), "{response:?}");
        }
        for response in &said {
            assert_eq!(heeded(response), Some(code), "{response:?}");
        }
    }
}
