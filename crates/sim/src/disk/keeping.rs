//! What a node has no vote for, on its way to the engine, as the server's shards have it written.
//!
//! Invariant: as there: while votes that were lost are not on the disk, nothing else gets there.

use super::Disk;
use crate::chance::Chance;

/// One row: the bytes, and whether votes are lost by it.
#[derive(Debug, Clone)]
struct Row {
    votes: Vec<u8>,
    loses: bool,
}

/// The row that is being written, and the one after it.
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
    /// Has written down what has no vote.
    pub(crate) fn keep_votes(&mut self, votes: Vec<u8>, loses: bool) {
        let loses = loses || self.keeping.next.as_ref().is_some_and(|next| next.loses);
        self.keeping.next = Some(Row { votes, loses });
    }

    /// Sets the engine to work; how long that takes.
    pub(crate) fn begin_row(&mut self, chance: &mut Chance) -> Option<u64> {
        if self.keeping.under_way.is_some() {
            return None;
        }
        self.keeping.under_way = Some(self.keeping.next.take()?);
        // The journal may be at something of which it is told apart.
        let stuck = self.stuck;
        let us = self.pace(chance);
        self.stuck |= stuck;
        Some(us)
    }

    /// The engine has the row. A past that was lost is told by it from now on.
    pub(super) fn row_kept(&mut self) {
        if let Some(row) = self.keeping.under_way.take() {
            self.votes = Some(row.votes);
            self.lost_past = false;
        }
    }

    /// The process ends: what is under way got through, or not.
    pub(super) fn end_keeping(&mut self, chance: &mut Chance) {
        if self.keeping.under_way.is_some() && chance.below(2) == 0 {
            self.row_kept();
        }
        self.keeping = Keeping::default();
    }

    /// The process stops cleanly: it waits for the last row.
    pub(super) fn close_keeping(&mut self) {
        let Keeping { under_way, next } = std::mem::take(&mut self.keeping);
        self.keeping.under_way = next.or(under_way);
        self.row_kept();
    }
}
