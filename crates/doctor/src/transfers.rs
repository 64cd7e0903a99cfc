//! Obstacles to the transfers of partitions.

use alloc::format;
use alloc::vec::Vec;

use crate::diagnosis::{Finding, Severity};
use crate::observed::{Observed, ObservedMember};

/// Reports transfers that wait. While every member answers, they go on by themselves; one that waits for a member that
/// is down may wait for ever.
pub(crate) fn held_up(observed: &Observed, member: &ObservedMember) -> Vec<Finding> {
    let passes = observed.absent().next().is_none();
    let severity = if passes { Severity::Note } else { Severity::Warning };
    let reports = member.transfers.iter();
    let waits = reports.flat_map(|report| &report.blockers).map(|why| Finding {
        severity,
        what: format!("partitions of {} wait: {why}", member.name()),
        blocks: Some(
            "requests have to reach their quorums among old owners and new ones, and copies too many stay"
                .into(),
        ),
        remedy: "what is said there; `jedlik-admin cluster wait` shows how it goes on".into(),
    });
    waits.collect()
}
