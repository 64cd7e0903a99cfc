//! Log of a trouble that storage meets again and again.
//!
//! Invariant: however often a trouble happens, and on however many threads, it gets a line when it begins, one a minute
//! with a count, and one when it is over.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jedlik_trouble::{Report, Trouble};
use tracing::{info, warn};

/// Text of the lines about one trouble.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lines {
    pub(crate) begins: &'static str,
    pub(crate) continues: &'static str,
    pub(crate) over: &'static str,
}

/// Trouble with its lines, and the clock by which they are written.
#[derive(Debug)]
pub(crate) struct TroubleLog {
    lines: Lines,
    /// Shard that the lines name; `None` where what they tell says enough.
    shard: Option<u16>,
    started: Instant,
    /// Whether the trouble goes on, for those who ask often.
    goes_on: AtomicBool,
    trouble: Mutex<Trouble>,
}

impl TroubleLog {
    /// Returns the log of a trouble that has not happened.
    pub(crate) fn new(shard: Option<u16>, lines: Lines) -> Self {
        Self {
            lines,
            shard,
            started: Instant::now(),
            goes_on: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }

    /// Notes that the trouble has happened once more, with `what` for its line if there is one now.
    pub(crate) fn happened(&self, what: &dyn Display) {
        let Lines { begins, continues, .. } = self.lines;
        match self.with(Trouble::happened) {
            Some(Report::Began) => warn!(shard = self.shard, %what, "{begins}"),
            Some(Report::Continues { times }) => {
                warn!(shard = self.shard, %what, times, "{continues}");
            }
            Some(Report::Over { .. }) | None => {}
        }
    }

    /// Notes that what failed has worked. Costs next to nothing while there is no trouble.
    pub(crate) fn works(&self) {
        self.ends(Trouble::works);
    }

    /// Logs that the trouble is over, if it has not happened for a while; to be called now and then. Costs next to
    /// nothing while there is no trouble.
    pub(crate) fn look(&self) {
        self.ends(Trouble::quiet);
    }

    fn ends(&self, look: impl FnOnce(&mut Trouble, u64) -> Option<Report>) {
        if !self.goes_on.load(Ordering::Relaxed) {
            return;
        }
        if let Some(Report::Over { times, lasted_s }) = self.with(look) {
            info!(shard = self.shard, times, lasted_s, "{}", self.lines.over);
        }
    }

    fn with(&self, look: impl FnOnce(&mut Trouble, u64) -> Option<Report>) -> Option<Report> {
        // A panic with the lock held leaves at worst a wrong count.
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let report = look(&mut trouble, self.started.elapsed().as_micros() as u64);
        match report {
            Some(Report::Began) => self.goes_on.store(true, Ordering::Relaxed),
            Some(Report::Over { .. }) => self.goes_on.store(false, Ordering::Relaxed),
            Some(Report::Continues { .. }) | None => {}
        }
        report
    }
}

/// Troubles of one shard, which its threads share.
#[derive(Debug)]
pub(crate) struct ShardTroubles {
    /// Records that fail their checksum.
    pub(crate) records: TroubleLog,
    /// Hints that fail their checksum.
    pub(crate) hints: TroubleLog,
    /// Searches for a target's oldest hint.
    pub(crate) oldest: TroubleLog,
    /// Hints over the largest size together with what a page has.
    pub(crate) merges: TroubleLog,
    pub(crate) flushes: TroubleLog,
    pub(crate) sweeps: TroubleLog,
    /// Segments that can't be removed although the engine holds what is in them.
    pub(crate) segments: TroubleLog,
    /// Remains of what could not be written to the journal.
    pub(crate) remains: TroubleLog,
}

impl ShardTroubles {
    pub(crate) fn of(shard: u16) -> Self {
        let log = |begins, continues, over| {
            TroubleLog::new(Some(shard), Lines { begins, continues, over })
        };
        Self {
            records: log(
                "a stored record is damaged",
                "stored records are still found damaged",
                "no stored record was found damaged for a minute",
            ),
            hints: log(
                "a hint can't be read",
                "hints still can't be read",
                "no damaged hint was met for a minute",
            ),
            oldest: log(
                "the oldest hint can't be found",
                "the oldest hint still can't be found",
                "the oldest hint can be found again",
            ),
            merges: log(
                "a hint can't be merged into a page",
                "hints still can't be merged into pages",
                "no hint was in a page's way for a minute",
            ),
            flushes: log(
                "the buffer could not be flushed into the engine; trying again",
                "the buffer still can't be flushed into the engine",
                "the buffer was flushed into the engine",
            ),
            sweeps: log(
                "dropped partitions could not be swept; trying again",
                "dropped partitions still can't be swept",
                "dropped partitions are swept again",
            ),
            segments: log(
                "flushed segments of the journal stay until the next flush",
                "flushed segments of the journal still can't be removed",
                "flushed segments of the journal are removed again",
            ),
            remains: log(
                "what a failed write has left in the journal could not be removed",
                "what failed writes have left in the journal still can't be removed",
                "nothing was left in the journal by a failed write for a minute",
            ),
        }
    }

    /// Logs which troubles are over; to be called now and then.
    pub(crate) fn look(&self) {
        let Self { records, hints, oldest, merges, flushes, sweeps, segments, remains } = self;
        for log in [records, hints, oldest, merges, flushes, sweeps, segments, remains] {
            log.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ShardTroubles;
    use crate::fixtures::lines_of;

    #[test]
    fn a_trouble_that_happens_often_has_one_line_that_names_the_first() {
        let troubles = ShardTroubles::of(7);
        let lines = lines_of(|| {
            for key in 0..100 {
                troubles.records.happened(&format!("key {key}"));
                troubles.records.works();
                troubles.look();
            }
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("a stored record is damaged shard=7 what=key 0"), "{lines:?}");
    }
}
