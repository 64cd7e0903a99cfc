//! Votes that a key is absent: none by a damaged record, a fallback, or a replica that has lost its past.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::{Past, View};
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::bucket::{BucketProps, Reconcile};
use jedlik_protocol::client::PutRequest;
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::gossip::{Delta, Ready};
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{Now, PartitionSet, Quorum, WireLayout};

use super::cluster::{Cluster, blind};
use crate::patience::FETCH_LIMIT_US;
use crate::{Config, Input, Output, Replica};

/// Returns the properties of a bucket in which gets ask one replica, since every put is with all three.
fn read_one() -> BucketProps {
    BucketProps { r: 1, w: 3, ..BucketProps::default() }
}

fn damage(cluster: &mut Cluster, node: NodeId, name: &str) {
    let key = cluster.placed(name);
    assert!(cluster.node(node).disk.contains_key(&key), "there is nothing to damage");
    cluster.node(node).damaged.insert(key);
}

#[test]
fn a_damaged_record_is_no_absence_and_the_get_that_meets_it_repairs_it() {
    for via in 0..3 {
        let mut cluster = Cluster::new(3, &[("whole", read_one())]);
        cluster.put(NodeId(1), blind("whole/alice", "tea")).expect("three take it");
        let owners = cluster.owners("whole/alice");
        damage(&mut cluster, owners[0], "whole/alice");
        // The damaged one answers for itself, or is the first of the others to be asked.
        let asked = if via == 0 { 1 } else { 2 };
        assert_eq!(cluster.values(owners[via], "whole/alice", asked), ["tea"]);
        cluster.advance(600);
        assert!(cluster.node(owners[0]).damaged.is_empty(), "it is repaired");
        assert_eq!(cluster.held(owners[0], "whole/alice"), cluster.held(owners[1], "whole/alice"));
    }
}

#[test]
fn where_every_record_is_damaged_a_get_fails_and_says_so() {
    let mut cluster = Cluster::new(3, &[("whole", read_one())]);
    cluster.put(NodeId(1), blind("whole/alice", "tea")).expect("three take it");
    for node in 1..=3 {
        damage(&mut cluster, NodeId(node), "whole/alice");
    }
    let failure = cluster.get(NodeId(1), "whole/alice", 1).expect_err("nobody knows");
    assert_eq!(failure.code, ErrorCode::Unavailable);
    assert!(failure.message.contains("is damaged"), "{failure}");
    for name in ["n1", "n2", "n3"] {
        assert!(failure.message.contains(name), "{failure}");
    }
}

#[test]
fn with_two_damaged_records_of_three_what_the_third_holds_is_not_two_answers() {
    let mut cluster = Cluster::new(3, &[]);
    let put = PutRequest { w: Quorum::All, ..blind("alice", "tea") };
    cluster.put(NodeId(1), put).expect("three take it");
    damage(&mut cluster, NodeId(1), "alice");
    damage(&mut cluster, NodeId(2), "alice");
    let failure = cluster.get(NodeId(1), "alice", 2).expect_err("one of two answered");
    // It is plain before the third has answered.
    assert!(failure.message.starts_with("get: 0 of 2 replicas answered"), "{failure}");
    cluster.advance(600);
    assert_eq!(
        cluster.values(NodeId(1), "alice", 2),
        ["tea"],
        "it was repaired by the get that failed"
    );
}

#[test]
fn fallbacks_that_were_told_nothing_make_no_absence() {
    let mut cluster = Cluster::new(5, &[]);
    let owners = cluster.owners("alice");
    cluster.put(owners[0], blind("alice", "tea")).expect("a put");
    let away: Vec<NodeId> = owners[..2].to_vec();
    away.iter().for_each(|node| cluster.notice_down(*node));
    // The third owner missed the put.
    let key = cluster.placed("alice");
    cluster.node(owners[2]).disk.remove(&key);
    let failure = cluster.get(owners[2], "alice", 2).expect_err("one of two owners is there");
    assert_eq!(failure.code, ErrorCode::Unavailable);
    assert!(failure.message.contains("stand in for owners hold nothing"), "{failure}");
    cluster.notice_up(away[1]);
    assert_eq!(cluster.values(owners[2], "alice", 2), ["tea"]);
}

