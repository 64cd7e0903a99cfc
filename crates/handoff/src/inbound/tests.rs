//! The old owners that have to be compared with, as tables.

use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;

use super::{InboundStatus, InboundTransfer, OldOwner, OldSet};

const ME: NodeId = NodeId(9);

/// Returns a set of owners: `u` is up, `d` down, `x` given up; nodes are numbered from 1.
fn set(states: &str, least_quorum: u8) -> OldSet {
    let owners = states.chars().zip(1..).map(|(state, node)| OldOwner {
        node: NodeId(node),
        up: state == 'u',
        given_up: state == 'x',
    });
    OldSet { n: 3, least_quorum, owners: owners.collect(), counts_me: true }
}

fn after(compared: &[u64], sets: &[OldSet]) -> InboundStatus {
    let mut inbound = InboundTransfer::new();
    for node in compared {
        inbound.handle_compared(3, NodeId(*node), true);
    }
    inbound.status(ME, sets)
}

fn compare(nodes: &[u64]) -> InboundStatus {
    InboundStatus::Compare(nodes.iter().map(|node| (3, NodeId(*node))).collect())
}

fn blocked(nodes: &[u64]) -> InboundStatus {
    InboundStatus::Blocked(nodes.iter().copied().map(NodeId).collect::<Vec<_>>())
}

#[test]
fn a_new_owner_is_ready_once_it_agrees_with_everyone_in_reach_and_with_enough() {
    // The old owners, the least W, whom it was compared with, how it stands.
    let cases = [
        ("uuu", 2, vec![], compare(&[1, 2, 3])),
        ("uuu", 2, vec![1, 2], compare(&[3])),
        ("uuu", 2, vec![1, 2, 3], InboundStatus::Ready),
        // Two of three meet every quorum of two.
        ("uud", 2, vec![1, 2], InboundStatus::Ready),
        ("udd", 2, vec![], compare(&[1])),
        ("udd", 2, vec![1], blocked(&[2, 3])),
        // With a quorum of one a version may be with the one that is down alone.
        ("uud", 1, vec![1, 2], blocked(&[3])),
        // With a quorum of three any of them has it.
        ("udd", 3, vec![1], InboundStatus::Ready),
        // What was given up is not waited for.
        ("uxx", 2, vec![], compare(&[1])),
        ("uxx", 2, vec![1], InboundStatus::Ready),
        ("xxx", 2, vec![], InboundStatus::Ready),
        ("uxd", 2, vec![1], blocked(&[3])),
    ];
    for (states, least_quorum, compared, expected) in cases {
        let status = after(&compared, &[set(states, least_quorum)]);
        assert_eq!(status, expected, "{states} {least_quorum} {compared:?}");
    }
}

#[test]
fn an_old_owner_counts_itself() {
    let mut old = set("ud", 2);
    old.owners.push(OldOwner { node: ME, up: true, given_up: false });
    assert_eq!(after(&[], core::slice::from_ref(&old)), compare(&[1]));
    assert_eq!(after(&[1], &[old]), InboundStatus::Ready);
}

#[test]
fn every_older_set_has_to_be_met() {
    let mut other = set("uuu", 2);
    for (owner, node) in other.owners.iter_mut().zip([3, 4, 5]) {
        owner.node = NodeId(node);
    }
    let sets = [set("uuu", 2), other];
    assert_eq!(after(&[1, 2, 3], &sets), compare(&[4, 5]));
    assert_eq!(after(&[1, 2, 3, 4, 5], &sets), InboundStatus::Ready);
}

#[test]
fn without_older_sets_there_is_nothing_to_wait_for() {
    assert_eq!(after(&[], &[]), InboundStatus::Ready);
}

#[test]
fn who_has_lost_its_past_counts_for_nothing_and_this_node_neither() {
    let mut inbound = InboundTransfer::new();
    let old = set("uuu", 2);
    for node in 1..=2 {
        inbound.handle_compared(3, NodeId(node), node == 1);
    }
    assert_eq!(inbound.status(ME, core::slice::from_ref(&old)), compare(&[3]));
    inbound.handle_compared(3, NodeId(3), false);
    assert_eq!(inbound.status(ME, core::slice::from_ref(&old)), blocked(&[2, 3]));
    inbound.ask_again();
    inbound.handle_compared(3, NodeId(3), true);
    assert_eq!(inbound.status(ME, core::slice::from_ref(&old)), compare(&[2]));
    inbound.handle_compared(3, NodeId(2), false);
    assert_eq!(inbound.status(ME, &[old]), InboundStatus::Ready);

    let mut old = set("ud", 2);
    old.owners.push(OldOwner { node: ME, up: true, given_up: false });
    old.counts_me = false;
    assert_eq!(after(&[1], &[old]), blocked(&[2, 9]));
}
