//! The nodes to ask for a key, in order (paper 6.4: the client that knows the partitions).
//!
//! Invariant: every known node stands in an order once, so a request runs out of time before it runs
//! out of nodes.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, PartitionCount, Preferences};
use jedlik_protocol::client::Topology;
use jedlik_protocol::{Key, Layout, LayoutId, LayoutVersion};

/// Number of nodes of a partition's preference list that are asked before any other. Asking a node beyond a bucket's N
/// costs one more hop and nothing else.
const PRIMARIES: usize = 3;

/// Address of a node, and the identity that must answer there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Identity that must answer; `None` for a seed before the topology is known.
    pub(crate) node: Option<NodeId>,
    /// Address to dial for the node.
    pub(crate) address: SocketAddr,
}

/// Subject of a request, which decides the nodes that can answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// A key, which its owners answer best.
    Key(&'a Key),
    /// A partition, which its owners answer best.
    Partition(Partition),
    /// Anything that any node knows.
    Any,
    /// Request for one node and no other.
    Node(NodeId),
}

/// One topology, prepared for look-ups.
#[derive(Debug)]
pub(crate) struct Routes {
    topology: Topology,
    /// Identity of the topology's layout; the default before the first commit.
    layout: LayoutId,
    preferences: Option<Preferences>,
}

impl Routes {
    /// Prepares a node's topology. A layout whose ring is invalid is dropped, as if there were no layout.
    pub(crate) fn new(mut topology: Topology) -> Self {
        topology.layout = topology.layout.filter(|layout| layout.ring.check().is_ok());
        let preferences =
            topology.layout.as_ref().map(|layout| Preferences::new(&layout.ring, PRIMARIES));
        let layout = topology.layout.as_ref().map(Layout::id).unwrap_or_default();
        Self { topology, layout, preferences }
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Returns every member as a target of requests.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        let members = self.topology.members.iter();
        members.map(|member| Target { node: Some(member.node), address: member.address })
    }

    /// Returns the version of the layout; 0 before the first commit.
    pub(crate) fn layout_version(&self) -> LayoutVersion {
        self.layout.version
    }

    pub(crate) fn partitions(&self) -> Option<PartitionCount> {
        self.topology.layout.as_ref().map(|layout| layout.ring.partitions())
    }

    /// Whether `newer` should replace these routes. The same layout may bring newer addresses.
    pub(crate) fn gives_way_to(&self, newer: &Self) -> bool {
        newer.layout >= self.layout
    }

    /// Returns every node in the order in which to ask: suspect nodes and nodes reported down come last; among equals
    /// the owners come first, in the preference list's order. `turn` rotates the other nodes, to spread the load.
    pub(crate) fn order(
        &self,
        route: Route<'_>,
        turn: usize,
        is_suspect: impl Fn(Target) -> bool,
    ) -> Vec<Target> {
        let owners = self.owners(route);
        let members = &self.topology.members;
        let rank = |node: NodeId, index: usize| match owners.iter().position(|own| *own == node) {
            Some(place) => (0, place),
            None => (1, (index + members.len() - turn % members.len().max(1)) % members.len()),
        };
        let mut order: Vec<_> = members
            .iter()
            .enumerate()
            .filter(|(_, member)| !matches!(route, Route::Node(only) if only != member.node))
            .map(|(index, member)| {
                let target = Target { node: Some(member.node), address: member.address };
                ((is_suspect(target), !member.alive, rank(member.node, index)), target)
            })
            .collect();
        order.sort_by_key(|(place, _)| *place);
        order.into_iter().map(|(_, target)| target).collect()
    }

    fn owners(&self, route: Route<'_>) -> &[NodeId] {
        let (Some(preferences), Some(partitions)) = (&self.preferences, self.partitions()) else {
            return &[];
        };
        match route {
            Route::Key(key) => {
                preferences.of(partitions.partition(key.position(self.topology.cluster)))
            }
            Route::Partition(partition) if partition.0 < partitions.get() => {
                preferences.of(partition)
            }
            Route::Partition(_) | Route::Any | Route::Node(_) => &[],
        }
    }
}
