//! Room that the disk has left for records, and for hints.
//!
//! Invariant: hints stop before records do, and records before what is journalled could not be moved into the engine
//! any more. The file system is asked at most once an interval, and one that can't answer is taken to have room: if
//! it has none, the journal finds out.

use std::time::{Duration, Instant, SystemTime};

use crate::StoreError;
use crate::disk::{ReadSpace, Space};
use crate::health::Refused;
use crate::trouble_log::{Lines, TroubleLog};

/// Divisor of a disk's size: records leave free no more than one part in so many.
const RESERVE_PARTS: u64 = 20;
/// Factor of the reserve: with less free than that, the file system is asked `OFTEN` times as often.
const NEARLY_SHORT: u64 = 8;
const OFTEN: u32 = 20;

/// Room on the disk that is left free for more important writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserves {
    /// Number of bytes that hints leave to records.
    pub(crate) hints_bytes: u64,
    /// Number of bytes that records leave to flushes.
    pub(crate) flush_bytes: u64,
}

/// Room of one directory's file system.
pub(crate) struct Room {
    read: ReadSpace,
    reserves: Reserves,
    interval: Duration,
    /// Time at which the room was last read, and what it was.
    last: Option<(Instant, Space)>,
    /// Refusal of records, while there is too little room for them.
    short: Option<Refused>,
    unreadable: TroubleLog,
}

impl Room {
    pub(crate) fn new(read: ReadSpace, reserves: Reserves, interval: Duration) -> Self {
        let lines = Lines {
            begins: "the free room on the disk can't be read",
            continues: "the free room on the disk still can't be read",
            over: "the free room on the disk can be read again",
        };
        let unreadable = TroubleLog::new(None, lines);
        Self { read, reserves, interval, last: None, short: None, unreadable }
    }

    /// Refuses a hint once only the reserves are left.
    pub(crate) fn admit_hint(&mut self) -> Result<(), StoreError> {
        self.admit_record()?;
        let Space { free_bytes, .. } = self.space();
        let reserve_bytes = self.reserves.hints_bytes.saturating_add(self.flush_reserve());
        if free_bytes < reserve_bytes {
            return Err(StoreError::LowDisk { free_bytes, reserve_bytes });
        }
        Ok(())
    }

    /// Refuses a record once only the reserve for flushes is left.
    pub(crate) fn admit_record(&mut self) -> Result<(), StoreError> {
        self.space();
        self.short.as_ref().map_or(Ok(()), |refused| Err(refused.error.clone()))
    }

    /// Whether `bytes` are free, and records are taken.
    pub(crate) fn has(&mut self, bytes: u64) -> bool {
        self.admit_record().is_ok() && self.space().free_bytes >= bytes
    }

    /// Returns why records are refused, as of the last interval, and since when; `None` if they are taken.
    pub(crate) fn short(&self) -> Option<Refused> {
        self.short.clone()
    }

    /// Returns the room of the file system, as of the last interval.
    pub(crate) fn space(&mut self) -> Space {
        if let Some((at, space)) = self.last {
            let near = space.free_bytes < self.flush_reserve().saturating_mul(NEARLY_SHORT);
            let interval = if near { self.interval / OFTEN } else { self.interval };
            if at.elapsed() < interval {
                return space;
            }
        }
        let space = match (self.read)() {
            Ok(space) => {
                self.unreadable.works();
                space
            }
            Err(error) => {
                self.unreadable.happened(&error);
                Space { free_bytes: u64::MAX, total_bytes: u64::MAX }
            }
        };
        self.last = Some((Instant::now(), space));
        let (free_bytes, reserve_bytes) = (space.free_bytes, self.flush_reserve());
        self.short = (free_bytes < reserve_bytes).then(|| Refused {
            error: StoreError::NearlyFull { free_bytes, reserve_bytes },
            since: self.short.take().map_or_else(SystemTime::now, |before| before.since),
        });
        space
    }

    /// Logs that the room can be read again, once that is so.
    pub(crate) fn look(&self) {
        self.unreadable.look();
    }

    fn flush_reserve(&self) -> u64 {
        let most = self.last.map_or(u64::MAX, |(_, space)| space.total_bytes / RESERVE_PARTS);
        self.reserves.flush_bytes.min(most)
    }
}
