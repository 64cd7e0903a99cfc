//! Words and judgements that the diagnosis shares with the admin tool's commands.
//!
//! Invariant: a member's state is judged here alone, so that no two commands differ about it.

use alloc::format;
use alloc::string::String;

use jedlik_protocol::admin::{ClusterStatus, MemberState, MemberStatus, WorkKind};
use jedlik_protocol::bucket::{BucketEntry, BucketProps};
use jedlik_protocol::gossip::Status;

/// Whether the member will not come back under this identity.
#[must_use]
pub fn is_gone(member: &MemberStatus) -> bool {
    matches!(member.state, MemberState::Left | MemberState::Removed)
}

/// Whether the answering node says of itself that it is away: only a drained node does, since a stopped one says nothing.
#[must_use]
pub fn says_drained(status: &ClusterStatus) -> bool {
    let own = status.members.iter().find(|seen| seen.record.node == status.node);
    own.is_some_and(|own| own.record.status == Status::Away)
}

/// Returns the remedy for a member that is leaving and does not answer: all wait for the data that it holds.
#[must_use]
pub fn leaver_remedy(name: &str) -> String {
    format!(
        "start it, so that it hands on what it holds; if it is lost, give that up: `jedlik-admin \
         cluster remove {name}`, then `cluster plan` and commit"
    )
}

/// Returns a kind of work's name, as its tasks are called.
#[must_use]
pub fn work_name(kind: WorkKind) -> &'static str {
    match kind {
        WorkKind::Handoff => "hints",
        WorkKind::Repair => "repair",
        WorkKind::Collection => "collection",
        WorkKind::Transfer => "transfers",
    }
}

/// Returns the largest N of any bucket: the most members that may own one partition.
#[must_use]
pub fn largest_n(buckets: &[BucketEntry]) -> u8 {
    buckets.iter().map(|bucket| bucket.props.n).fold(BucketProps::default().n, u8::max)
}
