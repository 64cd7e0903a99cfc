//! When a replica that has lost its past may say again that a key is absent ([design 8](../../../docs/design.md#8-what-a-replica-knows)).
//!
//! Invariant: while fewer copies are destroyed than the least W of a put, a replica that is refilled holds every
//! write that was acknowledged by a quorum of its owner set before. Of the W that held it, d < W have lost it, this
//! one among them; W - d are left among the N - d who vote, so that N - W + 1 of those always include one. Whoever has
//! no vote itself may be one of the d, and counts for nothing, unless it says that it has lost nothing: that it was not
//! given all before `n` was raised is no loss. Of a write there are W copies among the owners by the N of now; so many of
//! these that fewer than W are left out include one.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::peer::Vouching;
use jedlik_vclock::planted::{self, Bug};

use crate::inbound::OldOwner;

#[cfg(test)]
mod tests;

/// Where a refill stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefillStatus {
    /// This node holds all that was acknowledged: it may vote.
    Whole,
    /// These are to be compared with.
    Compare(Vec<NodeId>),
    /// Too few that vote can be reached: these would do, or would once they vote themselves.
    Blocked(Vec<NodeId>),
}

/// Owners whose past is to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefillSet {
    /// The nodes.
    pub owners: Vec<OldOwner>,
    /// So many of the others that vote are to be compared with: fewer only where there are fewer that are not given up.
    pub voters: usize,
    /// So many of the others do as well that vote or have lost nothing; `None` if no number of those does.
    pub intact: Option<usize>,
}

/// What has been compared for the keys of one partition with one N.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refill {
    /// Those that voted before the comparison and after it.
    voters: BTreeSet<NodeId>,
    /// Those that did not, and are not asked again for now.
    others: BTreeSet<NodeId>,
    /// Those that had lost nothing before the comparison and after it.
    intact: BTreeSet<NodeId>,
}

impl Refill {
    /// Nothing has been compared yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A comparison came to its end, and this node holds all that the other one did. `vouching`: what that one could say
    /// throughout.
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

    /// Those that had no vote are asked once more.
    pub fn ask_again(&mut self) {
        self.others.clear();
    }

    /// How it stands, as seen by `me`: `sets` are the owner sets whose past it has to hold.
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

    /// Whether it was compared with enough of the set.
    fn is_met(&self, set: &RefillSet, me: NodeId) -> bool {
        let others = || set.owners.iter().filter(|owner| owner.node != me);
        let left = others().filter(|owner| !owner.given_up).count();
        let voted = others().filter(|owner| self.voters.contains(&owner.node)).count();
        let is_intact = |node: &NodeId| self.voters.contains(node) || self.intact.contains(node);
        let intact = others().filter(|owner| is_intact(&owner.node)).count();
        voted >= set.voters.min(left) || set.intact.is_some_and(|needed| intact >= needed)
    }
}
