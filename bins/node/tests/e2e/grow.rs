//! Three nodes grow to six and shrink to three again while writers and readers go on, and grow again without traffic.

use std::time::Duration;

use crate::change::{LayoutChange, check_shares, ring, wait_until_loads_are_known};
use crate::cluster::Cluster;
use crate::observer::Observer;
use crate::requests::size;
use crate::traffic::{Size, Traffic};

#[test]
fn three_nodes_grow_to_six_and_shrink_to_three_again_and_no_request_fails() {
    let mut cluster = Cluster::start_with(ring);
    let observer = Observer::of(&cluster, 0);
    let load = Size::of(1_200);
    let traffic = Traffic::start(&cluster, &observer, load);
    let records = load.records as u64;
    wait_until_loads_are_known(&cluster, 0, 3 * records);
    check_shares(&cluster, 0, records);
    traffic.end_phase().demand("loads known");
    let three = quiet(&traffic, "three nodes");

    cluster.add_nodes(3, ring);
    cluster.wait_until_all_are_up(0);
    traffic.end_phase().demand("three started");
    let started = quiet(&traffic, "six processes");
    let grown = LayoutChange::make(&cluster, 0, "join n4 n5 n6");
    let growing = traffic.end_phase().demand("growing");
    grown.demand("growing moved");
    traffic.check_all();
    check_shares(&cluster, 0, records);
    wait_until_loads_are_known(&cluster, 0, 3 * records);
    traffic.end_phase().demand("checked");
    let six = quiet(&traffic, "six nodes");

    let shrunk = LayoutChange::make(&cluster, 0, "leave n4 n5 n6");
    for node in &mut cluster.nodes[3..] {
        let status = node.wait_for_end();
        assert_eq!(status.code(), Some(0), "{} has left: {status}", node.name);
    }
    let shrinking = traffic.end_phase().demand("shrinking");
    shrunk.demand("shrinking moved");
    traffic.check_all();
    check_shares(&cluster, 0, records);
    traffic.end_phase().demand("checked");
    let again = quiet(&traffic, "three nodes again");
    traffic.end();
    let times = |moving: Duration, quiet: Duration| moving.as_secs_f64() / quiet.as_secs_f64();
    println!(
        "99th percentile: growing {:.2} times three nodes, {:.2} six processes, {:.2} six nodes; \
         shrinking {:.2} times six nodes, {:.2} three nodes again",
        times(growing, three),
        times(growing, started),
        times(growing, six),
        times(shrinking, six),
        times(shrinking, again),
    );
}

#[test]
fn what_nobody_is_disturbed_by_moves_at_full_pace() {
    let mut cluster = Cluster::start_with(ring);
    let observer = Observer::of(&cluster, 0);
    let load = Size::of(1_200);
    Traffic::start(&cluster, &observer, load).end();
    cluster.add_nodes(3, ring);
    cluster.wait_until_all_are_up(0);
    wait_until_loads_are_known(&cluster, 0, 3 * load.records as u64);
    cluster.ask(0, "background set --limit 1000000 --slowdown 10000").ok();
    let grown = LayoutChange::make(&cluster, 0, "join n4 n5 n6");
    grown.demand("at full pace");
    check_shares(&cluster, 0, load.records as u64);
    let per_s = grown.received_bytes as f64 / 1e6 / grown.took.as_secs_f64();
    println!("{:>20}: {per_s:.1} MB/s", "at full pace");
}

/// Measures a phase in which nothing moves, and returns the 99th percentile of the requests' waits.
fn quiet(traffic: &Traffic<'_>, phase: &str) -> Duration {
    traffic.wait_for(size("JEDLIK_QUIET_REQUESTS", 400));
    traffic.end_phase().demand(phase)
}
