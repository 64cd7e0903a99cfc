//! Partitions move to new owners while clients go on, and from nodes that go.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use jedlik_handoff::InboundStatus;
use jedlik_hashing::NodeId;
use jedlik_protocol::admin::{BackgroundChange, WorkKind};
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, ClientResponse, PutRequest};
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{EncodedRecord, Key, Quorum, Record, StoredRecord};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

use super::cluster::{Cluster, after, blind, from_one, get_request, key};
use crate::{Counter, StorageFault};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);
const N4: NodeId = NodeId(4);
const KEYS: usize = 40;

fn everyone(count: u64) -> Vec<NodeId> {
    (1..=count).map(NodeId).collect()
}

fn hold_moves_up(cluster: &mut Cluster, paused: bool) {
    let change = BackgroundChange {
        work: Some(WorkKind::Transfer),
        paused: Some(paused),
        limit_per_s: None,
        slowdown_percent: None,
    };
    for node in 1..=cluster.nodes.len() as u64 {
        cluster.set_background(NodeId(node), change);
    }
}

fn fill(cluster: &mut Cluster) {
    for number in 0..KEYS {
        cluster.put(N1, blind(&format!("k{number}"), "v")).expect("a put");
    }
}

/// Asserts that every key is on its three owners' disks, on nobody else's, and found.
fn assert_in_place(cluster: &mut Cluster) {
    let asked = (1..=cluster.nodes.len() as u64)
        .map(NodeId)
        .find(|node| !cluster.down.contains(node))
        .expect("one is up");
    let layout_of = cluster.view(asked);
    for number in 0..KEYS {
        let name = format!("k{number}");
        let list = layout_of.preference_list(cluster.placed(&name).partition);
        let owners: BTreeSet<NodeId> = list.iter().take(3).copied().collect();
        for node in 1..=cluster.nodes.len() as u64 {
            let node = NodeId(node);
            if !cluster.down.contains(&node) {
                let holds = cluster.held(node, &name).is_some();
                assert_eq!(holds, owners.contains(&node), "{name} at {node}");
            }
        }
        assert_eq!(cluster.values(asked, &name, 2), ["v"], "{name}");
    }
}

#[test]
fn data_moves_to_new_nodes_and_back_and_leaves_nothing_behind() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    cluster.commit(&[1, 2, 3, 4, 5, 6], &[], &everyone(6));
    cluster.settle();
    assert_in_place(&mut cluster);
    cluster.commit(&[2, 4, 6], &[1, 3, 5], &everyone(6));
    cluster.settle();
    assert_in_place(&mut cluster);
    let left = cluster.node(N1).replica.transfer_report();
    assert_eq!((left.owned, left.leaving, left.unowned, left.load.records), (0, 0, 0, 0));
}

#[test]
fn while_a_partition_moves_a_put_needs_its_quorum_among_old_and_new_owners() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    hold_moves_up(&mut cluster, true);
    cluster.commit(&[4, 5, 6], &[1, 2, 3], &everyone(6));
    let put = |cluster: &mut Cluster, node, pw| {
        let strict = PutRequest { pw: Quorum::Count(pw), ..blind("alice", "tea") };
        cluster.request(node, ClientRequest::Put(strict))
    };
    assert!(matches!(put(&mut cluster, N1, 2), ClientResponse::Put(_)));
    let held = everyone(6).into_iter().filter(|node| cluster.held(*node, "alice").is_some());
    assert_eq!(held.count(), 6, "all owners of both sets were written to");
    for side in [[NodeId(5), NodeId(6)], [N2, N3]] {
        side.into_iter().for_each(|node| cluster.notice_down(node));
        for node in [N1, NodeId(4)] {
            let answer = put(&mut cluster, node, 2);
            assert!(matches!(answer, ClientResponse::Failed(_)), "{answer:?} without {side:?}");
        }
        side.into_iter().for_each(|node| cluster.notice_up(node));
        cluster.run_for(30_000);
    }
    assert!(matches!(put(&mut cluster, N1, 2), ClientResponse::Put(_)));
}

#[test]
fn a_get_finds_what_only_old_owners_hold_until_the_partition_has_flipped() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    hold_moves_up(&mut cluster, true);
    cluster.commit(&[4, 5, 6], &[1, 2, 3], &everyone(6));
    for number in 0..KEYS {
        let node = NodeId(number as u64 % 6 + 1);
        assert_eq!(cluster.values(node, &format!("k{number}"), 2), ["v"]);
    }
    hold_moves_up(&mut cluster, false);
    cluster.settle();
    assert_in_place(&mut cluster);
}

