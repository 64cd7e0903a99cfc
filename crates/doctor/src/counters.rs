//! Counters that should be zero, and the meaning of each that is not.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;

use jedlik_amounts::{count, span};

use crate::diagnosis::{Finding, Severity};
use crate::observed::ObservedMember;

/// Fault that one counter shows, or several with the same meaning.
struct Fault {
    counters: &'static [&'static str],
    severity: Severity,
    /// Noun for the counted events, as it stands in the finding.
    nouns: &'static str,
    blocks: Option<&'static str>,
    remedy: &'static str,
}

const FAULTS: [Fault; 6] = [
    Fault {
        counters: &["journal_failures"],
        severity: Severity::Error,
        nouns: "failed writes to its journal",
        blocks: Some("the writes that were to be in them: they count as not acknowledged by it"),
        remedy: "look at its disk and its log; free some room if the disk is full",
    },
    Fault {
        counters: &["storage_reopenings"],
        severity: Severity::Warning,
        nouns: "failures after which a shard's storage was opened anew",
        blocks: None,
        remedy: "look at its disk and its log, and replace the disk if that happens again: nothing that was \
                 acknowledged is lost",
    },
    Fault {
        counters: &["flush_failures"],
        severity: Severity::Error,
        nouns: "failed flushes into its engine",
        blocks: Some("the journal's old segments: they stay, and the disk fills up"),
        remedy: "look at its disk and its log; free some room if the disk is full",
    },
    Fault {
        counters: &["hints_refused"],
        severity: Severity::Error,
        nouns: "hints refused for want of room",
        blocks: Some("writes for members that are away: they find one node less to stand in"),
        remedy: "free some room on its disk, or bring the targets of its hints back",
    },
    Fault {
        counters: &["damaged_reads", "damaged_records"],
        severity: Severity::Warning,
        nouns: "records found that fail their checksum",
        blocks: None,
        remedy: "look at its disk; the records come back from the other owners, `jedlik-admin \
                 repair` does it now",
    },
    Fault {
        counters: &["truncated_entries"],
        severity: Severity::Warning,
        nouns: "clock entries truncated past the limit",
        blocks: Some("nothing, but versions that a put had replaced may come back as siblings"),
        remedy: "bring members that are away back, so that clocks can be pruned; see whether clients \
                 write one key through many nodes",
    },
];

/// Warns of a member without votes for some of its partitions.
pub(crate) fn refilling(member: &ObservedMember) -> Option<Finding> {
    let partitions = member.counter("refilling_partitions");
    let name = member.name();
    (partitions > 0).then(|| Finding {
        severity: Severity::Warning,
        what: format!(
            "{name} is refilling {}: it holds less of them than it once acknowledged, or was to be given",
            count(partitions, "partition")
        ),
        blocks: Some(
            "what it lacks is not taken for absent: gets ask the other owners, and are Unavailable where too few \
             of those can say"
                .into(),
        ),
        remedy: format!(
            "wait, and bring back members that are away: it is compared with the other owners. If those that would \
             know are lost for good, `jedlik-admin node believe {} --accept-loss {partitions}` gives up what it \
             lacks",
            member.handle
        ),
    })
}

/// Returns the findings from one member's counters.
pub(crate) fn findings(member: &ObservedMember) -> Vec<Finding> {
    let counted = |fault: &Fault| {
        fault.counters.iter().map(|name| member.counter(name)).max().filter(|count| *count > 0)
    };
    FAULTS
        .iter()
        .filter_map(|fault| {
            let (name, times) = (member.name(), counted(fault)?);
            let since = span(member.counter("uptime_s"));
            Some(Finding {
                severity: fault.severity,
                what: format!("{name} has {}: {times} since its start {since} ago", fault.nouns),
                blocks: fault.blocks.map(str::to_owned),
                remedy: fault.remedy.into(),
            })
        })
        .chain(unsaved(member))
        .chain(clashing(member))
        .collect()
}

/// Reports a disk that does not take the member's view of the cluster.
fn unsaved(member: &ObservedMember) -> Option<Finding> {
    let for_s = member.counter("state_unsaved_s");
    (for_s > 0).then(|| {
        Finding {
        severity: Severity::Error,
        what: format!(
            "{} has been unable to save what it knows of the cluster for {}",
            member.name(),
            span(for_s)
        ),
        blocks: Some(
            "changes that an admin makes through it, and transfers under layouts that it can't save"
                .into(),
        ),
        remedy: "look at its disk and its log; free some room if the disk is full".into(),
    }
    })
}

/// Warns of records that are too large to be merged with another member's.
fn clashing(member: &ObservedMember) -> Option<Finding> {
    let keys = member.counter("clashing_records");
    (keys > 0).then(|| Finding {
        severity: Severity::Warning,
        what: format!(
            "{} holds {} whose record and another member's are over the largest size together",
            member.name(),
            count(keys, "key")
        ),
        blocks: Some(
            "nothing is lost: both keep what they hold, and gets show the versions of both in parts; but tombstones \
             of the partition stay, and a transfer of it does not end"
                .into(),
        ),
        remedy: "its log names keys: get each and put what is to stay, with the context, until a get shows all"
            .into(),
    })
}
