//! The quorum arithmetic: what a request needs, what it has, and whether it can still get there.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::peer::Doubt;

/// Counts that a request must reach to succeed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Answers in all: R or W.
    pub answers: u8,
    /// Answers from primaries: PR or PW.
    pub primaries: u8,
    /// Acknowledgements that the version is on disk: DW.
    pub synced: u8,
}

/// Counts that a request has reached, or may still reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers that count, of primaries and stand-ins.
    pub answers: u8,
    /// Answers that count, of primaries alone.
    pub primaries: u8,
    /// Acknowledgements that the version is on disk.
    pub synced: u8,
}

impl Tally {
    /// Counts one answer: `primary` if it is a primary's, `synced` if it says that the version is on disk.
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

/// State of a request's quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QuorumStatus {
    /// The needs are met.
    Reached,
    /// The needs may still be met.
    Pending,
    /// The needs can't be met any more.
    Impossible,
}

/// Judges a request by what it has (`have`) and by what it would have if every replica that may still answer
/// did (`at_best`).
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

/// Reason why a request did not reach its needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// Counts that the request needed.
    pub needs: Needs,
    /// Counts that the request had reached when it failed.
    pub had: Tally,
    /// Whether time ran out; otherwise too few replicas could be reached.
    pub timed_out: bool,
    /// Replicas that answered a get or a scan without being able to say what is absent, and why.
    pub in_doubt: Vec<(NodeId, Doubt)>,
    /// Number of fallbacks that hold nothing. They do not count, since no node that counts holds anything either.
    pub nothing_at_fallbacks: u8,
}
