//! Records and hints that fail their checksums.
//!
//! Invariant: only records that are in the engine alone rot; a record that the journal still has is read from there.

use jedlik_hashing::NodeId;
use jedlik_protocol::{Durability, PlacedKey};
use jedlik_replica::StorageFault;
use jedlik_storage_port::Hint;

use super::{Disk, Entry};
use crate::contents::{DiskOperation, Edit};

impl Disk {
    /// Damages a record if it is in the engine alone; returns whether it did.
    pub(crate) fn rot(&mut self, key: &PlacedKey) -> bool {
        if self.is_journalled(key) || self.synced.records.remove(key).is_none() {
            return false;
        }
        self.memory.records.remove(key);
        self.damaged.insert(key.clone())
    }

    /// Removes a record if it can't be read.
    pub(crate) fn remove_damaged(
        &mut self,
        ticket: u64,
        key: &PlacedKey,
    ) -> Result<(), StorageFault> {
        self.admit()?;
        let edit = if self.damaged.remove(key) { Edit::Set(None) } else { Edit::Wait };
        self.stage(key, edit, ticket, Durability::Synced);
        Ok(())
    }

    /// Makes all hints that are in the engine alone fail their checksums; returns whether there were any.
    pub(crate) fn rot_hints(&mut self) -> bool {
        let kept = self.synced.held().filter(|name| self.memory.held().any(|held| held == *name));
        let rotten: Vec<_> = kept.filter(|(_, key)| !self.is_journalled(key)).cloned().collect();
        self.unreadable.extend(rotten.iter().cloned());
        !rotten.is_empty()
    }

    /// Makes hints readable again that were not removed meanwhile: the device was at fault, not the medium.
    pub(crate) fn read_hints_again(&mut self) {
        self.unreadable.clear();
    }

    /// Returns the readable ones of a key's hints, and whether there are others.
    pub(super) fn readable(&self, key: &PlacedKey, mut hints: Vec<Hint>) -> (Vec<Hint>, bool) {
        let all = hints.len();
        if !self.unreadable.is_empty() {
            hints.retain(|hint| !self.unreadable.contains(&(hint.target, key.clone())));
        }
        let some_lost = hints.len() < all;
        (hints, some_lost)
    }

    /// Removes an unreadable hint, which changes the hints' totals.
    pub(super) fn discard(&mut self, target: NodeId, key: &PlacedKey) {
        let name = (target, key.clone());
        self.unreadable.remove(&name);
        self.discarded.insert(name);
        self.changed.insert(target);
        self.memory.make(key, &Edit::Release(target));
        let operation = DiskOperation::Edit(key.clone(), Edit::Release(target));
        self.unsent.push(Entry { operation, waiting: None });
    }

    /// Whether a hint was removed because it could not be read. The journal has that before everything that follows.
    pub(crate) fn has_discarded(&self, target: NodeId, key: &PlacedKey) -> bool {
        self.discarded.contains(&(target, key.clone())) && self.memory.hint(target, key).is_none()
    }

    fn is_journalled(&self, key: &PlacedKey) -> bool {
        let mut journalled = self.written.iter().chain(&self.group).chain(&self.unsent);
        journalled.any(|entry| entry.operation.is_about(key))
    }
}
