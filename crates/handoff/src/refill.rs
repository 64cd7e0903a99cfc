//! When a replica that has lost its past may say again that a key is absent
//! ([design 8](../../../docs/design.md#8-what-a-replica-knows)).
//!
//! Invariant: while fewer copies are destroyed than the least W of a put, a replica that is refilled holds
//! every write that was acknowledged by a quorum of its owner set before. Of the W that held it, d < W have
//! lost it, this one among them; W - d are left among the N - d that vote, so that N - W + 1 of those always
//! include one. A node without a vote may be one of the d, and counts for nothing, unless it says that it has
//! lost nothing: that it was not given all before `n` was raised is no loss. Of a write there are W copies
//! among the owners by the N of now; so many of these that fewer than W are left out include one.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::peer::Vouching;

use crate::inbound::OldOwner;

#[cfg(test)]
mod tests;

/// State of a refill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefillStatus {
    /// This node holds all that was acknowledged: it may vote.
    Whole,
    /// These nodes are to be compared with.
    Compare(Vec<NodeId>),
    /// Too few nodes that vote can be reached: these would do, or would once they vote themselves.
    Blocked(Vec<NodeId>),
}

/// Owner set whose past is to be held again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefillSet {
    /// Nodes of the set, this one perhaps among them.
    pub owners: Vec<OldOwner>,
    /// Number of other nodes with a vote that have to be compared with: fewer only where fewer are left that
    /// were not given up.
    pub voters: usize,
    /// Number of other nodes that vote or have lost nothing, which does as well; `None` if no number of those does.
    pub intact: Option<usize>,
}

/// Comparisons so far for the keys of one partition with one N.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refill {
    /// Nodes that voted before the comparison and after it.
    voters: BTreeSet<NodeId>,
    /// Nodes that did not vote, and are not asked again for now.
    others: BTreeSet<NodeId>,
    /// Nodes that had lost nothing before the comparison and after it.
    intact: BTreeSet<NodeId>,
}

impl Refill {
    /// Creates a refill for which nothing has been compared yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a finished comparison, after which this node holds all that the other one did. `vouching`: the
    /// lesser of what that node could say before and after.
    pub fn handle_compared(&mut self, node: NodeId, vouching: Vouching) {
        if vouching == Vouching::Votes || planted::on(Bug::ComparedWithNonVoter) {
            self.others.remove(&node);
            self.voters.insert(node);
        } else if !self.voters.contains(&node) {
            self.others.insert(node);
        }
        if vouching == Vouching::LostNothing {
            self.intact.insert(node);
        }
    }

    /// Has the nodes that had no vote asked once more.
    pub fn ask_again(&mut self) {
        self.others.clear();
    }

    /// Returns the state as seen by `me`. `sets` are the owner sets whose past it has to hold.
    #[must_use]
    pub fn status(&self, me: NodeId, sets: &[RefillSet]) -> RefillStatus {
        let (mut compare, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for set in sets {
            let others = || set.owners.iter().filter(|owner| owner.node != me);
            if self.is_met(set, me) {
                continue;
            }
            let left = |owner: &&OldOwner| !owner.given_up && !self.voters.contains(&owner.node);
            for owner in others().filter(left) {
                missing.insert(owner.node);
                if owner.up && !self.others.contains(&owner.node) {
                    compare.insert(owner.node);
                }
            }
        }
        if !compare.is_empty() {
            RefillStatus::Compare(compare.into_iter().collect())
        } else if missing.is_empty() {
            RefillStatus::Whole
        } else {
            RefillStatus::Blocked(missing.into_iter().collect())
        }
    }

    /// Returns whether enough of the set was compared with.
    fn is_met(&self, set: &RefillSet, me: NodeId) -> bool {
        let others = || set.owners.iter().filter(|owner| owner.node != me);
        let left = others().filter(|owner| !owner.given_up).count();
        let voted = others().filter(|owner| self.voters.contains(&owner.node)).count();
        let is_intact = |node: &NodeId| self.voters.contains(node) || self.intact.contains(node);
        let intact = others().filter(|owner| is_intact(&owner.node)).count();
        voted >= set.voters.min(left) || set.intact.is_some_and(|needed| intact >= needed)
    }
}