#[test]
fn where_the_last_write_wins_a_put_by_who_has_lost_the_one_before_follows_it_all_the_same() {
    let by_time = BucketProps { reconcile: Reconcile::LastWriteWins, ..BucketProps::default() };
    for is_replaced in [false, true] {
        let mut cluster = Cluster::new(3, &[("counters", by_time.clone())]);
        let coordinator = cluster.owners("counters/hits")[0];
        // The clocks were ahead when the first one was written.
        cluster.now.wall_ms += 60_000;
        let first = PutRequest { w: Quorum::All, ..blind("counters/hits", "1") };
        cluster.put(coordinator, first).expect("three take it");
        cluster.now.wall_ms -= 60_000;
        if is_replaced {
            let paused = BackgroundChange {
                work: None,
                paused: Some(true),
                limit_per_s: None,
                slowdown_percent: None,
            };
            cluster.replace_disk(coordinator, 2);
            cluster.set_background(coordinator, paused);
            assert_ne!(cluster.node(coordinator).replica.refilling(), 0);
        } else {
            damage(&mut cluster, coordinator, "counters/hits");
        }
        cluster.put(coordinator, blind("counters/hits", "2")).expect("a put");
        for via in 1..=3 {
            assert_eq!(cluster.values(NodeId(via), "counters/hits", 2), ["2"], "{is_replaced}");
        }
        // With nobody to ask it is taken as it is.
        let others = cluster.owners("counters/hits")[1..].to_vec();
        damage(&mut cluster, coordinator, "counters/hits");
        cluster.down.extend(others);
        let alone = cluster.put(coordinator, blind("counters/hits", "3"));
        assert_eq!(alone.expect_err("w is 2").code, ErrorCode::Unavailable);
    }
}

#[test]
fn where_the_last_write_wins_a_put_that_asks_what_it_follows_waits_for_no_owner_that_stands_still()
{
    let by_time = BucketProps { reconcile: Reconcile::LastWriteWins, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("counters", by_time)]);
    let owners = cluster.owners("counters/hits");
    let first = PutRequest { w: Quorum::All, ..blind("counters/hits", "1") };
    cluster.put(owners[0], first).expect("three take it");
    damage(&mut cluster, owners[0], "counters/hits");
    cluster.freeze(owners[2]);
    cluster.put(owners[0], blind("counters/hits", "2")).expect("two are enough");
    assert_eq!(cluster.values(owners[1], "counters/hits", 2), ["2"]);
}

#[test]
fn a_put_on_top_of_a_damaged_record_extends_no_actor_and_leaves_what_others_hold() {
    let mut cluster = Cluster::new(3, &[]);
    let coordinator = cluster.owners("alice")[0];
    let put = PutRequest { w: Quorum::All, ..blind("alice", "tea") };
    cluster.put(coordinator, put).expect("three take it");
    damage(&mut cluster, coordinator, "alice");
    cluster.put(coordinator, blind("alice", "salt")).expect("a put");
    assert_eq!(cluster.values(coordinator, "alice", 3), ["salt", "tea"]);
}

