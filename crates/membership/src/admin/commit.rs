//! Plans, and the commit of one by its digest.
//!
//! Invariant: what is committed is what the plan with that digest showed, under the same layout and the same staged
//! changes; and no node is made to leave that can't hand on its data.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_protocol::admin::PlanReport;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::gossip::{MemberRecord, StagedChange};
use jedlik_protocol::limits::LAYOUTS_MAX;
use jedlik_protocol::{Digest, Layout, LayoutId, Now, PartitionSet, WireLayout};

use super::invalid;
use crate::Membership;
use crate::layout_history::ActiveLayout;
use crate::placement::{Required, first_layout, successor};
use crate::report::Facts;

/// Layout that a commit would make now, with the report on it.
pub(super) struct Plan {
    layout: Layout,
    pub(super) report: PlanReport,
    /// Reasons against committing the plan now; empty if there are none.
    objections: Vec<String>,
}

impl Membership {
    /// Makes the plan that a commit would carry out now.
    pub(super) fn plan(&self) -> Result<Plan, Failure> {
        let layout = self.propose()?;
        let facts = Facts {
            known: &self.known,
            after: &layout,
            changes: &self.staged().changes,
            n: self.config.n,
            founding: self.objection_to_founding(),
            up: &|node| {
                let record = self.known.members().get(&node);
                record.is_some_and(|record| self.takes_as_up(record))
            },
        };
        let (report, objections) = (facts.report(), facts.objections());
        Ok(Plan { layout, report, objections })
    }

    /// Makes the layout of the next commit: from the staged changes, or without any the first one, of all members
    /// that are up.
    fn propose(&self) -> Result<Layout, Failure> {
        let staging = self.staged();
        let newest = self.known.newest();
        if newest.is_some() && staging.changes.is_empty() {
            return Err(invalid(
                "nothing is staged; stage changes with `jedlik-admin cluster \
                 join|leave|remove|replace|set`",
            ));
        }
        if staging.changes.is_empty() {
            let members = self.known.members().values();
            let up: Vec<&MemberRecord> =
                members.filter(|record| self.takes_as_up(record)).collect();
            return first_layout(&up, self.config.partitions, self.config.n);
        }
        let layout = successor(newest, &staging, self.required())?;
        let (nodes, n) = (layout.ring.nodes().len(), self.config.n);
        if newest.is_none() && nodes < usize::from(n) {
            return Err(Failure::new(
                ErrorCode::NotReady,
                format!("{nodes} nodes are staged, and keys have {n} replicas: stage more nodes"),
            ));
        }
        Ok(layout)
    }

    /// Returns the numbers of nodes and replicas that the next layout has to have room for.
    pub(super) fn required(&self) -> Required {
        let set = self.known.buckets().iter().map(|entry| entry.props.n);
        Required {
            partitions: self.config.partitions,
            least_nodes: set.chain([self.config.n]).max().unwrap_or(1),
            n: self.known.n_max().max(self.config.n),
        }
    }

    /// Refuses one active layout too many. A plan that gives up a dead node may come on top, since data may have
    /// stopped moving because of that node.
    fn check_room(&self) -> Result<(), Failure> {
        let active = self.known.history().layouts().len();
        let relieves = self.staged().changes.iter().any(|(_, change)| gives_up(change));
        let most = if relieves { 2 * LAYOUTS_MAX } else { LAYOUTS_MAX };
        if active < most {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::NotReady,
            format!(
                "{active} layouts are active, and more than {most} can't be: wait until data has moved \
                 (`jedlik-admin cluster wait`), then commit"
            ),
        ))
    }

    /// Makes the plan with this digest the layout in force.
    pub(super) fn commit(
        &mut self,
        now: Now,
        plan: Digest,
        lost: u32,
        dry_run: bool,
    ) -> Result<LayoutId, Failure> {
        let changed = |message| Failure::new(ErrorCode::PlanChanged, message);
        let newest = self.known.newest().map(ActiveLayout::id);
        if let Some(id) = newest.filter(|id| id.digest == plan.0) {
            return Err(changed(format!(
                "plan {:016x} is in force already, as layout {}",
                plan.0, id.version
            )));
        }
        if let Some(id) = newest.filter(|_| self.staged().changes.is_empty()) {
            return Err(changed(format!(
                "layout {id} came into force since plan {:016x} was made, and nothing is staged",
                plan.0
            )));
        }
        let found = self.plan()?;
        let layout = found.layout;
        if layout.digest() != plan {
            return Err(changed(format!(
                "plan {:016x} is out of date: members came or went, other changes are staged, or \
                 another layout is in force; plan again",
                plan.0
            )));
        }
        self.check_room()?;
        if !found.objections.is_empty() {
            return Err(invalid(found.objections.join("; ")));
        }
        if lost != found.report.lost {
            return Err(Failure::new(ErrorCode::InvalidRequest, loss(found.report.lost, lost)));
        }
        let id = layout.id();
        if !dry_run {
            let placed = WireLayout { layout, flipped: PartitionSet::default() };
            for change in self.known.merge_layout(placed) {
                self.changed(now, self.config.me.node, change);
            }
        }
        Ok(id)
    }
}

/// Whether a change gives up a node that is dead.
fn gives_up(change: &StagedChange) -> bool {
    matches!(change, StagedChange::Remove | StagedChange::Replace { forced: true, .. })
}

fn loss(found: u32, accepted: u32) -> String {
    if found == 0 {
        return format!(
            "this plan loses no partition's only copies, and {accepted} were accepted as lost: leave \
             --accept-loss out"
        );
    }
    format!("this plan loses the only copies of {found} partitions; pass --accept-loss {found}")
}
