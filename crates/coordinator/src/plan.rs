//! Plans of requests: the preference list as this node sees it, and limits in time.
//!
//! The first N of the list are primaries, the rest are fallbacks: each may stand in for one primary that is
//! away, so that requests go to the first N healthy nodes (paper 4.6).

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;

use crate::tally::Needs;

/// Node of the preference list, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedNode {
    /// Id of the listed node.
    pub node: NodeId,
    /// Whether the node is believed to be up. Of those that are not, only primaries are asked, and only as a
    /// last resort.
    pub alive: bool,
}

/// Plan of a put in one owner set.
#[derive(Debug, Clone)]
pub struct WritePlan {
    /// Id of the coordinator: this node.
    pub me: NodeId,
    /// First N of the preference list, in its order, except that this node comes first if it is among them.
    pub primaries: Vec<ListedNode>,
    /// Rest of the preference list, in its order, except that this node comes first if it is in it.
    pub fallbacks: Vec<ListedNode>,
    /// Acknowledgements without which the put does not succeed.
    pub needs: Needs,
    /// Durability that an acknowledgement stands for in this bucket.
    pub durability: Durability,
    /// Time without an answer from a primary after which a fallback is asked as well, in microseconds.
    pub hedge_after_us: u64,
    /// Time from which on nothing is sent any more, in microseconds on the monotonic clock: the longest that
    /// a version may be under way. Answers still count.
    pub send_until_us: u64,
    /// Time at which the put fails if it has not succeeded, in microseconds on the monotonic clock.
    pub deadline_us: u64,
}

impl WritePlan {
    /// Returns where this node keeps the version from the start.
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

/// Place where a put's coordinator keeps the version from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinatorCopy {
    /// Coordinator's own record: it is a primary.
    Record,
    /// Hint for this primary: the coordinator stands in for it.
    Hint(NodeId),
    /// No place: the coordinator keeps nothing at first.
    Nowhere,
}

/// Plan of a get or a scan in one owner set.
#[derive(Debug, Clone)]
pub struct ReadPlan {
    /// Id of the coordinator: this node.
    pub me: NodeId,
    /// First N of the preference list, in the order in which they are to be asked. Those that are away are in the list's,
    /// by which others stand in for them.
    pub primaries: Vec<ListedNode>,
    /// Rest of the preference list, in its order. A scan asks the first of them that are up while a primary is away.
    pub fallbacks: Vec<ListedNode>,
    /// Primaries that are being sent all that their partition holds. Their answers count like any other's,
    /// but a get does not repair them, and does not ask them for the sake of repairs.
    pub filling: Vec<NodeId>,
    /// Whether a get asks all healthy nodes once it has answered, even if those that it has asked agree. A scan does not
    /// heed it.
    pub compares_all: bool,
    /// Answers without which the request does not succeed.
    pub needs: Needs,
    /// Time after which a get asks one more of the healthy nodes than needed, and each time again, in microseconds. A scan
    /// asks all of them then.
    pub hedge_after_us: u64,
    /// Time without an answer from a primary after which a fallback is asked in its place, in microseconds.
    pub silent_after_us: u64,
    /// Time from which on no repair is sent any more, in microseconds on the monotonic clock: the longest
    /// that a version may be under way.
    pub repair_until_us: u64,
    /// Time at which the request fails if it has not succeeded, in microseconds on the monotonic clock.
    pub deadline_us: u64,
}
