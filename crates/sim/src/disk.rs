//! A disk at the level of records, with what the storage crate promises and no more.
//!
//! Invariant: a change that was answered holds what its durability names: written ones survive the
//! process, synced ones the machine. All others may be lost, from the last backwards.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{Digest, Durability, EncodedRecord, PlacedKey, Record, StoredRecord};
use jedlik_replica::{
    Hint, HintMark, HintPage, HintTotals, Holding, RangeRequest, RangeResult, RecordMeta,
    StorageFault,
};
use jedlik_vclock::LocalActor;
use jedlik_vclock::planted::{self, Bug};

use crate::chance::Chance;
use crate::contents::{Contents, DiskOperation, Edit, HintNames};

use self::keeping::Keeping;

mod ends;
mod keeping;
mod rot;

/// An answer to a change.
pub(crate) type Completion = (u64, Result<(), StorageFault>);

/// A record before and after a change.
pub(crate) type RecordChange = (Option<RecordMeta>, Option<RecordMeta>);

#[derive(Debug)]
struct Entry {
    operation: DiskOperation,
    waiting: Option<(u64, Durability)>,
}

/// What the journal does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The group has been handed to the operating system.
    Written,
    /// Everything handed over is on the disk.
    Synced,
    /// The engine has what there is no vote for.
    Kept,
}

/// What makes a disk bad, and how often it was said to be so.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) full: u32,
    /// So little is left that records and hints are refused; what makes room is taken.
    pub(crate) no_room: u32,
    pub(crate) overloaded: u32,
    pub(crate) slow: u32,
}

/// One node's.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What loads see: lost with the process.
    memory: Contents,
    damaged: BTreeSet<PlacedKey>,
    /// Hints that fail their checksums.
    unreadable: HintNames,
    /// Such hints that were removed, which a machine's end may undo.
    discarded: HintNames,
    /// Survives everything but the loss of the disk.
    synced: Contents,
    /// Survives the process.
    written: VecDeque<Entry>,
    /// On its way to the operating system.
    group: Vec<Entry>,
    unsent: Vec<Entry>,
    busy: bool,
    /// What the journal does now takes as long as it does on a slow disk, whether or not that still is one.
    stuck: bool,
    /// The disk did not take all that loads see.
    behind: bool,
    pub(crate) condition: Condition,
    pub(crate) sync_us: u64,
    /// What has no vote: survives all but the loss of the disk.
    pub(crate) votes: Option<Vec<u8>>,
    /// The same, on its way there.
    keeping: Keeping,
    /// The engine says that it has lost its past, until the votes say of what.
    pub(crate) lost_past: bool,
    /// Records of an earlier copy of the directory that was set aside.
    pub(crate) aside: Option<BTreeMap<PlacedKey, StoredRecord>>,
    /// For whom hints were held or released since it was last told.
    changed: BTreeSet<NodeId>,
    /// Under a planted bug: the actors of hints that were handed off.
    actors_kept: BTreeMap<(NodeId, PlacedKey), LocalActor>,
}

impl Disk {
    pub(crate) fn new(sync_us: u64) -> Self {
        Self { sync_us, ..Self::default() }
    }

    /// All that is held of a key.
    pub(crate) fn holding(&self, key: &PlacedKey) -> Holding {
        let record = self.memory.records.get(key).cloned();
        let (hints, damaged_hints) = self.readable(key, self.memory.hints_of(key));
        Holding { record, damaged: self.damaged.contains(key), hints, damaged_hints }
    }

    /// The same for the node. Under a planted bug the first load after a handoff finds the hint's actor.
    pub(crate) fn load(&mut self, key: &PlacedKey) -> Holding {
        let mut holding = self.holding(key);
        let kept = self.actors_kept.extract_if(.., |(_, of), _| of == key);
        for ((target, _), local) in kept {
            if holding.hints.iter().all(|hint| hint.target != target) {
                let record = EncodedRecord::encode(&Record::new());
                let record = StoredRecord { local: Some(local), record };
                holding.hints.push(Hint { target, since_ms: 0, record });
            }
        }
        holding
    }

    /// Whether a change can be taken now.
    fn admit(&self) -> Result<(), StorageFault> {
        if self.condition.overloaded > 0 { Err(StorageFault::Overloaded) } else { Ok(()) }
    }

    /// Whether a change can be taken after which more is held.
    fn admit_more(&self) -> Result<(), StorageFault> {
        if self.condition.no_room > 0 {
            return Err(StorageFault::Failed("too little of the disk is left".into()));
        }
        self.admit()
    }

