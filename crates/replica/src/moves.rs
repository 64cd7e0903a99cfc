//! Which partitions come to this node and which go, and which of them is next (paper 4.9, 6.2; [design 4](../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariants: a partition that is to be owned is worked on until this node is ready for it; a range is
//! dropped only after every present owner has been compared with it and while nothing was added to it.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use jedlik_handoff::Takeover;
use jedlik_hashing::Partition;

use crate::lane::{Errand, Lane, Task};
use crate::recalling::HeadStart;
use crate::surplus::Surplus;

/// How many partitions are moved at a time: while one waits for an answer another is worked on.
pub(crate) const LANES: usize = 2;
/// What could not be finished is tried again after this long.
const RETRY_AFTER_US: u64 = 250_000;
/// Who had no vote, or could not be reached, when a partition was to be refilled is asked again after this long.
const REFILL_AGAIN_US: u64 = 1_000_000;

/// What has been moved since the start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moved {
    pub(crate) received_records: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_records: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) dropped: u32,
}

/// All that moves to and from one shard.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// What the shard owns under the active layouts.
    pub(crate) owned: BTreeSet<Partition>,
    /// What it is to own under the newest and is not ready for.
    pub(crate) takeovers: BTreeMap<Partition, Takeover>,
    /// What it owns no more, and may hold records of.
    pub(crate) orphans: BTreeSet<Partition>,
    /// Those of them in which storage found something, be it a damaged record.
    occupied: BTreeSet<Partition>,
    /// What it holds of partitions that it owns, for an N for which it does not.
    pub(crate) surplus: Surplus,
    /// Partitions of which it can't say what is absent.
    refilling: BTreeSet<Partition>,
    pub(crate) lanes: [Lane; LANES],
    pub(crate) moved: Moved,
    /// What an earlier copy of the shard holds of what is refilled.
    pub(crate) head_start: HeadStart,
    /// It was asked which partitions hold records, and that was answered.
    pub(crate) surveyed: bool,
    /// When the shard is next asked which partitions hold records; `None` while it is being asked.
    pub(crate) survey_due_us: Option<u64>,
    /// The last partition that was looked at, while there are more to be.
    pub(crate) surveyed_until: Option<Partition>,
    waiting: VecDeque<Errand>,
    /// The same, to tell which are waiting.
    queued: BTreeSet<Errand>,
    resting: BTreeMap<Errand, u64>,
}

impl Moves {
    /// Forgets what is under way: other partitions move now.
    pub(crate) fn restart(&mut self) {
        self.takeovers.clear();
        self.waiting.clear();
        self.queued.clear();
        self.resting.clear();
        self.lanes.iter_mut().for_each(Lane::clear);
        self.surplus.restart();
        for partition in self.orphans.clone() {
            self.queue(Errand { partition, task: Task::HandOver });
        }
        for partition in self.refilling.clone() {
            self.queue(Errand { partition, task: Task::Refill });
        }
    }

    /// A partition that this node is to own from now on.
    pub(crate) fn take_over(&mut self, partition: Partition) {
        self.takeovers.insert(partition, Takeover::new());
        self.queue(Errand { partition, task: Task::TakeOver });
    }

    /// A partition that this node owns, and of which it may hold records of others.
    pub(crate) fn thin(&mut self, partition: Partition) {
        if self.surplus.add(partition) {
            self.queue(Errand { partition, task: Task::Thin });
        }
    }

    /// Nothing is left of them, or it is no business of this node any more.
    pub(crate) fn thinned(&mut self, partition: Partition) {
        if self.surplus.remove(partition) {
            self.forget(Errand { partition, task: Task::Thin });
        }
    }

    /// A partition of which this node can't say what is absent.
    pub(crate) fn refill(&mut self, partition: Partition) {
        if self.refilling.insert(partition) {
            self.queue(Errand { partition, task: Task::Refill });
        }
    }

    /// Nothing is in the way of its comparison any more.
    pub(crate) fn refill_now(&mut self, partition: Partition) {
        if self.refilling.contains(&partition) {
            self.queue(Errand { partition, task: Task::Refill });
        }
    }

    /// It has a vote for all of it again, or it is no business of this node any more.
    pub(crate) fn refilled(&mut self, partition: Partition) {
        if self.refilling.remove(&partition) {
            self.forget(Errand { partition, task: Task::Refill });
        }
    }

