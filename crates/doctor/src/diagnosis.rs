//! The diagnosis: from observations to findings.
//!
//! Invariant: pure, so that each rule is a table; errors stand before warnings, and warnings before notes.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_amounts::{age_s, bytes, count, span};
use jedlik_protocol::admin::{HintReport, WorkKind};

use crate::observed::{Observed, ObservedMember};
use crate::words::{leaver_remedy, work_name};
use crate::{counters, drained, names, settings, storage, transfers};

/// Size of the hints on one member above which a warning is due.
pub(crate) const HINT_WARNING_BYTES: u64 = 1 << 30;

/// Deviation of a clock from the members' above which it counts as wrong; delays of messages are smaller.
const CLOCK_WARNING_MS: u64 = 2_000;

/// Importance of a finding; errors sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something does not work now.
    Error,
    /// Something will stop working unless somebody acts.
    Warning,
    /// Nothing is wrong, but worth knowing.
    Note,
}

impl Severity {
    /// Returns the name of the importance, as it is displayed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// One finding of the diagnosis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Importance of the finding.
    pub severity: Severity,
    /// Description of what is wrong.
    pub what: String,
    /// Consequences: work that can't go on; `None` if there are none.
    pub blocks: Option<String>,
    /// Advice on what to do.
    pub remedy: String,
}

/// Returns all findings, the most severe first.
#[must_use]
pub fn diagnose(observed: &Observed) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    findings.extend(observed.absent().map(|member| absent(observed, member)));
    findings.extend(observed.present().flat_map(|member| seen_down(observed, member)));
    findings.extend(observed.members.iter().filter_map(|member| rival(observed, member)));
    findings.extend(names::equal(observed));
    findings.extend(layout(observed));
    findings.extend(too_few(observed));
    findings.extend(settings::message_life(observed));
    for member in observed.present() {
        findings.extend(drained::drained(observed, member));
        findings.extend(wrong_clock(member));
        findings.extend(unanswered(member));
        findings.extend(stuck_hints(observed, member));
        findings.extend(large_hints(member));
        findings.extend(paused(member));
        findings.extend(repairs(member));
        findings.extend(transfers::held_up(observed, member));
        findings.extend(counters::refilling(member));
        findings.extend(counters::findings(member));
        findings.extend(storage::findings(member, observed.now_ms));
    }
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Reports a member that does not answer.
fn absent(observed: &Observed, absent: &ObservedMember) -> Finding {
    let node = absent.member.node;
    let (name, handle, address) = (absent.name(), &absent.handle, absent.member.address);
    let why = absent.failures.first().map(|why| format!(" ({why})")).unwrap_or_default();
    let mut blocks =
        "tombstones are not collected and clocks not pruned while it is away".to_owned();
    let (mut keys, mut size) = (0, 0);
    for (_, hint) in observed.hints_for(node) {
        (keys, size) = (keys + hint.count, size + hint.bytes);
    }
    if keys > 0 {
        blocks += &format!("; {} of {} wait for it in hints", count(keys, "key"), bytes(size));
    }
    if observed.is_leaving(node) {
        blocks += "; it has not handed on all that it holds";
        let what = format!("{name} ({address}) is leaving and does not answer{why}");
        let remedy = leaver_remedy(handle);
        return Finding { severity: Severity::Error, what, blocks: Some(blocks), remedy };
    }
    if observed.is_outside(node) {
        let what =
            format!("{name} ({address}) has no place in the layout and does not answer{why}");
        let remedy = format!(
            "start it and join it, or have the cluster forget it: `jedlik-admin cluster remove {handle}`, then plan and commit"
        );
        return Finding { severity: Severity::Warning, what, blocks: Some(blocks), remedy };
    }
    let (severity, what) = if observed.is_away(node) {
        (Severity::Warning, format!("{name} ({address}) was stopped"))
    } else {
        (Severity::Error, format!("{name} ({address}) does not answer{why}"))
    };
    let remedy = format!(
        "start it, or see in its log why it does not run; its hints reach it then (`jedlik-admin \
         hints --wait`). If its disk is lost, start it on an empty data directory with `--new`: {name} \
         is filled from the others"
    );
    Finding { severity, what, blocks: Some(blocks), remedy }
}

/// Reports a calendar clock that differs from the members' agreed time.
fn wrong_clock(member: &ObservedMember) -> Option<Finding> {
    let status = member.status.as_ref()?;
    let apart_ms = status.clock_ms.abs_diff(status.agreed_ms);
    let way = if status.clock_ms > status.agreed_ms { "ahead of" } else { "behind" };
    (apart_ms >= CLOCK_WARNING_MS).then(|| Finding {
        severity: Severity::Warning,
        what: format!(
            "the clock of {} is {} {way} what the members' clocks agree on",
            member.name(),
            span(apart_ms / 1_000)
        ),
        blocks: Some(
            "nothing while most clocks are right: what is written and what expires goes by what they agree \
             on"
                .into(),
        ),
        remedy: "set the clock of its machine, and have it kept right (NTP)".into(),
    })
}