    /// Takes a change; loads see it at once.
    fn stage(&mut self, key: &PlacedKey, edit: Edit, ticket: u64, level: Durability) {
        self.memory.make(key, &edit);
        // The journal has what loads see, as the storage crate's.
        let edit = self.memory.whole(key, edit);
        let operation = DiskOperation::Edit(key.clone(), edit);
        self.unsent.push(Entry { operation, waiting: Some((ticket, level)) });
    }

    /// Whether the key's record can't be read.
    pub(crate) fn is_damaged(&self, key: &PlacedKey) -> bool {
        self.damaged.contains(key)
    }

    /// Answers once all that loads see is synced, also what the disk was too full for when it came.
    pub(crate) fn sync(&mut self, ticket: u64) {
        let operation = if self.behind {
            DiskOperation::All(self.memory.clone())
        } else {
            DiskOperation::Nothing
        };
        self.unsent.push(Entry { operation, waiting: Some((ticket, Durability::Synced)) });
    }

    /// Drops all records of a partition; loads see none at once.
    pub(crate) fn drop_partition(
        &mut self,
        ticket: u64,
        partition: Partition,
    ) -> Result<(), StorageFault> {
        self.admit()?;
        let operation = DiskOperation::Drop(partition);
        self.memory.carry_out(&operation);
        self.damaged.retain(|key| key.partition != partition);
        self.unsent.push(Entry { operation, waiting: Some((ticket, Durability::Synced)) });
        Ok(())
    }

    /// Those of the partitions that hold a record.
    pub(crate) fn survey(&self, partitions: Vec<Partition>) -> Vec<Partition> {
        let keys = self.memory.records.keys().chain(&self.damaged);
        let occupied: BTreeSet<Partition> = keys.map(|key| key.partition).collect();
        partitions.into_iter().filter(|partition| occupied.contains(partition)).collect()
    }

    /// Merges a record over what is there.
    pub(crate) fn apply(
        &mut self,
        ticket: u64,
        key: &PlacedKey,
        record: StoredRecord,
        level: Durability,
    ) -> Result<RecordChange, StorageFault> {
        self.admit_more()?;
        self.damaged.remove(key);
        let before = self.memory.meta(key);
        self.stage(key, Edit::Merge(record), ticket, level);
        Ok((before, self.memory.meta(key)))
    }

    /// Puts a record in place of the expected one, or nothing.
    pub(crate) fn revise(
        &mut self,
        ticket: u64,
        key: &PlacedKey,
        expected: Digest,
        record: Option<StoredRecord>,
    ) -> Result<RecordChange, StorageFault> {
        self.admit()?;
        let before = self.memory.meta(key);
        let found = before.map(|held| held.digest);
        let edit = if found == Some(expected) { Edit::Set(record) } else { Edit::Wait };
        self.stage(key, edit, ticket, Durability::Synced);
        Ok((before, self.memory.meta(key)))
    }

    /// Merges a record into the hint for another node.
    pub(crate) fn hold(
        &mut self,
        (ticket, target): (u64, NodeId),
        key: &PlacedKey,
        (since_ms, record): (u64, StoredRecord),
        level: Durability,
    ) -> Result<(), StorageFault> {
        self.admit_more()?;
        self.changed.insert(target);
        if self.unreadable.contains(&(target, key.clone())) {
            self.discard(target, key);
        }
        self.stage(key, Edit::hold(target, since_ms, record), ticket, level);
        Ok(())
    }

    /// Drops a hint if it is this one; also one that is gone already, since the disk may not know yet.
    pub(crate) fn release(
        &mut self,
        ticket: u64,
        target: NodeId,
        key: &PlacedKey,
        digest: Digest,
    ) -> Result<(), StorageFault> {
        self.admit()?;
        let held = self.memory.hint(target, key);
        let local = held.and_then(|held| held.local);
        let unreadable = self.unreadable.contains(&(target, key.clone()));
        let grown = unreadable || held.is_some_and(|held| held.record.digest() != digest);
        if planted::on(Bug::ActorKeptAfterHandoff)
            && let Some(local) = local.filter(|_| !grown)
        {
            self.actors_kept.insert((target, key.clone()), local);
        }
        let edit = if grown { Edit::Wait } else { Edit::Release(target) };
        self.changed.insert(target);
        self.stage(key, edit, ticket, Durability::Synced);
        Ok(())
    }

    /// The hint of a key for a node.
    pub(crate) fn hint(&self, target: NodeId, key: &PlacedKey) -> Option<&StoredRecord> {
        self.memory.hint(target, key)
    }

    /// The records of a partition.
    pub(crate) fn records_of(&self, partition: Partition) -> Vec<(PlacedKey, StoredRecord)> {
        let records = self.memory.records.iter().filter(|(key, _)| key.partition == partition);
        records.map(|(key, stored)| (key.clone(), stored.clone())).collect()
    }