#[test]
fn a_get_sends_nothing_to_a_new_owner_that_is_yet_to_be_sent_the_range() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    hold_moves_up(&mut cluster, true);
    cluster.commit(&[1, 2, 3, 4, 5, 6], &[], &everyone(6));
    for number in 0..KEYS {
        for node in everyone(6) {
            assert_eq!(cluster.values(node, &format!("k{number}"), 2), ["v"]);
        }
    }
    cluster.run_for(2_000);
    assert_eq!(cluster.counts.get(&Counter::ReadRepairsMissing), None);
    hold_moves_up(&mut cluster, false);
    cluster.settle();
    assert_in_place(&mut cluster);
}

#[test]
fn a_request_that_meets_a_newer_layout_goes_on_under_it_and_does_not_fail() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    cluster.commit(&[4, 5, 6], &[1, 2, 3], &everyone(6)[1..]);
    let put = cluster.ask(N1, ClientRequest::Put(blind("alice", "tea")));
    let get = cluster.ask(N1, ClientRequest::Get(get_request("k7")));
    cluster.deliver();
    assert!(cluster.answers.is_empty(), "everyone else refuses what is under the older layout");
    assert!(cluster.behind.iter().any(|(_, with)| *with == N1), "{:?}", cluster.behind);
    cluster.gossip();
    for reply in [put, get] {
        let answer = cluster.answers.remove(&reply);
        assert!(
            matches!(answer, Some(ClientResponse::Put(_) | ClientResponse::Got(_))),
            "{answer:?}"
        );
    }
}

#[test]
fn a_request_under_a_layout_that_others_do_not_know_yet_waits_for_them() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    cluster.commit(&[4, 5, 6], &[1, 2, 3], &[N1]);
    let get = cluster.ask(N1, ClientRequest::Get(get_request("k7")));
    cluster.advance(30);
    assert!(cluster.answers.is_empty());
    cluster.gossip();
    cluster.advance(30);
    let answer = cluster.answers.remove(&get);
    assert!(matches!(answer, Some(ClientResponse::Got(_))), "{answer:?}");
}

#[test]
fn nothing_is_dropped_while_a_member_does_not_know_the_layout() {
    let mut cluster = Cluster::with_ring(7, 3, &[]);
    fill(&mut cluster);
    cluster.notice_down(NodeId(7));
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    for _ in 0..40 {
        cluster.gossip();
        cluster.run_for(500);
    }
    assert_eq!(cluster.view(N1).flipped(), 16, "the new owners have all of it");
    assert_eq!(cluster.node(N1).disk.len(), KEYS, "and who has gone may still come and ask");
    let report = cluster.node(N1).replica.transfer_report();
    assert!(report.blockers.iter().any(|why| why.contains("does not know")), "{report:?}");
    cluster.notice_up(NodeId(7));
    cluster.settle();
    assert_in_place(&mut cluster);
    assert_eq!(cluster.node(N1).disk.len(), 0);
}

/// Returns a cluster in which nodes 4 to 6 own everything and 1 to 3 still hold it: a seventh, which is down,
/// does not know the layout.
fn moved_but_for_one() -> Cluster {
    let mut cluster = Cluster::with_ring(7, 3, &[]);
    fill(&mut cluster);
    cluster.notice_down(NodeId(7));
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    for _ in 0..40 {
        cluster.gossip();
        cluster.run_for(500);
    }
    assert_eq!(cluster.view(N1).flipped(), 16, "the new owners have all of it");
    cluster.sent.clear();
    cluster
}

/// Returns the cluster of [`moved_but_for_one`] after later puts, which only the new owners hold.
fn overtaken() -> Cluster {
    let mut cluster = moved_but_for_one();
    for number in 0..KEYS {
        let name = format!("k{number}");
        let context = cluster.get(N4, &name, 2).expect("a get").context.expect("it was put");
        cluster.put(N4, after(&name, "w", &context)).expect("a put");
    }
    cluster.sent.clear();
    cluster
}

