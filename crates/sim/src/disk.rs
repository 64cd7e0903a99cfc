//! A disk at the level of records, with what the storage crate promises and no more.
//!
//! Invariant: a write that was answered holds what its durability names: written ones survive the
//! process, synced ones the machine. All others may be lost, from the last backwards.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jedlik_protocol::{Durability, EncodedRecord, PlacedKey, StoredRecord};
use jedlik_replica::{RangeResult, StorageFault};
use jedlik_vclock::planted::{self, Bug};

use crate::chance::Chance;

type Records = BTreeMap<PlacedKey, StoredRecord>;

/// An answer to an apply.
pub(crate) type Completion = (u64, Result<(), StorageFault>);

#[derive(Debug)]
struct Entry {
    key: PlacedKey,
    stored: StoredRecord,
    waiting: Option<(u64, Durability)>,
}

/// What the journal does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The group has been handed to the operating system.
    Written,
    /// Everything handed over is on the disk.
    Synced,
}

/// What makes a disk bad, and how often it was said to be so.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) full: u32,
    pub(crate) overloaded: u32,
    pub(crate) slow: u32,
}

/// One node's.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// What loads see: lost with the process.
    memory: Records,
    damaged: BTreeSet<PlacedKey>,
    /// Survives everything but the loss of the disk.
    synced: Records,
    /// Survives the process.
    written: VecDeque<Entry>,
    /// On its way to the operating system.
    group: Vec<Entry>,
    unsent: Vec<Entry>,
    busy: bool,
    pub(crate) condition: Condition,
    pub(crate) sync_us: u64,
}

impl Disk {
    pub(crate) fn new(sync_us: u64) -> Self {
        Self { sync_us, ..Self::default() }
    }

    pub(crate) fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StorageFault> {
        if self.damaged.contains(key) {
            return Err(StorageFault::Damaged);
        }
        Ok(self.memory.get(key).cloned())
    }

    /// Merges a record over what is there; loads see it at once.
    pub(crate) fn apply(
        &mut self,
        ticket: u64,
        key: &PlacedKey,
        record: StoredRecord,
        level: Durability,
    ) -> Result<(), StorageFault> {
        if self.condition.overloaded > 0 {
            return Err(StorageFault::Overloaded);
        }
        let stored = merged(self.memory.get(key), record);
        self.damaged.remove(key);
        self.memory.insert(key.clone(), stored.clone());
        self.unsent.push(Entry { key: key.clone(), stored, waiting: Some((ticket, level)) });
        Ok(())
    }

    pub(crate) fn page(&self, after: Option<&PlacedKey>, of: &PlacedKey) -> RangeResult {
        let inside = self.memory.iter().filter(|(key, _)| {
            key.partition == of.partition && after.is_none_or(|after| *key > after)
        });
        let records = inside.map(|(key, stored)| (key.clone(), stored.clone())).collect();
        RangeResult { records, until: None }
    }

    /// The end of a turn: what needs no disk is answered, and the journal is set to work.
    pub(crate) fn submit(&mut self, chance: &mut Chance) -> (Vec<Completion>, Option<u64>) {
        let mut done = Vec::new();
        for entry in &mut self.unsent {
            done.extend(answer(entry, Durability::Buffered, &Ok(())));
        }
        (done, self.begin(chance))
    }

    fn begin(&mut self, chance: &mut Chance) -> Option<u64> {
        if self.busy || self.unsent.is_empty() {
            return None;
        }
        self.busy = true;
        self.group = std::mem::take(&mut self.unsent);
        Some(self.pace(chance) / 10)
    }

    fn pace(&self, chance: &mut Chance) -> u64 {
        let slow = if self.condition.slow > 0 { 1_000 } else { 1 };
        (chance.between(self.sync_us / 2, self.sync_us * 2) * slow).min(8_000_000)
    }

    /// A step is done: what it answers, and how long the next one takes.
    pub(crate) fn advance(
        &mut self,
        step: Step,
        chance: &mut Chance,
    ) -> (Vec<Completion>, Option<(Step, u64)>) {
        let mut done = Vec::new();
        if step == Step::Written {
            let full = self.condition.full > 0;
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
            keep(&mut self.synced, &entry);
        }
        self.busy = false;
        (done, self.begin(chance).map(|us| (Step::Written, us)))
    }

    /// The process ends: a part of what was on its way got through.
    pub(crate) fn end_process(&mut self, chance: &mut Chance) {
        let through = chance.below(self.group.len() as u64 + 1) as usize;
        self.written.extend(self.group.drain(..).take(through));
        self.group.clear();
        self.unsent.clear();
        self.memory.clear();
        self.busy = false;
    }

    /// The machine ends: a part of what was not synced got through, the last one torn.
    pub(crate) fn end_machine(&mut self, chance: &mut Chance) {
        self.end_process(chance);
        let through = chance.below(self.written.len() as u64 + 1) as usize;
        self.written.truncate(through);
    }

    /// The process stops cleanly: everything goes into the engine.
    pub(crate) fn close(&mut self) {
        self.synced = std::mem::take(&mut self.memory);
        self.written.clear();
        self.group.clear();
        self.unsent.clear();
        self.busy = false;
    }

    /// The process starts: the journal is replayed into the engine.
    pub(crate) fn open(&mut self) {
        for entry in std::mem::take(&mut self.written) {
            keep(&mut self.synced, &entry);
        }
        self.memory = self.synced.clone();
    }

    /// Loses everything.
    pub(crate) fn wipe(&mut self) {
        let condition = std::mem::take(&mut self.condition);
        *self = Self { condition, ..Self::new(self.sync_us) };
    }

    /// Damages a record, if it is in the engine alone; whether it is.
    pub(crate) fn rot(&mut self, key: &PlacedKey) -> bool {
        let mut journalled = self.written.iter().chain(&self.group).chain(&self.unsent);
        if journalled.any(|entry| entry.key == *key) || self.synced.remove(key).is_none() {
            return false;
        }
        self.memory.remove(key);
        self.damaged.insert(key.clone())
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

fn keep(records: &mut Records, entry: &Entry) {
    let stored = merged(records.get(&entry.key), entry.stored.clone());
    records.insert(entry.key.clone(), stored);
}

/// What is stored once `new` was applied over `held`; the newer local actor stands.
fn merged(held: Option<&StoredRecord>, new: StoredRecord) -> StoredRecord {
    let Some(held) = held else { return new };
    let local = new.local.or(held.local);
    if held.record == new.record {
        return StoredRecord { local, record: new.record };
    }
    let decode = |record: &EncodedRecord| record.decode().expect("it came through a decoder");
    let mut record = decode(&held.record);
    record.merge(&decode(&new.record));
    StoredRecord { local, record: EncodedRecord::encode(&record) }
}