/// Reports a member whose identity another process has, or has had.
fn rival(observed: &Observed, member: &ObservedMember) -> Option<Finding> {
    let name = member.name();
    let views = observed.views_of(member.member.node);
    let (record, rival) =
        views.into_iter().find_map(|(_, seen)| Some((&seen.record, seen.record.life.rival?)))?;
    let (one, other) = (record.address, rival.address);
    Some(Finding {
        severity: Severity::Error,
        what: format!(
            "two processes run or have run under {name}'s identity, at {one} and at {other}"
        ),
        blocks: Some(
            "neither carries out what clients ask, nothing is taken from either, and tombstones are not \
             collected"
                .into(),
        ),
        remedy: format!(
            "say which one stays: `jedlik-admin node keep {} --address HOST:PORT`; the other one \
             ends, and {name} is refilled from the others",
            member.handle
        ),
    })
}

/// Warns of a member that answers, while others take it to be down. A drained one is away by an admin's wish.
fn seen_down(observed: &Observed, member: &ObservedMember) -> Option<Finding> {
    if member.is_drained() {
        return None;
    }
    let node = member.member.node;
    let views =
        observed.views_of(node).filter(|(viewer, seen)| !seen.alive && viewer.member.node != node);
    let viewers: Vec<&str> = views.map(|(viewer, _)| viewer.name()).collect();
    let name = member.name();
    (!viewers.is_empty()).then(|| Finding {
        severity: Severity::Warning,
        what: format!("{name} answers here, but {} can't reach it", viewers.join(", ")),
        blocks: Some("they write hints instead of copies on it, and collect nothing".into()),
        remedy: format!(
            "see whether packets pass both ways between them on UDP port {}; a member that has just \
             started is trusted after a few seconds",
            member.member.address.port()
        ),
    })
}

/// Reports that there is no layout, or that members lack the newest.
fn layout(observed: &Observed) -> Option<Finding> {
    let newest = observed.newest_layout();
    let present = observed.present().count();
    if present == 0 {
        return None;
    }
    if newest.version == 0 {
        let remedy = if present == 1 {
            "if this node belongs to a cluster that is there already, do not commit anything here: its log \
             says which of its seeds don't answer and why. If it begins a cluster, look at \
             `jedlik-admin cluster plan` once all members are up, and commit it by its hash"
        } else {
            "look at `jedlik-admin cluster plan` and commit it by its hash"
        };
        return Some(Finding {
            severity: Severity::Error,
            what: "the cluster has no layout".into(),
            blocks: Some("every read and write: no node owns any key".into()),
            remedy: remedy.into(),
        });
    }
    let behind: Vec<String> = observed
        .present()
        .filter_map(|member| Some((member.name(), member.status.as_ref()?.layout)))
        .filter(|(_, layout)| *layout < newest)
        .map(|(name, layout)| format!("{name} has {layout}"))
        .collect();
    (!behind.is_empty()).then(|| Finding {
        severity: Severity::Warning,
        what: format!("the newest layout is {newest}, but {}", behind.join(", ")),
        blocks: Some("requests that these coordinate are refused once and repeated".into()),
        remedy:
            "wait some seconds: layouts spread by gossip. If it stays so, these can't be reached \
                 by the others"
                .into(),
    })
}

/// Warns if there are fewer members than copies to keep.
fn too_few(observed: &Observed) -> Option<Finding> {
    let (members, n) = (observed.members.len(), observed.largest_n);
    (members < n.into()).then(|| Finding {
        severity: Severity::Warning,
        what: format!("there are {} for n = {n}", count(members as u64, "member")),
        blocks: Some(format!("a key has at most {members} of its {n} copies")),
        remedy: "add members, or lower n of the buckets".into(),
    })
}

/// Reports a member that answered some questions and not others.
fn unanswered(member: &ObservedMember) -> Option<Finding> {
    let why = member.failures.first()?;
    Some(Finding {
        severity: Severity::Warning,
        what: format!("{} did not answer everything: {why}", member.name()),
        blocks: Some("this diagnosis: more may be wrong with it".into()),
        remedy: "ask again; if it stays so, look at its log".into(),
    })
}

