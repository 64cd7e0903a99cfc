//! Sloppy quorums, hints and handoff (paper 4.6).

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_membership::{ActiveLayout, Past, View};
use jedlik_protocol::client::{ClientRequest, ClientResponse, PutAnswer, PutRequest};
use jedlik_protocol::gossip::Delta;
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{ActiveLayouts, Durability, Quorum};

use super::cluster::{Cluster, after, blind, from_one, key, terms};
use crate::{Counter, Input, Output};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// Time in which a node that is back is given what it missed, in milliseconds.
const HANDOFF_MS: u64 = 2_000;

fn put_answer(cluster: &mut Cluster, node: NodeId, put: PutRequest) -> PutAnswer {
    match cluster.request(node, ClientRequest::Put(put)) {
        ClientResponse::Put(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn by(answer: &PutAnswer) -> Vec<(NodeId, Option<NodeId>)> {
    let mut by: Vec<_> = answer.by.iter().map(|by| (by.node, by.stands_in_for)).collect();
    by.sort();
    by
}

fn sorted<T: Ord>(list: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = list.into_iter().collect();
    list.sort();
    list
}

fn clock_entries(cluster: &Cluster, node: NodeId, target: NodeId, name: &str) -> usize {
    let hint = &cluster.nodes[node.0 as usize - 1].hints[&(target, cluster.placed(name))];
    hint.record.record.decode().expect("a record").clock().len()
}

#[test]
fn the_same_fallbacks_stand_in_whichever_node_reads() {
    let mut cluster = Cluster::new(6, &[]);
    let (owners, key) = (cluster.owners("alice"), cluster.placed("alice"));
    for node in [owners[0], owners[5]] {
        let view = cluster.node(node).replica.cx.view.clone().unwrap();
        let sets = cluster.node(node).replica.cx.owner_sets(&view, key.partition, 3);
        let [(_, fallbacks)] = &sets[..] else { panic!("one owner set: {sets:?}") };
        let nodes: Vec<NodeId> = fallbacks.iter().map(|listed| listed.node).collect();
        assert_eq!(nodes, owners[3..], "{node:?}");
    }
}

#[test]
fn with_two_of_three_primaries_away_fallbacks_keep_hints_until_they_are_back() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    cluster.notice_down(owners[1]);
    cluster.notice_down(owners[2]);
    let put = PutRequest { w: Quorum::All, ..blind("alice", "tea") };
    let answer = put_answer(&mut cluster, owners[0], put);
    let expected = [(owners[0], None), (owners[3], Some(owners[1])), (owners[4], Some(owners[2]))];
    assert_eq!(by(&answer), sorted(expected), "the first fallback stands in for the first away");
    assert_eq!(cluster.hinted(owners[3], "alice"), [owners[1]]);
    assert_eq!(cluster.hinted(owners[4], "alice"), [owners[2]]);
    for node in [owners[0], owners[3], owners[4]] {
        assert_eq!(cluster.values(node, "alice", 3), ["tea"]);
    }

    cluster.run_for(60_000);
    assert_eq!(cluster.hinted(owners[3], "alice"), [owners[1]], "they wait for their targets");
    let gets = cluster.count(Counter::Gets);
    cluster.notice_up(owners[1]);
    cluster.notice_up(owners[2]);
    cluster.run_for(HANDOFF_MS);
    for owner in &owners[..3] {
        assert_eq!(cluster.held(*owner, "alice"), cluster.held(owners[0], "alice"));
    }
    assert!(cluster.nodes.iter().all(|node| node.hints.is_empty()));
    assert_eq!(cluster.count(Counter::HintsDelivered), 2);
    assert_eq!(cluster.count(Counter::Gets), gets, "nobody had to ask");
}

#[test]
fn a_life_that_does_not_know_yet_what_others_remember_of_it_hands_nothing_off() {
    let mut cluster = Cluster::new(4, &[]);
    let owners = cluster.owners("alice");
    let (target, keeper) = (owners[2], owners[3]);
    cluster.notice_down(target);
    put_answer(&mut cluster, owners[0], PutRequest { w: Quorum::All, ..blind("alice", "tea") });
    assert_eq!(cluster.hinted(keeper, "alice"), [target]);

    let view = cluster.view(keeper);
    let known = Delta {
        members: view.members().cloned().collect(),
        layouts: view.layouts().iter().map(ActiveLayout::placed).collect(),
        ..Delta::default()
    };
    let up = owners.iter().copied().collect();
    let view = View::new(keeper, view.cluster(), view.partitions(), known, up);
    assert!(view.is_alive(target));
    let unconfirmed = view.with_past(Past::Unconfirmed);
    cluster.queue.push_back((keeper, Input::View(Arc::new(unconfirmed))));
    cluster.run_for(60_000);
    assert_eq!(
        cluster.hinted(keeper, "alice"),
        [target],
        "a later life may have, and a delete too"
    );

    cluster.notice_up(target);
    cluster.run_for(HANDOFF_MS);
    assert!(cluster.hinted(keeper, "alice").is_empty());
    assert_eq!(cluster.count(Counter::HintsDelivered), 1);
}

#[test]
fn hints_are_delivered_oldest_first_and_merged_by_key() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.notice_down(N3);
    // Those of which the node coordinates every put, siblings or not.
    let is_first = |name: &alloc::string::String| {
        cluster.owners(name).into_iter().find(|owner| *owner != N3) == Some(N1)
    };
    let names = (0..).map(|number| format!("k{number}"));
    let names: Vec<_> = names.filter(is_first).take(100).collect();
    for name in &names {
        cluster.put(N1, blind(name, "old")).expect("a put");
        cluster.advance(10);
    }
    for name in names.iter().rev() {
        cluster.put(N1, blind(name, "new")).expect("a put");
    }
    assert_eq!(cluster.node(N1).hints.len(), 100, "they grow with keys and not with writes");
    cluster.sent.clear();
    cluster.notice_up(N3);
    cluster.run_for(HANDOFF_MS);
    let sent = cluster.sent.iter().filter(|(from, to, _)| (*from, *to) == (N1, N3));
    let delivered: Vec<_> = sent
        .filter_map(|(_, _, request)| match request {
            PeerRequest::Deliver { key, .. } => Some(key.clone()),
            _ => None,
        })
        .take(100)
        .collect();
    let expected: Vec<_> = names.iter().map(|name| key(name)).collect();
    assert_eq!(delivered, expected);
    assert!(cluster.node(N1).hints.is_empty());
    assert_eq!(cluster.values(N3, &names[7], 1), ["new", "old"]);
}

#[test]
fn a_coordinator_keeps_what_no_fallback_is_left_for() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.notice_down(N3);
    let put = PutRequest { w: Quorum::All, ..blind("alice", "tea") };
    let refused = cluster.request(N1, ClientRequest::Put(put));
    assert!(matches!(refused, ClientResponse::Failed(_)), "one node counts once: {refused:?}");
    let answer = put_answer(&mut cluster, N1, blind("alice", "tea"));
    assert_eq!(answer.acknowledged, 2);
    let keepers: Vec<_> = [N1, N2].map(|node| cluster.hinted(node, "alice")).concat();
    assert_eq!(keepers, [N3]);
    let kept: Vec<_> = cluster.nodes.iter().flat_map(|node| node.hints.values()).collect();
    assert_eq!(kept[0].record.local, None, "the actor is that of the coordinator's record");
    cluster.notice_up(N3);
    cluster.run_for(HANDOFF_MS);
    assert_eq!(cluster.held(N3, "alice"), cluster.held(N1, "alice"));
    assert!(cluster.nodes.iter().all(|node| node.hints.is_empty()));
}

