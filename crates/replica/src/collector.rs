//! When a tombstone, an expired record or a clock entry may be forgotten ([design 2](../../../docs/design.md#2-data)).
//!
//! Invariant: a record is collected or pruned only after every owner held exactly it for ten times as long as a message
//! lives, and then every owner still holds it on disk and no member holds a hint of it, all under one layout and one
//! number of replicas, and both times in the same lives. So nothing older is left that could bring back what it covers.
//!
//! The members are asked themselves instead of being believed by their gossip: an answer that was made after the record
//! had settled needs no two clocks to be compared.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_membership::View;
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::peer::Comparison;
use jedlik_protocol::{Digest, EncodedRecord, LayoutId, PlacedKey, Record};
use jedlik_vclock::ActorId;

/// Most records that wait to be collected; others are found again by the next reading.
const CANDIDATES_MAX: usize = 8_192;
/// Number of clock entries without a version from which on a clock is pruned. Fewer are left alone, since a
/// coordinator that loses its entry begins a new one.
const PRUNE_FROM: usize = 8;

/// Remainder of a record once all that may be forgotten is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Residue {
    /// Nothing: the whole record may be forgotten.
    Nothing,
    /// The record without the clock entries that may be forgotten.
    Pruned(Record),
}

/// Returns what would be left of `record` at this time if its replicas agree; `None` if nothing may be forgotten.
pub(crate) fn residue(record: &Record, wall_ms: u64) -> Option<Residue> {
    if record.is_empty() {
        return None;
    }
    if record.is_dead(wall_ms) {
        return Some(Residue::Nothing);
    }
    let prunable: Vec<ActorId> = record.prunable().map(|entry| entry.actor).collect();
    (prunable.len() >= PRUNE_FROM).then(|| {
        let mut pruned = record.clone();
        pruned.prune(&prunable);
        Residue::Pruned(pruned)
    })
}

/// Identity of the key's owners and of the members' processes. A question about a record and the conclusion
/// from its answers rest on the same terms: else somebody might hand an older record to a new owner that has
/// said to hold nothing, and say the same then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) layout: LayoutId,
    /// Number of replicas in the key's bucket.
    pub(crate) n: u8,
    /// Digest of all members' lives, so that of two processes of a node only one is asked.
    pub(crate) lives: Digest,
}

impl Terms {
    pub(crate) fn of(view: &View, key: &PlacedKey) -> Self {
        let n = view.bucket(key.key.bucket()).n;
        Self { layout: view.layout_id(), n, lives: view.lives() }
    }
}

/// Record that may be forgotten some day.
#[derive(Debug)]
struct Candidate {
    due_us: u64,
    /// Digest of the record that all owners were found to hold, the members' lives at that time, and since
    /// when, in microseconds.
    settled: Option<(Digest, Digest, u64)>,
    stage: CandidateStage,
}

#[derive(Debug)]
enum CandidateStage {
    /// The record rests until it is due.
    Resting,
    /// The record is being read.
    Reading,
    /// Nodes are being asked whether they hold the record.
    Asking {
        terms: Terms,
        digest: Digest,
        residue: Option<EncodedRecord>,
        last: bool,
        left: BTreeSet<NodeId>,
        owners: Vec<NodeId>,
    },
}

/// Effect that the collector wants for one record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CollectionStep {
    /// Read the record from storage.
    Read,
    /// Ask these nodes whether they hold the record, or nothing of the key.
    Ask { terms: Terms, digest: Digest, nodes: Vec<NodeId> },
    /// Replace the record by its residue, here and at these owners, under the terms by which all were asked.
    Collect { terms: Terms, digest: Digest, residue: Option<EncodedRecord>, owners: Vec<NodeId> },
}

/// Records of one shard that may be forgotten some day.
#[derive(Debug)]
pub(crate) struct Collector {
    collect_after_us: u64,
    candidates: BTreeMap<PlacedKey, Candidate>,
    due: BTreeSet<(u64, PlacedKey)>,
    ready: Vec<(PlacedKey, CollectionStep)>,
}

impl Collector {
    pub(crate) fn new(collect_after_us: u64) -> Self {
        Self {
            collect_after_us,
            candidates: BTreeMap::new(),
            due: BTreeSet::new(),
            ready: Vec::new(),
        }
    }

    /// Notes a record that may be forgotten from `due_us` on. A time before the one noted so far counts,
    /// since what was to expire may have been deleted since. A full collector drops the record that is due
    /// last: what expires in a month must not keep tombstones waiting.
    pub(crate) fn notice(&mut self, key: &PlacedKey, due_us: u64) {
        if let Some(candidate) = self.candidates.get_mut(key) {
            let sooner = due_us < candidate.due_us && candidate.settled.is_none();
            if sooner && matches!(candidate.stage, CandidateStage::Resting) {
                self.due.remove(&(candidate.due_us, key.clone()));
                candidate.due_us = due_us;
                self.due.insert((due_us, key.clone()));
            }
            return;
        }
        if self.candidates.len() >= CANDIDATES_MAX {
            let Some(last) = self.due.last().filter(|(last_us, _)| *last_us > due_us).cloned()
            else {
                return;
            };
            self.due.remove(&last);
            self.candidates.remove(&last.1);
        }
        // Otherwise the whole message that the key came in would be kept.
        let key = PlacedKey { key: key.key.detached(), ..key.clone() };
        let candidate = Candidate { due_us, settled: None, stage: CandidateStage::Resting };
        self.candidates.insert(key.clone(), candidate);
        self.due.insert((due_us, key));
    }

