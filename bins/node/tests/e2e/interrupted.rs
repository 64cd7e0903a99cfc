//! Nodes that are killed in the middle of transfers and started again: the transfers end by themselves, with nothing
//! lost.

use serde_json::Value;

use crate::change::{commit, ring, stage, wait_until_still};
use crate::cluster::{Cluster, wait_until};
use crate::observer::Observer;
use crate::traffic::{Size, Traffic};

/// Limit on each node's background steps per second. A partition takes some five steps, so a move has a middle of ten
/// seconds and more, and none is over between two checks.
const SLOW: u32 = 20;
const FAST: u32 = 20_000;

#[test]
fn a_transfer_ends_by_itself_when_a_node_of_it_is_killed_in_the_middle_and_started_again() {
    let mut cluster = Cluster::start_with(ring);
    let observer = Observer::of(&cluster, 0);
    let traffic = Traffic::start(&cluster, &observer, Size::of(600));
    cluster.add_nodes(1, ring);
    cluster.wait_until_all_are_up(1);

    interrupt(&mut cluster, &traffic, "join n4", 3);
    traffic.end_phase().demand("new owner killed");
    interrupt(&mut cluster, &traffic, "set n4 --weight 3", 1);
    traffic.end_phase().demand("committer killed");
    interrupt(&mut cluster, &traffic, "leave n4", 3);
    let status = cluster.nodes[3].wait_for_end();
    assert_eq!(status.code(), Some(0), "n4 has left: {status}");
    traffic.end_phase().demand("old owner killed");
    traffic.end();
}

/// Makes a change through n2, and kills the node at `victim` once some partitions have flipped and others have not.
fn interrupt(cluster: &mut Cluster, traffic: &Traffic<'_>, words: &str, victim: usize) {
    cluster.ask(1, &format!("background set --limit {SLOW}")).ok();
    let plan = stage(cluster, 1, words);
    commit(cluster, 1, &plan);
    let partitions = plan["partitions"].as_u64().unwrap();
    let version = &plan["layout"];
    let flipped = |cluster: &Cluster| -> u64 {
        let status = cluster.status(0);
        let is_newest = |status: &Value| status["layout"] == *version;
        if is_newest(&status) { status["flipped"].as_u64().unwrap() } else { 0 }
    };
    wait_until("some partitions have flipped", || flipped(cluster) > partitions / 8);
    cluster.kill(victim);
    let before = flipped(cluster);
    assert!(before < partitions, "{words} was over before anybody could be killed");
    traffic.wait_for(200);
    cluster.restart(victim);
    cluster.wait_until_all_are_up(1);
    cluster.ask(1, &format!("background set --limit {FAST}")).ok();
    wait_until_still(cluster, 1);
    let name = &cluster.nodes[victim].name;
    println!("{words}: {name} was killed with {before} of {partitions} partitions flipped");
    traffic.check_all();
}
