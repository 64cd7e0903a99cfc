//! Clients' requests when nodes and disks fail.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Quorum;
use jedlik_protocol::client::PutRequest;
use jedlik_protocol::error::ErrorCode;

use super::cluster::{Cluster, after, blind, from_one};
use crate::{Counter, StorageFault};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

#[test]
fn one_node_down_fails_nothing_and_a_read_brings_it_up_to_date() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.down.insert(N3);
    cluster.put(N1, blind("alice", "tea")).expect("two of three are enough");
    assert_eq!(cluster.values(N2, "alice", 2), ["tea"]);
    cluster.down.clear();
    assert_eq!(cluster.held(N3, "alice"), None);
    cluster.values(N1, "alice", 3);
    cluster.advance(600);
    assert_eq!(cluster.held(N3, "alice"), cluster.held(N1, "alice"));
    assert_eq!(cluster.counts[&Counter::ReadRepairsMissing], 1);
}

#[test]
fn a_mute_node_is_read_around_after_the_hedge_delay() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    cluster.mute.insert(N2);
    let start_us = cluster.now.mono_us;
    assert_eq!(cluster.values(N1, "alice", 2), ["tea"]);
    assert!(cluster.now.mono_us - start_us <= 100_000, "it does not wait for the call's limit");
    assert_eq!(cluster.counts[&Counter::Hedges], 1);
}

#[test]
fn too_few_nodes_are_told_apart_from_too_little_time() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.down.extend([N2, N3]);
    let failure = cluster.put(N1, blind("alice", "tea")).expect_err("one of three is too few");
    assert_eq!(failure.code, ErrorCode::Unavailable);
    assert!(failure.maybe_applied && failure.message.contains("1 of 2 replicas"), "{failure}");
    let failure = cluster.get(N1, "alice", 2).expect_err("one of three is too few");
    assert_eq!((failure.code, failure.maybe_applied), (ErrorCode::Unavailable, false));

    cluster.down.clear();
    cluster.mute.extend([N2, N3]);
    let put = PutRequest { timeout_ms: 1_000, ..blind("alice", "salt") };
    let failure = cluster.put(N1, put).expect_err("nobody answers");
    assert_eq!((failure.code, failure.maybe_applied), (ErrorCode::Timeout, true));
}

#[test]
fn a_forwarded_put_tries_the_next_owner_under_the_same_write_id() {
    let mut cluster = Cluster::new(6, &[]);
    let owners = cluster.owners("alice");
    let stranger = owners[5];
    cluster.down.insert(owners[0]);
    cluster.put(stranger, blind("alice", "tea")).expect("the second owner coordinates");
    cluster.down.clear();
    cluster.mute.insert(owners[0]);
    cluster.put(stranger, blind("alice", "tea")).expect("so it does when the first is mute");
    cluster.mute.clear();
    assert_eq!(cluster.values(stranger, "alice", 3), ["tea"]);
}

#[test]
fn a_new_life_never_extends_the_actor_of_the_one_before() {
    let mut cluster = Cluster::new(3, &[("carts", from_one())]);
    let coordinator = cluster.owners("alice")[0];
    let others: Vec<NodeId> = cluster.owners("alice")[1..].to_vec();
    let context = cluster.put(coordinator, blind("alice", "tea")).expect("a put");
    let before = cluster.node(coordinator).disk.clone();
    cluster.put(coordinator, after("alice", "salt", &context)).expect("a put");
    // The second put is lost here, though acknowledged by the others.
    cluster.node(coordinator).disk = before;
    cluster.restart(coordinator, 2);
    cluster.down.extend(others.iter().copied());
    let put = PutRequest { w: Quorum::One, ..after("alice", "milk", &context) };
    cluster.put(coordinator, put).expect("a put");
    cluster.down.clear();
    assert_eq!(cluster.values(others[0], "alice", 3), ["milk", "salt"], "no dot was drawn twice");
}

#[test]
fn a_clean_restart_goes_on_under_its_actor() {
    let mut cluster = Cluster::new(3, &[]);
    let coordinator = cluster.owners("alice")[0];
    let context = cluster.put(coordinator, blind("alice", "tea")).expect("a put");
    cluster.restart(coordinator, 1);
    cluster.put(coordinator, after("alice", "salt", &context)).expect("a put");
    let record = cluster.held(coordinator, "alice").expect("a record").decode().expect("a record");
    assert_eq!(record.clock().len(), 1);
}

#[test]
fn a_local_write_that_fails_ends_the_actor_and_the_put_may_still_succeed() {
    let mut cluster = Cluster::new(3, &[]);
    let coordinator = cluster.owners("alice")[0];
    let context = cluster.put(coordinator, blind("alice", "tea")).expect("a put");
    cluster.node(coordinator).write_fault = Some(StorageFault::Failed("disk full".into()));
    cluster.put(coordinator, after("alice", "salt", &context)).expect("two others took it");
    cluster.node(coordinator).write_fault = None;
    cluster.put(coordinator, after("alice", "milk", &context)).expect("a put");
    assert_eq!(cluster.values(coordinator, "alice", 3), ["milk", "salt"], "no dot was drawn twice");
}

#[test]
fn a_full_disk_everywhere_fails_puts_and_leaves_gets_alone() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    for node in [N1, N2, N3] {
        cluster.node(node).write_fault = Some(StorageFault::Failed("disk full".into()));
    }
    let failure = cluster.put(N1, blind("alice", "salt")).expect_err("nobody can write");
    assert!(failure.message.ends_with("; one said: disk full"), "{failure}");
    assert_eq!(cluster.values(N1, "alice", 3), ["tea"]);
}