/// Warns of hints on `holder` for members that are up.
fn stuck_hints(observed: &Observed, holder: &ObservedMember) -> Vec<Finding> {
    let reports = holder.hints.iter().flatten();
    reports
        .filter(|hint| hint.count > 0 && observed.is_in_service(hint.target))
        .map(|hint| stuck_hint(observed, holder, hint))
        .collect()
}

fn stuck_hint(observed: &Observed, holder: &ObservedMember, hint: &HintReport) -> Finding {
    let (name, target) = (holder.name(), observed.name(hint.target));
    let (keys, size) = (count(hint.count, "key"), bytes(hint.bytes));
    let age = hint.oldest_ms.map(|since| span(age_s(observed.now_ms, since)));
    let age = age.map(|age| format!(", the oldest for {age}")).unwrap_or_default();
    let blocks =
        Some(format!("{target} lacks these writes until then; tombstones are not collected"));
    if let Some(failure) = &hint.failure {
        return Finding {
            severity: Severity::Warning,
            what: format!(
                "{name} can't deliver hints to {target}, which is up: {failure} ({keys} of {size}{age})"
            ),
            blocks,
            remedy: format!("put right what {target} says, or see whether {name} can reach it"),
        };
    }
    let left = match (hint.delivering, hint.left_s) {
        (true, Some(left)) => format!("are being delivered, about {} left", span(left)),
        (true, None) => "are being delivered".into(),
        (false, _) => "wait to be delivered".into(),
    };
    Finding {
        severity: Severity::Note,
        what: format!("hints of {keys} ({size}{age}) on {name} for {target} {left}"),
        blocks,
        remedy: "nothing; `jedlik-admin hints --watch` shows how it goes on".into(),
    }
}

/// Warns of hints that take much room.
fn large_hints(member: &ObservedMember) -> Option<Finding> {
    let size = member.hint_bytes();
    (size > HINT_WARNING_BYTES).then(|| Finding {
        severity: Severity::Warning,
        what: format!("{} holds {} in hints", member.name(), bytes(size)),
        blocks: Some(
            "nothing yet; hints grow until their targets are back or the disk is full".into(),
        ),
        remedy: "bring the targets back; `jedlik-admin hints` names them".into(),
    })
}

/// Notes background work that is paused, all of it or some kinds.
fn paused(member: &ObservedMember) -> Vec<Finding> {
    let (Some(report), name) = (&member.background, member.name()) else { return Vec::new() };
    let finding = |what: &str, blocks: &str, remedy: String| Finding {
        severity: Severity::Warning,
        what: format!("{what} paused on {name}"),
        blocks: Some(blocks.into()),
        remedy,
    };
    if report.paused {
        let blocks = "hints are not delivered, differences between replicas not repaired, tombstones \
                      not collected, partitions not moved";
        let remedy = format!("jedlik-admin background resume --node {}", member.handle);
        return vec![finding("background work is", blocks, remedy)];
    }
    let kinds = report.paused_kinds.iter().map(|kind| {
        let (what, blocks) = match kind {
            WorkKind::Handoff => ("the delivery of hints is", "hints are not delivered"),
            WorkKind::Repair => {
                ("repair is", "differences between replicas stay until they are read")
            }
            WorkKind::Collection => ("collection is", "tombstones stay"),
            WorkKind::Transfer => ("transfers are", "a change of the cluster does not end"),
        };
        finding(
            what,
            blocks,
            format!("jedlik-admin task resume {}:{}", work_name(*kind), member.handle),
        )
    });
    kinds.collect()
}

/// Reports comparisons that fail, and hash trees that are not built yet.
fn repairs(member: &ObservedMember) -> Vec<Finding> {
    let Some(report) = &member.repair else { return Vec::new() };
    let name = member.name();
    let failing = (report.failed > 0).then(|| {
        // A comparison that failed once and succeeded later holds up nothing.
        let most = report.to_retry > 0 && report.failed > report.exchanges;
        Finding {
            severity: if most { Severity::Warning } else { Severity::Note },
            what: format!(
                "{name} could not finish {} of {} with other owners since its start",
                report.failed,
                count(report.failed + report.exchanges, "comparison")
            ),
            blocks: most.then(|| "replicas that differ stay so until a get compares them".into()),
            remedy:
                "nothing if members were away: they are tried again. Otherwise its log says why"
                    .into(),
        }
    });
    let building = (report.building > 0).then(|| Finding {
        severity: Severity::Note,
        what: format!(
            "{name} is building the trees of {} from its records",
            count(report.building.into(), "partition")
        ),
        blocks: Some("anti-entropy of these partitions".into()),
        remedy: "nothing; it takes one paced reading at a first start, and after an unclean stop"
            .into(),
    });
    failing.into_iter().chain(building).collect()
}