    /// This node is ready for it, or it is no business of this node any more.
    pub(crate) fn taken_over(&mut self, partition: Partition) {
        if self.takeovers.remove(&partition).is_some() {
            self.forget(Errand { partition, task: Task::TakeOver });
        }
    }

    /// What it was compared with while it is being taken over does not count any more.
    pub(crate) fn take_over_anew(&mut self, partition: Partition) {
        if self.takeovers.contains_key(&partition) {
            self.taken_over(partition);
            self.take_over(partition);
        }
    }

    /// Counts records that have come for a partition that is being taken over. The rounds of repair bring
    /// some of them: a new owner's first one is with everyone.
    pub(crate) fn count_received(&mut self, partition: Partition, records: usize, bytes: usize) {
        if self.takeovers.contains_key(&partition) {
            self.moved.received_records += records as u64;
            self.moved.received_bytes += bytes as u64;
        }
    }

    /// A partition that this node owns no more, and of which it may hold records.
    pub(crate) fn hand_over(&mut self, partition: Partition) {
        if self.orphans.insert(partition) {
            self.queue(Errand { partition, task: Task::HandOver });
        }
    }

    /// Storage has found something in a partition that this node owns no more.
    pub(crate) fn found(&mut self, partition: Partition) {
        self.occupied.insert(partition);
        self.hand_over(partition);
    }

    /// Whether storage has found something in an orphan; what is damaged is in no tree.
    pub(crate) fn is_occupied(&self, orphan: Partition) -> bool {
        self.occupied.contains(&orphan)
    }

    /// It is owned again, or nothing of it is left.
    pub(crate) fn handed_over(&mut self, partition: Partition) {
        self.occupied.remove(&partition);
        if self.orphans.remove(&partition) {
            self.forget(Errand { partition, task: Task::HandOver });
        }
    }

    /// Whether an errand is still to be done.
    pub(crate) fn is_wanted(&self, errand: Errand) -> bool {
        match errand.task {
            Task::TakeOver => self.takeovers.contains_key(&errand.partition),
            Task::HandOver => self.orphans.contains(&errand.partition),
            Task::Refill => self.refilling.contains(&errand.partition),
            Task::Thin => self.surplus.contains(errand.partition),
            Task::Compare { .. } => false,
        }
    }

    /// The next errand that waits.
    pub(crate) fn take(&mut self) -> Option<Errand> {
        let errand = self.waiting.pop_front()?;
        self.queued.remove(&errand);
        Some(errand)
    }

    /// Tries an errand again after a rest.
    pub(crate) fn rest(&mut self, now_us: u64, errand: Errand) {
        let rest_us = if errand.task == Task::Refill { REFILL_AGAIN_US } else { RETRY_AFTER_US };
        self.resting.insert(errand, now_us + rest_us);
    }

    /// Lets those whose rest is over wait for their turn.
    pub(crate) fn wake(&mut self, now_us: u64) {
        let due = self.resting.iter().filter(|(_, due_us)| **due_us <= now_us);
        for errand in due.map(|(errand, _)| *errand).collect::<Vec<_>>() {
            self.resting.remove(&errand);
            self.queue(errand);
        }
    }

    /// Something may go on that could not before.
    pub(crate) fn wake_all(&mut self) {
        for errand in core::mem::take(&mut self.resting).into_keys() {
            self.queue(errand);
        }
    }

    /// Whether a step may be possible.
    pub(crate) fn is_busy(&self) -> bool {
        let moves = self.lanes.iter().any(|lane| !lane.is_idle());
        let recalls = self.head_start.is_ready();
        !self.waiting.is_empty() || moves || recalls || self.surplus.is_busy()
    }

    /// When something is due.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.resting.values().copied().chain(self.survey_due_us).min()
    }

    fn queue(&mut self, errand: Errand) {
        let under_way = self.lanes.iter().any(|lane| lane.errand() == Some(errand));
        if !under_way && !self.resting.contains_key(&errand) && self.queued.insert(errand) {
            self.waiting.push_back(errand);
        }
    }

    fn forget(&mut self, errand: Errand) {
        if self.queued.remove(&errand) {
            self.waiting.retain(|waiting| *waiting != errand);
        }
        self.resting.remove(&errand);
        for lane in &mut self.lanes {
            if lane.errand() == Some(errand) {
                lane.clear();
            }
        }
    }
}
