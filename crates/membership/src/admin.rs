//! What an admin asks of the membership: status, the first layout, bucket properties.
//!
//! Invariant: a refused request changes nothing.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::line::KnownLayout;
use alloc::boxed::Box;
use jedlik_hashing::{Balance, Partition};
use jedlik_protocol::admin::{
    AdminRequest, AdminResponse, ClusterStatus, MemberState, MemberStatus, PlanReport,
};
use jedlik_protocol::bucket::{BucketEntry, BucketProps, check_name};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{MemberRecord, Staging, Status};
use jedlik_protocol::{Blob, Digest, Layout, LayoutId, Now, PartitionSet, PlacedLayout};

use crate::Membership;
use crate::knowledge::Change;
use crate::placement::{first_layout, report};

#[cfg(test)]
mod tests;

/// The layout that a commit would make now, of members that are up, without those that are down.
struct Proposal<'a> {
    layout: Layout,
    up: Vec<&'a MemberRecord>,
    down: Vec<&'a MemberRecord>,
}

impl Membership {
    /// Answers an admin's request, all but those about data and counters. Outputs come before the answer.
    ///
    /// # Errors
    /// The request can't be met; the failure says why and what to do, and nothing has changed.
    pub fn handle_admin(
        &mut self,
        now: Now,
        request: &AdminRequest,
    ) -> Result<AdminResponse, Failure> {
        let response = match request {
            AdminRequest::Status => AdminResponse::Status(self.status()),
            AdminRequest::Layouts => AdminResponse::Layouts(
                self.known.line().layouts().iter().map(KnownLayout::placed).collect(),
            ),
            AdminRequest::Plan => AdminResponse::Plan(Box::new(self.plan()?)),
            AdminRequest::Commit { plan, .. } => {
                AdminResponse::Committed { layout: self.commit(now, *plan)? }
            }
            AdminRequest::BucketList => AdminResponse::Buckets((**self.known.buckets()).clone()),
            AdminRequest::BucketShow { name } => AdminResponse::Bucket(self.bucket(name)?),
            AdminRequest::BucketSet { name, changes } => {
                AdminResponse::Bucket(self.set_bucket(now, name, changes)?)
            }
            AdminRequest::Stage { .. }
            | AdminRequest::Unstage { .. }
            | AdminRequest::Transfers
            | AdminRequest::Drain { .. }
            | AdminRequest::Stats
            | AdminRequest::Explain { .. }
            | AdminRequest::Hints
            | AdminRequest::Repair { .. }
            | AdminRequest::RepairProgress
            | AdminRequest::Background
            | AdminRequest::SetBackground(_) => {
                return Err(Failure::new(ErrorCode::Internal, "membership keeps no data"));
            }
        };
        self.settle();
        Ok(response)
    }

    fn status(&self) -> ClusterStatus {
        let layout = self.known.newest();
        let balance = layout.map(|known| Balance::of(&known.layout().ring, self.config.n));
        let member = |record: &MemberRecord| {
            let part = |balance: &Balance| {
                balance.nodes.iter().find(|part| part.node == record.node).cloned()
            };
            let part = balance.as_ref().and_then(part);
            let placed = layout.and_then(|known| known.layout().ring.node(record.node));
            MemberStatus {
                record: record.clone(),
                alive: self.takes_as_up(record),
                state: self.state_of(record),
                tokens: part.as_ref().map_or(0, |part| part.tokens),
                owned: part.as_ref().map_or(0, |part| part.primaries),
                ready: layout.map_or(0, |known| self.settled_of(record, known)),
                placed: placed.map(|placed| (placed.zone.clone(), placed.weight)),
            }
        };
        ClusterStatus {
            cluster: self.config.cluster,
            node: self.config.me.node,
            layout: self.known.line().newest_id(),
            partitions: layout.map_or(0, |known| known.layout().ring.partitions().get()),
            flipped: layout.map_or(0, |known| known.flipped().len()),
            staging: self.staged(),
            members: self.known.members().values().map(member).collect(),
        }
    }

    /// Where a member stands in its life.
    fn state_of(&self, record: &MemberRecord) -> MemberState {
        let layout = self.known.newest().map(KnownLayout::layout);
        let gone = layout.and_then(|layout| layout.gone(record.node));
        let placed = layout.is_some_and(|layout| layout.ring.node(record.node).is_some());
        match (gone, record.status) {
            (Some(gone), _) if gone.forced => MemberState::Removed,
            (_, Status::Left) => MemberState::Left,
            (Some(_), _) => MemberState::Leaving,
            (None, Status::Away) => MemberState::Away,
            (None, Status::Up) if placed => MemberState::Up,
            (None, Status::Up) => MemberState::Joining,
        }
    }

