//! A disk at the level of records, with the promises of the storage crate and no more.
//!
//! Invariant: a change that was answered is as durable as asked: written changes survive the process, synced ones the
//! machine. All others may be lost, the last ones first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jedlik_hashing::{NodeId, Partition};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::{Digest, Durability, EncodedRecord, PlacedKey, Record, StoredRecord};
use jedlik_replica::StorageFault;
use jedlik_storage_port::{
    Hint, HintMark, HintPage, HintTotals, Holding, RangePage, RangeRequest, RecordChange,
};
use jedlik_vclock::LocalActor;

use crate::chance::Chance;
use crate::contents::{Contents, DiskOperation, Edit, HintNames};

use self::keeping::Keeping;

mod ends;
mod keeping;
mod rot;

/// Answer to a change: its ticket and its result.
pub(crate) type Completion = (u64, Result<(), StorageFault>);

#[derive(Debug)]
struct Entry {
    operation: DiskOperation,
    waiting: Option<(u64, Durability)>,
}

/// Step of the disk that has just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The journal's group has been handed to the operating system.
    Written,
    /// Everything handed over is on the disk.
    Synced,
    /// The engine has the row of partitions without votes.
    Kept,
}

/// Faults of a disk, each with the number of causes under way.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) full: u32,
    /// Little room is left: records and hints are refused, changes that make room are accepted.
    pub(crate) no_room: u32,
    pub(crate) overloaded: u32,
    pub(crate) slow: u32,
}

/// Disk of one node.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Contents that loads see, which are lost with the process.
    memory: Contents,
    damaged: BTreeSet<PlacedKey>,
    /// Hints that fail their checksums.
    unreadable: HintNames,
    /// Unreadable hints that were removed; the end of the machine may undo that.
    discarded: HintNames,
    /// Contents that survive everything but the loss of the disk.
    synced: Contents,
    /// Changes that survive the process, and not the machine.
    written: VecDeque<Entry>,
    /// Changes on their way to the operating system.
    group: Vec<Entry>,
    unsent: Vec<Entry>,
    busy: bool,
    /// Whether the journal's present step takes as long as on a slow disk, even if the disk is no longer slow.
    stuck: bool,
    /// Whether the disk refused some of the contents that loads see.
    behind: bool,
    pub(crate) condition: Condition,
    pub(crate) sync_us: u64,
    /// Row of partitions without votes, which survives everything but the loss of the disk.
    pub(crate) votes: Option<Vec<u8>>,
    /// Rows of partitions without votes on their way to the disk.
    keeping: Keeping,
    /// Row that said of votes that they are lost and had not reached the disk as the storage ended.
    unkept: Option<Vec<u8>>,
    /// Number of times that the storage was opened or ended; a step of another time is not this one's.
    pub(crate) opening: u32,
    /// Whether the engine reports a lost past, until the row says of which partitions.
    pub(crate) lost_past: bool,
    /// Records of an earlier copy of the directory, which was set aside.
    pub(crate) aside: Option<BTreeMap<PlacedKey, StoredRecord>>,
    /// Targets whose hints were held or released since the totals were last taken.
    changed: BTreeSet<NodeId>,
    /// Actors of hints that were handed off, kept under a planted bug.
    actors_kept: BTreeMap<(NodeId, PlacedKey), LocalActor>,
}

impl Disk {
    pub(crate) fn new(sync_us: u64) -> Self {
        Self { sync_us, ..Self::default() }
    }

    /// Returns everything that is held of a key.
    pub(crate) fn holding(&self, key: &PlacedKey) -> Holding {
        let record = self.memory.records.get(key).cloned();
        let (hints, damaged_hints) = self.readable(key, self.memory.hints_of(key));
        Holding { record, damaged: self.damaged.contains(key), hints, damaged_hints }
    }

    /// Loads a key for the node. Under a planted bug the first load after a handoff finds the hint's actor.
    pub(crate) fn load(&mut self, key: &PlacedKey) -> Holding {
        let mut holding = self.holding(key);
        let kept = self.actors_kept.extract_if(.., |(_, of), _| of == key);
        for ((target, _), local) in kept {
            if holding.hints.iter().all(|hint| hint.target != target) {
                let record = EncodedRecord::encode(&Record::new());
                let record = StoredRecord { local: Some(local), record };
                holding.hints.push(Hint { target, since_ms: 0, key: key.clone(), record });
            }
        }
        holding
    }

    /// Fails if no change can be taken now.
    fn admit(&self) -> Result<(), StorageFault> {
        if self.condition.overloaded > 0 { Err(StorageFault::Overloaded) } else { Ok(()) }
    }

    /// Fails if no change can be taken now that needs more room.
    fn admit_more(&self) -> Result<(), StorageFault> {
        if self.condition.no_room > 0 {
            return Err(StorageFault::Failed("too little of the disk is left".into()));
        }
        self.admit()
    }