#[test]
fn what_grows_while_it_is_delivered_stays() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.notice_down(N3);
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    cluster.freeze(N3);
    cluster.notice_up(N3);
    // Under way to a node that stands still, while N3 is lost to the next put.
    cluster.run_for(10);
    cluster.notice_down(N3);
    cluster.put(N1, blind("alice", "salt")).expect("a put");
    cluster.thaw(N3);
    cluster.deliver();
    assert_eq!(cluster.hinted(N1, "alice"), [N3], "N3 was sent less than this");
    cluster.notice_up(N3);
    cluster.run_for(15_000);
    assert_eq!(cluster.hinted(N1, "alice"), [] as [NodeId; 0]);
    assert_eq!(cluster.values(N3, "alice", 1), ["salt", "tea"]);
}

#[test]
fn a_fallback_coordinates_under_an_actor_that_goes_with_its_hint() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    let (primaries, fallback) = (owners[..3].to_vec(), owners[3]);
    let away = |cluster: &mut Cluster| primaries.iter().for_each(|node| cluster.notice_down(*node));
    let back = |cluster: &mut Cluster| {
        primaries.iter().for_each(|node| cluster.notice_up(*node));
        cluster.run_for(HANDOFF_MS);
    };
    away(&mut cluster);
    cluster.put(fallback, blind("alice", "tea")).expect("a fallback coordinates it");
    cluster.put(fallback, blind("alice", "salt")).expect("a fallback coordinates it");
    assert_eq!(cluster.count(Counter::Forwards), 0);
    assert_eq!(clock_entries(&cluster, fallback, owners[0], "alice"), 1, "one actor, two dots");
    assert_eq!(cluster.values(fallback, "alice", 2), ["salt", "tea"]);

    back(&mut cluster);
    assert!(cluster.nodes.iter().all(|node| node.hints.is_empty()));
    for owner in &primaries {
        assert_eq!(cluster.values(*owner, "alice", 1), ["salt", "tea"]);
    }
    away(&mut cluster);
    cluster.put(fallback, blind("alice", "milk")).expect("a fallback coordinates it");
    back(&mut cluster);
    for owner in &primaries {
        let record = cluster.held(*owner, "alice").expect("a record").decode().expect("a record");
        assert_eq!(record.clock().len(), 2, "what was handed off took its actor along");
        assert_eq!(cluster.values(*owner, "alice", 1), ["milk", "salt", "tea"]);
    }
}

