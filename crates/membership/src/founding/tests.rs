//! Nodes that may found a cluster, and those that may not.

use alloc::vec;
use core::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_protocol::LayoutId;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::gossip::{Delta, Gossip, MemberRecord};

use crate::tests::cluster::Cluster;
use crate::tests::{at, config, record};
use crate::{Config, Destination, Event, Membership, Output};

const SECOND: u64 = 1_000_000;

#[test]
fn an_island_that_has_reached_no_seed_founds_no_second_cluster() {
    let mut cluster = Cluster::new(3);
    cluster.seeds = vec![1, 2, 3];
    (1..=6).for_each(|node| cluster.start(node));
    cluster.run_until("all know all", 30 * SECOND, |c| c.agrees() && c.all_up());
    for node in 4..=6 {
        cluster.kill(node);
        cluster.cut.extend((1..=3).map(|seed| (seed, node)));
    }
    cluster.run_until("n1 to n3 are alone", 60 * SECOND, |c| {
        (1..=3).all(|node| c.machine(node).detector.up().len() == 2)
    });
    cluster.plan_and_commit(1).unwrap();
    (4..=6).for_each(|node| cluster.start(node));
    cluster.run_until("n4 to n6 know one another", 60 * SECOND, |c| {
        (4..=6).all(|node| c.machine(node).detector.up().len() == 2)
    });
    let AdminResponse::Plan(plan) = cluster.admin(4, &AdminRequest::Plan).unwrap() else {
        panic!("a plan is answered with a plan");
    };
    let warned = plan.warnings.iter().any(|warning| warning.contains("none of n4's seeds"));
    assert!(warned, "the plan says so before the commit: {:?}", plan.warnings);
    let refused = cluster.plan_and_commit(4).unwrap_err();
    assert!(refused.message.contains("none of n4's seeds (127.0.0.1:1, "), "{refused}");
    assert!(refused.message.contains("take `seeds` out of its configuration"), "{refused}");
    cluster.cut.clear();
    cluster.run_until("one cluster", 60 * SECOND, Cluster::agrees);
    assert_eq!(cluster.machine(4).view().layout_version(), 1);
}

/// A cluster of three nodes that have a layout.
fn founded() -> Cluster {
    let mut cluster = Cluster::of(3, 5);
    cluster.run_until("all know all", 30 * SECOND, |c| c.agrees() && c.all_up());
    cluster.plan_and_commit(1).unwrap();
    cluster.run_until("layout", 30 * SECOND, |c| {
        (1..=3).all(|node| c.machine(node).view().layout().is_some())
    });
    cluster
}

fn serves_us(cluster: &Cluster, node: u64) -> Option<u64> {
    let mut events = cluster.events.iter();
    let serves = |event: &Event| matches!(event, Event::Serves { .. });
    events.find(|(_, of, event)| *of == node && serves(event)).map(|(at_us, ..)| *at_us)
}

#[test]
fn a_new_node_serves_once_it_has_the_layout_that_others_know() {
    let mut cluster = founded();
    cluster.start(4);
    while serves_us(&cluster, 4).is_none() {
        assert!(cluster.now_us < 60 * SECOND, "n4 never serves");
        cluster.step();
    }
    assert_eq!(cluster.machine(4).view().layout_version(), 1, "what it serves by");
}

#[test]
fn a_new_node_serves_after_a_while_though_the_layout_it_was_told_of_does_not_come() {
    let mut told = machine(3);
    let layout = LayoutId { version: 4, digest: 9 };
    let asked = config(2).me.life.incarnation;
    let wall_ms = 1_700_000_000_000;
    for from in [1, 3] {
        let recalled =
            Gossip::Recalled { asked, record: None, layout, wall_ms, superseded_ms: None };
        told.handle_gossip(at(1), NodeId(from), recalled);
    }
    let serves = |machine: &mut Membership| {
        core::iter::from_fn(|| machine.poll_output())
            .any(|output| matches!(output, Output::Event(Event::Serves { .. })))
    };
    assert!(!serves(&mut told), "it waits for the layout");
    let mut now_us = 1;
    while !serves(&mut told) {
        now_us = told.poll_timeout().expect("it has something to wait for").max(now_us + 1);
        assert!(now_us < 10 * SECOND, "it waits for ever");
        told.handle_timeout(at(now_us));
    }
    assert!(now_us >= 5 * SECOND, "it waited: {now_us} us");
}