#[test]
fn who_took_a_record_in_the_place_of_a_damaged_one_votes_once_it_has_what_that_held() {
    let mut cluster = Cluster::new(3, &[("whole", read_one())]);
    let put = PutRequest { w: Quorum::All, ..blind("whole/alice", "tea") };
    let damaged = cluster.owners("whole/alice")[0];
    cluster.put(damaged, put).expect("three take it");
    // Trees are whole, and all the same.
    cluster.run_for(120_000);
    let salt = {
        let mut elsewhere = Cluster::new(3, &[("whole", read_one())]);
        let other = elsewhere.owners("whole/alice")[1];
        elsewhere.put(other, blind("whole/alice", "salt")).expect("a put");
        elsewhere.held(damaged, "whole/alice").expect("it was put")
    };
    damage(&mut cluster, damaged, "whole/alice");
    let key = cluster.placed("whole/alice");
    cluster.merge_at(damaged, &key, salt);
    assert_eq!(cluster.node(damaged).replica.refilling(), 1);
    assert_eq!(cluster.node(damaged).rows.last(), Some(&true), "nothing is written before that");
    // By its tree it would agree with the others, who hold what is lost here.
    let building = cluster.node(damaged).replica.repair_report().building;
    assert_eq!(building, 1, "what it holds is read before it is compared");
    for _ in 0..100 {
        cluster.run_for(1_000);
        if cluster.node(damaged).replica.refilling() == 0 {
            break;
        }
    }
    assert_eq!(cluster.node(damaged).replica.refilling(), 0);
    assert_eq!(
        cluster.node(damaged).rows.last(),
        Some(&false),
        "nothing waits for a vote that is gained"
    );
    assert_eq!(cluster.values(damaged, "whole/alice", 1), ["salt", "tea"]);
}

#[test]
fn a_replica_that_lost_its_disk_makes_no_absence_and_votes_again_once_it_is_refilled() {
    let mut cluster = Cluster::new(3, &[("whole", read_one())]);
    let names: Vec<_> = (0..40).map(|number| format!("whole/k{number}")).collect();
    for name in &names {
        cluster.put(NodeId(1), blind(name, "tea")).expect("three take it");
    }
    let lost = NodeId(2);
    cluster.replace_disk(lost, 2);
    assert_eq!(cluster.node(lost).replica.refilling(), 16, "it owns every partition");
    let others = [NodeId(1), NodeId(3)];
    for name in &names {
        assert_eq!(cluster.values(lost, name, 1), ["tea"], "{name}");
    }
    // Nor does it say so to others.
    cluster.down.extend(others);
    let failure = cluster.get(lost, "whole/never", 1).expect_err("nobody is left who would know");
    assert!(failure.message.contains("n2 can't say what is absent"), "{failure}");
    others.iter().for_each(|node| {
        cluster.down.remove(node);
    });
    assert!(cluster.get(lost, "whole/never", 1).expect("the others know").versions.is_empty());
    for _ in 0..100 {
        cluster.run_for(1_000);
        if cluster.node(lost).replica.refilling() == 0 {
            break;
        }
    }
    assert_eq!(cluster.node(lost).replica.refilling(), 0);
    for name in &names {
        assert_eq!(cluster.held(lost, name), cluster.held(NodeId(1), name), "{name}");
    }
    cluster.down.extend(others);
    assert!(cluster.get(lost, "whole/never", 1).expect("it knows").versions.is_empty());
    // What it has is kept over a stop.
    cluster.restart(lost, 3);
    assert_eq!(cluster.node(lost).replica.refilling(), 0);
}

#[test]
fn what_an_earlier_copy_holds_just_as_others_do_is_not_sent_and_nothing_else_of_it_comes_back() {
    let mut cluster = Cluster::new(3, &[("whole", read_one())]);
    let names: Vec<_> = (0..40).map(|number| format!("whole/k{number}")).collect();
    for name in &names {
        cluster.put(NodeId(1), blind(name, "tea")).expect("three take it");
    }
    let lost = NodeId(2);
    let mut copy = cluster.node(lost).disk.clone();
    // Since the copy was taken one was written again, and one is gone: it was deleted and collected.
    cluster.put(NodeId(1), blind(&names[0], "milk")).expect("three take it");
    let departed = cluster.placed(&names[1]);
    for node in 1..=3 {
        assert!(cluster.node(NodeId(node)).disk.remove(&departed).is_some());
    }
    // One of the copy can't be read.
    copy.remove(&cluster.placed(&names[2]));
    cluster.replace_disk(lost, 2);
    cluster.node(lost).copy = Some(copy);
    cluster.sent.clear();
    cluster.step(lost, Input::CopyAtHand);
    for _ in 0..100 {
        cluster.run_for(1_000);
        if cluster.node(lost).replica.refilling() == 0 {
            break;
        }
    }
    assert_eq!(cluster.node(lost).replica.refilling(), 0);
    assert!(cluster.node(lost).copy.is_none(), "it is not needed any more");
    for name in &names {
        assert_eq!(cluster.held(lost, name), cluster.held(NodeId(1), name), "{name}");
    }
    assert!(!cluster.node(lost).disk.contains_key(&departed), "what was deleted stays deleted");
    let fetched = cluster.sent.iter().filter(|(from, _, request)| {
        *from == lost && matches!(request, PeerRequest::Read { .. } | PeerRequest::Fetch { .. })
    });
    let fetched: Vec<_> = fetched.collect();
    assert!((1..=6).contains(&fetched.len()), "the two that the copy lacks: {fetched:?}");
}

