//! One primary's slot, and the attempt of each node that was asked to keep the version for it.
//!
//! Invariant: an attempt's acknowledgement is kept whatever happens to later requests.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Durability;

/// Time after which a request that failed is sent again, in microseconds; doubled each time.
const RESEND_AFTER_US: u64 = 50_000;
/// Number of failures after which a node is given up.
const FAILURES_LIMIT: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The node is to be asked as soon as nothing else is under way to it.
    Waiting,
    /// A request to the node is under way.
    Asked,
    /// The node is to be asked again at that time.
    Resting { until_us: u64 },
    /// The node has acknowledged at its level.
    Answered,
    /// The node is believed to be down, or failed: it is asked again as a last resort only.
    Failed,
}

/// Attempt of one node to keep the version in a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) node: NodeId,
    /// Durability at which the node is to acknowledge.
    pub(super) level: Durability,
    pub(super) acknowledged: Option<Durability>,
    pub(super) progress: Progress,
    failures: u8,
}

impl Attempt {
    pub(super) fn new(node: NodeId, level: Durability, progress: Progress) -> Self {
        Self { node, level, acknowledged: None, progress, failures: 0 }
    }

    pub(super) fn acknowledge(&mut self, durability: Durability) {
        self.acknowledged = self.acknowledged.max(Some(durability));
        // If the level was raised meanwhile, the node is asked once more.
        let enough = durability >= self.level;
        self.progress = if enough { Progress::Answered } else { Progress::Waiting };
    }

    pub(super) fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.progress = Progress::Failed;
    }

    /// Has the node asked again: after a rest, unless it was never asked.
    pub(super) fn retry(&mut self, now_us: u64) {
        self.progress = match self.failures.checked_sub(1) {
            None => Progress::Waiting,
            Some(before) => Progress::Resting { until_us: now_us + (RESEND_AFTER_US << before) },
        };
    }

    pub(super) fn raise_level(&mut self) {
        self.level = Durability::Synced;
        if self.progress == Progress::Answered {
            self.progress = Progress::Waiting;
        }
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.progress, Progress::Waiting | Progress::Asked | Progress::Resting { .. })
    }

    /// Returns whether the node has acknowledged, or still may.
    pub(super) fn is_serving(&self) -> bool {
        self.acknowledged.is_some() || self.is_active()
    }

    /// Returns whether the node failed, but not so often that it is given up.
    pub(super) fn is_retriable(&self) -> bool {
        self.progress == Progress::Failed && self.failures < FAILURES_LIMIT
    }

    pub(super) fn is_synced(&self) -> bool {
        self.acknowledged == Some(Durability::Synced)
    }

    /// Returns whether the node has synced, or will have if nothing goes wrong.
    pub(super) fn is_syncing(&self) -> bool {
        let under_way = matches!(self.progress, Progress::Waiting | Progress::Asked);
        self.is_synced() || (under_way && self.level == Durability::Synced)
    }

    pub(super) fn may_be_raised(&self) -> bool {
        let reachable =
            matches!(self.progress, Progress::Waiting | Progress::Asked | Progress::Answered);
        reachable && self.level < Durability::Synced
    }
}

/// Attempts to keep the version for one primary, the primary's own first.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) attempts: Vec<Attempt>,
    /// Whether the primary is taken to be away.
    pub(super) away: bool,
}

impl Slot {
    pub(super) fn primary(&self) -> &Attempt {
        &self.attempts[0]
    }

    pub(super) fn is_settled(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.acknowledged.is_some())
    }

    pub(super) fn stand_ins(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().skip(1)
    }

    /// Returns the attempts of the primary and of the stand-ins other than this node.
    pub(super) fn counting(&self, me: NodeId) -> impl Iterator<Item = &Attempt> {
        let stand_ins = self.stand_ins().filter(move |attempt| attempt.node != me);
        core::iter::once(self.primary()).chain(stand_ins)
    }

    /// Returns whether asking the attempt at `index` still serves something. Until the client is answered a
    /// hint here is not enough (W), nor is a stand-in in a primary's place (PW), nor the first answer of a
    /// node whose level was raised (DW).
    pub(super) fn wants(&self, index: usize, answered: bool) -> bool {
        if answered {
            return !self.is_settled();
        }
        let attempt = &self.attempts[index];
        let again = attempt.acknowledged.is_some() || attempt.failures > 0;
        index == 0 || again || self.primary().acknowledged.is_none()
    }
}
