//! How much room the disk has left for hints.
//!
//! Invariant: the file system is asked at most once an interval, and one that can't answer is taken to
//! have room: if it has none, the journal finds out.

use std::time::{Duration, Instant};

use tracing::warn;

use crate::StoreError;
use crate::disk::FreeBytes;

/// The free room of one directory's file system.
pub(crate) struct Room {
    read: FreeBytes,
    reserve_bytes: u64,
    interval: Duration,
    /// When it was last read, and what it was.
    last: Option<(Instant, u64)>,
}

impl Room {
    pub(crate) fn new(read: FreeBytes, reserve_bytes: u64, interval: Duration) -> Self {
        Self { read, reserve_bytes, interval, last: None }
    }

    /// What is free, as of the last interval.
    pub(crate) fn free_bytes(&mut self) -> u64 {
        match self.last {
            Some((at, free_bytes)) if at.elapsed() < self.interval => return free_bytes,
            _ => {}
        }
        let free_bytes = (self.read)().unwrap_or_else(|error| {
            warn!(%error, "the free room on the disk can't be read");
            u64::MAX
        });
        self.last = Some((Instant::now(), free_bytes));
        free_bytes
    }

    /// Refuses a hint once only the reserve is left.
    pub(crate) fn admit(&mut self) -> Result<(), StoreError> {
        let (free_bytes, reserve_bytes) = (self.free_bytes(), self.reserve_bytes);
        if free_bytes < reserve_bytes {
            return Err(StoreError::LowDisk { free_bytes, reserve_bytes });
        }
        Ok(())
    }
}
