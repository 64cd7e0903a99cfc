//! The ring as it is shown, at rest and while partitions move.

use jedlik_client::NodeId;
use jedlik_hashing::{PartitionCount, RingNode, plan_first};
use jedlik_protocol::admin::MemberState;

use jedlik_protocol::{Layout, LayoutId, PartitionSet, WireLayout};

use super::{OwnerSet, Rings, active, sets_text};
use crate::cluster::tests::cluster;

/// Returns a layout of nodes, each in a zone of its own, on a ring of as many partitions.
fn layout(version: u64, nodes: u64, partitions: u32) -> Layout {
    let nodes = (1..=nodes).map(|node| RingNode {
        node: NodeId(node),
        zone: format!("z{node}"),
        weight: 1,
    });
    let ring = plan_first(nodes.collect(), PartitionCount::new(partitions).unwrap(), 3).unwrap();
    Layout { version, parent: LayoutId::default(), ring, departed: Vec::new() }
}

fn rings(layouts: Vec<WireLayout>) -> Rings {
    let members: Vec<(u64, MemberState)> = (1..=9).map(|node| (node, MemberState::Up)).collect();
    Rings::new(layouts, &cluster(&members)).unwrap()
}

/// Returns the rings of one layout under which all partitions have flipped.
fn at_rest(nodes: u64, partitions: u32) -> Rings {
    let flipped = PartitionSet::full(PartitionCount::new(partitions).unwrap());
    rings(vec![WireLayout { layout: layout(1, nodes, partitions), flipped }])
}

