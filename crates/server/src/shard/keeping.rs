//! Note of what a shard has no vote for, on its way to the engine (decision 16).
//!
//! Invariant: where votes are lost, nothing that the replica does from then on reaches the journal or the engine, and
//! no change is acknowledged, before the engine has said what became of it; a later row is never overwritten by an
//! earlier one. Where votes are only gained nothing waits: a crash before it is on disk has the shard refilled again.

use jedlik_protocol::Now;
use jedlik_replica::Input;
use jedlik_storage::{Shard, StoreError};
use jedlik_trouble::{Report, Trouble};
use tracing::{error, info, warn};

use super::{ShardDriver, VOTES};

/// Time between two attempts to write down what the replica has no vote for, in microseconds.
const RETRY_US: u64 = 1_000_000;
/// Ticket of the completion of such a write; the replica's own tickets are counted from 1.
pub(super) const TICKET: u64 = u64::MAX;

/// Row to be written down about votes.
#[derive(Debug, Clone)]
struct Row {
    votes: Vec<u8>,
    /// Whether the row says of some keys for the first time that there is no vote for them.
    loses: bool,
    /// Whether the disk has refused to take the row.
    refused: bool,
}

/// Rows about votes that are not known to be on disk.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// Row that was given to the engine.
    under_way: Option<Row>,
    /// Row to be written after the one under way.
    next: Option<Row>,
    /// Time at which the next row is tried, after a refusal of the disk, in microseconds of the monotonic clock.
    retry_us: u64,
    /// Refusals of the disk to take a row.
    refusals: Trouble,
    /// Refusals of rows that say of some keys for the first time that there is no vote for them.
    losses: Trouble,
    /// Whether the replica was told to vote on nothing.
    told: bool,
    /// Whether a record has taken the place of a damaged one in this turn, and the replica has yet to say what that
    /// costs.
    pub(super) is_mending: bool,
    /// Time since which changes are held back, in microseconds of the monotonic clock; `None` if they are not.
    held_since_us: Option<u64>,
}

impl Keeping {
    /// Begins with the row that the life before could not write down.
    pub(super) fn refused(now: Now, votes: Vec<u8>) -> Self {
        let next = Some(Row { votes, loses: true, refused: true });
        let mut keeping = Self { next, told: true, ..Self::default() };
        // The life before has logged that they began.
        let _logged = keeping.refusals.happened(now.mono_us);
        let _logged = keeping.losses.happened(now.mono_us);
        keeping
    }

    fn add(&mut self, votes: Vec<u8>, loses: bool) {
        let row = match self.next.take() {
            Some(next) if !loses => Row { votes, ..next },
            _ => Row { votes, loses, refused: false },
        };
        self.next = Some(row);
    }

    /// Puts back a row that the disk has refused, to be written first when the disk takes something again.
    fn put_back(&mut self, row: Row) {
        match &mut self.next {
            // The next row says the same and more.
            Some(next) if next.loses => {}
            Some(next) => (next.loses, next.refused) = (row.loses, row.refused),
            None => self.next = Some(row),
        }
    }

    /// Whether the engine has yet to say what becomes of votes that were lost.
    fn holds_back(&self) -> bool {
        let waits = |row: &Row| row.loses && !row.refused;
        self.is_mending || [&self.under_way, &self.next].into_iter().flatten().any(waits)
    }

    /// Returns the votes of the last row, if any were lost and are not known to be on disk.
    pub(super) fn lost(self) -> Option<Vec<u8>> {
        let Self { under_way, next, .. } = self;
        let is_lost = under_way.iter().chain(&next).any(|row| row.loses);
        next.or(under_way).filter(|_| is_lost).map(|row| row.votes)
    }

    /// Logs that the disk has refused a row.
    fn log_refusal(&mut self, now: Now, error: &StoreError, loses: bool) {
        match self.refusals.happened(now.mono_us) {
            Some(Report::Began) => {
                warn!(%error, "what this shard can't say is absent can't be written down; trying again");
            }
            Some(Report::Continues { times }) => {
                warn!(%error, times, "what this shard can't say is absent still can't be written down");
            }
            Some(Report::Over { .. }) | None => {}
        }
        if loses && self.losses.happened(now.mono_us) == Some(Report::Began) {
            error!(%error, "what this shard has lost can't be written down: it votes on nothing until it is");
        }
    }

    /// Logs that the disk takes rows again, once that is so.
    pub(super) fn look(&mut self, now: Now) {
        self.refusals.quiet(now.mono_us).into_iter().for_each(log_over);
        self.losses.quiet(now.mono_us);
    }

    /// Returns how long changes have been held back, in microseconds; `None` if they are not.
    pub(super) fn busy_us(&self, now: Now) -> Option<u64> {
        self.held_since_us.map(|since_us| now.mono_us.saturating_sub(since_us))
    }

    fn send(&mut self, storage: &Shard) {
        if self.under_way.is_none()
            && let Some(row) = self.next.take()
        {
            storage.keep_soon(TICKET, VOTES, row.votes.clone());
            self.under_way = Some(row);
        }
    }
}

fn log_over(report: Report) {
    if let Report::Over { times, lasted_s } = report {
        info!(times, lasted_s, "what this shard can't say is absent is written down again");
    }
}

impl ShardDriver {
    /// Hands what the replica has no vote for to the thread that writes it down.
    pub(super) fn keep_votes(&mut self, now: Now, votes: Vec<u8>, loses: bool) {
        self.disk.keeping.add(votes, loses);
        self.hold_back(now);
        self.disk.keeping.send(&self.storage);
    }

    /// Holds back changes that must not be written yet, or lets them go.
    pub(super) fn hold_back(&mut self, now: Now) {
        let holds = self.disk.keeping.holds_back();
        self.disk.keeping.held_since_us =
            holds.then(|| self.disk.keeping.held_since_us.unwrap_or(now.mono_us));
        self.storage.hold_back(holds);
    }

    /// Handles the engine's answer to a row. One that was refused is tried again, and where votes were lost the replica
    /// votes on nothing until it is taken.
    pub(super) fn votes_kept(&mut self, now: Now, result: Result<(), StoreError>) {
        let Some(row) = self.disk.keeping.under_way.take() else { return };
        match result {
            Ok(()) => {
                self.disk.keeping.refusals.works(now.mono_us).into_iter().for_each(log_over);
                self.disk.keeping.losses.works(now.mono_us);
                if std::mem::take(&mut self.disk.keeping.told) {
                    self.feed(now, Input::VotesKept { kept: true });
                }
                self.disk.keeping.send(&self.storage);
            }
            Err(error) => {
                let loses = row.loses;
                self.disk.keeping.log_refusal(now, &error, loses);
                self.disk.keeping.put_back(Row { refused: loses, ..row });
                self.disk.keeping.retry_us = now.mono_us + RETRY_US;
                if loses && !std::mem::replace(&mut self.disk.keeping.told, true) {
                    self.feed(now, Input::VotesKept { kept: false });
                }
            }
        }
    }

    /// Tries the row again that the disk has refused, once it is time.
    pub(super) fn retry_votes(&mut self, now: Now) {
        // Before there is a view the replica has not said what the shard has lost.
        if self.disk.keeping.retry_us <= now.mono_us && self.view.is_some() {
            self.disk.keeping.send(&self.storage);
        }
    }

    /// Hands over the last row before a clean stop, which waits for it.
    pub(super) fn keep_last_votes(&mut self) {
        if let Some(row) = self.disk.keeping.next.take() {
            self.storage.keep_soon(TICKET, VOTES, row.votes);
        }
    }
}
