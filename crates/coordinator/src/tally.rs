//! The quorum arithmetic: what a request needs, what it has, and whether it can still get there.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::peer::Doubt;

/// What must be reached before the request succeeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Answers in all: R or W.
    pub answers: u8,
    /// Answers from primaries: PR or PW.
    pub primaries: u8,
    /// Answers that say "on disk": DW.
    pub synced: u8,
}

/// What a request has reached, or may still reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers in all.
    pub answers: u8,
    /// Answers from primaries.
    pub primaries: u8,
    /// Answers that say "on disk".
    pub synced: u8,
}

impl Tally {
    /// Counts one answer.
    pub fn add(&mut self, primary: bool, synced: bool) {
        self.answers += 1;
        self.primaries += u8::from(primary);
        self.synced += u8::from(synced);
    }

    fn meets(self, needs: Needs) -> bool {
        self.answers >= needs.answers
            && self.primaries >= needs.primaries
            && self.synced >= needs.synced
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuorumStatus {
    /// The needs are met.
    Reached,
    /// They may still be met.
    Pending,
    /// They can't be met any more.
    Impossible,
}

/// Judges a request by what it has (`have`) and by what it would have if every replica that may
/// still answer did (`at_best`).
#[must_use]
pub(crate) fn quorum_status(needs: Needs, have: Tally, at_best: Tally) -> QuorumStatus {
    if have.meets(needs) {
        QuorumStatus::Reached
    } else if at_best.meets(needs) {
        QuorumStatus::Pending
    } else {
        QuorumStatus::Impossible
    }
}

/// Why a request did not reach its needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// What it needed.
    pub needs: Needs,
    /// What it had.
    pub had: Tally,
    /// Time ran out; otherwise too few replicas could be reached.
    pub timed_out: bool,
    /// Replicas that answered a get without being able to say whether the key is absent, and why.
    pub in_doubt: Vec<(NodeId, Doubt)>,
    /// Fallbacks that hold nothing: they do not count, since nobody who does holds anything either.
    pub nothing_at_fallbacks: u8,
}
