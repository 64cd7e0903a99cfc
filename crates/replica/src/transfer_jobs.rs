//! Jobs for partitions on their way to this node and away from it (paper 4.9;
//! [design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! What moves follows from the view alone. A new owner compares with the older owners until it holds all that
//! they do, and says so; a node that holds records which it no longer owns hands them on and drops them.
//! Invariant: a range is dropped only when its partition has flipped and every member knows the layout.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_handoff::InboundStatus;
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::peer::Vouching;

use crate::cx::Cx;
use crate::exchange_worker::{Done, Ended, JobKind, PartitionJob};
use crate::exchanges::{Exchanges, Progress, Seat};
use crate::io::{Output, StorageFault};
use crate::keyset::Keyset;
use crate::reasons::ApplyFor;
use crate::transfers::Transfers;
use crate::trees::Trees;

/// Reason why a job can't go on.
pub(crate) enum Obstacle {
    /// No other node is in the way.
    None,
    /// These nodes are down or unknown, or have no vote.
    Nodes(Vec<NodeId>),
    /// Other nodes are not ready, or don't know the layout; the text says which, for an admin.
    Others(String),
}

impl Transfers {
    /// Follows a change of the layouts, of what has flipped, or of buckets' numbers of replicas: other
    /// partitions move now.
    pub(crate) fn follow_layouts(
        &mut self,
        cx: &mut Cx,
        trees: &mut Trees,
        before: Option<&View>,
        view: &View,
    ) {
        let (owned, to_own) = (cx.counted(view), cx.newest(view));
        // With other numbers of replicas the owners' comparisons cover other keys, too.
        let as_before = |before: &View| {
            before.layout_id() == view.layout_id()
                && before.other_replica_counts() == view.other_replica_counts()
        };
        if !before.is_some_and(as_before) {
            self.restart(cx);
            self.begin_survey(cx.now.mono_us);
        }
        let lost: Vec<Partition> = self.owned.difference(&owned).copied().collect();
        for partition in &owned {
            trees.keep(*partition);
            self.end_outbound(cx, *partition);
        }
        self.owned = owned;
        for partition in lost {
            self.add_outbound(partition);
        }
        let open: Vec<Partition> = self.inbound.keys().copied().collect();
        for partition in open {
            if view.is_flipped(partition) || !to_own.contains(&partition) {
                self.end_inbound(cx, partition);
            }
        }
        // A bucket's number of replicas may have changed while a partition moves: a node that is to own it
        // for that number now has to take it over, as under a new layout.
        self.begin_inbound(cx, view, &to_own);
        self.follow_surplus(cx, view);
    }

    /// Takes the next step of a transfer; returns false if there is none now.
    pub(crate) fn step(&mut self, cx: &mut Cx, exchanges: &mut Exchanges, view: &View) -> bool {
        self.wake(cx.now.mono_us);
        if self.survey_if_due(cx, view) || self.sweep_next(cx) || self.recall_next(cx) {
            return true;
        }
        Seat::TRANSFERS.into_iter().any(|seat| self.step_at(cx, exchanges, view, seat))
    }

    fn step_at(&mut self, cx: &mut Cx, exchanges: &mut Exchanges, view: &View, seat: Seat) -> bool {
        // Each turn begins a job, ends one, or takes a step.
        loop {
            if exchanges.is_free(seat) {
                let Some(job) = self.take() else { return false };
                self.begin_job(cx, exchanges, view, (seat, job));
                continue;
            }
            match exchanges.step(cx, view, seat) {
                Progress::Waits => return false,
                Progress::Taken => return true,
                Progress::Choose(job) => self.choose(cx, exchanges, view, (seat, job)),
                Progress::Ended(ended) => self.end_exchange(cx, &ended),
                Progress::Done(done) => self.end_job(cx, &mut exchanges.trees, view, done),
            }
        }
    }

