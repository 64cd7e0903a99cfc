//! When a tombstone, an expired record or a clock entry may be forgotten ([design 2](../../../docs/design.md#2-data)).
//!
//! Invariant: a record is reaped or pruned only after every owner held exactly it for ten times as long
//! as a message lives, and then every owner still holds it on disk and no member holds a hint of it, all under one
//! layout and one number of replicas, and both times in the same lives. So nothing older is left that could bring back what it covers.
//!
//! The members are asked themselves instead of being believed by their gossip: an answer that was made
//! after the record had settled needs no two clocks to be compared.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_protocol::peer::Comparison;
use jedlik_protocol::{Digest, EncodedRecord, LayoutId, PlacedKey, Record};
use jedlik_vclock::ActorId;
use jedlik_vclock::planted::{self, Bug};

/// The most records that wait to be reaped; others are found again by the next reading.
const GRAVES_MAX: usize = 8_192;
/// A clock is pruned when this many of its entries have no version: usual ones are left alone, since
/// a coordinator that loses its entry begins a new one.
const PRUNE_FROM: usize = 8;

/// What may be forgotten of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remains {
    /// All of it.
    Nothing,
    /// Clock entries: this is left.
    Pruned(Record),
}

/// What could be forgotten of `record` at this time, if its replicas agree.
pub(crate) fn remains(record: &Record, wall_ms: u64) -> Option<Remains> {
    if record.is_empty() {
        return None;
    }
    if record.is_dead(wall_ms) {
        return Some(Remains::Nothing);
    }
    let prunable: Vec<ActorId> = record.prunable().map(|entry| entry.actor).collect();
    (prunable.len() >= PRUNE_FROM).then(|| {
        let mut pruned = record.clone();
        pruned.prune(&prunable);
        Remains::Pruned(pruned)
    })
}

/// What says who owns a key, and which processes are members. What is asked of a record and what follows from the answers rests on one of them: else
/// somebody might hand an older record to a new owner that has said to hold nothing, and say the same then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) layout: LayoutId,
    /// Of the key's bucket.
    pub(crate) n: u8,
    /// Of all members: of two processes of a node one alone is asked.
    pub(crate) lives: Digest,
}

impl Terms {
    pub(crate) fn of(view: &View, key: &PlacedKey) -> Self {
        let n = view.bucket(key.key.bucket()).n;
        Self { layout: view.layout_id(), n, lives: view.lives() }
    }
}

/// One record that may be forgotten some day.
#[derive(Debug)]
struct Grave {
    due_us: u64,
    /// The record that the owners were found to hold, in which lives the members were then, and since when.
    settled: Option<(Digest, Digest, u64)>,
    stage: CandidateStage,
}

#[derive(Debug)]
enum CandidateStage {
    /// Until it is due.
    Resting,
    /// The record is being read.
    Reading,
    /// Nodes are being asked how they stand to it.
    Asking {
        terms: Terms,
        digest: Digest,
        remains: Option<EncodedRecord>,
        last: bool,
        left: BTreeSet<NodeId>,
        owners: Vec<NodeId>,
    },
}

/// What the reaper wants done about one record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rite {
    /// Read it.
    Read,
    /// Ask these nodes how they stand to it.
    Ask { terms: Terms, digest: Digest, nodes: Vec<NodeId> },
    /// Put what is left of it in its place, here and at these owners, by the terms under which all were asked.
    Bury { terms: Terms, digest: Digest, remains: Option<EncodedRecord>, owners: Vec<NodeId> },
}

/// The records of one shard that may be forgotten some day.
#[derive(Debug)]
pub(crate) struct Reaper {
    reap_after_us: u64,
    graves: BTreeMap<PlacedKey, Grave>,
    due: BTreeSet<(u64, PlacedKey)>,
    ready: Vec<(PlacedKey, Rite)>,
}

impl Reaper {
    pub(crate) fn new(reap_after_us: u64) -> Self {
        Self { reap_after_us, graves: BTreeMap::new(), due: BTreeSet::new(), ready: Vec::new() }
    }

    /// A record that may be forgotten, from `due_us` on; sooner than was noticed before where what was to expire has
    /// been deleted since. If there is no room the one that is due last makes way: what expires in a month must not
    /// keep tombstones waiting.
    pub(crate) fn notice(&mut self, key: &PlacedKey, due_us: u64) {
        if let Some(grave) = self.graves.get_mut(key) {
            let sooner = due_us < grave.due_us && grave.settled.is_none();
            if sooner && matches!(grave.stage, CandidateStage::Resting) {
                self.due.remove(&(grave.due_us, key.clone()));
                grave.due_us = due_us;
                self.due.insert((due_us, key.clone()));
            }
            return;
        }
        if self.graves.len() >= GRAVES_MAX {
            let Some(last) = self.due.last().filter(|(last_us, _)| *last_us > due_us).cloned()
            else {
                return;
            };
            self.due.remove(&last);
            self.graves.remove(&last.1);
        }
        // Else the whole message would be kept that the key came in.
        let key = PlacedKey { key: key.key.detached(), ..key.clone() };
        let grave = Grave { due_us, settled: None, stage: CandidateStage::Resting };
        self.graves.insert(key.clone(), grave);
        self.due.insert((due_us, key));
    }