#[test]
fn of_several_hints_for_one_put_only_the_first_has_its_actor() {
    let mut cluster = Cluster::new(4, &[("carts", from_one())]);
    let owners = cluster.owners("alice");
    owners[..3].iter().for_each(|node| cluster.notice_down(*node));
    let put = PutRequest { w: Quorum::One, ..blind("alice", "tea") };
    let answer = put_answer(&mut cluster, owners[3], put.clone());
    assert_eq!(answer.acknowledged, 1, "one node counts once, however many hints it keeps");
    assert_eq!(cluster.hinted(owners[3], "alice"), sorted(owners[..3].to_vec()));
    let place = cluster.placed("alice");
    let with_actor: Vec<_> = owners[..3]
        .iter()
        .filter(|target| {
            let hints = &cluster.nodes[owners[3].0 as usize - 1].hints;
            hints[&(**target, place.clone())].record.local.is_some()
        })
        .collect();
    assert_eq!(with_actor, [&owners[0]]);
    cluster.put(owners[3], PutRequest { w: Quorum::One, ..blind("alice", "salt") }).expect("a put");
    owners[..3].iter().for_each(|node| cluster.notice_up(*node));
    cluster.run_for(HANDOFF_MS);
    for owner in &owners[..3] {
        assert_eq!(cluster.values(*owner, "alice", 1), ["salt", "tea"]);
    }
}

#[test]
fn a_silent_primary_is_stood_in_for_after_the_hedge_delay() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    cluster.mute.insert(owners[1]);
    let start_us = cluster.now.mono_us;
    let put = PutRequest { w: Quorum::All, ..blind("alice", "tea") };
    let answer = put_answer(&mut cluster, owners[0], put);
    let took_us = cluster.now.mono_us - start_us;
    assert!(took_us < 500_000, "it does not wait for the call's limit");
    let expected = [(owners[0], None), (owners[2], None), (owners[3], Some(owners[1]))];
    assert_eq!(by(&answer), sorted(expected));
    assert_eq!(cluster.count(Counter::PutHedges), 1);
    assert_eq!(cluster.hinted(owners[3], "alice"), [owners[1]]);
    cluster.mute.clear();
    cluster.run_for(15_000);
    assert_eq!(cluster.values(owners[1], "alice", 1), ["tea"]);
    assert!(cluster.nodes.iter().all(|node| node.hints.is_empty()));
}