/// Lets the old owners give up what they hold; returns the keys that they sent, by receiver.
fn end_outbound(cluster: &mut Cluster) -> BTreeSet<(NodeId, Key)> {
    cluster.notice_up(NodeId(7));
    cluster.settle();
    for node in [N1, N2, N3] {
        assert_eq!(cluster.node(node).disk.len(), 0, "{node} has dropped all of it");
    }
    let mut records = BTreeSet::new();
    for (from, to, request) in &cluster.sent {
        if let PeerRequest::Deliver { key, .. } = request
            && *from <= N3
        {
            assert!(records.insert((*to, key.clone())), "{key:?} went to {to} twice");
        }
    }
    records
}

#[test]
fn a_range_of_which_the_owners_have_newer_records_is_dropped_and_none_is_sent() {
    let mut cluster = overtaken();
    assert_eq!(end_outbound(&mut cluster), BTreeSet::new());
    let asks = cluster.sent.iter().filter(|(from, _, request)| {
        let asks = matches!(request, PeerRequest::Hashes { .. } | PeerRequest::Digests { .. });
        *from <= N3 && asks
    });
    // Three hold 16 partitions each, and ask three owners for the root and a page of digests.
    assert!(asks.count() <= 3 * 16 * 3 * 2);
    for number in 0..KEYS {
        assert_eq!(cluster.values(N4, &format!("k{number}"), 3), ["w"]);
    }
}

#[test]
fn a_range_is_kept_until_each_owner_has_on_its_disk_what_it_was_found_to_hold() {
    // Roots that agree, and clocks that cover.
    for mut cluster in [moved_but_for_one(), overtaken()] {
        cluster.node(N4).disk_stands_still = true;
        cluster.notice_up(NodeId(7));
        for _ in 0..10 {
            cluster.gossip();
            cluster.run_for(500);
        }
        for node in [N1, N2, N3] {
            assert_eq!(
                cluster.node(node).disk.len(),
                KEYS,
                "{node}: n4 would lose it with its machine"
            );
        }
        cluster.node(N4).disk_stands_still = false;
        assert_eq!(end_outbound(&mut cluster), BTreeSet::new());
    }
}

#[test]
fn a_new_owner_is_ready_only_once_all_that_it_holds_is_on_its_disk() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    hold_moves_up(&mut cluster, true);
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    cluster.node(N4).disk_stands_still = true;
    fill(&mut cluster);
    hold_moves_up(&mut cluster, false);
    for _ in 0..10 {
        cluster.gossip();
        cluster.run_for(500);
    }
    assert_eq!(cluster.node(N4).disk.len(), KEYS, "clients wrote to it, too");
    assert_eq!(cluster.view(N1).flipped(), 0, "it would lose that with its machine");
    cluster.node(N4).disk_stands_still = false;
    cluster.restart(N4, 2);
    cluster.settle();
    assert_in_place(&mut cluster);
}

#[test]
fn a_new_owner_that_took_a_record_in_the_place_of_a_damaged_one_is_compared_again_before_it_is_ready()
 {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    let salt = {
        let mut elsewhere = Cluster::new(3, &[]);
        elsewhere.put(N1, blind("k3", "salt")).expect("a put");
        elsewhere.held(N1, "k3").expect("it was put")
    };
    cluster.node(N4).sync_fault = Some(StorageFault::Failed("no room".into()));
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    for _ in 0..10 {
        cluster.gossip();
        cluster.run_for(500);
    }
    let (key, view) = (cluster.placed("k3"), cluster.view(N4));
    let status = |cluster: &mut Cluster| {
        let replica = &cluster.node(N4).replica;
        replica.background.transfers.inbound_status(&replica.cx, &view, key.partition)
    };
    assert_eq!(status(&mut cluster), Some(InboundStatus::Ready), "but for its disk");
    assert!(cluster.held(N4, "k3").is_some());
    cluster.node(N4).damaged.insert(key.clone());
    cluster.merge_at(N4, &key, salt);
    assert_ne!(status(&mut cluster), Some(InboundStatus::Ready), "it lacks what was damaged");
    cluster.node(N4).sync_fault = None;
    for _ in 0..10 {
        cluster.run_for(500);
    }
    let held = cluster.held(N4, "k3").expect("it was put").decode().expect("it is whole");
    assert_eq!(held.siblings().len(), 2, "{held:?}");
    assert_eq!(status(&mut cluster), None, "it is ready");
}

#[test]
fn a_new_owner_whose_disk_fails_to_sync_is_ready_once_it_has_synced() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    cluster.node(N4).sync_fault = Some(StorageFault::Failed("no room".into()));
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    for _ in 0..10 {
        cluster.gossip();
        cluster.run_for(500);
    }
    assert_eq!(cluster.view(N1).flipped(), 0);
    cluster.node(N4).sync_fault = None;
    cluster.settle();
    assert_in_place(&mut cluster);
}

