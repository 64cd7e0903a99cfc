//! Partitions on their way to this node and away from it (paper 4.9; [design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! What moves follows from the view alone. A new owner compares with the older owners until it holds all
//! that they do, and says so; a node that holds what it owns no more hands it on and drops it.
//! Invariant: a range is dropped only when its partition has flipped and every member knows the layout.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_handoff::Standing;
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::Now;
use jedlik_protocol::peer::Vouching;
use jedlik_vclock::planted::{self, Bug};

use crate::background::Background;
use crate::io::{Output, StorageFault};
use crate::lane::{Ended, Errand, Lane, LaneStep, Task};
use crate::pending::Ticket;
use crate::replica::Replica;

/// What keeps an errand from going on.
pub(crate) enum Obstacle {
    /// Nobody but this node is in the way: later.
    None,
    /// These are down or unknown.
    Nodes(Vec<NodeId>),
    /// The partition has not flipped, or a member does not know the layout.
    Others(String),
}

impl Replica {
    /// The layouts, what has flipped, or how many replicas buckets have is another: so is what moves.
    pub(crate) fn follow_layouts(&mut self, now: Now, before: Option<&View>, view: &View) {
        let (owned, to_own) = (self.counted(view), self.newest(view));
        let Background { moves, trees, .. } = &mut self.background;
        // What is compared as the owners' is another with other numbers of replicas, too.
        let as_before = |before: &View| {
            before.layout_id() == view.layout_id()
                && before.other_replica_counts() == view.other_replica_counts()
        };
        if !before.is_some_and(as_before) {
            moves.restart();
            moves.begin_survey(now.mono_us);
        }
        let lost: Vec<Partition> = moves.owned.difference(&owned).copied().collect();
        for partition in &owned {
            trees.keep(*partition);
            moves.handed_over(*partition);
        }
        moves.owned = owned;
        for partition in lost {
            moves.hand_over(partition);
        }
        let open: Vec<Partition> = moves.takeovers.keys().copied().collect();
        for partition in open {
            if view.is_flipped(partition) || !to_own.contains(&partition) {
                moves.taken_over(partition);
            }
        }
        // A bucket's number of replicas may have changed while a partition moves: whoever is to own it for that now
        // has it to take over, as under a new layout.
        self.begin_takeovers(view, &to_own);
        self.follow_surplus(view);
    }

    /// The partitions of this shard that it owns for some N under an active layout.
    fn counted(&self, view: &View) -> BTreeSet<Partition> {
        let counts = view.replica_counts();
        let owns =
            |p: &Partition| counts.iter().any(|n| view.owners(*p, *n).contains(&self.config.me));
        self.of_this_shard(view).filter(owns).collect()
    }

    /// Those that it owns under the newest.
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

    /// Takes the next step of moving; false if there is none now.
    pub(crate) fn move_next(&mut self, now: Now, view: &View) -> bool {
        self.background.moves.wake(now.mono_us);
        if self.survey_if_due(now, view) || self.sweep_next() || self.recall_next(now) {
            return true;
        }
        (0..self.background.moves.lanes.len()).any(|lane| self.move_in_lane(now, view, lane))
    }

    fn move_in_lane(&mut self, now: Now, view: &View, lane: usize) -> bool {
        // Each turn begins an errand, ends one, or takes a step.
        loop {
            if self.background.moves.lanes[lane].is_idle() {
                let Some(errand) = self.background.moves.take() else { return false };
                self.begin_move(now, view, lane, errand);
                continue;
            }
            let Background { moves, trees, exchanges, .. } = &mut self.background;
            let Some(step) = moves.lanes[lane].step(trees, exchanges) else { return false };
            match step {
                LaneStep::ReadPage { partition, reading, after } => {
                    self.read_page(partition, reading, after);
                    return true;
                }
                LaneStep::AskVote { id, peer, partition, n } => {
                    self.ask_vote(now, view, (id, peer), (partition, n));
                    return true;
                }
                LaneStep::Exchange { id, peer, partition, n, output } => {
                    self.exchange_step(now, (id, peer), (partition, n), output);
                    return true;
                }
                LaneStep::Choose(errand) => self.choose(now, view, lane, errand),
                LaneStep::Ended(ended) => self.end_move_exchange(&ended),
                LaneStep::Done { errand, whole, changes } => {
                    self.end_move(now, view, errand, whole, changes);
                }
            }
        }
    }

    fn begin_move(&mut self, now: Now, view: &View, lane: usize, errand: Errand) {
        if !self.background.moves.is_wanted(errand) {
            return;
        }
        match errand.task {
            Task::TakeOver if self.conclude_takeover(view, errand.partition) => return,
            Task::Refill => self.conclude_refill(view, errand.partition),
            _ => {}
        }
        if !matches!(self.obstacle(view, errand), Obstacle::None) {
            self.ask_those_in_doubt_again(errand);
            return self.background.moves.rest(now.mono_us, errand);
        }
        if errand.task == Task::Refill && self.recall_first(view, errand.partition) {
            return;
        }
        let Background { moves, repairs, trees, .. } = &mut self.background;
        // Two readings of one partition would each wait for the other's pages.
        let is_at = |lane: &Lane| lane.is_at(errand.partition);
        if is_at(&repairs.lane) || moves.lanes.iter().any(is_at) {
            return moves.rest(now.mono_us, errand);
        }
        trees.keep(errand.partition);
        moves.lanes[lane].begin(errand, trees);
    }

