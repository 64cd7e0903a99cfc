//! The row of partitions without votes on its way to the engine, as the server's shards have it written.
//!
//! Invariant: as in the server, nothing else reaches the disk while the loss of votes has not.

use super::Disk;
use crate::chance::Chance;

/// Row of partitions without votes, and whether it records the loss of votes.
#[derive(Debug, Clone)]
struct Row {
    votes: Vec<u8>,
    loses: bool,
}

/// Row that is being written, and the one after it.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    under_way: Option<Row>,
    next: Option<Row>,
}

impl Keeping {
    pub(super) fn holds_back(&self) -> bool {
        [&self.under_way, &self.next].into_iter().flatten().any(|row| row.loses)
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }
}

impl Disk {
    /// Has the row of partitions without votes written, in place of any that waits.
    pub(crate) fn keep_votes(&mut self, votes: Vec<u8>, loses: bool) {
        let loses = loses || self.keeping.next.as_ref().is_some_and(|next| next.loses);
        self.keeping.next = Some(Row { votes, loses });
    }

    /// Starts writing the row that waits, and returns the time that it takes.
    pub(crate) fn begin_row(&mut self, chance: &mut Chance) -> Option<u64> {
        if self.keeping.under_way.is_some() {
            return None;
        }
        self.keeping.under_way = Some(self.keeping.next.take()?);
        // The journal may be in a step of its own, which has its own pace.
        let stuck = self.stuck;
        let us = self.pace(chance);
        self.stuck |= stuck;
        Some(us)
    }

    /// Ends the write: the engine has the row, which records a lost past from now on.
    pub(super) fn row_kept(&mut self) {
        if let Some(row) = self.keeping.under_way.take() {
            self.votes = Some(row.votes);
            self.lost_past = false;
        }
    }

    /// Ends the process: the row under way got through, or not.
    pub(super) fn end_keeping(&mut self, chance: &mut Chance) {
        if self.keeping.under_way.is_some() && chance.below(2) == 0 {
            self.row_kept();
        }
        self.keeping = Keeping::default();
    }

    /// Keeps the last row that says of votes that they are lost and is not on the disk, as the storage ends.
    pub(crate) fn keep_unkept(&mut self) {
        let Keeping { under_way, next } = &self.keeping;
        let rows = [next, under_way].into_iter().flatten();
        let last = rows.clone().next().map(|row| row.votes.clone());
        self.unkept = last.filter(|_| rows.clone().any(|row| row.loses)).or(self.unkept.take());
    }

    /// Takes out the row that was kept as the storage ended.
    pub(crate) fn take_unkept(&mut self) -> Option<Vec<u8>> {
        self.unkept.take()
    }

    /// Stops the process cleanly, after the last row was written.
    pub(super) fn close_keeping(&mut self) {
        let Keeping { under_way, next } = std::mem::take(&mut self.keeping);
        self.keeping.under_way = next.or(under_way);
        self.row_kept();
    }
}