#[test]
fn what_an_earlier_copy_gives_too_late_is_not_merged_for_it_may_be_deleted_by_then() {
    let mut cluster = Cluster::new(3, &[("whole", read_one())]);
    let names: Vec<_> = (0..40).map(|number| format!("whole/k{number}")).collect();
    for name in &names {
        cluster.put(NodeId(1), blind(name, "tea")).expect("three take it");
    }
    let lost = NodeId(2);
    let copy = cluster.node(lost).disk.clone();
    cluster.replace_disk(lost, 2);
    cluster.node(lost).copy = Some(copy);
    cluster.node(lost).copy_stands_still = Some(Vec::new());
    cluster.step(lost, Input::CopyAtHand);
    cluster.run_for(1_000);
    let asked = cluster.node(lost).copy_stands_still.take().expect("it stands still");
    assert!(!asked.is_empty(), "peers have listed what they hold");
    // What the copy is asked for is deleted and collected before its disk goes on.
    let departed: Vec<_> =
        asked.iter().flat_map(|(_, wanted)| wanted).map(|(key, _)| key).collect();
    for key in &departed {
        (1..=3).for_each(|node| drop(cluster.node(NodeId(node)).disk.remove(*key)));
    }
    cluster.now.mono_us += FETCH_LIMIT_US;
    for (ticket, wanted) in asked.clone() {
        cluster.recall(lost, ticket, wanted);
    }
    for _ in 0..100 {
        cluster.run_for(1_000);
        if cluster.node(lost).replica.refilling() == 0 {
            break;
        }
    }
    assert_eq!(cluster.node(lost).replica.refilling(), 0);
    for key in departed {
        assert!(!cluster.node(lost).disk.contains_key(key), "{key:?} is back");
    }
}

/// Returns a view of these layouts by a node that has lost its past and has said of `ready` that it holds
/// what others did.
fn lost_view(view: &View, layouts: Vec<WireLayout>, ready: &PartitionSet) -> Input {
    let mut members: Vec<_> = view.members().cloned().collect();
    for record in members.iter_mut().filter(|record| record.node == view.me()) {
        record.ready = Ready { layout: view.layout_id(), partitions: ready.clone() };
    }
    let known = Delta { members, layouts, ..Delta::default() };
    let alive = view.members().map(|record| record.node).collect();
    let view = View::new(view.me(), view.cluster(), view.partitions(), known, alive);
    Input::View(Arc::new(view.with_past(Past::Lost)))
}

