//! The nodes that serve a key now, as Riak's preference lists show them.
//!
//! Invariant: the list has the key's N nodes at most, a node once, and nobody whom the answering node takes to be down.

use jedlik_protocol::Key;
use jedlik_protocol::client::{MemberAddress, Topology};

/// Node that serves a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number of the key's partition.
    pub partition: u32,
    /// Name of the node, from its certificate.
    pub node: String,
    /// Whether the node is one of the key's own N, and stands in for nobody.
    pub primary: bool,
}

/// Returns the nodes that serve a key in a bucket with this N; `None` before the cluster has a layout.
#[must_use]
pub fn of(topology: &Topology, key: &Key, n: u8) -> Option<Vec<Entry>> {
    let ring = &topology.layout.as_ref()?.ring;
    let partition = ring.partitions().partition(key.position(topology.cluster));
    let ranked = ring.preference_list(partition).into_iter().enumerate();
    let alive = ranked.filter_map(|(rank, node)| {
        let is_it = |member: &&MemberAddress| member.node == node && member.alive;
        Some((rank, topology.members.iter().find(is_it)?))
    });
    let entry = |(rank, member): (usize, &MemberAddress)| Entry {
        partition: partition.0,
        node: member.name.clone(),
        primary: rank < usize::from(n),
    };
    Some(alive.take(usize::from(n)).map(entry).collect())
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::{NodeId, PartitionCount, RingNode, plan_first};
    use jedlik_protocol::client::{MemberAddress, Topology};
    use jedlik_protocol::{ClusterId, Key, Layout, LayoutId};

    use super::of;

    fn topology(down: &[u64]) -> Topology {
        let node = |id| RingNode { node: NodeId(id), zone: format!("z{id}"), weight: 1 };
        let ring = plan_first((1..=4).map(node).collect(), PartitionCount::new(16).unwrap(), 3);
        let layout = Layout {
            version: 1,
            parent: LayoutId::default(),
            ring: ring.unwrap(),
            departed: Vec::new(),
        };
        let member = |id| MemberAddress {
            node: NodeId(id),
            name: format!("n{id}"),
            address: "127.0.0.1:1".parse().unwrap(),
            alive: !down.contains(&id),
        };
        let members = (1..=4).map(member).collect();
        Topology { cluster: ClusterId(7), layout: Some(layout), members }
    }

    #[test]
    fn a_node_that_is_down_is_stood_in_for() {
        let key = Key::new("carts", "alice").unwrap();
        let all = of(&topology(&[]), &key, 3).unwrap();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|entry| entry.primary && entry.partition == all[0].partition));

        let down: u64 = all[0].node[1..].parse().unwrap();
        let without = of(&topology(&[down]), &key, 3).unwrap();
        let names = |entries: &[super::Entry]| -> Vec<(String, bool)> {
            entries.iter().map(|entry| (entry.node.clone(), entry.primary)).collect()
        };
        let (without, all) = (names(&without), names(&all));
        assert_eq!(without[..2], all[1..]);
        assert!(!without[2].1 && !all.contains(&(without[2].0.clone(), true)), "{without:?}");
        assert_eq!(of(&Topology { layout: None, ..topology(&[]) }, &key, 3), None);
    }
}
