//! The obstacles to the end of a move, and their remedies.
//!
//! Invariant: obstacles that stop the others come before those that are merely unfinished.

use jedlik_amounts::count;
use std::fmt;

use jedlik_client::{ClientError, NodeId};
use jedlik_doctor::leaver_remedy;
use jedlik_protocol::admin::{MemberState, TransferReport};
use jedlik_protocol::client::MemberAddress;
use serde_json::{Value, json};

use crate::cluster::status::handle;
use crate::transfer_progress::TransferProgress;

/// Obstacle to the end of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// Name of the member with the obstacle; `None` for the cluster as a whole.
    pub(crate) node: Option<String>,
    pub(crate) what: String,
    /// Advice to the admin; `None` if waiting suffices.
    pub(crate) remedy: Option<String>,
}

impl Obstacle {
    pub(crate) fn to_json(&self) -> Value {
        json!({ "node": self.node, "what": self.what, "to_do": self.remedy })
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "; to do: {remedy}"))
    }
}

impl TransferProgress {
    /// Returns all obstacles to the end of the move; none once everything is settled.
    pub(crate) fn obstacles(&self) -> Vec<Obstacle> {
        let mut stopping = Vec::new();
        let mut unfinished = Vec::new();
        let mut paused = Vec::new();
        for told in &self.told {
            let name = told.member.name.as_str();
            let state = self.state(told.member.node);
            let report = match &told.answer {
                Ok(report) => report,
                Err(error) => {
                    let holds_nothing = state == Some(MemberState::Joining);
                    if !(holds_nothing && self.is_known_to_have_newest(told.member.node)) {
                        let handle = self.handle(&told.member);
                        stopping.push(silent((name, &handle), state, error));
                    }
                    continue;
                }
            };
            stopping.extend(self.behind(name, report));
            for blocker in &report.blockers {
                stopping.push(obstacle(name, format!("{name}: {blocker}"), None));
            }
            unfinished.extend(left_to_do(name, state, report));
            if report.paused {
                let handle = self.handle(&told.member);
                let remedy = format!("jedlik-admin task resume transfers:{handle}");
                paused.push(obstacle(
                    name,
                    format!("transfers are paused on {name}"),
                    Some(remedy),
                ));
            }
        }
        if self.status.flipped < self.status.partitions {
            let left = self.status.partitions - self.status.flipped;
            let what = format!("{left} of {} partitions have not flipped", self.status.partitions);
            unfinished.push(Obstacle { node: None, what, remedy: None });
        }
        // A pause is no obstacle if there is nothing to do.
        if stopping.is_empty() && unfinished.is_empty() {
            return Vec::new();
        }
        stopping.into_iter().chain(paused).chain(unfinished).collect()
    }

    /// Returns all obstacles, and then the members without votes for some partitions: gets of absent keys may be
    /// Unavailable until those votes are earned back.
    pub(crate) fn obstacles_and_votes(&self) -> Vec<Obstacle> {
        let refilling = self.told.iter().filter_map(|told| {
            let report = told.answer.as_ref().ok()?;
            let (name, partitions) = (told.member.name.as_str(), report.load.refilling);
            let what = format!("{name} can't say yet what is absent in {}", owned(partitions));
            let remedy =
                "wait, and bring back members that are away; `jedlik-admin doctor` says more";
            (partitions > 0).then(|| obstacle(name, what, Some(remedy.into())))
        });
        self.obstacles().into_iter().chain(refilling).collect()
    }

    /// Returns the word by which commands know a member.
    fn handle(&self, member: &MemberAddress) -> String {
        let seen = self.status.members.iter().find(|seen| seen.record.node == member.node);
        seen.map_or_else(|| member.name.clone(), |seen| handle(seen, &self.status))
    }

    /// Whether a node has the newest layout, as far as others have heard from it.
    fn is_known_to_have_newest(&self, node: NodeId) -> bool {
        let mut members = self.status.members.iter();
        let newest = self.newest();
        members.any(|member| member.record.node == node && member.record.layout >= newest)
    }

    fn behind(&self, name: &str, report: &TransferReport) -> Option<Obstacle> {
        let newest = self.newest();
        (report.layout < newest).then(|| {
            let what = format!("{name} still has layout {}, the newest is {newest}", report.layout);
            let remedy = "wait some seconds; if it stays so, the others can't reach it: \
                          `jedlik-admin doctor`";
            obstacle(name, what, Some(remedy.into()))
        })
    }
}

fn obstacle(name: &str, what: String, remedy: Option<String>) -> Obstacle {
    Obstacle { node: Some(name.into()), what, remedy }
}

fn silent(
    (name, handle): (&str, &str),
    state: Option<MemberState>,
    error: &ClientError,
) -> Obstacle {
    let (what, remedy) = match state {
        Some(MemberState::Leaving) => (
            format!("{name} is leaving and does not answer ({error})"),
            leaver_remedy(handle),
        ),
        Some(MemberState::Joining) => (
            format!("{name} has no partitions, and does not answer ({error})"),
            "start it: what others hold too much is dropped once all members have the newest layout"
                .to_owned(),
        ),
        Some(MemberState::Away) => {
            (format!("{name} was stopped ({error})"), "start it again".to_owned())
        }
        _ => (
            format!("{name} does not answer ({error})"),
            format!(
                "start it; if it is lost: `jedlik-admin cluster replace {handle} NEW` or `cluster remove \
                 {handle}`"
            ),
        ),
    };
    obstacle(name, what, Some(remedy))
}

/// Returns the work that a member which answers has left.
fn left_to_do(name: &str, state: Option<MemberState>, report: &TransferReport) -> Vec<Obstacle> {
    let mut left = Vec::new();
    if report.ready < report.owned {
        left.push(format!("{name} is ready for {} of {}", report.ready, owned(report.owned)));
    } else if report.flipped < report.owned {
        left.push(format!(
            "{name} is ready, and {} of {} have flipped",
            report.flipped,
            owned(report.owned)
        ));
    }
    if report.leaving > 0 {
        left.push(format!("{name} still serves {} under an older layout", owned(report.leaving)));
    }
    if report.unowned > 0 {
        left.push(format!(
            "{name} still holds {} that it does not own any more",
            owned(report.unowned)
        ));
    }
    if state == Some(MemberState::Leaving) {
        left.push(match report.hints {
            0 => format!("{name} is leaving and has not stopped yet"),
            hints => format!("{name} is leaving and holds {} for others", count(hints, "hint")),
        });
    }
    left.into_iter().map(|what| obstacle(name, what, None)).collect()
}

fn owned(partitions: u32) -> String {
    count(partitions.into(), "partition")
}
