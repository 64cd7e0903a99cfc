//! Who may say that a key is absent: not a damaged record, not a fallback, not a replica that has lost its past.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Quorum;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::PutRequest;
use jedlik_protocol::error::ErrorCode;

use super::cluster::{Cluster, blind};

/// A bucket in which one replica is asked, since every put is with all three.
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
        assert_eq!(cluster.values(owners[via], "whole/alice", 1), ["tea"]);
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
fn a_put_on_top_of_a_damaged_record_extends_no_actor_and_leaves_what_others_hold() {
    let mut cluster = Cluster::new(3, &[]);
    let coordinator = cluster.owners("alice")[0];
    let put = PutRequest { w: Quorum::All, ..blind("alice", "tea") };
    cluster.put(coordinator, put).expect("three take it");
    damage(&mut cluster, coordinator, "alice");
    cluster.put(coordinator, blind("alice", "salt")).expect("a put");
    assert_eq!(cluster.values(coordinator, "alice", 3), ["salt", "tea"]);
}