    fn begin_job(
        &mut self,
        cx: &mut Cx,
        exchanges: &mut Exchanges,
        view: &View,
        (seat, job): (Seat, PartitionJob),
    ) {
        if !self.is_wanted(job) {
            return;
        }
        match job.kind {
            JobKind::Inbound if self.conclude_inbound(cx, view, job.partition) => return,
            JobKind::Refill => cx.conclude_refill(view, job.partition),
            _ => {}
        }
        if !matches!(self.obstacle(cx, view, job), Obstacle::None) {
            self.ask_those_in_doubt_again(cx, job);
            return self.rest(cx.now.mono_us, job);
        }
        let trees = &mut exchanges.trees;
        if job.kind == JobKind::Refill && self.recall_first(cx, trees, view, job.partition) {
            return;
        }
        if exchanges.is_at(job.partition) {
            return self.rest(cx.now.mono_us, job);
        }
        exchanges.trees.keep(job.partition);
        exchanges.begin(seat, job);
        self.began(job);
    }

    /// Returns the reason why a job can't go on now.
    pub(crate) fn obstacle(&self, cx: &Cx, view: &View, job: PartitionJob) -> Obstacle {
        let partition = job.partition;
        match job.kind {
            JobKind::Compare { .. } => Obstacle::None,
            JobKind::Inbound => match self.inbound_status(cx, view, partition) {
                Some(InboundStatus::Blocked(nodes)) => Obstacle::Nodes(nodes),
                _ => Obstacle::None,
            },
            // Without anybody to compare with there is nobody to wait for either.
            JobKind::Refill => match cx.refill_pairs(view, partition).is_empty() {
                true => Obstacle::Nodes(cx.refill_blockers(view, partition)),
                false => Obstacle::None,
            },
            JobKind::Outbound | JobKind::Thin if !view.is_flipped(partition) => {
                Obstacle::Others(String::from("its new owners are not ready"))
            }
            JobKind::Outbound | JobKind::Thin if !view.is_known_by_all() => {
                Obstacle::Others(String::from("a member does not know the layout yet"))
            }
            JobKind::Outbound | JobKind::Thin => {
                let owners = cx.present_owners(view, partition);
                let down: BTreeSet<NodeId> = owners
                    .into_iter()
                    .map(|(_, node)| node)
                    .filter(|node| !view.is_alive(*node))
                    .collect();
                if down.is_empty() {
                    Obstacle::None
                } else {
                    Obstacle::Nodes(down.into_iter().collect())
                }
            }
        }
    }

    /// Chooses the nodes that a partition on its way is compared with, and has the worker begin.
    fn choose(
        &mut self,
        cx: &mut Cx,
        exchanges: &mut Exchanges,
        view: &View,
        (seat, job): (Seat, PartitionJob),
    ) {
        let trees = &exchanges.trees;
        let mut pairs = match job.kind {
            JobKind::Inbound => match self.inbound_status(cx, view, job.partition) {
                Some(InboundStatus::Compare(pairs)) => pairs,
                _ => Vec::new(),
            },
            JobKind::Refill => cx.refill_pairs(view, job.partition),
            JobKind::Thin => self.surplus_pairs(trees, view, job.partition),
            JobKind::Outbound if trees.is_empty(job.partition) => Vec::new(),
            JobKind::Outbound if planted::on(Bug::DroppedUnverified) => Vec::new(),
            _ => cx.present_owners(view, job.partition),
        };
        if !matches!(self.obstacle(cx, view, job), Obstacle::None) {
            exchanges.leave(seat);
            self.left(job);
            return self.rest(cx.now.mono_us, job);
        }
        pairs.reverse();
        exchanges.compare(seat, pairs);
    }

    fn end_exchange(&mut self, cx: &mut Cx, ended: &Ended) {
        if !ended.report.complete {
            return;
        }
        let (partition, vouching) = (ended.job.partition, ended.vouching);
        if ended.job.kind == JobKind::Refill {
            cx.refill_compared(Keyset::new(partition, ended.n), ended.peer, vouching);
        } else if let Some(inbound) = self.inbound.get_mut(&partition) {
            inbound.handle_compared(ended.n, ended.peer, vouching == Vouching::Votes);
        }
    }

