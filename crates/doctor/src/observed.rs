//! The members' reports on themselves, as far as they answered.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::LayoutId;
use jedlik_protocol::admin::{
    AdminResponse, BackgroundReport, ClusterStatus, HintReport, MemberState, MemberStatus,
    RepairReport, ShardTrouble, TransferReport,
};
use jedlik_protocol::client::MemberAddress;
use jedlik_protocol::gossip::Status;

use crate::words::{is_gone, says_drained};

/// State of the cluster at one time, as its members reported it.
#[derive(Debug)]
pub struct Observed {
    /// Members of the cluster, whether they answered or not.
    pub members: Vec<ObservedMember>,
    /// Largest N of any bucket.
    pub largest_n: u8,
    /// Time of the observation in milliseconds since the Unix epoch, by this machine's clock.
    pub now_ms: u64,
}

/// One member's answers; a question without an answer is `None`.
#[derive(Debug, Clone)]
pub struct ObservedMember {
    /// Name and address of the member.
    pub member: MemberAddress,
    /// Name for people, with the identity if another member has the same name.
    pub label: String,
    /// Word by which commands know the member: its name, or its identity if another member has the same name.
    pub handle: String,
    /// Cluster as the member sees it.
    pub status: Option<ClusterStatus>,
    /// Hints that the member keeps for others.
    pub hints: Option<Vec<HintReport>>,
    /// Counters of the member, by their names.
    pub counters: Option<BTreeMap<String, u64>>,
    /// Troubles with the storage of its shards.
    pub troubles: Vec<ShardTrouble>,
    /// Progress of the member's repairs.
    pub repair: Option<RepairReport>,
    /// State of the member's background work.
    pub background: Option<BackgroundReport>,
    /// Transfers to this member and from it.
    pub transfers: Option<TransferReport>,
    /// Errors of the questions without an answer, one for each.
    pub failures: Vec<String>,
}

impl ObservedMember {
    /// Returns the state of a member that has not answered anything yet.
    #[must_use]
    pub fn silent(member: MemberAddress) -> Self {
        Self {
            label: member.name.clone(),
            handle: member.name.clone(),
            member,
            status: None,
            hints: None,
            counters: None,
            troubles: Vec::new(),
            repair: None,
            background: None,
            transfers: None,
            failures: Vec::new(),
        }
    }

    /// Files one answer of the member.
    pub fn note(&mut self, answer: Result<AdminResponse, String>) {
        match answer {
            Ok(AdminResponse::Status(status)) => self.status = Some(status),
            Ok(AdminResponse::Hints(hints)) => self.hints = Some(hints),
            Ok(AdminResponse::Stats(stats)) => {
                self.counters = Some(stats.counters.into_iter().collect());
                self.troubles = stats.troubles;
            }
            Ok(AdminResponse::Repair(report)) => self.repair = Some(*report),
            Ok(AdminResponse::Transfers(report)) => self.transfers = Some(*report),
            Ok(AdminResponse::Background(report)) => self.background = Some(*report),
            Ok(_) => self.failures.push("an answer of another kind than was asked for".into()),
            Err(error) => self.failures.push(error),
        }
    }

    /// Returns a counter's value; 0 if the member has none of that name.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.counters.as_ref().and_then(|counters| counters.get(name)).copied().unwrap_or(0)
    }

    pub(crate) fn name(&self) -> &str {
        &self.label
    }

    /// Whether the member answers and says itself that it is away, which an admin has asked of it.
    pub(crate) fn is_drained(&self) -> bool {
        self.status.as_ref().is_some_and(says_drained)
    }

    /// Returns the total size of its hints in bytes.
    pub(crate) fn hint_bytes(&self) -> u64 {
        self.hints.iter().flatten().map(|report| report.bytes).sum()
    }
}

impl Observed {
    /// Returns the members that answer.
    pub(crate) fn present(&self) -> impl Iterator<Item = &ObservedMember> {
        self.members.iter().filter(|member| member.status.is_some())
    }

    /// Returns the members that should answer and don't.
    pub(crate) fn absent(&self) -> impl Iterator<Item = &ObservedMember> {
        let silent = self.members.iter().filter(|member| member.status.is_none());
        silent.filter(|member| !self.is_gone(member.member.node))
    }

    /// Whether a node has left for good, as far as the others have heard.
    fn is_gone(&self, node: NodeId) -> bool {
        self.views_of(node).any(|(_, seen)| is_gone(seen))
    }

    /// Whether a node answers and is not drained.
    pub(crate) fn is_in_service(&self, node: NodeId) -> bool {
        self.present().any(|member| member.member.node == node && !member.is_drained())
    }

    /// Whether a node said that it would stop, as far as the others have heard.
    pub(crate) fn is_away(&self, node: NodeId) -> bool {
        self.views_of(node).any(|(_, seen)| seen.record.status == Status::Away)
    }

    /// Whether a node is leaving, as far as the others have heard.
    pub(crate) fn is_leaving(&self, node: NodeId) -> bool {
        self.views_of(node).any(|(_, seen)| seen.state == MemberState::Leaving)
    }

    /// Whether there is a layout that does not have the node, as far as the others have heard.
    pub(crate) fn is_outside(&self, node: NodeId) -> bool {
        let views = || self.views_of(node).map(|(viewer, seen)| (viewer.status.as_ref(), seen));
        let founded = |status: &ClusterStatus| status.layout.version > 0;
        views().any(|(status, _)| status.is_some_and(founded))
            && views().all(|(_, seen)| seen.placed.is_none())
    }

    /// Returns every member's view of a node, with the member that has it.
    pub(crate) fn views_of(
        &self,
        node: NodeId,
    ) -> impl Iterator<Item = (&ObservedMember, &MemberStatus)> {
        self.present().filter_map(move |viewer| {
            let members = &viewer.status.as_ref()?.members;
            Some((viewer, members.iter().find(|seen| seen.record.node == node)?))
        })
    }

    /// Returns the newest layout that any member has; the default if none has one.
    pub(crate) fn newest_layout(&self) -> LayoutId {
        let layouts = self.present().filter_map(|member| Some(member.status.as_ref()?.layout));
        layouts.max().unwrap_or_default()
    }

    /// Returns the hints for a node, with their holders.
    pub(crate) fn hints_for(
        &self,
        node: NodeId,
    ) -> impl Iterator<Item = (&ObservedMember, &HintReport)> {
        self.present().flat_map(move |holder| {
            let reports = holder.hints.iter().flatten();
            let waiting = reports.filter(move |hint| hint.target == node && hint.count > 0);
            waiting.map(move |hint| (holder, hint))
        })
    }

    /// Returns a node's name, or its identity if no member has it.
    pub(crate) fn name(&self, node: NodeId) -> String {
        let member = self.members.iter().find(|member| member.member.node == node);
        member.map_or_else(|| node.to_string(), |member| member.name().to_owned())
    }
}