#[test]
fn the_ring_is_shown_as_shares_ranges_and_a_map() {
    insta::assert_snapshot!(at_rest(3, 256).to_text(), @r"
    layout 1 (f0cafcb66e2fdbd3) of 256 partitions, n = 3
    mark  name  zone  weight       tokens          owned  owned partitions
    a     n1    z1         1  86 (33.6 %)  256 (100.0 %)  0-255
    b     n2    z2         1  85 (33.2 %)  256 (100.0 %)  0-255
    c     n3    z3         1  85 (33.2 %)  256 (100.0 %)  0-255
    the holder of each partition's token:
        0  abcabcab cabcabca bcabcabc abcabcab cabcabca bcabcabc abcabcab cabcabca
       64  bcabcabc abcabcab cabcabac bacbacba cbacbacb acbacbac bacbacba cbacbacb
      128  acbacbac bacbacba cbacbacb acbacbac bacbacba cbacabca bcabcabc abcabcab
      192  cabcabca bcabcabc abcabcab cabcabca bcabcabc abcabcab cabcabca bcabcabc
    ");
    insta::assert_snapshot!(at_rest(5, 32).to_text(), @r"
    layout 1 (b9a73c5c796b46c1) of 32 partitions, n = 3
    mark  name  zone  weight      tokens        owned  owned partitions
    a     n1    z1         1  7 (21.9 %)  21 (65.6 %)  0,3-5,7-9 and 5 more ranges
    b     n2    z2         1  7 (21.9 %)  21 (65.6 %)  0-1,4-6,9-11 and 5 more ranges
    c     n3    z3         1  6 (18.8 %)  18 (56.2 %)  0-2,5-7,10-12 and 3 more ranges
    d     n4    z4         1  6 (18.8 %)  18 (56.2 %)  1-3,6-8,12-14 and 3 more ranges
    e     n5    z5         1  6 (18.8 %)  18 (56.2 %)  2-4,8-10,14-16 and 3 more ranges
    the holder of each partition's token:
       0  abcdeabc daebcadb ecadbeac bdeabcde
    ");
}

#[test]
fn marks_go_by_the_nodes_names_whatever_their_identities() {
    let mut status = cluster(&[(1, MemberState::Up), (2, MemberState::Up)]);
    status.members[0].record.name = "z".into();
    let placed = WireLayout { layout: layout(1, 2, 8), flipped: PartitionSet::default() };
    let text = Rings::new(vec![placed], &status).unwrap().to_text();
    let marked: Vec<&str> = text.lines().skip(2).take(2).map(|line| &line[..8]).collect();
    assert_eq!(marked, ["a     n2", "b     z "], "{text}");
    assert_eq!(text.lines().last(), Some("  0  babababa"), "{text}");
}

#[test]
fn one_node_s_place_on_the_ring_is_shown_as_ranges_and_a_map() {
    insta::assert_snapshot!(at_rest(5, 32).node_text(NodeId(2)), @r"
    layout 1 (b9a73c5c796b46c1) of 32 partitions, n = 3
    n2 owns 21 partitions under layout 1: 0-1,4-6,9-11,13-15,18-20,22-24,26-28,31
    n2 holds 7 tokens under layout 1 (# with the token, + without, . not owned):
       0  +#..++#. .++#.++# ..++#.++ #.++#..+
    ");
}

#[test]
fn the_largest_ring_fits_on_a_screen() {
    let text = at_rest(9, 65_536).to_text();
    assert!(text.lines().count() < 40, "{text}");
    let widest = text.lines().map(str::len).max();
    assert!(widest < Some(100), "{widest:?}: {text}");
}

#[test]
fn json_has_every_partition_s_token_holder_and_each_node_s_shares() {
    let rings = at_rest(5, 32);
    let json = rings.to_json();
    let layout = &json["layouts"][0];
    assert_eq!((&json["n"], &layout["partitions"]), (&3.into(), &32.into()));
    assert_eq!(layout["token_holders"].as_array().unwrap().len(), 32);
    let sum = |name: &str| {
        let nodes = layout["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node[name].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((sum("tokens"), sum("owned")), (32, 3 * 32));
    let node = rings.node_json(NodeId(2));
    let len = |numbers: &serde_json::Value| numbers.as_array().unwrap().len();
    assert_eq!(len(&node["tokens"]) as u64, layout["nodes"][1]["tokens"]);
    assert_eq!(len(&node["layouts"][0]["owned"]) as u64, layout["nodes"][1]["owned"]);
}

#[test]
fn while_partitions_move_the_header_says_so_and_a_node_s_partitions_are_listed_by_layout() {
    let (older, newer) = (layout(1, 3, 32), layout(2, 4, 32));
    let full = PartitionSet::full(PartitionCount::new(32).unwrap());
    let rings = rings(vec![
        WireLayout { layout: newer, flipped: PartitionSet::default() },
        WireLayout { layout: older, flipped: full },
    ]);
    insta::assert_snapshot!(rings.node_text(NodeId(1)), @r"
    layout 2 (dc0779409246e846) of 32 partitions, n = 3; 0 of them have flipped; under others, older layouts are active too: 1
    n1 owns 24 partitions under layout 2: 0,2-4,6-8,10-12,14-16,18-20,22-24,26-28,30-31
    n1 owns 32 partitions under layout 1: 0-31
    n1 holds 8 tokens under layout 2 (# with the token, + without, . not owned):
       0  #.++#.++ #.++#.++ #.++#.++ #.++#.++
    ");
}

#[test]
fn sets_count_back_to_the_newest_that_flipped() {
    let set = |layout, flipped, owners: &[u64]| OwnerSet {
        layout,
        owners: owners.iter().copied().map(NodeId).collect(),
        flipped,
    };
    let cases: [(&[bool], usize); 4] =
        [(&[true], 1), (&[false, true, true], 2), (&[false, false, true], 3), (&[false, false], 2)];
    for (flipped, expected) in cases {
        let sets: Vec<OwnerSet> =
            flipped.iter().map(|flipped| set(1, *flipped, &[1, 2, 3])).collect();
        assert_eq!(active(&sets).len(), expected, "{flipped:?}");
    }
    let sets = [set(3, false, &[1, 2]), set(2, false, &[2, 3]), set(1, true, &[1, 2])];
    let list =
        |nodes: &[NodeId]| format!("{:?}", nodes.iter().map(|node| node.0).collect::<Vec<_>>());
    insta::assert_snapshot!(sets_text(&sets, list), @r"
    active owner sets:
      layout 3: [1, 2]
      layout 2: [2, 3]
      layout 1: [1, 2], flipped, as above
    ");
}
