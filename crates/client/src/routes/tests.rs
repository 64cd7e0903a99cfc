//! The targets of requests, and their order.

use std::net::SocketAddr;

use jedlik_hashing::{NodeId, PartitionCount, RingNode, plan_first};
use jedlik_protocol::client::{MemberAddress, Topology};
use jedlik_protocol::{ClusterId, Key, Layout, LayoutId};

use super::{Route, Routes};

fn address(node: u64) -> SocketAddr {
    format!("127.0.0.1:{}", 7000 + node).parse().unwrap()
}

fn topology(nodes: u64, version: u64) -> Topology {
    let ring_nodes: Vec<RingNode> = (1..=nodes)
        .map(|node| RingNode { node: NodeId(node), zone: format!("z{node}"), weight: 1 })
        .collect();
    let members = (1..=nodes)
        .map(|node| MemberAddress {
            node: NodeId(node),
            name: format!("n{node}"),
            address: address(node),
            alive: true,
        })
        .collect();
    let ring = plan_first(ring_nodes, PartitionCount::new(64).unwrap(), 3).unwrap();
    let layout = Layout { version, parent: LayoutId::default(), ring, departed: Vec::new() };
    Topology { cluster: ClusterId(7), layout: Some(layout), members }
}

fn addresses(routes: &Routes, route: Route<'_>, suspects: &[SocketAddr]) -> Vec<SocketAddr> {
    let order = routes.order(route, 0, |target| suspects.contains(&target.address));
    order.into_iter().map(|target| target.address).collect()
}

#[test]
fn owners_come_first_and_every_node_comes_once() {
    let routes = Routes::new(topology(5, 1));
    for index in 0..100 {
        let key = Key::new("b", format!("k{index}").as_str()).unwrap();
        let order = addresses(&routes, Route::Key(&key), &[]);
        let layout = routes.topology().layout.as_ref().unwrap();
        let partition = layout.ring.partitions().partition(key.position(ClusterId(7)));
        let list = layout.ring.preference_list(partition);
        let owners: Vec<SocketAddr> = list[..3].iter().map(|node| address(node.0)).collect();
        assert_eq!(order[..3], owners);
        let mut all = order;
        all.sort();
        assert_eq!(all, (1..=5).map(address).collect::<Vec<_>>());
    }
}

#[test]
fn a_suspect_node_is_asked_last() {
    let routes = Routes::new(topology(5, 1));
    let key = Key::new("b", "k").unwrap();
    let before = addresses(&routes, Route::Key(&key), &[]);
    let after = addresses(&routes, Route::Key(&key), &before[..1]);
    assert_eq!(after[..4], before[1..]);
    assert_eq!(after[4], before[0]);
}

#[test]
fn a_node_that_is_said_to_be_down_comes_after_the_living() {
    let mut topology = topology(3, 1);
    topology.members[1].alive = false;
    let routes = Routes::new(topology);
    for turn in 0..3 {
        assert_eq!(routes.order(Route::Any, turn, |_| false)[2].address, address(2));
    }
}

#[test]
fn what_any_node_can_answer_goes_round() {
    let routes = Routes::new(topology(3, 1));
    let firsts: Vec<_> =
        (0..3).map(|turn| routes.order(Route::Any, turn, |_| false)[0].address).collect();
    assert_eq!(firsts, [address(1), address(2), address(3)]);
}

#[test]
fn one_node_alone_can_be_aimed_at() {
    let routes = Routes::new(topology(3, 1));
    assert_eq!(addresses(&routes, Route::Node(NodeId(2)), &[]), [address(2)]);
    assert!(addresses(&routes, Route::Node(NodeId(9)), &[]).is_empty());
}

#[test]
fn a_topology_gives_way_to_newer_layouts_and_to_newer_addresses_of_its_own() {
    let cases = [(1, 2, true), (2, 1, false), (2, 2, true)];
    for (old, new, expected) in cases {
        let (old, new) = (Routes::new(topology(3, old)), Routes::new(topology(3, new)));
        assert_eq!(old.gives_way_to(&new), expected);
    }
    let without = Routes::new(Topology { layout: None, ..topology(3, 1) });
    assert!(!Routes::new(topology(3, 1)).gives_way_to(&without));
    assert!(without.gives_way_to(&Routes::new(topology(3, 1))));
}

#[test]
fn of_two_layouts_with_one_version_the_one_in_force_stays() {
    let [one, other] = [3, 4].map(|nodes| Routes::new(topology(nodes, 5)));
    assert_ne!(one.layout, other.layout);
    assert_ne!(one.gives_way_to(&other), other.gives_way_to(&one));
    assert_eq!(one.gives_way_to(&other), other.layout > one.layout);
}
