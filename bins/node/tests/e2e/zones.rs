//! Nodes of different weights, and zones that fail as a whole.

use std::collections::BTreeSet;

use crate::change::{LayoutChange, check_shares, commit, held, ring, stage, wait_until_still};
use crate::cluster::{Cluster, wait_until};
use crate::node::Node;
use crate::observer::Observer;
use crate::traffic::{Size, Traffic};

#[test]
fn a_node_of_double_weight_holds_double() {
    let mut cluster = Cluster::start_many(5, ring);
    let observer = Observer::of(&cluster, 0);
    let size = Size::of(600);
    let traffic = Traffic::start(&cluster, &observer, size);
    cluster.add_nodes(1, |node| {
        ring(node);
        node.options.push("--weight=2".into());
    });
    cluster.wait_until_all_are_up(0);
    LayoutChange::make(&cluster, 0, "join n6");
    traffic.end_phase().demand("n6 has weight 2");
    check_shares(&cluster, 0, size.records as u64);

    // Two plans follow one another; the second is committed while the first still moves.
    for change in ["set n6 --weight 1", "set n1 --weight 2"] {
        let plan = stage(&cluster, 0, change);
        commit(&cluster, 0, &plan);
    }
    wait_until_still(&cluster, 0);
    traffic.end_phase().demand("n1 has weight 2");
    // A node's own count follows what it has taken over and dropped.
    wait_until("n1 has got what n6 gave up", || {
        let held = held(&cluster, 0);
        println!("{:>20}: {held:?}", "records held");
        2 * held["n1"] > 3 * held["n6"]
    });
    traffic.end();
}

#[test]
fn nothing_fails_when_one_of_three_zones_does() {
    let zone_of = |node: &mut Node| {
        ring(node);
        let number: usize = node.name.strip_prefix('n').unwrap().parse().unwrap();
        node.options.push(format!("--zone=z{}", number % 3));
    };
    let mut cluster = Cluster::start_many(6, zone_of);
    let observer = Observer::of(&cluster, 0);
    let traffic = Traffic::start(&cluster, &observer, Size::of(600));
    // n1 and n4 are in z1, n2 and n5 in z2, n3 and n6 in z0.
    for key in traffic.keys() {
        let list = observer.preference_list(key);
        let zones: BTreeSet<usize> = list[..3].iter().map(|index| index % 3).collect();
        assert_eq!(zones.len(), 3, "a copy in each zone");
    }
    traffic.wait_for(400);
    traffic.end_phase().demand("all zones");
    cluster.kill(2);
    cluster.kill(5);
    traffic.wait_for(600);
    traffic.check_all();
    traffic.end_phase().demand("without a zone");
    cluster.restart(2);
    cluster.restart(5);
    cluster.wait_until_all_are_up(0);
    cluster.ask(0, "hints --wait --timeout 120").ok();
    traffic.end_phase().demand("the zone is back");
    traffic.end();
}
