//! The members' reports on their long-running work, as tasks.
//!
//! Invariant: a task is listed while it has something to do or is paused; collection always is.

use jedlik_amounts::{bytes, count, span};
use jedlik_client::ClientError;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, BackgroundReport, HintReport, RepairReport, WorkKind,
};
use jedlik_protocol::client::MemberAddress;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::members;
use crate::task::{TaskId, is_paused};
use crate::transfer_progress::TransferProgress;

/// Observations from which tasks are made.
pub(super) struct Observed {
    pub(super) moving: TransferProgress,
    /// Members that answered, with their reports.
    pub(super) members: Vec<ObservedMember>,
}

/// Work of one member; a question without an answer counts as nothing to do.
#[derive(Debug, Default)]
pub(super) struct ObservedMember {
    pub(super) name: String,
    pub(super) hints: Vec<HintReport>,
    pub(super) repair: RepairReport,
    pub(super) background: BackgroundReport,
}

/// One task, as it is listed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) id: TaskId,
    /// Names of the members on which the task is paused.
    pub(super) paused_on: Vec<String>,
    /// Whether the task is paused on every member that does it.
    pub(super) is_paused: bool,
    /// Progress in words, for people.
    pub(super) progress: String,
    /// Count of what is done; its total is in `of`, if that is known.
    pub(super) done: u64,
    pub(super) of: Option<u64>,
}

impl Task {
    pub(super) fn state(&self) -> String {
        match (self.is_paused, self.paused_on.as_slice()) {
            (true, _) => "paused".into(),
            (false, []) => "running".into(),
            (false, names) => format!("running, paused on {}", names.join(", ")),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "task": self.id.to_string(),
            "state": if self.is_paused { "paused" } else { "running" },
            "paused_on": self.paused_on,
            "progress": self.progress,
            "done": self.done,
            "of": self.of,
        })
    }
}

impl Observed {
    pub(super) async fn ask(cluster: &Cluster) -> Result<Self, ClientError> {
        let moving = TransferProgress::observe(cluster).await?;
        let present: Vec<MemberAddress> = moving
            .told
            .iter()
            .filter(|told| told.answer.is_ok())
            .map(|told| told.member.clone())
            .collect();
        let silent = |member: &MemberAddress| ObservedMember {
            name: member.name.clone(),
            ..Default::default()
        };
        let mut observed: Vec<ObservedMember> = present.iter().map(silent).collect();
        for request in [AdminRequest::Hints, AdminRequest::RepairProgress, AdminRequest::Background]
        {
            for told in members::ask(cluster.client(), &present, &request, Some).await {
                let index = present.iter().position(|member| member.node == told.member.node);
                if let (Some(index), Ok(answer)) = (index, told.answer) {
                    observed[index].note(answer);
                }
            }
        }
        Ok(Self { moving, members: observed })
    }

    /// Returns the tasks: transfers, then each member's own, then collection.
    pub(super) fn tasks(&self) -> Vec<Task> {
        let own = self.members.iter().flat_map(|member| {
            let tasks = [member.delivery(), member.repairing()];
            tasks.into_iter().flatten()
        });
        self.moving_data().into_iter().chain(own).chain(self.collection()).collect()
    }

    fn moving_data(&self) -> Option<Task> {
        let paused_on = self.paused_on(WorkKind::Transfer);
        if self.moving.is_settled() && paused_on.is_empty() {
            return None;
        }
        let totals = self.moving.totals();
        let progress = format!(
            "{}/{} partitions ready, {}/{} flipped, {} received",
            totals.ready,
            totals.owned,
            self.moving.status.flipped,
            self.moving.status.partitions,
            bytes(totals.received_bytes)
        );
        let (done, of) = (totals.ready, Some(totals.owned));
        Some(self.shared(WorkKind::Transfer, paused_on, progress, done, of))
    }

    fn collection(&self) -> Option<Task> {
        let steps = |member: &ObservedMember| -> u64 {
            let steps = member.background.steps.iter();
            steps.filter(|(what, _)| what == "collection").map(|(_, steps)| steps).sum()
        };
        let done: u64 = self.members.iter().map(steps).sum();
        let progress = format!("{} so far", count(done, "step"));
        let paused_on = self.paused_on(WorkKind::Collection);
        let any = !self.members.is_empty();
        any.then(|| self.shared(WorkKind::Collection, paused_on, progress, done, None))
    }

    /// Makes a task that all members share.
    fn shared(
        &self,
        kind: WorkKind,
        paused_on: Vec<String>,
        progress: String,
        done: u64,
        of: Option<u64>,
    ) -> Task {
        let is_paused = !paused_on.is_empty() && paused_on.len() == self.members.len();
        Task { id: TaskId { kind, node: None }, paused_on, is_paused, progress, done, of }
    }

    fn paused_on(&self, kind: WorkKind) -> Vec<String> {
        let paused = self.members.iter().filter(|one| is_paused(&one.background, Some(kind)));
        paused.map(|one| one.name.clone()).collect()
    }
}

impl ObservedMember {
    fn note(&mut self, answer: AdminResponse) {
        match answer {
            AdminResponse::Hints(hints) => self.hints = hints,
            AdminResponse::Repair(report) => self.repair = *report,
            AdminResponse::Background(report) => self.background = *report,
            _ => {}
        }
    }

    fn delivery(&self) -> Option<Task> {
        let sum = |part: fn(&HintReport) -> u64| self.hints.iter().map(part).sum::<u64>();
        let (keys, delivered) = (sum(|hint| hint.count), sum(|hint| hint.delivered));
        if keys == 0 && !self.is_paused(WorkKind::Handoff) {
            return None;
        }
        let left = self.hints.iter().filter_map(|hint| hint.left_s).max();
        let left = left.map(|left| format!(", about {} left", span(left))).unwrap_or_default();
        let waiting = format!("{} of {}", count(keys, "key"), bytes(sum(|hint| hint.bytes)));
        let progress = format!("{waiting} to deliver, {delivered} delivered{left}");
        Some(self.own(WorkKind::Handoff, progress, delivered, keys + delivered))
    }

    fn repairing(&self) -> Option<Task> {
        let report = &self.repair;
        if report.done >= report.partitions && !self.is_paused(WorkKind::Repair) {
            return None;
        }
        let progress = format!(
            "{}/{} partitions compared, {} failed",
            report.done, report.partitions, report.failed
        );
        Some(self.own(WorkKind::Repair, progress, report.done.into(), report.partitions.into()))
    }

    /// Makes a task of this member alone.
    fn own(&self, kind: WorkKind, progress: String, done: u64, of: u64) -> Task {
        let is_paused = self.is_paused(kind);
        let paused_on = if is_paused { vec![self.name.clone()] } else { Vec::new() };
        let id = TaskId { kind, node: Some(self.name.clone()) };
        Task { id, paused_on, is_paused, progress, done, of: Some(of) }
    }

    fn is_paused(&self, kind: WorkKind) -> bool {
        is_paused(&self.background, Some(kind))
    }
}