    /// What is in the way of an errand now.
    pub(crate) fn obstacle(&self, view: &View, errand: Errand) -> Obstacle {
        let partition = errand.partition;
        match errand.task {
            Task::Compare { .. } => Obstacle::None,
            Task::TakeOver => match self.takeover_standing(view, partition) {
                Some(Standing::Blocked(nodes)) => Obstacle::Nodes(nodes),
                _ => Obstacle::None,
            },
            // Without anybody to compare with there is nobody to wait for either.
            Task::Refill => match self.refill_pairs(view, partition).is_empty() {
                true => Obstacle::Nodes(self.refill_blockers(view, partition)),
                false => Obstacle::None,
            },
            Task::HandOver | Task::Thin if !view.is_flipped(partition) => {
                Obstacle::Others(String::from("its new owners are not ready"))
            }
            Task::HandOver | Task::Thin if !view.is_known_by_all() => {
                Obstacle::Others(String::from("a member does not know the layout yet"))
            }
            Task::HandOver | Task::Thin => {
                let owners = self.present_owners(view, partition);
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

    fn present_owners(&self, view: &View, partition: Partition) -> Vec<(u8, NodeId)> {
        let list = view.preference_list(partition);
        let of_n = |n: u8| list.iter().take(usize::from(n)).map(move |node| (n, *node));
        view.replica_counts().into_iter().flat_map(of_n).collect()
    }

    /// With whom a partition on its way is compared, the last first.
    fn choose(&mut self, now: Now, view: &View, lane: usize, errand: Errand) {
        let mut pairs = match errand.task {
            Task::TakeOver => match self.takeover_standing(view, errand.partition) {
                Some(Standing::Compare(pairs)) => pairs,
                _ => Vec::new(),
            },
            Task::Refill => self.refill_pairs(view, errand.partition),
            Task::Thin => self.surplus_pairs(view, errand.partition),
            Task::HandOver if self.background.trees.is_empty(errand.partition) => Vec::new(),
            Task::HandOver if planted::on(Bug::DroppedUnverified) => Vec::new(),
            _ => self.present_owners(view, errand.partition),
        };
        if !matches!(self.obstacle(view, errand), Obstacle::None) {
            self.background.moves.lanes[lane].clear();
            return self.background.moves.rest(now.mono_us, errand);
        }
        pairs.reverse();
        self.background.moves.lanes[lane].compare(pairs, &self.background.trees);
    }

    fn end_move_exchange(&mut self, ended: &Ended) {
        let Background { moves, repairs, .. } = &mut self.background;
        repairs.count(ended);
        if !ended.report.complete {
            return;
        }
        let (partition, vouching) = (ended.errand.partition, ended.vouching);
        if ended.errand.task == Task::Refill {
            self.refill_compared((partition, ended.n), ended.peer, vouching);
        } else if let Some(takeover) = moves.takeovers.get_mut(&partition) {
            takeover.handle_compared(ended.n, ended.peer, vouching == Vouching::Votes);
        }
    }

    fn end_move(&mut self, now: Now, view: &View, errand: Errand, whole: bool, changes: u64) {
        let partition = errand.partition;
        let over = match errand.task {
            Task::TakeOver => self.conclude_takeover(view, partition),
            Task::Refill => {
                self.conclude_refill(view, partition);
                false
            }
            Task::Thin => self.begin_sweep(view, partition, whole),
            _ => {
                let unchanged = self.background.trees.changes(partition) == changes;
                let may_drop = matches!(self.obstacle(view, errand), Obstacle::None);
                let over = whole && unchanged && may_drop;
                let nothing = self.background.trees.is_empty(partition)
                    && !self.background.moves.is_occupied(partition);
                if over && nothing {
                    self.background.moves.handed_over(partition);
                    self.background.trees.drop(partition);
                } else if over {
                    let ticket = self.pending.ticket(Ticket::Dropped { partition });
                    self.emit(Output::Drop { ticket, partition });
                    // Whatever comes from now on is no part of what is dropped.
                    self.background.trees.drop(partition);
                }
                over
            }
        };
        if !over && self.background.moves.is_wanted(errand) {
            self.background.moves.rest(now.mono_us, errand);
        }
    }

    /// A range is gone from the disk, or is not.
    pub(crate) fn handle_dropped(
        &mut self,
        now: Now,
        partition: Partition,
        result: &Result<(), StorageFault>,
    ) {
        let moves = &mut self.background.moves;
        let errand = Errand { partition, task: Task::HandOver };
        if result.is_err() {
            self.background.trees.keep(partition);
            return moves.rest(now.mono_us, errand);
        }
        moves.moved.dropped += 1;
        if self.background.trees.keeps(partition) {
            // Something came meanwhile: it is handed on too, if the partition is not owned again.
            if moves.orphans.contains(&partition) {
                moves.rest(now.mono_us, errand);
            }
        } else {
            moves.handed_over(partition);
        }
    }

    /// A record of a partition that this node keeps no tree of: it is handed on.
    pub(crate) fn note_stray(&mut self, partition: Partition) {
        if !self.background.trees.keeps(partition) {
            self.background.trees.keep(partition);
            self.background.moves.hand_over(partition);
        }
    }
}
