//! What a request is to do: the preference list as this node sees it, and its limits in time.
//!
//! The first N of the list are primaries, the rest are fallbacks: each may stand in for one primary
//! that is away, so that requests go to the first N healthy nodes (paper 4.6).

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;

use crate::tally::Needs;

/// A node of the preference list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedNode {
    /// Who.
    pub node: NodeId,
    /// Believed to be up; of the others only primaries are asked, and only as a last resort.
    pub alive: bool,
}

/// What a put is to do.
#[derive(Debug, Clone)]
pub struct WritePlan {
    /// This node.
    pub me: NodeId,
    /// The first N of the preference list, in its order, except that this node comes first if it is
    /// one.
    pub primaries: Vec<ListedNode>,
    /// The rest of the list in order; this node first if it is one.
    pub fallbacks: Vec<ListedNode>,
    /// When it may answer.
    pub needs: Needs,
    /// What an acknowledgement means in this bucket.
    pub durability: Durability,
    /// How long a primary may be silent before a fallback is asked as well, in microseconds.
    pub hedge_after_us: u64,
    /// Nothing is sent from then on (the longest that a version may be under way), though answers
    /// still count. On the monotonic clock.
    pub send_until_us: u64,
    /// When to give up, on the monotonic clock.
    pub deadline_us: u64,
}

impl WritePlan {
    /// Where this node keeps the version from the start.
    #[must_use]
    pub fn coordinator_copy(&self) -> CoordinatorCopy {
        if self.primaries.iter().any(|listed| listed.node == self.me) {
            return CoordinatorCopy::Record;
        }
        let before = self.fallbacks.iter().filter(|listed| listed.alive);
        let before = before.take_while(|listed| listed.node != self.me).count();
        let mut away = self.primaries.iter().filter(|listed| !listed.alive);
        away.nth(before).map_or(CoordinatorCopy::Nowhere, |away| CoordinatorCopy::Hint(away.node))
    }
}

/// Where a put's coordinator keeps the version from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinatorCopy {
    /// It is a primary: in its own record.
    Record,
    /// It stands in for this primary: in that hint.
    Hint(NodeId),
    /// It keeps nothing at first.
    Nowhere,
}

/// What a get or scan is to do.
#[derive(Debug, Clone)]
pub struct ReadPlan {
    /// This node.
    pub me: NodeId,
    /// The first N of the preference list, in its order, except that this node comes first if it is
    /// one.
    pub primaries: Vec<ListedNode>,
    /// The rest of the list in order. A scan hears the first of them that are up while a primary is away.
    pub fallbacks: Vec<ListedNode>,
    /// Primaries that are being sent all that their partition holds: their answers count as every
    /// other's, but a get does not repair them, nor ask them for nothing else.
    pub filling: Vec<NodeId>,
    /// When it may answer.
    pub needs: Needs,
    /// How long to wait before asking more of the healthy nodes than needed, in microseconds.
    pub hedge_after_us: u64,
    /// How long a primary may be silent before a fallback is asked in its place, in microseconds.
    pub silent_after_us: u64,
    /// No repair is sent from then on (the longest that a version may be under way), on the monotonic
    /// clock.
    pub repair_until_us: u64,
    /// When to give up, on the monotonic clock.
    pub deadline_us: u64,
}
