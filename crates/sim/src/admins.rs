//! Admins who change the layout: each stages, plans and commits through some node, repeatedly until its change is in
//! force.
//!
//! Invariant: every layout that was ever committed is recorded here, even if a rival won.

use std::sync::Arc;

use jedlik_membership::View;
use jedlik_protocol::Layout;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::error::Failure;
use jedlik_protocol::gossip::StagedChange;
use jedlik_protocol::limits::LAYOUTS_MAX;

use crate::bits::Bits;
use crate::breach::{Breach, Promise};
use crate::node::{Node, Running, id, index};
use crate::plan::{Alteration, Plan};
use crate::recounts::Recounts;
use crate::world::{Event, World};

/// Time before the change at which a node that is to join is started.
const STARTED_BEFORE_US: u64 = 1_500_000;
/// Longest pause of an admin after a refusal.
pub(crate) const RETRY_US: u64 = 800_000;
/// Time for which admins go on once faults have ceased.
pub(crate) const PATIENCE_US: u64 = 40_000_000;
/// Number of nodes that serve as seeds.
const SEEDS: usize = 2;

/// Progress of the admins' changes, and what follows from them.
#[derive(Debug)]
pub(crate) struct Admins {
    /// Whether each change of the plan is in force or given up.
    done: Vec<bool>,
    /// Last time at which there was no room for one more layout.
    full_us: u64,
    /// Whether a layout after the first was committed.
    pub(crate) moved: bool,
    /// Identity that ran twice, and the place of its process that an admin chose to stay.
    pub(crate) kept: Option<(u8, u8)>,
    /// Whether the chosen process was told so.
    pub(crate) has_kept: bool,
    /// Nodes that ever owned each key.
    owners: Vec<Bits>,
    pub(crate) recounts: Recounts,
}

impl Admins {
    pub(crate) fn new(plan: &Plan) -> Self {
        let owners = vec![Bits::default(); plan.setting.keys.into()];
        let (done, recounts) = (vec![false; plan.changes.len()], Recounts::new(plan));
        Self { done, full_us: 0, moved: false, kept: None, has_kept: false, owners, recounts }
    }

    /// Whether no change is left to be made.
    pub(crate) fn are_done(&self) -> bool {
        self.done.iter().all(|done| *done) && self.recounts.are_done()
    }

    /// Whether the node owned the key under some layout.
    pub(crate) fn ever_owned(&self, key: u8, node: u8) -> bool {
        self.owners[usize::from(key)].contains(node.into())
    }
}

impl World {
    pub(crate) fn begin_change(&mut self, index: usize) {
        let change = self.plan.changes[index];
        if let Some(node) = change.what.newcomer() {
            let start_us = change.at_us.saturating_sub(STARTED_BEFORE_US);
            self.after(start_us, Event::Start { node });
        }
        self.after(change.at_us, Event::Change(index));
    }

    /// Tries a change once, through a node that the admin can reach.
    pub(crate) fn try_change(&mut self, index: usize) {
        let change = self.plan.changes[index];
        let quiet_us = self.convergence.quiet_us().unwrap_or(self.now_us);
        // An admin who is refused since data has yet to move is told to wait, and waits.
        let newest = self.newest_view();
        if newest.is_some_and(|view| view.layouts().len() >= LAYOUTS_MAX) {
            self.admins.full_us = self.now_us;
        }
        if self.now_us > quiet_us.max(self.admins.full_us) + PATIENCE_US {
            self.admins.done[index] = true;
            return self
                .log
                .say(self.now_us, None, None, || format!("ADMIN gives up: {}", change.what));
        }
        let reached = |node: &u8| {
            let side = change.side.filter(|side| self.now_us < side.until_us);
            let place = &self.nodes[usize::from(*node)];
            // A cluster is founded once: while a node knows no layout, its admin waits.
            let knows = |running: &Running| running.membership.view().layout().is_some();
            let running = place.running.as_ref();
            let up = running.is_some_and(|running| !running.stopping && knows(running));
            side.is_none_or(|side| side.nodes >> node & 1 == 1) && up && place.pauses == 0
        };
        let reached: Vec<u8> = (0..self.plan.setting.places()).filter(reached).collect();
        if !reached.is_empty() {
            let node = self.chances.admins.pick(&reached);
            let result = self.commit(node, &change.what);
            if !matches!(result, Ok(true)) || self.convergence.is_quiet() {
                self.tell_change(node, &change.what, &result);
            }
            // Until the end a rival may come into force instead. Of two weights the later may stay.
            let may_end =
                self.convergence.is_quiet() || matches!(change.what, Alteration::Weigh(..));
            if matches!(result, Ok(true)) && may_end {
                self.admins.done[index] = true;
                return;
            }
        }
        let again_us = self.chances.admins.between(RETRY_US / 4, RETRY_US);
        self.after(again_us, Event::Change(index));
    }

    fn tell_change(&mut self, node: u8, what: &Alteration, result: &Result<bool, Failure>) {
        self.log.say(self.now_us, Some(node), None, || {
            let result = match result {
                Ok(true) => "is in force".into(),
                Ok(false) => "committed".into(),
                Err(failure) => format!("refused: {failure}"),
            };
            format!("ADMIN: {what}: {result}")
        });
    }

