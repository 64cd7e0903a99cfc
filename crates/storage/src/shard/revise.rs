//! Putting a record in the place of another, and removing one: what merging can't do.
//!
//! Invariant: only the record that the caller has seen is replaced, so whatever was merged since stays.

use jedlik_protocol::{Digest, Durability, PlacedKey, StoredRecord};

use crate::StoreError;
use crate::journal::Edit;

use super::{Change, Shard};

impl Shard {
    /// Puts `new` in the place of the record of `key`, or removes it, if its digest is `expected`;
    /// otherwise nothing changes, and the answer says so. A [`Completion`](crate::Completion) with
    /// `ticket` follows the next [`Self::submit`] in either case, once what the answer says is synced.
    ///
    /// # Errors
    /// As for [`Self::apply`].
    pub fn revise(
        &mut self,
        ticket: u64,
        key: PlacedKey,
        expected: Digest,
        new: Option<StoredRecord>,
    ) -> Result<Change, StoreError> {
        self.admit()?;
        let before = self.layers.current(&key)?.map(|current| current.record.digest());
        if before != Some(expected) {
            self.answer_after(ticket, Durability::Synced);
            return Ok(Change { before, after: before });
        }
        let new = new.map(|StoredRecord { local, record }| {
            // Else the buffer would keep the whole message in memory that the record came in.
            StoredRecord { local, record: record.detached() }
        });
        let edit = new.clone().map_or(Edit::Remove, Edit::Set);
        let frame_bytes = self.stage(ticket, &key, &edit, Durability::Synced)?;
        let after = new.as_ref().map(|new| new.record.digest());
        self.layers.active.put(key, new, frame_bytes);
        self.tally.revisions += 1;
        Ok(Change { before, after })
    }
}
