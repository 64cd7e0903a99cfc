//! Layouts that are committed on both sides of a split, of which only one stays.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Digest;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::gossip::StagedChange;

use super::cluster::Cluster;
use crate::Event;

const SECOND: u64 = 1_000_000;

/// Five nodes with a layout, of which the last two are cut off from the first three.
fn split(seed: u8) -> Cluster {
    let mut cluster = Cluster::of(5, seed);
    cluster.run_until("all know all", 30 * SECOND, |c| c.agrees() && c.all_up());
    cluster.plan_and_commit(1).unwrap();
    cluster.run_until("layout 1", 10 * SECOND, Cluster::agrees);
    cluster.cut = (1..=3).flat_map(|a| (4..=5).map(move |b| (a, b))).collect();
    cluster.run_until("the others are down", 60 * SECOND, |c| {
        (1..=3).all(|node| !c.machine(node).view().is_alive(NodeId(4)))
    });
    cluster
}

fn planned(cluster: &mut Cluster, by: u64, node: u64, change: StagedChange) -> Digest {
    let changes = vec![(NodeId(node), change)];
    cluster.admin(by, &AdminRequest::Stage { changes, dry_run: false }).unwrap();
    let Ok(AdminResponse::Plan(report)) = cluster.admin(by, &AdminRequest::Plan) else {
        panic!("a plan is answered with a plan");
    };
    report.plan
}

/// Has the other side commit a layout that keeps node 4 and wins (or loses) against the one with `rival`.
fn commit_rival(cluster: &mut Cluster, rival: Digest, wins: bool) {
    for weight in 2..40 {
        let change = StagedChange::Set { zone: None, weight: Some(weight) };
        let plan = planned(cluster, 5, 5, change);
        if (plan.0 > rival.0) == wins {
            cluster.plan_and_commit(5).unwrap();
            return;
        }
    }
    panic!("one weight of many makes a plan with such a digest");
}

fn is_fenced(cluster: &Cluster, node: u64) -> bool {
    let is = |event: &Event| matches!(event, Event::Fenced { forced: true, .. });
    cluster.events.iter().any(|(_, who, event)| *who == node && is(event))
}

#[test]
fn a_node_that_a_layout_removed_by_force_stays_out_whichever_rival_wins() {
    for (seed, wins) in [(1, true), (2, false), (3, true), (4, false)] {
        let mut cluster = split(seed);
        let removal = planned(&mut cluster, 1, 4, StagedChange::Remove);
        cluster.plan_and_commit(1).unwrap();
        commit_rival(&mut cluster, removal, wins);
        cluster.run_for(5 * SECOND);
        cluster.cut.clear();
        cluster.run_until("node 4 is told", 60 * SECOND, |c| is_fenced(c, 4));
        cluster.kill(4);
        cluster.run_until("one layout", 60 * SECOND, |c| c.agrees() && c.all_up());
        for node in cluster.running() {
            let view = cluster.machine(node).view();
            assert!(
                view.departed(NodeId(4)).is_some_and(|departed| departed.forced),
                "node {node}"
            );
            assert_eq!(view.members().count(), 4, "node {node}");
            assert_eq!(view.layout_version(), if wins { 3 } else { 2 });
            let ring = &view.layout().expect("there is one").ring;
            let weight = ring.node(NodeId(5)).map(|placed| placed.weight > 1);
            assert_eq!(weight, Some(wins), "the winner's change is kept");
            assert!(!is_fenced(&cluster, node), "node {node} is no node that was removed");
        }
    }
}

#[test]
fn a_node_that_one_side_removed_by_force_and_the_other_has_leave_is_removed() {
    let mut cluster = Cluster::of(5, 5);
    cluster.run_until("all know all", 30 * SECOND, |c| c.agrees() && c.all_up());
    cluster.plan_and_commit(1).unwrap();
    cluster.run_until("layout 1", 10 * SECOND, Cluster::agrees);
    cluster.cut = (1..=3).flat_map(|a| (4..=5).map(move |b| (a, b))).collect();
    // It is committed before that side has noticed the split.
    let leave = planned(&mut cluster, 5, 4, StagedChange::Leave);
    cluster.plan_and_commit(5).unwrap();
    cluster.run_until("the others are down", 60 * SECOND, |c| {
        (1..=3).all(|node| !c.machine(node).view().is_alive(NodeId(4)))
    });
    planned(&mut cluster, 1, 4, StagedChange::Remove);
    let loses = (2..40).any(|weight| {
        let change = StagedChange::Set { zone: None, weight: Some(weight) };
        planned(&mut cluster, 1, 1, change).0 < leave.0
    });
    assert!(loses, "one weight of many makes a plan that loses");
    cluster.plan_and_commit(1).unwrap();
    cluster.run_for(5 * SECOND);
    // The node ends as removed before it could have left.
    cluster.kill(4);
    cluster.cut.clear();
    cluster.run_until("one layout", 60 * SECOND, |c| c.agrees() && c.all_up());
    for node in cluster.running() {
        let view = cluster.machine(node).view();
        assert!(view.departed(NodeId(4)).is_some_and(|departed| departed.forced), "node {node}");
        assert!(view.is_known_by_all(), "node {node} waits for nobody");
    }
}

#[test]
fn a_removal_holds_though_fewer_nodes_than_replicas_are_left() {
    let mut cluster = Cluster::of(4, 7);
    cluster.run_until("all know all", 30 * SECOND, |c| c.agrees() && c.all_up());
    let join = || StagedChange::Join { zone: String::new(), weight: 0 };
    let changes = (1..=3).map(|node| (NodeId(node), join())).collect();
    cluster.admin(1, &AdminRequest::Stage { changes, dry_run: false }).unwrap();
    cluster.plan_and_commit(1).unwrap();
    cluster.run_until("layout 1", 10 * SECOND, Cluster::agrees);
    cluster.cut = [(1, 2), (2, 4), (1, 3), (3, 4)].into_iter().collect();
    cluster.run_until("2 and 3 are down", 60 * SECOND, |c| {
        (2..=3).all(|node| !c.machine(1).view().is_alive(NodeId(node)))
    });
    let by = StagedChange::Replace { by: NodeId(4), zone: String::new(), forced: true };
    let changes = vec![(NodeId(3), by)];
    cluster.admin(1, &AdminRequest::Stage { changes, dry_run: false }).unwrap();
    let Ok(AdminResponse::Plan(report)) = cluster.admin(1, &AdminRequest::Plan) else {
        panic!("a plan is answered with a plan");
    };
    let (plan, lost) = (report.plan, report.lost);
    cluster.admin(1, &AdminRequest::Commit { plan, lost, dry_run: false }).unwrap();
    let mut weights = 2..40;
    let wins = weights.any(|weight| {
        let change = StagedChange::Set { zone: None, weight: Some(weight) };
        planned(&mut cluster, 2, 2, change).0 > plan.0
    });
    assert!(wins, "one weight of many makes a plan that wins");
    cluster.plan_and_commit(2).unwrap();
    cluster.cut.clear();
    cluster.run_until("node 3 is told", 60 * SECOND, |c| is_fenced(c, 3));
    cluster.kill(3);
    cluster.run_until("one layout", 60 * SECOND, |c| c.agrees() && c.all_up());
    let view = cluster.machine(2).view();
    let placed = view.layout().expect("there is one").ring.nodes();
    let placed: Vec<u64> = placed.iter().map(|placed| placed.node.0).collect();
    assert_eq!(placed, [1, 2], "an admin has yet to let node 4 join again");
}