#[test]
fn a_life_that_has_lost_its_past_has_no_vote_on_what_an_earlier_one_was_ready_for() {
    let mut cluster = Cluster::with_ring(4, 3, &[]);
    let lost = NodeId(4);
    let former = cluster.view(lost).layouts()[0].placed();
    cluster.commit(&[1, 2, 3, 4], &[], &[1, 2, 3, 4].map(NodeId));
    cluster.settle();
    let view = cluster.view(lost);
    let moved = view.layouts()[0].placed();
    let unmoved = WireLayout { flipped: PartitionSet::default(), ..moved.clone() };
    let owned = |partition: &Partition| view.preference_list(*partition)[..3].contains(&lost);
    let owned: PartitionSet = view.partitions().partitions().filter(owned).collect();
    let nothing = PartitionSet::default();
    // It learns of the layout once all has moved, or before; or it has said itself that it is ready.
    for (learns_late, ready, refilling) in
        [(true, &nothing, owned.len()), (false, &nothing, owned.len()), (false, &owned, 0)]
    {
        let config = Config { votes: None, ..Cluster::config(lost, 7) };
        let mut replica = Replica::new(config);
        replica.handle(cluster.now, lost_view(&view, [former.clone()].into(), &nothing));
        assert_eq!(replica.refilling(), 0, "it owned nothing then");
        if !learns_late {
            let both = [former.clone(), unmoved.clone()].into();
            replica.handle(cluster.now, lost_view(&view, both, ready));
            assert_eq!(replica.refilling(), 0, "those before it vouch");
        }
        replica.handle(cluster.now, lost_view(&view, [moved.clone()].into(), ready));
        assert_eq!(replica.refilling(), refilling, "it learns late: {learns_late}");
    }
}

/// Gives a replica with this row the views, one after the other. Returns the number of partitions without a
/// vote at the end, and each row that it kept.
fn after_views(
    votes: Option<Vec<u8>>,
    now: Now,
    views: impl IntoIterator<Item = Input>,
) -> (u32, Vec<Vec<u8>>) {
    let mut replica = Replica::new(Config { votes, ..Cluster::config(NodeId(4), 7) });
    let mut rows = Vec::new();
    for view in views {
        replica.handle(now, view);
        while let Some(output) = replica.poll_output() {
            if let Output::KeepVotes { votes, .. } = output {
                rows.push(votes);
            }
        }
    }
    (replica.refilling(), rows)
}

#[test]
fn what_a_life_found_that_it_lacks_the_next_one_finds_again_though_the_row_is_not_on_disk() {
    let mut cluster = Cluster::with_ring(4, 3, &[]);
    let (lost, now) = (NodeId(4), cluster.now);
    let former = cluster.view(lost).layouts()[0].placed();
    cluster.commit(&[1, 2, 3, 4], &[], &[1, 2, 3, 4].map(NodeId));
    cluster.settle();
    let view = cluster.view(lost);
    let moved = view.layouts()[0].placed();
    let owned = |partition: &Partition| view.preference_list(*partition)[..3].contains(&lost);
    let owned: PartitionSet = view.partitions().partitions().filter(owned).collect();
    // All of what it owns but one had flipped when it learned of the layout.
    let last = owned.iter().last().expect("it owns some");
    let before_last = WireLayout {
        flipped: moved.flipped.iter().filter(|partition| *partition != last).collect(),
        ..moved.clone()
    };
    let nothing = PartitionSet::default();
    let at_first = || lost_view(&view, [former.clone()].into(), &nothing);
    let learns = |ready: &PartitionSet| {
        lost_view(&view, [former.clone(), before_last.clone()].into(), ready)
    };
    let flips =
        |ready: &PartitionSet| lost_view(&view, [moved.clone(), former.clone()].into(), ready);
    let next = |row: &[u8], ready: &PartitionSet| {
        let Input::View(lost) = flips(ready) else { unreachable!("it is a view") };
        let view = Arc::unwrap_or_clone(lost).with_past(Past::Continuous);
        after_views(Some(row.to_vec()), now, [Input::View(Arc::new(view))]).0
    };

    let (refilling, rows) = after_views(None, now, [at_first(), learns(&nothing), flips(&nothing)]);
    assert_eq!((refilling, rows.len()), (owned.len(), 3));
    for row in &rows {
        assert_eq!(next(row, &nothing), owned.len(), "it acknowledged none of that");
    }
    // What a life since then was ready for it holds, and so does the next one.
    let (refilling, rows) = after_views(None, now, [at_first(), learns(&owned), flips(&owned)]);
    assert_eq!((refilling, rows.len()), (0, 3));
    for row in &rows {
        assert_eq!(next(row, &owned), 0, "it says so itself");
    }
    // What is known to have flipped is not taken for lost again when that is not known any more.
    assert_eq!([1, 2].map(|row| next(&rows[row], &nothing)), [1, 0]);
}

