//! Three nodes grow to six and shrink to three again, while writers and readers go on.

use crate::change::{Change, check_shares, ring, wait_until_loads_are_known};
use crate::cluster::Cluster;
use crate::observer::Observer;
use crate::traffic::{Size, Traffic};

#[test]
fn three_nodes_grow_to_six_and_shrink_to_three_again_and_no_request_fails() {
    let mut cluster = Cluster::start_with(ring);
    let observer = Observer::of(&cluster, 0);
    let size = Size::of(1_200);
    let traffic = Traffic::start(&cluster, &observer, size);
    let records = size.records as u64;
    wait_until_loads_are_known(&cluster, 0, 3 * records);
    traffic.end_phase().demand("three nodes");
    check_shares(&cluster, 0, records);

    cluster.add_nodes(3, ring);
    cluster.wait_until_all_are_up(0);
    traffic.end_phase().demand("six started");
    let grown = Change::make(&cluster, 0, "join n4 n5 n6");
    traffic.end_phase().demand("growing");
    grown.demand("growing moved");
    traffic.check_all();
    check_shares(&cluster, 0, records);
    wait_until_loads_are_known(&cluster, 0, 3 * records);
    traffic.end_phase().demand("six nodes");

    let shrunk = Change::make(&cluster, 0, "leave n4 n5 n6");
    for node in &mut cluster.nodes[3..] {
        let status = node.wait_for_end();
        assert_eq!(status.code(), Some(0), "{} has left: {status}", node.name);
    }
    traffic.end_phase().demand("shrinking");
    shrunk.demand("shrinking moved");
    traffic.check_all();
    check_shares(&cluster, 0, records);
    traffic.wait_for(400);
    traffic.end_phase().demand("three nodes again");
    traffic.end();
}
