//! Notes of what this node will say of itself soon and has said lately, so that much news is little gossip.
//!
//! Invariant: what is noted here is written into the node's record within the interval of its kind.

use alloc::collections::BTreeMap;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::PartitionSet;
use jedlik_protocol::gossip::{Load, MemberRecord, Ready};

use crate::departure::Departure;

/// Interval between two records that tell of more partitions that are ready.
const READY_INTERVAL_US: u64 = 50_000;
/// Interval between two records that tell of another load, which serves people and estimates alone. That a refill has
/// begun or ended, and that shards were set aside, is told at once.
const LOAD_INTERVAL_US: u64 = 10_000_000;
/// Interval between two records that tell of another tick, or a third of the life of a message if that is less: a
/// tombstone is collected after ten such lives.
const TICK_INTERVAL_US: u64 = LOAD_INTERVAL_US;
/// Interval between two exchanges with one node because either side is behind; doubled each time that nothing new
/// comes of it, up to [`BEHIND_INTERVAL_MAX_US`].
const BEHIND_INTERVAL_US: u64 = 20_000;
/// Longest interval between two exchanges with one node that is behind, as long as that between rounds of gossip: a
/// node that never answers costs no more than one that is up.
const BEHIND_INTERVAL_MAX_US: u64 = 1_000_000;

/// A value to be told, and when.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
struct Pending<T> {
    value: T,
    due_us: Option<u64>,
    earliest_us: u64,
}

impl<T: Default> Pending<T> {
    fn new() -> Self {
        Self { value: T::default(), due_us: None, earliest_us: 0 }
    }

    fn note(&mut self, now_us: u64) {
        self.due_us.get_or_insert(self.earliest_us.max(now_us));
    }

    fn take(&mut self, now_us: u64, interval_us: u64) -> Option<T> {
        self.due_us.take_if(|due_us| *due_us <= now_us)?;
        self.earliest_us = now_us + interval_us;
        Some(core::mem::take(&mut self.value))
    }

    /// As [`Self::take`], but also before the value is due.
    fn take_early(&mut self, now_us: u64, interval_us: u64) -> Option<T> {
        self.due_us = self.due_us.map(|due_us| due_us.min(now_us));
        self.take(now_us, interval_us)
    }
}

/// Notes of what this node has to tell of itself.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Own {
    ready: Pending<PartitionSet>,
    load: Pending<Load>,
    tick: Pending<u32>,
    /// Time of the next exchange with each node that is behind, and the interval after that.
    behind: BTreeMap<NodeId, (u64, u64)>,
    pub(crate) departure: Departure,
}

impl Own {
    pub(crate) fn new() -> Self {
        Self {
            ready: Pending::new(),
            load: Pending::new(),
            tick: Pending::new(),
            behind: BTreeMap::new(),
            departure: Departure::default(),
        }
    }

    /// Notes that partitions are ready under the newest layout.
    pub(crate) fn note_ready(&mut self, now_us: u64, partitions: &[Partition], told: &Ready) {
        for partition in partitions {
            if !told.partitions.contains(*partition) {
                self.ready.value.insert(*partition);
                self.ready.note(now_us);
            }
        }
    }

    /// Drops what was ready, since another layout is in force.
    pub(crate) fn forget_ready(&mut self) {
        self.ready.value = PartitionSet::default();
        self.ready.due_us = None;
    }

    pub(crate) fn note_load(&mut self, now_us: u64, load: Load, me: &MemberRecord) {
        self.load.value = load;
        let told = |load: Load| (load.refilling > 0, load.set_aside);
        if load == me.load {
            self.load.due_us = None;
        } else if told(load) != told(me.load) {
            self.load.due_us = Some(now_us);
        } else {
            self.load.note(now_us);
        }
    }

    /// Notes how far this life has come.
    pub(crate) fn note_tick(&mut self, now_us: u64, tick: u32) {
        self.tick.value = tick;
        self.tick.note(now_us);
    }

    /// Returns when something is to be told. Readiness is told only once the layout is on disk (`has_layout`).
    pub(crate) fn due_us(&self, has_layout: bool) -> Option<u64> {
        let ready = self.ready.due_us.filter(|_| has_layout);
        ready.into_iter().chain(self.load.due_us).chain(self.tick.due_us).min()
    }

    /// Returns the ready partitions to be told now.
    pub(crate) fn take_ready(&mut self, now_us: u64) -> Option<PartitionSet> {
        self.ready.take(now_us, READY_INTERVAL_US)
    }

    /// Returns the load and the tick to be told now: both if one is due, so that they are one change of the record.
    pub(crate) fn take_figures(
        &mut self,
        now_us: u64,
        message_life_us: u64,
    ) -> (Option<Load>, Option<u32>) {
        let due_us = self.load.due_us.into_iter().chain(self.tick.due_us).min();
        if due_us.is_none_or(|due_us| due_us > now_us) {
            return (None, None);
        }
        let tick = self.take_tick(now_us, message_life_us);
        (self.load.take_early(now_us, LOAD_INTERVAL_US), tick)
    }

    /// Returns the tick to be told, if there is one, due or not.
    pub(crate) fn take_tick(&mut self, now_us: u64, message_life_us: u64) -> Option<u32> {
        self.tick.take_early(now_us, TICK_INTERVAL_US.min(message_life_us / 3))
    }

    /// Whether an exchange with a node that is behind may be opened now; if so, it counts as opened.
    pub(crate) fn take_behind(&mut self, now_us: u64, node: NodeId) -> bool {
        let (next_us, interval_us) =
            self.behind.get(&node).copied().unwrap_or((0, BEHIND_INTERVAL_US));
        let may = now_us >= next_us;
        if may {
            let longer_us = (2 * interval_us).min(BEHIND_INTERVAL_MAX_US);
            self.behind.insert(node, (now_us + interval_us, longer_us));
        }
        may
    }

    /// Notes that a node had something new to tell, so that it is asked again as soon as it is behind.
    pub(crate) fn forget_behind(&mut self, node: NodeId) {
        self.behind.remove(&node);
    }
}
