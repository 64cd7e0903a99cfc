//! Figures: how soon news and deaths are known, and that no live node is taken to be dead.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::codec::encode_knowledge;
use jedlik_protocol::gossip::{Delta, MemberRecord};

use super::cluster::Cluster;
use super::{address, config, record};
use crate::{Config, Event};

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3_600 * SECOND;

/// A cluster of nodes that all know one another from before.
fn acquainted(nodes: u64, seed: u8) -> Cluster {
    let mut cluster = Cluster::new(seed);
    for node in 1..=nodes {
        let others = (1..=nodes).filter(|other| *other != node).map(record);
        let stored = Delta { members: others.collect(), ..Delta::default() };
        let mut random_seed = [seed; 32];
        random_seed[..8].copy_from_slice(&node.to_le_bytes());
        let config = Config { random_seed, seeds: vec![address(1)], ..config(node) };
        cluster.start_with(node, config, Some(stored));
    }
    cluster
}

/// Number of rounds that news may take, at one a second.
fn rounds(nodes: u64) -> u64 {
    (3.0 * (nodes as f64).log2()) as u64
}

#[test]
fn a_thousand_members_agree_on_a_change_within_three_rounds_for_each_doubling() {
    const NODES: u64 = 1_000;
    let mut cluster = acquainted(NODES, 1);
    cluster.loss_percent = 10;
    let changes = vec![("w".into(), "1".into())];
    let set = AdminRequest::BucketSet { name: "carts".into(), changes };
    // A node takes changes once others have answered it.
    while cluster.admin(500, &set).is_err() {
        cluster.step();
        assert!(cluster.now_us < 60 * SECOND, "nobody answers");
    }
    let start_us = cluster.now_us;
    let mut knows: Vec<u64> = Vec::new();
    let mut read = 0;
    while knows.len() < NODES as usize {
        cluster.step();
        for (at_us, _, event) in &cluster.events[read..] {
            if matches!(event, Event::Bucket { .. }) {
                knows.push(at_us - start_us);
            }
        }
        read = cluster.events.len();
        assert!(cluster.now_us < start_us + 2 * rounds(NODES) * SECOND, "{} know", knows.len());
    }
    let most = knows[NODES as usize * 99 / 100];
    assert!(most <= rounds(NODES) * SECOND, "{most} us");
}

#[test]
fn a_dead_node_is_detected_within_five_seconds_without_any_request() {
    for (nodes, seed) in [(3, 1), (3, 2), (5, 3), (20, 4), (20, 5)] {
        let mut cluster = acquainted(nodes, seed);
        cluster.loss_percent = 5;
        cluster.run_for(30 * SECOND);
        let dead = 2 + u64::from(seed) % (nodes - 1);
        cluster.kill(dead);
        let seen = |c: &Cluster| {
            c.running().iter().any(|node| !c.machine(*node).view().is_alive(NodeId(dead)))
        };
        cluster.run_until("somebody sees it", 5 * SECOND, seen);
        cluster.run_until("all see it", 5 * SECOND, |c| c.all_see(dead, false));
    }
}

#[test]
fn no_live_node_is_taken_for_dead_in_a_day_of_lost_and_late_messages() {
    // The more nodes, the more chances to err, but the more others to vouch, too.
    let mut cluster = acquainted(5, 6);
    cluster.loss_percent = 5;
    cluster.delay_us = 200_000;
    cluster.run_for(24 * HOUR);
    let downs = cluster.events.iter().filter(|(_, _, event)| matches!(event, Event::Down { .. }));
    assert_eq!(downs.count(), 0);
}

#[test]
fn an_exchange_at_rest_is_one_small_message_and_a_word_back() {
    let sender = MemberRecord { name: "n".repeat(64), zone: "z".repeat(64), ..record(1) };
    let said = Delta { members: vec![sender], ..Delta::default() };
    // An offer is the sender's record, a digest, and what every frame has.
    let length = encode_knowledge(&said).len() + 64;
    assert!(length <= 1_200, "{length} bytes");
    let mut cluster = acquainted(50, 7);
    cluster.run_for(20 * SECOND);
    cluster.trace = Some(Vec::new());
    cluster.run_for(20 * SECOND);
    let trace = cluster.trace.take().unwrap();
    let is_small = |line: &String| {
        ["Offer(", "Same", "Probe {", "Alive {"].iter().any(|kind| line.contains(kind))
    };
    assert!(trace.len() > 50 * 4 * 15 && trace.iter().all(is_small));
}
