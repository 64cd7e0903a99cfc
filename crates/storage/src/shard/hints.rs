//! Hints of a shard: holding records for other nodes, showing them, and letting go of them (paper 4.6).
//!
//! Invariant: a hint goes only when the caller names what it holds, or when nobody can read it any more.

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, Durability, PlacedKey, StoredRecord};
use jedlik_storage_port::{Hint, HintMark, HintPage, HintTotals, Holding};

use crate::StoreError;
use crate::hint::{HintRow, HintRows};
use crate::journal::Edit;
use crate::ledger::Floor;
use crate::merge::merged_hint;

use super::Shard;

/// Number of hints that are looked at together for the oldest.
const SEARCH_HINTS: usize = 64;
/// Size of hints that are looked at together for the oldest, in bytes.
const SEARCH_BYTES: usize = 64 << 10;

impl Shard {
    /// Merges `record` into the hint of `key` for `target`, which counts from `since_ms` unless it is older. A
    /// [`Completion`](crate::Completion) with `ticket` follows the next [`Self::submit`], unless this call fails.
    ///
    /// # Errors
    /// [`StoreError::LowDisk`] or [`StoreError::NearlyFull`] if too little of the disk is left; otherwise as for
    /// [`Self::apply`]. Nothing changed.
    pub fn hold(
        &mut self,
        ticket: u64,
        target: NodeId,
        key: PlacedKey,
        record: StoredRecord,
        since_ms: u64,
        level: Durability,
    ) -> Result<(), StoreError> {
        if let Err(error) = self.room.admit_hint() {
            self.tally.refused_hints += 1;
            return Err(error);
        }
        self.admit_smaller()?;
        let current = self.layers.hint(target, &key)?;
        let (since_ms, record) = merged_hint(current.as_ref(), since_ms, record)?;
        let edit = Edit::Hold { target, since_ms, record: record.clone() };
        let frame_bytes = self.stage(ticket, &key, &edit, level)?;
        let hint = Hint { target, since_ms, key, record };
        self.ledger.change(target, current.as_ref(), Some(&HintRow::from(&hint)));
        let Hint { key, record, .. } = hint;
        self.layers.active.put_hint(target, key, Some((since_ms, record)), frame_bytes);
        self.tally.holds += 1;
        Ok(())
    }

    /// Removes the hint of `key` for `target` if its record's digest is still `digest`. A
    /// [`Completion`](crate::Completion) with `ticket` follows the next [`Self::submit`] in any case,
    /// once a removal is synced.
    ///
    /// # Errors
    /// As for [`Self::apply`]. Nothing changed.
    pub fn release(
        &mut self,
        ticket: u64,
        target: NodeId,
        key: PlacedKey,
        digest: Digest,
    ) -> Result<(), StoreError> {
        self.admit_smaller()?;
        let current = self.layers.hint(target, &key)?;
        let digest_of = |row: &HintRow| row.record.as_ref().map(|record| record.record.digest());
        let is_it = current.as_ref().is_some_and(|row| digest_of(row) == Some(digest));
        // The removal before may have failed to reach the disk: then this one says it again.
        let is_gone = current.is_none() && self.layers.buffered_hint(target, &key).is_some();
        if !is_it && !is_gone {
            self.answer_after(ticket, Durability::Synced);
            return Ok(());
        }
        let frame_bytes =
            self.stage(ticket, &key, &Edit::Release { target }, Durability::Synced)?;
        self.layers.active.put_hint(target, key, None, frame_bytes);
        self.ledger.change(target, current.as_ref(), None);
        self.tally.releases += u64::from(is_it);
        Ok(())
    }

    /// Returns all that is held of `key`: its record, and every hint that can be read, sorted by target. The hints cost
    /// nothing while there are none, and a load for each target that has any.
    ///
    /// # Errors
    /// The engine's own; what fails its checksum is said in the answer instead.
    pub fn holding(&self, key: &PlacedKey) -> Result<Holding, StoreError> {
        let (record, damaged) = match self.load(key) {
            Ok(record) => (record, false),
            Err(StoreError::Damaged { .. }) => (None, true),
            Err(error) => return Err(error),
        };
        let mut holding = Holding { record, damaged, ..Holding::default() };
        for target in self.ledger.targets() {
            let Some(row) = self.layers.hint(target, key)? else { continue };
            match row.into_hint(target) {
                Some(hint) => holding.hints.push(hint),
                None => {
                    holding.damaged_hints = true;
                    self.note_damaged(target);
                }
            }
        }
        Ok(holding)
    }

    /// Returns the size in bytes of the record of `key` that [`Self::load`], [`Self::holding`] and [`Self::apply`] would
    /// find without a look at the engine's disk, 0 where they know that there is none; `None` if they may have to look.
    #[must_use]
    pub fn size_at_hand(&self, key: &PlacedKey) -> Option<usize> {
        let has_hints = self.ledger.targets().next().is_some();
        self.layers.size_at_hand(key).filter(|_| !has_hints)
    }

    /// Returns a page of the target's hints past `after`, oldest first: at most `limit_hints`, ending with the hint
    /// that reaches `limit_bytes`. Damaged hints are listed in the page, and removed.
    ///
    /// # Errors
    /// The engine's own.
    pub fn hints(
        &mut self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintPage, StoreError> {
        let HintRows { rows, until } =
            self.layers.hints(target, after, limit_hints, limit_bytes)?;
        let mut page = HintPage { until, ..HintPage::default() };
        for row in rows {
            if row.record.is_none() {
                self.note_damaged(target);
                self.discard(target, &row);
                page.damaged.push(row.mark);
            } else {
                page.hints.extend(row.into_hint(target));
            }
        }
        Ok(page)
    }

    /// Returns count, size and oldest time of the hints for each target that has any, sorted by target.
    pub fn hint_totals(&mut self) -> Vec<(NodeId, HintTotals)> {
        let targets: Vec<NodeId> = self.ledger.targets().collect();
        for target in targets {
            let floor = self.ledger.floor(target);
            let after = match &floor {
                Floor::At(_) => continue,
                Floor::Past(mark) => Some(mark),
                Floor::Unknown => None,
            };
            match self.layers.hints(target, after, SEARCH_HINTS, SEARCH_BYTES) {
                Ok(HintRows { rows, .. }) => {
                    self.counters.troubles.oldest.works();
                    if let Some(oldest) = rows.into_iter().next() {
                        self.ledger.set_oldest(target, oldest.mark);
                    }
                }
                Err(error) => self.counters.troubles.oldest.happened(&error),
            }
        }
        self.ledger.totals()
    }

    pub(super) fn note_damaged(&self, target: NodeId) {
        self.counters.damaged_hints.add(1);
        self.counters.troubles.hints.happened(&format_args!("for {target}"));
    }

    /// Removes a hint that nobody can read, if there is room for that now.
    fn discard(&mut self, target: NodeId, row: &HintRow) {
        if self.admit_smaller().is_err() {
            return;
        }
        let key = &row.mark.key;
        if let Ok(frame_bytes) = self.stage_unanswered(key, &Edit::Release { target }) {
            self.layers.active.put_hint(target, key.clone(), None, frame_bytes);
            self.ledger.change(target, Some(row), None);
        }
    }
}