    /// Returns whether a step can be taken before the next record is due.
    pub(crate) fn is_busy(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Returns when the next record is due, in microseconds.
    pub(crate) fn due_us(&self) -> Option<u64> {
        self.due.first().map(|(due_us, _)| *due_us)
    }

    /// Returns the next step and its key, if there is one.
    pub(crate) fn step(&mut self, now_us: u64) -> Option<(PlacedKey, CollectionStep)> {
        if let Some(ready) = self.ready.pop() {
            return Some(ready);
        }
        let (due_us, key) = self.due.first().filter(|(due_us, _)| *due_us <= now_us)?.clone();
        self.due.remove(&(due_us, key.clone()));
        self.candidates.get_mut(&key)?.stage = CandidateStage::Reading;
        Some((key, CollectionStep::Read))
    }

    /// Takes the record that was read: its digest and its residue, or `None` if nothing may be forgotten any
    /// more. `hinted`: this node holds a hint of the key.
    pub(crate) fn read(
        &mut self,
        now_us: u64,
        key: &PlacedKey,
        found: Option<(Digest, Option<EncodedRecord>)>,
        hinted: bool,
        view: &View,
    ) {
        let Some(candidate) = self.candidates.get_mut(key) else { return };
        let Some((digest, residue)) = found else {
            self.candidates.remove(key);
            return;
        };
        let terms = Terms::of(view, key);
        let found = (digest, terms.lives);
        if candidate.settled.is_some_and(|(settled, lives, _)| (settled, lives) != found) {
            candidate.settled = None;
        }
        let last = candidate.settled.is_some_and(|(_, _, since_us)| {
            now_us.saturating_sub(since_us) >= self.collect_after_us
        });
        let n = usize::from(terms.n);
        let owners: Vec<NodeId> =
            view.preference_list(key.partition).iter().take(n).copied().collect();
        let others = owners.iter().copied().filter(|node| *node != view.me());
        let asked: BTreeSet<NodeId> = if last && !planted::on(Bug::CollectedDespiteHint) {
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
            || (hinted && !planted::on(Bug::CollectedDespiteHint))
            || !owners.contains(&view.me())
        {
            return self.rest(now_us, key);
        }
        let (nodes, others) = (asked.iter().copied().collect(), others.collect());
        candidate.stage =
            CandidateStage::Asking { terms, digest, residue, last, left: asked, owners: others };
        self.ready.push((key.clone(), CollectionStep::Ask { terms, digest, nodes }));
        self.conclude(now_us, key);
    }

    /// Takes a node's answer whether it holds the record.
    pub(crate) fn answered(
        &mut self,
        now_us: u64,
        key: &PlacedKey,
        node: NodeId,
        comparison: Comparison,
    ) {
        let Some(candidate) = self.candidates.get_mut(key) else { return };
        let CandidateStage::Asking { left, owners, .. } = &mut candidate.stage else { return };
        let wanted = if owners.contains(&node) { Comparison::Same } else { Comparison::Nothing };
        if comparison != wanted {
            if owners.contains(&node) {
                candidate.settled = None;
            }
            return self.rest(now_us, key);
        }
        left.remove(&node);
        self.conclude(now_us, key);
    }

    /// Puts a record off after a node did not answer or the record could not be read.
    pub(crate) fn failed(&mut self, now_us: u64, key: &PlacedKey) {
        if self
            .candidates
            .get(key)
            .is_some_and(|candidate| !matches!(candidate.stage, CandidateStage::Resting))
        {
            self.rest(now_us, key);
        }
    }

    /// Concludes once every node has answered: the record has settled, or is collected.
    fn conclude(&mut self, now_us: u64, key: &PlacedKey) {
        let Some(candidate) = self.candidates.get_mut(key) else { return };
        let CandidateStage::Asking { terms, digest, residue, last, left, owners } =
            &mut candidate.stage
        else {
            return;
        };
        if !left.is_empty() {
            return;
        }
        if *last {
            let (residue, owners) = (residue.take(), core::mem::take(owners));
            let step = CollectionStep::Collect { terms: *terms, digest: *digest, residue, owners };
            self.ready.push((key.clone(), step));
            self.candidates.remove(key);
            return;
        }
        if candidate.settled.is_none() {
            candidate.settled = Some((*digest, terms.lives, now_us));
        }
        let since_us = candidate.settled.map_or(now_us, |(_, _, since_us)| since_us);
        let due_us = (since_us + self.collect_after_us).max(now_us + 1);
        self.rest_until(key, due_us);
    }

    fn rest(&mut self, now_us: u64, key: &PlacedKey) {
        self.rest_until(key, now_us + self.collect_after_us / 2);
    }

    fn rest_until(&mut self, key: &PlacedKey, due_us: u64) {
        if let Some(candidate) = self.candidates.get_mut(key) {
            candidate.stage = CandidateStage::Resting;
            candidate.due_us = due_us;
            self.due.insert((due_us, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
