//! When a replica that has lost its past may say again that a key is absent (design 8).
//!
//! Invariant: while fewer copies are destroyed than the least W of a put, a replica that is refilled holds every
//! write that was acknowledged by a quorum of its owner set before. Of the W that held it, d < W have lost it, this
//! one among them; W - d are left among the N - d who vote, so that N - W + 1 of those always include one. Whoever has
//! no vote itself may be one of the d, and counts for nothing.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_vclock::planted::{self, Bug};

use crate::takeover::{OldOwner, OldSet};

#[cfg(test)]
mod tests;

/// How a refill stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefillStanding {
    /// This node holds all that was acknowledged: it may vote.
    Whole,
    /// These are to be compared with.
    Compare(Vec<NodeId>),
    /// Too few that vote can be reached: these would do, or would once they vote themselves.
    Blocked(Vec<NodeId>),
}

/// What has been compared for the keys of one partition with one N.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refill {
    /// Those that voted before the comparison and after it.
    voters: BTreeSet<NodeId>,
    /// Those that did not.
    others: BTreeSet<NodeId>,
}

impl Refill {
    /// Nothing has been compared yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A comparison came to its end, and this node holds all that the other one did. `votes`: that one had a vote
    /// throughout.
    pub fn handle_compared(&mut self, node: NodeId, votes: bool) {
        if votes || planted::on(Bug::ComparedWithNonVoter) {
            self.others.remove(&node);
            self.voters.insert(node);
        } else if !self.voters.contains(&node) {
            self.others.insert(node);
        }
    }

    /// Those that had no vote are asked once more.
    pub fn ask_again(&mut self) {
        self.others.clear();
    }

    /// How it stands, as seen by `me`: `sets` are the owner sets whose past it has to hold.
    #[must_use]
    pub fn standing(&self, me: NodeId, sets: &[OldSet]) -> RefillStanding {
        let (mut compare, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for set in sets {
            let others = || set.owners.iter().filter(|owner| owner.node != me);
            let have = others().filter(|owner| self.voters.contains(&owner.node)).count();
            if have >= needed(set, me) {
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
            RefillStanding::Compare(compare.into_iter().collect())
        } else if missing.is_empty() {
            RefillStanding::Whole
        } else {
            RefillStanding::Blocked(missing.into_iter().collect())
        }
    }
}

/// With how many others of the set: fewer than there are to every quorum only where nodes were given up, or where this
/// node is one of them.
fn needed(set: &OldSet, me: NodeId) -> usize {
    let others = set.owners.iter().filter(|owner| owner.node != me && !owner.given_up).count();
    set.meets_every_quorum().min(others)
}