    /// Of the partitions that a member owns for the default N, those for which it is ready or that
    /// have flipped.
    fn settled_of(&self, record: &MemberRecord, known: &KnownLayout) -> u32 {
        let ready = Some(&record.ready).filter(|ready| ready.layout == known.id());
        let settled = |partition: &Partition| {
            let list = known.preference_list(*partition);
            list.iter().take(usize::from(self.config.n)).any(|node| *node == record.node)
                && (known.flipped().contains(*partition)
                    || ready.is_some_and(|ready| ready.partitions.contains(*partition)))
        };
        known.layout().ring.partitions().partitions().filter(settled).count() as u32
    }

    /// The changes that the next plan is made of.
    pub(crate) fn staged(&self) -> Staging {
        let base = self.known.line().newest_id();
        self.known.staging().cloned().unwrap_or(Staging { base, ..Staging::default() })
    }

    fn takes_as_up(&self, record: &MemberRecord) -> bool {
        record.node == self.config.me.node && record.status == Status::Up
            || self.detector.is_up(record.node)
    }

    fn plan(&self) -> Result<PlanReport, Failure> {
        if let Some(layout) = self.known.newest().map(KnownLayout::layout) {
            return Err(Failure::new(
                ErrorCode::InvalidRequest,
                format!(
                    "layout {} is in force; this version can't change a layout that holds data",
                    layout.version
                ),
            ));
        }
        let Proposal { layout, up, down } = self.propose()?;
        Ok(report(&layout, &up, &down, self.config.n))
    }

    fn propose(&self) -> Result<Proposal<'_>, Failure> {
        let members = self.known.members().values();
        let (up, down): (Vec<_>, Vec<_>) = members.partition(|record| self.takes_as_up(record));
        let layout = first_layout(&up, self.config.partitions, self.config.n)?;
        Ok(Proposal { layout, up, down })
    }

    fn commit(&mut self, now: Now, plan: Digest) -> Result<LayoutId, Failure> {
        if let Some(layout) = self.known.newest().map(KnownLayout::layout) {
            let version = layout.version;
            let message = if layout.digest() == plan {
                format!("plan {:016x} is in force already, as layout {version}", plan.0)
            } else {
                format!("layout {version} came into force since plan {:016x} was made", plan.0)
            };
            return Err(Failure::new(ErrorCode::PlanChanged, message));
        }
        let layout = self.propose()?.layout;
        if layout.digest() != plan {
            return Err(Failure::new(
                ErrorCode::PlanChanged,
                format!("plan {:016x} is out of date: members came or went; plan again", plan.0),
            ));
        }
        let id = layout.id();
        let placed = PlacedLayout { layout, flipped: PartitionSet::default() };
        for change in self.known.merge_layout(placed) {
            self.changed(now, self.config.me.node, change);
        }
        Ok(id)
    }

    fn bucket(&self, name: &Blob) -> Result<BucketEntry, Failure> {
        check_name(name).map_err(invalid)?;
        let unset =
            || BucketEntry { name: name.clone(), version: 0, props: BucketProps::default() };
        Ok(self.known.bucket(name).cloned().unwrap_or_else(unset))
    }

    fn set_bucket(
        &mut self,
        now: Now,
        name: &Blob,
        changes: &[(String, String)],
    ) -> Result<BucketEntry, Failure> {
        let mut entry = self.bucket(name)?;
        let former = entry.props.clone();
        for (property, value) in changes {
            entry.props.set(property, value).map_err(invalid)?;
        }
        entry.props.check().map_err(invalid)?;
        if entry.props.n > former.n {
            self.check_n(entry.props.n)?;
        }
        if entry.version > 0 && entry.props == former {
            return Ok(entry);
        }
        entry.version += 1;
        match self.known.merge_bucket(entry.clone()) {
            Some(Change::Refused(fault)) => Err(invalid(fault)),
            Some(change) => {
                self.changed(now, self.config.me.node, change);
                Ok(entry)
            }
            None => Ok(entry),
        }
    }

    /// More replicas than nodes could never all be written.
    fn check_n(&self, n: u8) -> Result<(), Failure> {
        let layout = self.known.newest().map(KnownLayout::layout);
        let nodes = layout.map_or(self.known.members().len(), |layout| layout.ring.nodes().len());
        if usize::from(n) > nodes {
            return Err(invalid(format!(
                "n can't be {n}: there are {nodes} nodes to hold replicas; add nodes first"
            )));
        }
        Ok(())
    }
}

fn invalid(fault: impl core::fmt::Display) -> Failure {
    Failure::new(ErrorCode::InvalidRequest, format!("{fault}"))
}
