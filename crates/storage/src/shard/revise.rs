//! Replacing a record by another, and removing one: what merging can't do.
//!
//! Invariant: only the record that the caller has seen is replaced, so whatever was merged since stays.
//! Either answer holds after a power cut once it is completed, even if what it speaks of was made by a
//! change whose own frame never reached the disk.

use jedlik_protocol::{Digest, Durability, PlacedKey, StoredRecord};
use jedlik_storage_port::RecordChange;

use crate::StoreError;
use crate::journal::Edit;

use super::{Shard, meta};

impl Shard {
    /// Puts `new` in the place of the record of `key`, or removes it, if its digest is `expected`; otherwise nothing
    /// changes, and the answer says so. A [`Completion`](crate::Completion) with `ticket` follows the next
    /// [`Self::submit`] in either case, once what the answer says is synced.
    ///
    /// # Errors
    /// As for [`Self::apply`].
    pub fn revise(
        &mut self,
        ticket: u64,
        key: PlacedKey,
        expected: Digest,
        new: Option<StoredRecord>,
    ) -> Result<RecordChange, StoreError> {
        // Revisions are collection and pruning, both of which make room.
        self.admit_smaller()?;
        let current = self.layers.current(&key)?;
        let before = current.as_ref().map(meta);
        if before.map(|before| before.digest) != Some(expected) {
            self.affirm(ticket, key, current)?;
            return Ok(RecordChange::sound(before, before));
        }
        let new = new.map(|StoredRecord { local, record }| {
            // Otherwise the buffer would keep alive the whole message that the record came in.
            StoredRecord { local, record: record.detached() }
        });
        let after = new.as_ref().map(meta);
        self.put_in_place(ticket, key, new)?;
        self.tally.revisions += 1;
        Ok(RecordChange::sound(before, after))
    }

    /// Removes the record of `key` if it can't be read; otherwise nothing changes. A
    /// [`Completion`](crate::Completion) with `ticket` follows as for [`Self::revise`].
    ///
    /// # Errors
    /// As for [`Self::apply`].
    pub fn remove_damaged(&mut self, ticket: u64, key: PlacedKey) -> Result<(), StoreError> {
        self.admit_smaller()?;
        match self.layers.load(&key) {
            Err(StoreError::Damaged { .. }) => {
                self.put_in_place(ticket, key, None)?;
                self.tally.revisions += 1;
                Ok(())
            }
            loaded => self.affirm(ticket, key, loaded?),
        }
    }

    /// Asks for a [`Completion`](crate::Completion) with `ticket`, which follows the next [`Self::submit`] once all
    /// earlier changes are synced. It fails as long as one of them could be written nowhere.
    pub fn sync(&mut self, ticket: u64) {
        self.answer_after_all(ticket);
    }

    /// Completes `ticket` once it is synced that `key` holds `current`.
    fn affirm(
        &mut self,
        ticket: u64,
        key: PlacedKey,
        current: Option<StoredRecord>,
    ) -> Result<(), StoreError> {
        if self.layers.is_buffered(&key) {
            // The change that made it so may have failed to reach the disk: then this one says it again.
            self.put_in_place(ticket, key, current)
        } else {
            // The engine has it, durably.
            self.answer_after(ticket, Durability::Synced);
            Ok(())
        }
    }

    /// Makes `record` all that `key` holds.
    fn put_in_place(
        &mut self,
        ticket: u64,
        key: PlacedKey,
        record: Option<StoredRecord>,
    ) -> Result<(), StoreError> {
        let edit = record.clone().map_or(Edit::Remove, Edit::Set);
        let frame_bytes = self.stage(ticket, &key, &edit, Durability::Synced)?;
        self.layers.put(key, record, frame_bytes);
        Ok(())
    }
}
