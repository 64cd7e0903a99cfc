//! Moves of data between nodes, as all members together report them at one time.
//!
//! Invariant: nothing counts as settled without a member's word. A member that does not answer is an obstacle, whatever
//! the others know of it, unless it never had any partition and has the newest layout.

mod meter;
mod obstacles;
#[cfg(test)]
pub(crate) mod tests;

use jedlik_client::{ClientError, NodeId};
use jedlik_doctor::is_gone;
use jedlik_protocol::LayoutId;
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, ClusterStatus, MemberState, TransferReport,
};
use jedlik_protocol::client::MemberAddress;

pub(crate) use self::meter::Meters;
pub(crate) use self::obstacles::Obstacle;
use crate::cluster::Cluster;
use crate::members::{self, Told};

/// State of a move at one time: one node's view, and all members' reports.
pub(crate) struct TransferProgress {
    /// Status of the cluster as one node sees it.
    pub(crate) status: ClusterStatus,
    /// Reports of every member that has not departed, or the errors of asking them.
    pub(crate) told: Vec<Told<TransferReport>>,
}

/// Sums of the reports of all members that answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) owned: u64,
    pub(crate) ready: u64,
    pub(crate) leaving: u64,
    pub(crate) unowned: u64,
    pub(crate) dropped: u64,
    pub(crate) received_records: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) moves: u64,
}

/// Digest of a move's state, which changes whenever there is progress.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    flipped: u32,
    states: Vec<(NodeId, MemberState)>,
    members: Vec<MemberMark>,
}

/// Layout and progress counters of one member's report; `None` if it did not answer.
type MemberMark = (NodeId, Option<(LayoutId, [u64; 9])>);

impl TransferProgress {
    /// Asks every member that has not departed.
    pub(crate) async fn observe(cluster: &Cluster) -> Result<Self, ClientError> {
        let status = cluster.status().await?;
        let wanted: Vec<MemberAddress> = status
            .members
            .iter()
            .filter(|member| !is_gone(member))
            .map(|member| MemberAddress {
                node: member.record.node,
                name: member.record.name.clone(),
                address: member.record.address,
                alive: member.alive,
            })
            .collect();
        let report = |answer| match answer {
            AdminResponse::Transfers(report) => Some(*report),
            _ => None,
        };
        let mut answers =
            members::ask(cluster.client(), &wanted, &AdminRequest::Transfers, report).await;
        let told = wanted.into_iter().map(|member| {
            let found = answers.iter().position(|told| told.member.node == member.node);
            // A node that joined a moment ago may not be known to the client yet.
            let unknown = || Err(ClientError::UnknownNode(member.node));
            let answer = found.map_or_else(unknown, |index| answers.swap_remove(index).answer);
            Told { member, answer }
        });
        Ok(Self { told: told.collect(), status })
    }

    /// Returns the newest layout that any member knows.
    pub(crate) fn newest(&self) -> LayoutId {
        self.reports().map(|report| report.layout).fold(self.status.layout, LayoutId::max)
    }

    pub(crate) fn totals(&self) -> Totals {
        self.reports().fold(Totals::default(), |sum, report| Totals {
            owned: sum.owned + u64::from(report.owned),
            ready: sum.ready + u64::from(report.ready),
            leaving: sum.leaving + u64::from(report.leaving),
            unowned: sum.unowned + u64::from(report.unowned),
            dropped: sum.dropped + u64::from(report.dropped),
            received_records: sum.received_records + report.received_records,
            received_bytes: sum.received_bytes + report.received_bytes,
            sent_bytes: sum.sent_bytes + report.sent_bytes,
            moves: sum.moves + report.current.len() as u64,
        })
    }

    /// Returns a mark of the current state; while it stays equal, there is no progress.
    pub(crate) fn mark(&self) -> Mark {
        let states = self.status.members.iter().map(|member| (member.record.node, member.state));
        let counts = |report: &TransferReport| {
            let counts = [
                report.ready.into(),
                report.flipped.into(),
                report.leaving.into(),
                report.unowned.into(),
                report.dropped.into(),
                report.received_records,
                report.sent_records,
                report.hints,
                report.load.refilling.into(),
            ];
            (report.layout, counts)
        };
        let members = self.told.iter().map(|told| {
            let report = told.answer.as_ref().ok();
            (told.member.node, report.map(counts))
        });
        Mark { flipped: self.status.flipped, states: states.collect(), members: members.collect() }
    }

    /// Whether nothing moves and nothing will.
    pub(crate) fn is_settled(&self) -> bool {
        self.obstacles().is_empty()
    }

    /// Whether nothing moves and every member has its votes.
    pub(crate) fn is_complete(&self) -> bool {
        self.obstacles_and_votes().is_empty()
    }

    pub(crate) fn state(&self, node: NodeId) -> Option<MemberState> {
        let member = self.status.members.iter().find(|member| member.record.node == node);
        member.map(|member| member.state)
    }

    fn reports(&self) -> impl Iterator<Item = &TransferReport> {
        self.told.iter().filter_map(|told| told.answer.as_ref().ok())
    }
}