#[test]
fn a_range_of_which_all_that_is_left_is_damaged_is_dropped() {
    let mut cluster = overtaken();
    let range = cluster.placed("k3").partition;
    let node = cluster.node(N1);
    let damaged: Vec<_> = node.disk.keys().filter(|key| key.partition == range).cloned().collect();
    node.damaged.extend(damaged);
    // The tree is made from what can be read, which is nothing.
    cluster.restart(N1, 2);
    assert_eq!(end_outbound(&mut cluster), BTreeSet::new());
    assert_eq!(cluster.node(N1).damaged, BTreeSet::new());
}

#[test]
fn of_a_range_the_owners_are_sent_what_they_have_not_seen_and_nothing_else() {
    let mut cluster = overtaken();
    // What only one old owner has: a version beside the others, one on top of them, and another key.
    for (name, replaces) in [("k3", false), ("k5", true), ("lone", false)] {
        let held = cluster.held(N4, name).map(|record| record.decode().expect("a record"));
        let mut record: Record = held.unwrap_or_default();
        let context = if replaces { record.clock().clone() } else { VectorClock::new() };
        let content = Content::Value("late".into());
        let (write_id, written_at_ms, expires_at_ms) = (WriteId(99), 1, None);
        let write = Write { write_id, written_at_ms, expires_at_ms, content };
        record.put(&context, ActorId(99), write);
        let stored = StoredRecord { local: None, record: EncodedRecord::encode(&record) };
        let placed = cluster.placed(name);
        cluster.node(N1).disk.insert(placed, stored);
    }
    cluster.restart(N1, 2);
    let owners = [N4, NodeId(5), NodeId(6)];
    let lacking = |node| ["k3", "k5", "lone"].map(|name| (node, key(name)));
    assert_eq!(end_outbound(&mut cluster), owners.into_iter().flat_map(lacking).collect());
    for (name, values) in
        [("k3", &["late", "w"][..]), ("k5", &["late"]), ("lone", &["late"]), ("k4", &["w"])]
    {
        for owner in owners {
            assert!(cluster.held(owner, name).is_some(), "{name} at {owner}");
        }
        assert_eq!(cluster.values(N4, name, 3), values, "{name}");
    }
}

#[test]
fn a_dead_node_is_replaced_and_hints_for_it_go_to_the_present_owners() {
    let mut cluster = Cluster::with_ring(5, 4, &[]);
    fill(&mut cluster);
    cluster.notice_down(N3);
    for number in 0..KEYS {
        let put = PutRequest { pw: Quorum::Default, ..blind(&format!("k{number}"), "v") };
        cluster.put(N1, put).expect("a put");
    }
    cluster.put(N1, blind("late", "tea")).expect("a put");
    cluster.commit(&[1, 2, 4, 5], &[3], &[N1, N2, NodeId(4), NodeId(5)]);
    cluster.settle();
    assert_in_place(&mut cluster);
    cluster.run_for(20_000);
    let hints: usize = cluster.nodes.iter().map(|node| node.hints.len()).sum();
    assert_eq!(hints, 0, "nobody waits for a node that was removed");
    assert_eq!(cluster.values(NodeId(5), "late", 3), ["tea"]);
}

#[test]
fn a_move_goes_on_after_the_new_owner_was_started_anew() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    let slow = BackgroundChange {
        work: None,
        paused: None,
        limit_per_s: Some(20),
        slowdown_percent: None,
    };
    for node in everyone(6) {
        cluster.set_background(node, slow);
    }
    cluster.commit(&[4, 5, 6], &[1, 2, 3], &everyone(6));
    for life in 2..5 {
        cluster.gossip();
        cluster.run_for(700);
        cluster.restart(NodeId(4), life);
        cluster.restart(N2, life);
        assert_eq!(cluster.values(NodeId(4), "k3", 2), ["v"]);
    }
    cluster.settle();
    assert_in_place(&mut cluster);
}