/// Nodes may see a bucket's N change one after the other, so what is a fallback's to one is a primary's
/// to another.
#[test]
fn a_node_that_is_to_keep_a_record_for_itself_too_takes_it_over() {
    let mut cluster = Cluster::new(3, &[]);
    let record = {
        cluster.put(N1, blind("alice", "tea")).expect("a put");
        cluster.held(N1, "alice").expect("a record")
    };
    let now = cluster.now;
    let receiver_clock = Cluster::config(N2, 1).clock_start + now.mono_us;
    let request = PeerRequest::Hint {
        key: key("alice"),
        record,
        targets: [N2, N3].into(),
        durability: Durability::Synced,
    };
    let replica = &mut cluster.node(N2).replica;
    let layouts = ActiveLayouts::only(replica.cx.layout());
    replica.handle(
        now,
        Input::Peer { from: N1, reply: 9, terms: terms(layouts, receiver_clock), request },
    );
    let (mut tickets, mut held) = (Vec::new(), Vec::new());
    while let Some(output) = replica.poll_output() {
        match output {
            Output::Apply { ticket, .. } => tickets.push(ticket),
            Output::Hold { ticket, target, .. } => {
                tickets.push(ticket);
                held.push(target);
            }
            Output::Count(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((tickets.len(), held), (2, [N3].into()));
    for (place, ticket) in tickets.into_iter().enumerate() {
        replica.handle(now, Input::Applied { ticket, result: Ok(()) });
        let answer = core::iter::from_fn(|| replica.poll_output())
            .find(|output| matches!(output, Output::AnswerPeer { .. }));
        assert_eq!(answer.is_some(), place == 1, "it answers once both are safe");
    }
}

#[test]
fn the_strict_quorums_count_primaries_only() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    cluster.notice_down(owners[1]);
    cluster.notice_down(owners[2]);
    let put = PutRequest { pw: Quorum::Count(2), timeout_ms: 1_000, ..blind("alice", "tea") };
    let answer = cluster.request(owners[0], ClientRequest::Put(put));
    let ClientResponse::Failed(failure) = answer else { panic!("{answer:?}") };
    assert!(failure.message.contains("1 of 2 primaries"), "{failure}");
    let put = PutRequest { pw: Quorum::One, ..blind("alice", "salt") };
    cluster.put(owners[0], put).expect("one primary is there");
}

#[test]
fn a_primary_that_is_behind_is_repaired_and_a_fallback_is_if_a_primary_answered() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    cluster.put(owners[0], blind("alice", "tea")).expect("a put");
    let old = cluster.node(owners[1]).disk.clone();
    let context = cluster.get(owners[0], "alice", 3).expect("a get").context.expect("a context");
    cluster.put(owners[0], after("alice", "salt", &context)).expect("a put");
    cluster.node(owners[1]).disk = old;
    cluster.node(owners[2]).disk.clear();
    cluster.values(owners[0], "alice", 3);
    cluster.run_for(600);
    let repairs = |cluster: &Cluster| {
        [Counter::ReadRepairsMissing, Counter::ReadRepairsStale, Counter::ReadRepairsFallback]
            .map(|counter| cluster.count(counter))
    };
    assert_eq!(repairs(&cluster), [1, 1, 0]);
    for owner in &owners[..3] {
        assert_eq!(cluster.held(*owner, "alice"), cluster.held(owners[0], "alice"));
    }

    cluster.notice_down(owners[2]);
    assert_eq!(cluster.values(owners[0], "alice", 3), ["salt"]);
    cluster.run_for(600);
    assert_eq!(repairs(&cluster), [2, 1, 1]);
    assert_eq!(cluster.hinted(owners[3], "alice"), [owners[2]]);

    cluster.notice_down(owners[0]);
    cluster.notice_down(owners[1]);
    assert_eq!(cluster.values(owners[4], "alice", 2), ["salt"]);
    cluster.run_for(600);
    assert_eq!(repairs(&cluster), [2, 1, 1], "an old hint is not passed on under a new date");
    assert_eq!(cluster.hinted(owners[4], "alice"), [] as [NodeId; 0]);
}