#[test]
fn a_replica_whose_disk_does_not_take_what_it_has_no_vote_for_votes_on_nothing_until_it_does() {
    let mut cluster = Cluster::new(3, &[("whole", read_one())]);
    cluster.put(NodeId(1), blind("whole/k", "tea")).expect("three take it");
    let refused = NodeId(2);
    cluster.queue.push_back((refused, Input::VotesKept { kept: false }));
    cluster.run_for(1_000);
    cluster.down.extend([NodeId(1), NodeId(3)]);
    let failure = cluster.get(refused, "whole/never", 1).expect_err("it may forget that it lacks");
    assert!(failure.message.contains("n2 can't say what is absent"), "{failure}");
    cluster.queue.push_back((refused, Input::VotesKept { kept: true }));
    cluster.run_for(1_000);
    assert!(cluster.get(refused, "whole/never", 1).expect("it knows").versions.is_empty());
}

#[test]
fn replicas_that_have_all_lost_their_disks_vouch_for_nothing_until_an_admin_believes_one() {
    let mut cluster = Cluster::new(3, &[("whole", read_one())]);
    for node in 1..=3 {
        cluster.replace_disk(NodeId(node), 2);
    }
    cluster.run_for(20_000);
    let failure = cluster.get(NodeId(1), "whole/k", 1).expect_err("nobody knows");
    assert_eq!(failure.code, ErrorCode::Unavailable);
    assert_eq!(cluster.node(NodeId(1)).replica.refilling(), 16);
    // Writes are taken meanwhile, and what is held counts once all were asked.
    cluster.put(NodeId(1), blind("whole/k", "tea")).expect("three take it");
    assert_eq!(cluster.values(NodeId(1), "whole/k", 1), ["tea"]);

    // With a least quorum of 1 a write may be with any one of them: both others have to be heard.
    for (node, left) in [(1, [0, 16, 16]), (2, [0, 0, 0])] {
        cluster.queue.push_back((NodeId(node), Input::Believe));
        cluster.run_for(20_000);
        let refilling = [1, 2, 3].map(|node| cluster.node(NodeId(node)).replica.refilling());
        assert_eq!(refilling, left, "n{node} is believed");
    }
    assert!(cluster.get(NodeId(3), "whole/never", 1).expect("it is absent").versions.is_empty());
}

#[test]
fn what_took_the_place_of_a_damaged_record_is_not_taken_for_all_there_was() {
    let mut cluster = Cluster::new(3, &[("whole", BucketProps { min_w: 1, ..read_one() })]);
    cluster.put(NodeId(1), blind("whole/alice", "tea")).expect("three take it");
    let owners = cluster.owners("whole/alice");
    damage(&mut cluster, owners[0], "whole/alice");
    // Only this node takes it; what it held before is not in it.
    cluster.down.extend([owners[1], owners[2]]);
    let put = PutRequest { w: Quorum::One, ..blind("whole/alice", "salt") };
    cluster.put(owners[0], put).expect("one takes it");
    assert_eq!(cluster.node(owners[0]).replica.refilling(), 1);
    cluster.down.clear();
    assert_eq!(cluster.values(owners[0], "whole/alice", 1), ["salt", "tea"]);
    for _ in 0..100 {
        cluster.run_for(1_000);
        if cluster.node(owners[0]).replica.refilling() == 0 {
            break;
        }
    }
    assert_eq!(cluster.node(owners[0]).replica.refilling(), 0);
    cluster.down.extend([owners[1], owners[2]]);
    assert_eq!(cluster.values(owners[0], "whole/alice", 1), ["salt", "tea"]);
}

