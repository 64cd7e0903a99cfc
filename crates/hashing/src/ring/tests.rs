//! Holders of tokens and lists, and rings that are refused.

use alloc::string::ToString;
use alloc::vec;

use super::*;

/// Returns a ring of nodes 0, 1, ... in the given zones, with the given tokens.
pub(crate) fn ring(zones: &[&str], tokens: &[u16]) -> Ring {
    let node = |(index, zone): (usize, &&str)| RingNode {
        node: NodeId(index as u64),
        zone: zone.to_string(),
        weight: 1,
    };
    Ring {
        partitions: PartitionCount::new(tokens.len() as u32).unwrap(),
        nodes: zones.iter().enumerate().map(node).collect(),
        tokens: tokens.to_vec(),
    }
}

#[test]
fn a_ring_tells_who_holds_what() {
    let ring = ring(&["a", "b"], &[1, 0, 1, 1]);
    assert_eq!(ring.token_holder(Partition(1)), NodeId(0));
    assert_eq!(ring.token_holder(Partition(3)), NodeId(1));
    assert_eq!([0, 1, 2].map(|node| ring.tokens_of(NodeId(node))), [1, 3, 0]);
    assert_eq!(ring.node(NodeId(1)).map(|node| node.zone.as_str()), Some("b"));
    assert_eq!(ring.node(NodeId(2)), None);
    assert_eq!(ring.check(), Ok(()));
}

#[test]
fn a_damaged_ring_is_named_by_its_first_fault() {
    let good = ring(&["a", "b"], &[0, 1]);
    type Damage = fn(&mut Ring);
    let cases: [(Damage, RingError); 6] = [
        (|ring| ring.nodes.clear(), RingError::Nodes { count: 0 }),
        (|ring| ring.nodes[1].node = NodeId(0), RingError::Duplicate { node: NodeId(0) }),
        (|ring| ring.nodes[1].weight = 0, RingError::ZeroWeight { node: NodeId(1) }),
        (|ring| ring.tokens.truncate(1), RingError::TokenCount { tokens: 1, partitions: 2 }),
        (
            |ring| ring.tokens[1] = 2,
            RingError::TokenOfNobody { partition: Partition(1), index: 2, nodes: 2 },
        ),
        (
            |ring| ring.nodes = (0..=NODES_MAX as u64).map(numbered).collect(),
            RingError::Nodes { count: NODES_MAX + 1 },
        ),
    ];
    for (damage, error) in cases {
        let mut damaged = good.clone();
        damage(&mut damaged);
        assert_eq!(damaged.check(), Err(error));
    }
}

#[test]
fn a_number_of_partitions_that_no_shift_can_hold_is_refused() {
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&PartitionCount::DEFAULT).unwrap();
    assert_eq!(&bytes[..], [8]);
    let partitions = rkyv::from_bytes::<PartitionCount, rkyv::rancor::Error>(&[200]).unwrap();
    let damaged = Ring { partitions, nodes: vec![numbered(1)], tokens: vec![0] };
    assert_eq!(damaged.check(), Err(RingError::Partitions));
}

fn numbered(node: u64) -> RingNode {
    RingNode { node: NodeId(node), zone: String::new(), weight: 1 }
}
