//! A leave beside a dead node: refused if it could never end, and cancelled when the node dies later.

use crate::change::{commit, ring, stage, wait_until_still};
use crate::cluster::{Cluster, wait_until};
use crate::tools::run;

const USAGE: i32 = 2;

#[test]
fn a_leave_that_could_never_end_is_refused_and_one_that_no_longer_can_is_taken_back() {
    let mut cluster = Cluster::start_many(4, ring);
    run(cluster.jedlik(0).args(["put", "carts", "alice", "tea"])).ok();
    cluster.kill(2);
    wait_until_seen(&cluster, "n3", false);
    let endless = stage(&cluster, 0, "leave n4");
    let hash = endless["plan"].as_str().unwrap();
    let says = ["n3 does not answer", "n4 could not finish leaving", "cluster remove n3"];
    cluster.ask(0, &format!("cluster commit {hash}")).refused(USAGE, &says);
    assert_eq!(cluster.status(0)["layout"], 1, "nothing was committed");

    cluster.restart(2);
    wait_until_seen(&cluster, "n3", true);
    cluster.ask(0, "task pause transfers").ok();
    commit(&cluster, 0, &stage(&cluster, 0, "plan"));
    cluster.kill(2);
    wait_until_seen(&cluster, "n3", false);
    cluster.ask(0, "cluster remove n3").refused(USAGE, &["2 nodes would be left"]);
    commit(&cluster, 0, &stage(&cluster, 0, "join n4"));
    commit(&cluster, 0, &stage(&cluster, 0, "remove n3"));
    wait_until_gone(&cluster, "n3");
    cluster.ask(0, "task resume transfers").ok();
    wait_until_still(&cluster, 0);
    wait_until_seen(&cluster, "n4", true);
    assert!(cluster.nodes[3].is_running(), "it stays");
    let got = run(cluster.jedlik(3).args(["get", "carts", "alice"])).ok();
    assert!(got.stdout.contains("tea"), "{got:?}");
}

/// Waits until a removed node is gone from the status, where its removal is in force.
fn wait_until_gone(cluster: &Cluster, name: &str) {
    wait_until("the removal is in force", || {
        let status = cluster.status(0);
        status["members"].as_array().unwrap().iter().all(|member| member["name"] != name)
    });
}

fn wait_until_seen(cluster: &Cluster, name: &str, alive: bool) {
    wait_until("the others have noticed", || {
        let status = cluster.status(0);
        let mut members = status["members"].as_array().unwrap().iter();
        members.any(|member| member["name"] == name && member["alive"] == alive)
    });
}