#[test]
fn who_owns_keys_only_since_n_was_raised_makes_no_absence_before_it_was_given_them() {
    let mut cluster = Cluster::new(5, &[("whole", read_one())]);
    let names: Vec<_> = (0..20).map(|number| format!("whole/k{number}")).collect();
    for name in &names {
        cluster.put(NodeId(1), blind(name, "tea")).expect("three take it");
    }
    let raised = BucketProps { n: 5, w: 5, ..read_one() };
    cluster.set_bucket("whole", 2, &raised);
    let refilling = |cluster: &mut Cluster| -> u32 {
        (1..=5).map(|node| cluster.node(NodeId(node)).replica.refilling()).sum()
    };
    assert_eq!(refilling(&mut cluster), 2 * 16, "two more owners of each partition");
    for name in &names {
        let fifth = cluster.owners(name)[4];
        assert_eq!(cluster.values(fifth, name, 1), ["tea"], "{name}");
    }
    for _ in 0..100 {
        cluster.run_for(1_000);
        if refilling(&mut cluster) == 0 {
            break;
        }
    }
    assert_eq!(refilling(&mut cluster), 0);
    for name in &names {
        let owners = cluster.owners(name);
        assert!(owners.iter().all(|node| cluster.held(*node, name).is_some()), "{name}");
    }
}

#[test]
fn n_that_is_raised_while_partitions_move_keeps_none_of_them_from_cutting_over() {
    let mut cluster = Cluster::with_ring(6, 5, &[("whole", read_one())]);
    for number in 0..20 {
        cluster.put(NodeId(1), blind(&format!("whole/k{number}"), "tea")).expect("three take it");
    }
    let all: Vec<NodeId> = (1..=6).map(NodeId).collect();
    cluster.commit(&[1, 2, 3, 4, 5, 6], &[], &all);
    cluster.set_bucket("whole", 2, &BucketProps { n: 5, w: 5, ..read_one() });
    cluster.settle();
    for number in 0..20 {
        let name = format!("whole/k{number}");
        for node in &cluster.owners(&name)[..5] {
            assert_eq!(cluster.values(*node, &name, 1), ["tea"], "{name}");
        }
    }
}

#[test]
fn who_was_given_keys_by_a_raised_n_asks_those_that_had_them_and_waits_for_no_other_that_was_not() {
    let mut cluster = Cluster::new(7, &[("whole", BucketProps::default())]);
    let before = cluster.view(NodeId(1));
    cluster.set_bucket("whole", 2, &BucketProps { n: 5, r: 3, w: 3, ..BucketProps::default() });
    cluster.notice_down(NodeId(3));
    cluster.notice_down(NodeId(4));
    let left: Vec<NodeId> = [1, 2, 5, 6, 7].map(NodeId).into();
    cluster.commit(&[1, 2, 5, 6, 7], &[3, 4], &left);
    let mut given = [0, 0];
    for node in left {
        let view = cluster.view(node);
        let replica = &cluster.node(node).replica;
        for partition in (0..before.partitions().get()).map(Partition) {
            let had = &before.preference_list(partition)[..3];
            if had.contains(&node) {
                continue;
            }
            let is_first = view.preference_list(partition)[..3].contains(&node);
            let asked: Vec<NodeId> = replica
                .cx
                .refill_pairs(&view, partition)
                .into_iter()
                .map(|(_, node)| node)
                .collect();
            if !asked.is_empty() {
                given[usize::from(is_first)] += 1;
                let mut left = had.iter().filter(|node| view.is_alive(**node));
                assert!(
                    left.all(|had| asked.contains(had)),
                    "{node} asks {asked:?} of {partition}"
                );
            }
        }
    }
    assert!(given[1] > 0, "nobody has come to be among the first three");
    assert!(given[0] > 0, "nobody is to be given anything by the raised number alone");
    cluster.settle();
    let refilling = |cluster: &mut Cluster| -> u32 {
        let left = [1, 2, 5, 6, 7].map(NodeId);
        left.iter().map(|node| cluster.node(*node).replica.refilling()).sum()
    };
    for _ in 0..100 {
        cluster.run_for(1_000);
        if refilling(&mut cluster) == 0 {
            break;
        }
    }
    assert_eq!(refilling(&mut cluster), 0, "those that have lost nothing wait for one another");
}
