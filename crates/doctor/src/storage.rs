//! Troubles with the storage of a member's shards, and the remedies.

use alloc::format;
use alloc::vec::Vec;

use jedlik_amounts::{age_s, span};
use jedlik_protocol::admin::{ShardTrouble, TroubleKind};

use crate::diagnosis::{Finding, Severity};
use crate::observed::ObservedMember;

/// Returns a finding for each trouble with the storage of one member's shards.
pub(crate) fn findings(member: &ObservedMember, now_ms: u64) -> Vec<Finding> {
    member.troubles.iter().map(|trouble| finding(member.name(), trouble, now_ms)).collect()
}

fn finding(name: &str, trouble: &ShardTrouble, now_ms: u64) -> Finding {
    let ShardTrouble { shard, kind, since_ms, what } = trouble;
    let age = span(age_s(now_ms, *since_ms));
    let (severity, what, blocks, remedy) = match kind {
        TroubleKind::Reopening => (
            Severity::Error,
            format!(
                "the storage of shard {shard} of {name} has failed and is being opened anew: {what}"
            ),
            "this copy of the shard's keys: other nodes answer for it",
            "look at its disk and its log; if it stays so, replace the disk",
        ),
        TroubleKind::SetAside => (
            Severity::Warning,
            format!("shard {shard} of {name} was found damaged and set aside {age} ago: {what}"),
            "nothing once the shard has been given what it lacks by the other owners",
            "look at its disk, and replace it if that happens again; remove the folder when you have \
             seen it",
        ),
        TroubleKind::EarlierCopy => (
            Severity::Note,
            format!(
                "shard {shard} of {name} was an earlier copy and was set aside {age} ago: {what}"
            ),
            "nothing once the shard has been refilled by the other owners",
            "nothing; `jedlik-node inspect-set-aside` lists what is in the folder, if you miss something; \
             remove it when you do not",
        ),
        TroubleKind::FilesGone => (
            Severity::Error,
            format!(
                "a file of shard {shard} of {name} was removed or replaced under the running node {age} ago: {what}"
            ),
            "writes to this copy; what it holds is lost when the node stops",
            "see that the other nodes are up, then restart it: they refill it (with `--new` if nothing is left of its \
             data directory)",
        ),
        TroubleKind::Stalled => (
            Severity::Error,
            format!(
                "the disk of {name} has not finished what shard {shard} asked of it for {age}: {what}"
            ),
            "writes to this copy, and requests that would go through it: others are asked",
            "look at its disk; the shard goes on by itself once the disk does",
        ),
        TroubleKind::Full => (
            Severity::Error,
            format!("the disk of {name} is full for shard {shard}: {what}"),
            "writes to this copy; reads go on",
            "free some room on it; writes go on by themselves then",
        ),
        TroubleKind::ReadOnly => (
            Severity::Error,
            format!("the disk of {name} is read-only for shard {shard}: {what}"),
            "writes to this copy; reads go on",
            "see in the system's log why, and mount it for writing; writes go on by themselves then",
        ),
    };
    Finding { severity, what, blocks: Some(blocks.into()), remedy: remedy.into() }
}