    /// What reads show of each key: its record merged with its hints.
    pub(crate) fn shown(&self) -> BTreeMap<PlacedKey, StoredRecord> {
        self.memory.shown(&self.unreadable)
    }

    /// The record that is on the disk for good.
    pub(crate) fn synced(&self, key: &PlacedKey) -> Option<&StoredRecord> {
        self.synced.records.get(key)
    }

    /// The hints of a key that are on the disk for good.
    pub(crate) fn hints_synced(&self, key: &PlacedKey) -> impl Iterator<Item = (NodeId, Record)> {
        let decoded = |hint: Hint| Some((hint.target, hint.record.record.decode().ok()?));
        self.synced.hints_of(key).into_iter().filter_map(decoded)
    }

    /// A page of the hints for a node; those that can't be read are removed, as by the storage crate.
    pub(crate) fn hints(
        &mut self,
        target: NodeId,
        after: Option<&HintMark>,
        limit: u32,
    ) -> HintPage {
        let mut hints = self.memory.hints_for(target, after);
        hints.retain(|hint| {
            let unreadable = self.unreadable.contains(&(target, hint.key.clone()));
            if unreadable && self.admit().is_ok() {
                self.discard(target, &hint.key);
            }
            !unreadable
        });
        let end = hints.len() <= limit as usize;
        hints.truncate(limit as usize);
        HintPage { hints, end }
    }

    /// For whom and of what there are hints.
    pub(crate) fn held(&self) -> impl Iterator<Item = &(NodeId, PlacedKey)> {
        self.memory.held()
    }

    /// The totals that changed since they were last taken.
    pub(crate) fn take_totals(&mut self) -> Vec<(NodeId, HintTotals)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.map(|target| (target, self.memory.totals(target))).collect()
    }

    pub(crate) fn page(&self, asked: &RangeRequest) -> RangeResult {
        self.memory.page((&self.damaged, &self.unreadable), asked)
    }

    /// The end of a turn: what needs no disk is answered, and the journal is set to work.
    pub(crate) fn submit(&mut self, chance: &mut Chance) -> (Vec<Completion>, Option<u64>) {
        let mut done = Vec::new();
        if self.keeping.holds_back() {
            return (done, None);
        }
        for entry in &mut self.unsent {
            done.extend(answer(entry, Durability::Buffered, &Ok(())));
        }
        (done, self.begin(chance))
    }

    fn begin(&mut self, chance: &mut Chance) -> Option<u64> {
        if self.busy || self.unsent.is_empty() || self.keeping.holds_back() {
            return None;
        }
        self.busy = true;
        self.group = std::mem::take(&mut self.unsent);
        Some(self.pace(chance) / 10)
    }

    /// Whether the journal is still at something that it began while the disk was slow.
    pub(crate) fn is_stuck(&self) -> bool {
        (self.busy || self.keeping.is_under_way()) && self.stuck
    }

    fn pace(&mut self, chance: &mut Chance) -> u64 {
        self.stuck = self.condition.slow > 0;
        let slow = if self.stuck { 1_000 } else { 1 };
        (chance.between(self.sync_us / 2, self.sync_us * 2) * slow).min(8_000_000)
    }

    /// A step is done: what it answers, and how long the next one takes.
    pub(crate) fn advance(
        &mut self,
        step: Step,
        chance: &mut Chance,
    ) -> (Vec<Completion>, Option<(Step, u64)>) {
        let mut done = Vec::new();
        if step == Step::Kept {
            // What waited for it is submitted as the turn ends.
            self.row_kept();
            return (done, None);
        }
        if step == Step::Written {
            let full = self.condition.full > 0;
            self.behind |= full;
            let result = if full { Err(StorageFault::Failed("no room".into())) } else { Ok(()) };
            let early = full || planted::on(Bug::AcknowledgedBeforeSync);
            let level = if early { Durability::Synced } else { Durability::Written };
            for mut entry in self.group.drain(..) {
                done.extend(answer(&mut entry, level, &result));
                if !full {
                    self.written.push_back(entry);
                }
            }
            return (done, Some((Step::Synced, self.pace(chance))));
        }
        while let Some(mut entry) = self.written.pop_front() {
            done.extend(answer(&mut entry, Durability::Synced, &Ok(())));
            self.synced.carry_out(&entry.operation);
        }
        self.busy = false;
        (done, self.begin(chance).map(|us| (Step::Written, us)))
    }
}

/// The answer to who waits for an entry, if that waits for no more than `level`.
fn answer(
    entry: &mut Entry,
    level: Durability,
    result: &Result<(), StorageFault>,
) -> Option<Completion> {
    let (ticket, _) = entry.waiting.take_if(|(_, asked)| *asked <= level)?;
    Some((ticket, result.clone()))
}