#[test]
fn a_layout_on_top_of_one_that_still_moves_loses_nothing() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    fill(&mut cluster);
    hold_moves_up(&mut cluster, true);
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    cluster.put(N1, blind("between", "tea")).expect("a put");
    cluster.commit(&[1, 5, 6], &[], &everyone(6));
    assert_eq!(cluster.view(N1).layouts().len(), 3);
    assert_eq!(cluster.values(NodeId(6), "between", 2), ["tea"]);
    hold_moves_up(&mut cluster, false);
    cluster.settle();
    assert_in_place(&mut cluster);
    assert_eq!(cluster.values(NodeId(6), "between", 3), ["tea"]);
    assert_eq!(cluster.view(N1).layouts().len(), 1, "older ones are forgotten");
}

#[test]
fn who_owned_a_partition_in_between_alone_reads_it_as_soon_as_the_next_owners_ask() {
    let mut cluster = Cluster::with_ring(6, 6, &[]);
    fill(&mut cluster);
    // Everyone's first round is over, and the next one is a minute away.
    cluster.run_for(10_000);
    hold_moves_up(&mut cluster, true);
    cluster.commit(&[1, 2, 3], &[], &everyone(6));
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    hold_moves_up(&mut cluster, false);
    let begun_us = cluster.now.mono_us;
    cluster.settle();
    assert_in_place(&mut cluster);
    let took_ms = (cluster.now.mono_us - begun_us) / 1_000;
    assert!(took_ms < 20_000, "it took {took_ms} ms");
}

#[test]
fn a_get_of_too_many_is_refused_in_words_and_not_as_a_layout_problem() {
    let mut cluster = Cluster::with_ring(6, 3, &[]);
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    let failure = cluster.get(N1, "k1", 9).expect_err("n is 3");
    assert_eq!(failure.code, ErrorCode::InvalidRequest);
}

fn assert_moves_wait_for_n3(cluster: &mut Cluster, why: &str) {
    cluster.notice_down(N3);
    cluster.commit(&[4, 5, 6], &[], &everyone(6));
    for _ in 0..40 {
        cluster.gossip();
        cluster.run_for(500);
    }
    assert_eq!(cluster.view(N4).flipped(), 0, "{why}");
    cluster.notice_up(N3);
    cluster.settle();
    assert_in_place(cluster);
}

#[test]
fn a_put_that_one_owner_alone_took_is_not_left_behind_by_a_move_while_that_owner_is_down() {
    let mut cluster = Cluster::with_ring(6, 3, &[("carts", from_one())]);
    fill(&mut cluster);
    cluster.down.extend([N1, N2]);
    cluster.put(N3, PutRequest { w: Quorum::One, ..blind("lone", "tea") }).expect("one takes it");
    // What was to be told the others is lost.
    cluster.run_for(10_000);
    let key = cluster.placed("lone");
    for node in everyone(6).into_iter().filter(|node| *node != N3) {
        cluster.node(node).disk.remove(&key);
        cluster.node(node).hints.retain(|(_, of), _| *of != key);
    }
    cluster.node(N3).hints.clear();
    cluster.down.clear();
    assert_moves_wait_for_n3(&mut cluster, "two of three old owners are not enough");
    assert_eq!(cluster.values(N4, "lone", 3), ["tea"]);
}

#[test]
fn a_partition_does_not_flip_past_an_old_owner_that_could_answer_a_get_by_itself() {
    let one_of_three = BucketProps { r: 1, w: 3, ..BucketProps::default() };
    let mut cluster = Cluster::with_ring(6, 3, &[("carts", one_of_three)]);
    fill(&mut cluster);
    assert_moves_wait_for_n3(&mut cluster, "it may still serve by the layout before");
}

#[test]
fn records_of_ranges_that_it_does_not_own_are_found_wherever_they_lie_a_few_ranges_at_a_time() {
    let mut cluster = Cluster::with_ring(4, 3, &[]);
    let names: Vec<_> = (0..40).map(|number| format!("k{number}")).collect();
    for name in &names {
        cluster.put(N1, blind(name, "tea")).expect("a put");
        let placed = cluster.placed(name);
        let record = cluster.node(N1).disk[&placed].clone();
        cluster.node(N4).disk.insert(placed, record);
    }
    let mut partitions: Vec<_> = cluster.node(N4).disk.keys().map(|key| key.partition).collect();
    partitions.dedup();
    assert!(partitions.len() > 2 * crate::survey::SURVEY_PARTITIONS, "{}", partitions.len());
    cluster.restart(N4, 2);
    cluster.run_for(120_000);
    assert!(cluster.node(N4).disk.is_empty(), "all of it was handed on");
    assert!(names.iter().all(|name| cluster.held(N1, name).is_some()));
}