    /// Takes a change, which loads see at once.
    fn stage(&mut self, key: &PlacedKey, edit: Edit, ticket: u64, level: Durability) {
        self.memory.make(key, &edit);
        // The journal has the contents that loads see, as the storage crate's does.
        let edit = self.memory.whole(key, edit);
        let operation = DiskOperation::Edit(key.clone(), edit);
        self.unsent.push(Entry { operation, waiting: Some((ticket, level)) });
    }

    /// Whether the key's record can't be read.
    pub(crate) fn is_damaged(&self, key: &PlacedKey) -> bool {
        self.damaged.contains(key)
    }

    /// Answers once everything that loads see is synced, including changes that the full disk had refused.
    pub(crate) fn sync(&mut self, ticket: u64) {
        let operation = if self.behind {
            DiskOperation::All(self.memory.clone())
        } else {
            DiskOperation::Nothing
        };
        self.unsent.push(Entry { operation, waiting: Some((ticket, Durability::Synced)) });
    }

    /// Drops all records of a partition, which loads no longer see.
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

    /// Returns those of the partitions that hold a record.
    pub(crate) fn survey(&self, partitions: Vec<Partition>) -> Vec<Partition> {
        let keys = self.memory.records.keys().chain(&self.damaged);
        let occupied: BTreeSet<Partition> = keys.map(|key| key.partition).collect();
        partitions.into_iter().filter(|partition| occupied.contains(partition)).collect()
    }

    /// Merges a record over the stored one.
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
        Ok(RecordChange::sound(before, self.memory.meta(key)))
    }

    /// Replaces the expected record by another, or by none; does nothing if another one is stored.
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
        Ok(RecordChange::sound(before, self.memory.meta(key)))
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

    /// Drops a hint if it has this digest; also if it is gone already, since the disk may still have it.
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

    /// Returns the hint of a key for a node.
    pub(crate) fn hint(&self, target: NodeId, key: &PlacedKey) -> Option<&StoredRecord> {
        self.memory.hint(target, key)
    }

    /// Returns the records of a partition.
    pub(crate) fn records_of(&self, partition: Partition) -> Vec<(PlacedKey, StoredRecord)> {
        let records = self.memory.records.iter().filter(|(key, _)| key.partition == partition);
        records.map(|(key, stored)| (key.clone(), stored.clone())).collect()
    }

    /// Returns the record that reads show of each key: the stored one merged with its hints.
    pub(crate) fn shown(&self) -> BTreeMap<PlacedKey, StoredRecord> {
        self.memory.shown(&self.unreadable)
    }

    /// Returns the record that is on the disk for good.
    pub(crate) fn synced(&self, key: &PlacedKey) -> Option<&StoredRecord> {
        self.synced.records.get(key)
    }

    /// Returns the hints of a key that are on the disk for good.
    pub(crate) fn hints_synced(&self, key: &PlacedKey) -> impl Iterator<Item = (NodeId, Record)> {
        let decoded = |hint: Hint| Some((hint.target, hint.record.record.decode().ok()?));
        self.synced.hints_of(key).into_iter().filter_map(decoded)
    }

    /// Returns a page of the hints for a node; unreadable ones are removed, as by the storage crate.
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
        let found = hints.len();
        hints.truncate(limit as usize);
        let until = hints.last().filter(|_| hints.len() < found).map(Hint::mark);
        HintPage { hints, until, damaged: Vec::new() }
    }

    /// Returns the target and key of each hint.
    pub(crate) fn held(&self) -> impl Iterator<Item = &(NodeId, PlacedKey)> {
        self.memory.held()
    }

    /// Returns the totals that changed since this was last called.
    pub(crate) fn take_totals(&mut self) -> Vec<(NodeId, HintTotals)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed.map(|target| (target, self.memory.totals(target))).collect()
    }

    pub(crate) fn page(&self, asked: &RangeRequest) -> RangePage {
        self.memory.page((&self.damaged, &self.unreadable), asked)
    }

    /// Ends a turn: answers changes that need no disk, and starts the journal. Returns the answers and its time.
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

    /// Whether the journal still does a step that it began while the disk was slow.
    pub(crate) fn is_stuck(&self) -> bool {
        (self.busy || self.keeping.is_under_way()) && self.stuck
    }

    fn pace(&mut self, chance: &mut Chance) -> u64 {
        self.stuck = self.condition.slow > 0;
        let slow = if self.stuck { 1_000 } else { 1 };
        (chance.between(self.sync_us / 2, self.sync_us * 2) * slow).min(8_000_000)
    }

    /// Ends a step of the journal; returns the answers and the time of the next step.
    pub(crate) fn advance(
        &mut self,
        step: Step,
        chance: &mut Chance,
    ) -> (Vec<Completion>, Option<(Step, u64)>) {
        let mut done = Vec::new();
        if step == Step::Kept {
            // Changes that waited for it are submitted as the turn ends.
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

/// Returns the answer to an entry's caller, if that one waits for no more than `level`.
fn answer(
    entry: &mut Entry,
    level: Durability,
    result: &Result<(), StorageFault>,
) -> Option<Completion> {
    let (ticket, _) = entry.waiting.take_if(|(_, asked)| *asked <= level)?;
    Some((ticket, result.clone()))
}