    /// Whether something can be done now.
    pub(crate) fn is_busy(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When a record is due.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }

    /// The next thing to do, if there is one.
    pub(crate) fn step(&mut self, now_us: u64) -> Option<(PlacedKey, Rite)> {
        if let Some(ready) = self.ready.pop() {
            return Some(ready);
        }
        let (due_us, key) = self.due.first().filter(|(due_us, _)| *due_us <= now_us)?.clone();
        self.due.remove(&(due_us, key.clone()));
        self.graves.get_mut(&key)?.stage = CandidateStage::Reading;
        Some((key, Rite::Read))
    }

    /// The record was read: its digest, and what would be left of it, if something of it may be forgotten.
    /// `hinted`: this node holds a hint of it.
    pub(crate) fn read(
        &mut self,
        now_us: u64,
        key: &PlacedKey,
        found: Option<(Digest, Option<EncodedRecord>)>,
        hinted: bool,
        view: &View,
    ) {
        let Some(grave) = self.graves.get_mut(key) else { return };
        let Some((digest, remains)) = found else {
            self.graves.remove(key);
            return;
        };
        let terms = Terms::of(view, key);
        let found = (digest, terms.lives);
        if grave.settled.is_some_and(|(settled, lives, _)| (settled, lives) != found) {
            grave.settled = None;
        }
        let last = grave
            .settled
            .is_some_and(|(_, _, since_us)| now_us.saturating_sub(since_us) >= self.reap_after_us);
        let n = usize::from(terms.n);
        let owners: Vec<NodeId> =
            view.preference_list(key.partition).iter().take(n).copied().collect();
        let others = owners.iter().copied().filter(|node| *node != view.me());
        let asked: BTreeSet<NodeId> = if last && !planted::on(Bug::ReapedDespiteHint) {
            view.members().map(|member| member.node).filter(|node| *node != view.me()).collect()
        } else {
            others.clone().collect()
        };
        let unreachable = asked.iter().any(|node| !view.is_alive(*node));
        let moving = !view.is_flipped(key.partition) || !view.is_known_by_all();
        if unreachable
            || moving
            || !view.agrees_on_message_life()
            || view.has_rivals()
            || (hinted && !planted::on(Bug::ReapedDespiteHint))
            || !owners.contains(&view.me())
        {
            return self.rest(now_us, key);
        }
        let (nodes, others) = (asked.iter().copied().collect(), others.collect());
        grave.stage =
            CandidateStage::Asking { terms, digest, remains, last, left: asked, owners: others };
        self.ready.push((key.clone(), Rite::Ask { terms, digest, nodes }));
        self.conclude(now_us, key);
    }

    /// A node says how it stands to the record.
    pub(crate) fn answered(
        &mut self,
        now_us: u64,
        key: &PlacedKey,
        node: NodeId,
        comparison: Comparison,
    ) {
        let Some(grave) = self.graves.get_mut(key) else { return };
        let CandidateStage::Asking { left, owners, .. } = &mut grave.stage else { return };
        let wanted = if owners.contains(&node) { Comparison::Same } else { Comparison::Nothing };
        if comparison != wanted {
            if owners.contains(&node) {
                grave.settled = None;
            }
            return self.rest(now_us, key);
        }
        left.remove(&node);
        self.conclude(now_us, key);
    }

    /// A node that was asked did not answer, or the record could not be read.
    pub(crate) fn failed(&mut self, now_us: u64, key: &PlacedKey) {
        if self.graves.get(key).is_some_and(|grave| !matches!(grave.stage, CandidateStage::Resting))
        {
            self.rest(now_us, key);
        }
    }

    /// Draws the consequence once everyone has answered.
    fn conclude(&mut self, now_us: u64, key: &PlacedKey) {
        let Some(grave) = self.graves.get_mut(key) else { return };
        let CandidateStage::Asking { terms, digest, remains, last, left, owners } =
            &mut grave.stage
        else {
            return;
        };
        if !left.is_empty() {
            return;
        }
        if *last {
            let (remains, owners) = (remains.take(), core::mem::take(owners));
            let rite = Rite::Bury { terms: *terms, digest: *digest, remains, owners };
            self.ready.push((key.clone(), rite));
            self.graves.remove(key);
            return;
        }
        if grave.settled.is_none() {
            grave.settled = Some((*digest, terms.lives, now_us));
        }
        let since_us = grave.settled.map_or(now_us, |(_, _, since_us)| since_us);
        let due_us = (since_us + self.reap_after_us).max(now_us + 1);
        self.rest_until(key, due_us);
    }

    fn rest(&mut self, now_us: u64, key: &PlacedKey) {
        self.rest_until(key, now_us + self.reap_after_us / 2);
    }

    fn rest_until(&mut self, key: &PlacedKey, due_us: u64) {
        if let Some(grave) = self.graves.get_mut(key) {
            grave.stage = CandidateStage::Resting;
            grave.due_us = due_us;
            self.due.insert((due_us, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
