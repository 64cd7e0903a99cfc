//! Condition of a shard's disk, for the part of the node that reports it.

use std::time::Duration;

use crate::health::Refused;

use super::Shard;

impl Shard {
    /// Returns how long the disk has not finished what the journal asked of it; `None` if nothing is under way.
    #[must_use]
    pub fn disk_busy(&self) -> Option<Duration> {
        self.health.busy()
    }

    /// Logs which troubles of the shard's storage are over; to be called now and then.
    pub fn look_at_troubles(&self) {
        self.counters.troubles.look();
        self.layers.engine.look_at_troubles();
        self.room.look();
    }

    /// Returns why records are refused for want of room; `None` if they are taken.
    pub fn short_of_room(&mut self) -> Option<Refused> {
        self.room.admit_record().err()?;
        self.room.short()
    }

    /// Returns what the disk refuses since the last write or flush that it took, because it is full or read-only;
    /// `None` if it refuses nothing.
    #[must_use]
    pub fn disk_refuses(&self) -> Option<Refused> {
        self.health.refused().or_else(|| self.flush_failure.clone()).or_else(|| self.room.short())
    }
}
