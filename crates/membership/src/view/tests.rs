//! What a shard is told of the cluster.

use alloc::string::ToString;
use alloc::vec;

use jedlik_hashing::{RingNode, plan_first};

use super::*;
use crate::tests::{address, record};

fn known(with_layout: bool) -> Delta {
    let node = |node| RingNode { node: NodeId(node), zone: node.to_string(), weight: 1 };
    let q = PartitionCount::new(8).unwrap();
    let ring = plan_first((1..=3).map(node).collect(), q, 3).unwrap();
    let props = BucketProps { w: 3, ..BucketProps::default() };
    Delta {
        members: (1..=3).map(record).collect(),
        buckets: vec![BucketEntry { name: "carts".into(), version: 1, props }],
        layout: with_layout.then_some(Layout { version: 4, ring }),
    }
}

fn view(with_layout: bool) -> View {
    let alive = BTreeSet::from([NodeId(2)]);
    View::new(NodeId(1), ClusterId(7), PartitionCount::DEFAULT, known(with_layout), alive)
}

#[test]
fn before_the_first_commit_nobody_holds_anything() {
    let view = view(false);
    assert_eq!(view.layout_version(), 0);
    assert_eq!(view.partitions(), PartitionCount::DEFAULT);
    assert_eq!(view.preference_list(Partition(200)), []);
    assert_eq!(view.topology().layout, None);
}

#[test]
fn a_layout_brings_its_own_partitions_and_preference_lists() {
    let view = view(true);
    assert_eq!(view.layout_version(), 4);
    assert_eq!(view.partitions().get(), 8);
    let ring = &view.layout().unwrap().ring;
    for partition in view.partitions().partitions() {
        assert_eq!(view.preference_list(partition), ring.preference_list(partition));
    }
}

#[test]
fn a_bucket_that_was_never_set_has_the_defaults() {
    let view = view(true);
    assert_eq!(view.bucket(b"carts").w, 3);
    assert_eq!(*view.bucket(b"cart"), BucketProps::default());
}

#[test]
fn the_node_itself_is_always_alive_to_itself() {
    let view = view(true);
    assert_eq!([1, 2, 3].map(|node| view.is_alive(NodeId(node))), [true, true, false]);
    assert_eq!(view.address(NodeId(3)), Some(address(3)));
    assert_eq!(view.address(NodeId(4)), None);
    let alive: Vec<bool> = view.topology().members.iter().map(|member| member.alive).collect();
    assert_eq!(alive, [true, true, false]);
}

#[test]
fn a_change_of_who_is_up_shares_everything_else() {
    let known = Knowledge::restored(known(true));
    let all = |alive| View::of(NodeId(1), ClusterId(7), PartitionCount::DEFAULT, &known, alive);
    let before = all(BTreeSet::new());
    let after = before.next(&known, BTreeSet::from([NodeId(3)]));
    let lists = |view: &View| Arc::clone(&view.placement.as_ref().unwrap().preferences);
    assert!(Arc::ptr_eq(&lists(&before), &lists(&after)));
    assert!(Arc::ptr_eq(&before.buckets, &after.buckets));
    assert!(after.is_alive(NodeId(3)));
}

#[test]
fn the_counts_of_replicas_are_those_of_the_buckets_and_the_default() {
    assert_eq!(view(true).replica_counts(), [3]);
    assert!(view(true).other_replica_counts().is_empty());
    let mut known = known(true);
    let props = BucketProps { n: 2, r: 1, w: 1, ..BucketProps::default() };
    known.buckets.push(BucketEntry { name: "logs".into(), version: 1, props });
    let q = PartitionCount::DEFAULT;
    let view = View::new(NodeId(1), ClusterId(7), q, known, BTreeSet::new());
    assert_eq!(view.replica_counts(), [2, 3]);
    assert_eq!(view.other_replica_counts(), [(&b"logs"[..], 2)]);
}
