//! When a new owner of a partition holds all that the older owners do
//! ([design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariant: all that was acknowledged by a quorum of an older owner set is at a node that has been compared
//! with and holds all that it acknowledged, because N - Q + 1 of the set's nodes meet every quorum of it, Q
//! being the smallest with which a put or a get succeeds; and no node that can be reached is left out.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};

#[cfg(test)]
mod tests;

/// Node of an older owner set, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldOwner {
    /// Id of the old owner.
    pub node: NodeId,
    /// Whether the node is taken to be up.
    pub up: bool,
    /// Whether the node was removed by force: what it holds is given up.
    pub given_up: bool,
}

/// Older active owner set, for keys with N replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSet {
    /// Number of replicas, N.
    pub n: u8,
    /// Smallest quorum that has to be met: of puts, and where partitions move of gets too.
    pub least_quorum: u8,
    /// First N nodes of the set's preference list.
    pub owners: Vec<OldOwner>,
    /// Whether this node holds all that it acknowledged, so that it counts where it is an owner of the set.
    pub counts_me: bool,
}

/// State of an inbound transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundStatus {
    /// This node holds all that was acknowledged.
    Ready,
    /// These nodes are to be compared with, each for keys with so many replicas.
    Compare(Vec<(u8, NodeId)>),
    /// Too few nodes can be reached, or hold all that they acknowledged: these would do.
    Blocked(Vec<NodeId>),
}

/// Transfer of one partition to this node, which is to own it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundTransfer {
    compared: BTreeSet<(u8, NodeId)>,
    /// Nodes compared with that have lost some of what they acknowledged: they count for nothing.
    in_doubt: BTreeSet<(u8, NodeId)>,
}

impl InboundTransfer {
    /// Creates a transfer for which nothing has been compared yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a finished comparison under the newest layout, after which each side has what the other had.
    /// `votes`: the other node held all that it acknowledged, throughout.
    pub fn handle_compared(&mut self, n: u8, node: NodeId, votes: bool) {
        if votes || planted::on(Bug::ComparedWithNonVoter) {
            self.in_doubt.remove(&(n, node));
            self.compared.insert((n, node));
        } else if !self.compared.contains(&(n, node)) {
            self.in_doubt.insert((n, node));
        }
    }

    /// Has the nodes that did not count compared with once more.
    pub fn ask_again(&mut self) {
        self.in_doubt.clear();
    }

    /// Returns the state as seen by `me`, which counts where it is an old owner itself.
    #[must_use]
    pub fn status(&self, me: NodeId, sets: &[OldSet]) -> InboundStatus {
        if planted::on(Bug::OneOldOwnerCompared) && !self.compared.is_empty() {
            return InboundStatus::Ready;
        }
        let (mut compare, mut missing) = (Vec::new(), Vec::new());
        for set in sets {
            let is_compared = |owner: &OldOwner| match owner.node == me {
                true => set.counts_me,
                false => self.compared.contains(&(set.n, owner.node)),
            };
            let left = set.owners.iter().filter(|owner| !is_compared(owner));
            let reachable = |owner: &&OldOwner| {
                owner.up
                    && !owner.given_up
                    && owner.node != me
                    && !self.in_doubt.contains(&(set.n, owner.node))
            };
            for owner in left.clone().filter(reachable) {
                if !compare.contains(&(set.n, owner.node)) {
                    compare.push((set.n, owner.node));
                }
            }
            let have = set.owners.iter().filter(|owner| is_compared(owner)).count();
            if have < set.needed() {
                missing.extend(left.filter(|owner| !owner.given_up).map(|owner| owner.node));
            }
        }
        if !compare.is_empty() {
            InboundStatus::Compare(compare)
        } else if missing.is_empty() {
            InboundStatus::Ready
        } else {
            missing.sort_unstable();
            missing.dedup();
            InboundStatus::Blocked(missing)
        }
    }
}

impl OldSet {
    /// Returns how many of the set have to be compared with: fewer only where nodes were given up.
    fn needed(&self) -> usize {
        let left = self.owners.iter().filter(|owner| !owner.given_up).count();
        self.meets_every_quorum().min(left)
    }

    /// Returns N - Q + 1: so many of the set meet every quorum of Q of it.
    fn meets_every_quorum(&self) -> usize {
        let count = self.owners.len();
        count + 1 - usize::from(self.least_quorum).clamp(1, count.max(1))
    }
}