    /// Stages a change and commits the staged changes; returns true if it was already in force.
    fn commit(&mut self, node: u8, what: &Alteration) -> Result<bool, Failure> {
        let view = self.running(node).map(|running| running.membership.view());
        if view.as_ref().and_then(|view| view.layout()).is_some_and(|layout| is_in(layout, what)) {
            return Ok(true);
        }
        // A node that came back before its removal can hand its data over.
        let forced = !self.convergence.is_quiet();
        let is_gone = |node| view.as_ref().is_some_and(|view| view.departed(id(node)).is_some());
        let change = match *what {
            // A rival has won that lacks the new node, while the other's removal holds nevertheless.
            Alteration::Replace { node, by, .. } if is_gone(node) => Alteration::Join(by, 1),
            what => what,
        };
        let stage = AdminRequest::Stage { changes: vec![staged(&change, forced)], dry_run: false };
        self.admin(node, &stage)?;
        let AdminResponse::Plan(report) = self.admin(node, &AdminRequest::Plan)? else {
            return Ok(false);
        };
        let commit = AdminRequest::Commit { plan: report.plan, lost: 0, dry_run: false };
        self.admin(node, &commit)?;
        self.counts.layouts += 1;
        self.admins.moved = true;
        Ok(false)
    }

    /// Notes a layout that came into force at a node. A node that it removes by force has lost its disk for good, even
    /// if a rival that keeps the node wins. Its owners are noted, since they may hold acknowledged copies.
    pub(crate) fn note_layout(&mut self, view: &Arc<View>) {
        let removes = |node: u8| view.departed(id(node)).is_some_and(|departed| departed.forced);
        self.damage.destroyed |= (0..self.plan.setting.places()).any(removes);
        self.nodes.iter_mut().for_each(|place| place.removed |= removes(place.index));
        for key in 0..self.plan.setting.keys {
            // The owners include those that the layout gives once the bucket has more replicas.
            let n = usize::from(self.plan.setting.of_key(key).most_n());
            let list = view.preference_list(self.placed(key).partition);
            let owners: Vec<u8> = list.iter().take(n).map(|node| index(*node)).collect();
            let ever = &mut self.admins.owners[usize::from(key)];
            owners.into_iter().for_each(|node| ever.insert(node.into()));
        }
    }

    /// Checks that a node which an active layout removes by force has no place in the newest one (decision 26).
    pub(crate) fn check_removals(&mut self, view: &View) {
        let Some(newest) = view.layout() else { return };
        let departed = view.layouts().iter().flat_map(|known| &known.layout().departed);
        let removed = departed.filter(|departed| departed.forced).map(|departed| departed.node);
        let kept = removed.into_iter().find(|node| newest.ring.node(*node).is_some());
        if let Some(node) = kept {
            let what =
                format!("n{} is removed by one layout, and has a place in the newest", node.0);
            let breach = Breach { promise: Promise::GoneStayGone, key: None, what };
            self.breach.get_or_insert(breach);
        }
    }

    /// Returns the first N of a key's preference list under the newest layout of a view.
    pub(crate) fn owners_under(&self, view: &View, key: u8) -> Vec<u8> {
        let partition = self.placed(key).partition;
        let n = usize::from(view.bucket(self.history.key(key).bucket()).n);
        view.preference_list(partition)
            .iter()
            .take(n)
            .map(|node| self.seat_of(index(*node)))
            .collect()
    }

    /// Returns the newest view that a running node has. A node that was removed by force may know a layout that no
    /// other learns of.
    pub(crate) fn newest_view(&self) -> Option<Arc<View>> {
        let present = self.nodes.iter().filter(|place| !place.removed);
        let running = present.filter_map(|place| place.running.as_ref());
        running.map(|running| running.membership.view()).max_by_key(|view| view.layout_id())
    }

    /// Returns the nodes that have a place in the cluster: they ran, and neither left nor were removed.
    pub(crate) fn present(&self) -> Vec<u8> {
        let present = |place: &&Node| place.begun && !place.over && !place.removed;
        self.nodes.iter().filter(present).map(|place| place.index).collect()
    }

    /// Returns the seeds of a node that starts: the first nodes that are in the cluster.
    pub(crate) fn seeds(&self) -> Vec<u8> {
        let first = self.plan.setting.nodes;
        let stay = |node: &u8| {
            let place = &self.nodes[usize::from(*node)];
            !place.over && !place.removed && (*node < first || place.begun)
        };
        (0..self.plan.setting.places()).filter(stay).take(SEEDS).collect()
    }
}

/// Whether a layout contains a change, or rules it out for ever.
fn is_in(layout: &Layout, what: &Alteration) -> bool {
    let placed = |node: &u8| layout.ring.node(id(*node));
    let departed = |node: &u8| layout.departed(id(*node)).is_some();
    match what {
        Alteration::Join(node, _) => placed(node).is_some() || departed(node),
        Alteration::Leave(node) | Alteration::Remove(node) => departed(node),
        Alteration::Replace { node, by, .. } => {
            (placed(by).is_some() || departed(by)) && departed(node)
        }
        Alteration::Weigh(node, weight) => {
            departed(node) || placed(node).is_some_and(|placed| placed.weight == *weight)
        }
    }
}

fn staged(what: &Alteration, force: bool) -> (jedlik_hashing::NodeId, StagedChange) {
    let own_zone = String::new();
    match *what {
        Alteration::Join(node, weight) => (id(node), StagedChange::Join { zone: own_zone, weight }),
        Alteration::Leave(node) => (id(node), StagedChange::Leave),
        Alteration::Remove(node) if force => (id(node), StagedChange::Remove),
        Alteration::Remove(node) => (id(node), StagedChange::Leave),
        Alteration::Replace { node, by, forced } => {
            let forced = forced && force;
            (id(node), StagedChange::Replace { by: id(by), zone: own_zone, forced })
        }
        Alteration::Weigh(node, weight) => {
            (id(node), StagedChange::Set { zone: None, weight: Some(weight) })
        }
    }
}
