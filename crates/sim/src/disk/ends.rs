//! What the end of a process, of a machine or of a disk leaves, and a copy has.
//!
//! Invariant: what was synced survives all but the loss of the disk.

use jedlik_protocol::{Digest, EncodedRecord, PlacedKey};

use super::Disk;
use crate::chance::Chance;
use crate::contents::Contents;

impl Disk {
    /// The process ends: a part of what was on its way got through.
    pub(crate) fn end_process(&mut self, chance: &mut Chance) {
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

    /// The machine ends: a part of what was not synced got through, the last one torn.
    pub(crate) fn end_machine(&mut self, chance: &mut Chance) {
        self.end_process(chance);
        let through = chance.below(self.written.len() as u64 + 1) as usize;
        self.written.truncate(through);
    }

    /// The process stops cleanly: everything goes into the engine.
    pub(crate) fn close(&mut self) {
        self.close_keeping();
        self.synced = std::mem::take(&mut self.memory);
        self.written.clear();
        self.group.clear();
        self.unsent.clear();
        self.busy = false;
    }

    /// The process starts: the journal is replayed into the engine.
    pub(crate) fn open(&mut self) {
        for entry in std::mem::take(&mut self.written) {
            self.synced.carry_out(&entry.operation);
        }
        self.memory = self.synced.clone();
        self.behind = false;
        self.changed = self.memory.held().map(|(target, _)| *target).collect();
    }

    /// What an end of the machine, at its best, leaves of it.
    pub(crate) fn copied(&self) -> Self {
        let mut synced = self.synced.clone();
        self.written.iter().for_each(|entry| synced.carry_out(&entry.operation));
        let (damaged, votes) = (self.damaged.clone(), self.votes.clone());
        Self { synced, damaged, votes, lost_past: self.lost_past, ..Self::new(self.sync_us) }
    }

    /// Is emptied, and what it held lies aside.
    pub(crate) fn set_aside(&mut self) {
        let held = self.copied().synced.records;
        self.wipe();
        self.aside = Some(held);
    }

    /// Those of `wanted` that lie aside just so.
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

    /// Loses everything.
    pub(crate) fn wipe(&mut self) {
        self.replace(Self::new(self.sync_us));
    }

    /// Holds what another one did; the device is the same.
    pub(crate) fn replace(&mut self, by: Self) {
        let condition = std::mem::take(&mut self.condition);
        *self = Self { condition, ..by };
    }
}
