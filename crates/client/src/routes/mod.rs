//! The nodes to ask for a key, in their order (paper 6.4: the client that knows the partitions).
//!
//! Invariant: every known node stands in an order once, so a request runs out of time before it runs
//! out of nodes.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use jedlik_hashing::{NodeId, Partition, PartitionCount, Preferences};
use jedlik_protocol::client::Topology;
use jedlik_protocol::{Key, Layout, LayoutId, LayoutVersion};

/// How many of a partition's preference list are asked before any other node. Asking a node beyond a
/// bucket's own N costs one hop more, nothing else.
const PRIMARIES: usize = 3;

/// A node as requests go to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// The node that must answer there; `None` for a seed before the topology is known.
    pub(crate) node: Option<NodeId>,
    /// The address to dial.
    pub(crate) address: SocketAddr,
}

/// The subject of a request, as far as its way is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// A key: best taken to its owners.
    Key(&'a Key),
    /// A partition: the same.
    Partition(Partition),
    /// Anything any node knows.
    Any,
    /// One node and no other.
    Node(NodeId),
}

/// One topology, made ready for look-ups.
#[derive(Debug)]
pub(crate) struct Routes {
    topology: Topology,
    /// Of the topology's layout; the default before the first commit.
    layout: LayoutId,
    preferences: Option<Preferences>,
}

impl Routes {
    /// Takes what a node said; a layout whose ring is none is left out, as if there were no layout.
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

    /// Every member, as requests go to it.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        let members = self.topology.members.iter();
        members.map(|member| Target { node: Some(member.node), address: member.address })
    }

    /// 0 before the first commit.
    pub(crate) fn layout_version(&self) -> LayoutVersion {
        self.layout.version
    }

    pub(crate) fn partitions(&self) -> Option<PartitionCount> {
        self.topology.layout.as_ref().map(|layout| layout.ring.partitions())
    }

    /// Whether `newer` should take this one's place: the same layout brings newer addresses.
    pub(crate) fn gives_way_to(&self, newer: &Self) -> bool {
        newer.layout >= self.layout
    }

    /// Every node in the order in which to ask: those that are suspect and those that are said to be down
    /// after all others, and among equals the owners first, in the preference list's order.
    /// `turn` spreads what any node can answer.
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