    fn end_job(&mut self, cx: &mut Cx, trees: &mut Trees, view: &View, done: Done) {
        let Done { job, whole, changes } = done;
        let partition = job.partition;
        self.left(job);
        let over = match job.kind {
            JobKind::Inbound => self.conclude_inbound(cx, view, partition),
            JobKind::Refill => {
                cx.conclude_refill(view, partition);
                false
            }
            JobKind::Thin => self.begin_sweep(cx, (trees, view), partition, whole),
            _ => {
                let unchanged = trees.changes(partition) == changes;
                let may_drop = matches!(self.obstacle(cx, view, job), Obstacle::None);
                let over = whole && unchanged && may_drop;
                if over && trees.is_empty(partition) && !self.is_occupied(partition) {
                    self.end_outbound(cx, partition);
                    trees.drop(partition);
                } else if over {
                    let ticket = cx.pending.apply(ApplyFor::Dropped { partition });
                    cx.emit(Output::Drop { ticket, partition });
                    // Records that come from now on are not part of what is dropped.
                    trees.drop(partition);
                }
                over
            }
        };
        if !over && self.is_wanted(job) {
            self.rest(cx.now.mono_us, job);
        }
    }

    /// Ends an outbound transfer whose range is gone from the disk; retries if it is not.
    pub(crate) fn handle_dropped(
        &mut self,
        cx: &mut Cx,
        trees: &mut Trees,
        partition: Partition,
        result: &Result<(), StorageFault>,
    ) {
        let job = PartitionJob { partition, kind: JobKind::Outbound };
        if result.is_err() {
            trees.keep(partition);
            return self.rest(cx.now.mono_us, job);
        }
        self.transferred.dropped += 1;
        if trees.keeps(partition) {
            // Something came meanwhile: it is handed on too, if the partition is not owned again.
            if self.unowned.contains(&partition) {
                self.rest(cx.now.mono_us, job);
            }
        } else {
            self.end_outbound(cx, partition);
        }
    }

    /// Has a partition handed on of which a record came though this node keeps no tree of it.
    pub(crate) fn note_stray(&mut self, trees: &mut Trees, partition: Partition) {
        if !trees.keeps(partition) {
            trees.keep(partition);
            self.add_outbound(partition);
        }
    }
}

impl Cx {
    /// Returns the partitions of this shard that it owns for some N under an active layout.
    pub(crate) fn counted(&self, view: &View) -> BTreeSet<Partition> {
        let counts = view.replica_counts();
        let owns =
            |p: &Partition| counts.iter().any(|n| view.owners(*p, *n).contains(&self.config.me));
        self.of_this_shard(view).filter(owns).collect()
    }

    /// Returns the partitions of this shard that it owns under the newest layout.
    pub(crate) fn newest(&self, view: &View) -> BTreeSet<Partition> {
        let most = usize::from(view.replica_counts().last().copied().unwrap_or(0));
        let owns = |p: &Partition| {
            view.preference_list(*p).iter().take(most).any(|node| *node == self.config.me)
        };
        self.of_this_shard(view).filter(owns).collect()
    }

    pub(crate) fn of_this_shard(&self, view: &View) -> impl Iterator<Item = Partition> + use<> {
        let (shards, shard) = (u32::from(self.config.shards.max(1)), u32::from(self.config.shard));
        view.partitions().partitions().filter(move |partition| partition.0 % shards == shard)
    }

    pub(crate) fn present_owners(&self, view: &View, partition: Partition) -> Vec<(u8, NodeId)> {
        let list = view.preference_list(partition);
        let of_n = |n: u8| list.iter().take(usize::from(n)).map(move |node| (n, *node));
        view.replica_counts().into_iter().flat_map(of_n).collect()
    }
}
