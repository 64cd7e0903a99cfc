//! A node that is drained, stopped and started again, while writers and readers go on.

use crate::change::ring;
use crate::cluster::Cluster;
use crate::observer::Observer;
use crate::traffic::{Size, Traffic};

#[test]
fn nothing_fails_when_a_node_is_drained_stopped_and_started_again() {
    let mut cluster = Cluster::start_with(ring);
    let observer = Observer::of(&cluster, 0);
    let traffic = Traffic::start(&cluster, &observer, Size::of(600));
    traffic.wait_for(200);

    let drained = cluster.ask(0, "node drain n2 --wait --timeout 120 --json").ok().json();
    assert_eq!(drained["safe_to_stop"], true, "{drained}");
    assert_eq!(state(&cluster, "n2"), "away");
    assert!(cluster.ask(0, "cluster status").ok().stdout.contains(" drained "));
    let doctor = cluster.ask(0, "doctor");
    assert!(doctor.stdout.contains("n2 is drained"), "{doctor:?}");
    assert!(!doctor.stdout.contains("can't reach it"), "{doctor:?}");
    traffic.wait_for(400);
    traffic.end_phase().demand("drained");
    cluster.ask(0, "node drain n2 --undo").ok();
    cluster.wait_until_all_are_up(0);
    traffic.wait_for(200);
    traffic.end_phase().demand("taken back");

    cluster.ask(0, "node drain n2 --wait --timeout 120").ok();
    assert!(cluster.nodes[1].stop().success(), "a clean stop");
    traffic.wait_for(400);
    traffic.end_phase().demand("stopped");
    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    assert_eq!(state(&cluster, "n2"), "up");
    traffic.wait_for(400);
    traffic.end_phase().demand("started again");
    traffic.end();
}

/// Returns a member's state as the others see it.
fn state(cluster: &Cluster, name: &str) -> String {
    let status = cluster.status(0);
    let mut members = status["members"].as_array().unwrap().iter();
    let member = members.find(|member| member["name"] == name).unwrap();
    member["state"].as_str().unwrap().to_owned()
}
