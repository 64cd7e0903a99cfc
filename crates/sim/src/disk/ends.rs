//! The remains of a disk after the end of a process, of a machine or of the disk itself, and in a copy.
//!
//! Invariant: synced changes survive everything but the loss of the disk.

use jedlik_protocol::{Digest, EncodedRecord, PlacedKey};

use super::Disk;
use crate::chance::Chance;
use crate::contents::Contents;

impl Disk {
    /// Ends the process: a part of the changes on their way got through.
    pub(crate) fn end_process(&mut self, chance: &mut Chance) {
        self.opening += 1;
        self.end_keeping(chance);
        let through = chance.below(self.group.len() as u64 + 1) as usize;
        self.written.extend(self.group.drain(..).take(through));
        self.group.clear();
        self.unsent.clear();
        self.memory = Contents::default();
        self.actors_kept.clear();
        self.discarded.clear();
        self.busy = false;
    }

    /// Ends the machine: a part of the changes that were not synced got through, the last one torn.
    pub(crate) fn end_machine(&mut self, chance: &mut Chance) {
        self.end_process(chance);
        let through = chance.below(self.written.len() as u64 + 1) as usize;
        self.written.truncate(through);
    }

    /// Ends the storage, whose engine is damaged: a part of the records and hints in it can be read, and the journal.
    pub(crate) fn salvage(&mut self, chance: &mut Chance) {
        self.end_process(chance);
        let readable_permille = chance.below(1_001);
        self.synced.retain(|| chance.permille(readable_permille));
        self.damaged.clear();
        self.unreadable.clear();
        self.lost_past = true;
        if chance.permille(500) {
            self.votes = None;
        }
    }

    /// Stops the process cleanly: everything goes into the engine.
    pub(crate) fn close(&mut self) {
        self.close_keeping();
        self.synced = std::mem::take(&mut self.memory);
        self.written.clear();
        self.group.clear();
        self.unsent.clear();
        self.busy = false;
    }

    /// Starts the process: the journal is replayed into the engine.
    pub(crate) fn open(&mut self) {
        self.opening += 1;
        for entry in std::mem::take(&mut self.written) {
            self.synced.carry_out(&entry.operation);
        }
        self.memory = self.synced.clone();
        self.behind = false;
        self.changed = self.memory.held().map(|(target, _)| *target).collect();
    }

    /// Returns the disk as an end of the machine would leave it at best.
    pub(crate) fn copied(&self) -> Self {
        let mut synced = self.synced.clone();
        self.written.iter().for_each(|entry| synced.carry_out(&entry.operation));
        let (damaged, votes) = (self.damaged.clone(), self.votes.clone());
        Self { synced, damaged, votes, lost_past: self.lost_past, ..Self::new(self.sync_us) }
    }

    /// Empties the disk, and sets its contents aside.
    pub(crate) fn set_aside(&mut self) {
        let held = self.copied().synced.records;
        self.wipe();
        self.aside = Some(held);
    }

    /// Returns those of `wanted` whose records were set aside.
    pub(crate) fn recall(
        &self,
        wanted: Vec<(PlacedKey, Digest)>,
    ) -> Vec<(PlacedKey, EncodedRecord)> {
        let held = wanted.into_iter().filter_map(|(key, digest)| {
            let record = self.aside.as_ref()?.get(&key)?.record.clone();
            (record.digest() == digest).then_some((key, record))
        });
        held.collect()
    }

    /// Loses everything on the disk, and the votes with it.
    pub(crate) fn wipe(&mut self) {
        self.replace(Self::new(self.sync_us));
    }

    /// Replaces the contents by another disk's; the device and its faults stay.
    pub(crate) fn replace(&mut self, by: Self) {
        let condition = std::mem::take(&mut self.condition);
        *self = Self { condition, opening: self.opening + 1, ..by };
    }
}