/// A machine of node 2, whose seed is node 1, and which knows nodes 1 to 3.
fn machine(n: u8) -> Membership {
    let members = vec![record(1), record(3)];
    let stored = Delta { members, ..Delta::default() };
    Membership::new(at(0), Config { n, ..config(2) }, Some(stored))
}

fn objection(machine: &Membership) -> Option<alloc::string::String> {
    machine.objection_to_founding()
}

#[test]
fn a_seed_counts_once_it_has_told_what_it_knows_and_others_do_not() {
    let mut alone = machine(1);
    assert!(objection(&alone).is_some());
    alone.handle_gossip(at(1), NodeId(3), Gossip::Same);
    assert!(objection(&alone).is_some(), "n3 is no seed");
    alone.handle_gossip(at(1), NodeId(1), Gossip::Probe { nonce: 1 });
    assert!(objection(&alone).is_some(), "a probe tells nothing of what n1 knows");
    alone.handle_gossip(at(1), NodeId(1), Gossip::Same);
    assert_eq!(objection(&alone), None);
}

/// Answers a message as node 3 does, which knows no layout.
fn answer(gossip: &Gossip) -> Option<Gossip> {
    match gossip {
        Gossip::Recall(record) => {
            let (asked, layout) = (record.life.incarnation, LayoutId::default());
            Some(Gossip::Recalled { asked, record: None, layout, wall_ms: 0, superseded_ms: None })
        }
        Gossip::Offer(..) => Some(Gossip::Same),
        Gossip::Probe { nonce } => Some(Gossip::Alive { nonce: *nonce, wall_ms: 0 }),
        _ => None,
    }
}

#[test]
fn a_node_that_no_seed_has_told_anything_turns_to_one_in_each_round() {
    let mut node = machine(1);
    let (mut now_us, mut rounds, mut to_seed) = (0, 0, 0);
    while rounds < 20 {
        now_us = node.poll_timeout().expect("it goes on").max(now_us);
        node.handle_timeout(at(now_us));
        while let Some(output) = node.poll_output() {
            let Output::Send { to, gossip } = output else { continue };
            let is_offer = matches!(gossip, Gossip::Offer(..));
            match to {
                Destination::Node(NodeId(3), _) => {
                    rounds += u32::from(is_offer);
                    if let Some(answer) = answer(&gossip) {
                        node.handle_gossip(at(now_us), NodeId(3), answer);
                    }
                }
                Destination::Seed(_) => to_seed += u32::from(is_offer),
                _ => {}
            }
        }
    }
    assert!(to_seed >= rounds, "{to_seed} offers to its seed, and {rounds} to n3");
}

#[test]
fn a_seed_that_advertises_another_address_counts_where_it_answers() {
    let elsewhere: SocketAddr = "10.0.0.1:7400".parse().unwrap();
    let config = Config { seeds: vec![elsewhere], ..config(2) };
    let stored = Delta { members: vec![record(1)], ..Delta::default() };
    let mut node = Membership::new(at(0), config, Some(stored));
    node.handle_gossip(at(1), NodeId(1), Gossip::Same);
    assert!(objection(&node).is_some());
    node.handle_answers_at(NodeId(1), elsewhere);
    assert_eq!(objection(&node), None);
}

#[test]
fn a_node_without_seeds_or_with_itself_alone_may_found() {
    for seeds in [vec![], vec![config(2).me.address]] {
        let node = Membership::new(at(0), Config { seeds, ..config(2) }, None);
        assert_eq!(objection(&node), None);
    }
}

#[test]
fn a_layout_that_somebody_is_known_to_have_is_waited_for() {
    let layout = LayoutId { version: 4, digest: 9 };
    let recalled = Gossip::Recalled {
        asked: config(2).me.life.incarnation,
        record: None,
        layout,
        wall_ms: 1_700_000_000_000,
        superseded_ms: None,
    };
    let mut told = machine(1);
    told.handle_gossip(at(1), NodeId(1), recalled);
    assert!(objection(&told).unwrap().contains("another node knows layout 4"));

    let mut introduced = machine(1);
    let knows = MemberRecord { layout, version: 2, ..record(1) };
    let members = vec![knows];
    let close = Gossip::Close(Delta { members, ..Delta::default() });
    introduced.handle_gossip(at(1), NodeId(1), close);
    assert!(objection(&introduced).unwrap().contains("n1 knows layout 4"));
}
