//! How a shard's disk does, for whoever looks after the node.

use std::time::Duration;

use crate::health::Refused;

use super::Shard;

impl Shard {
    /// For how long the disk has not finished what the journal has asked of it; `None` if nothing is asked.
    #[must_use]
    pub fn disk_busy(&self) -> Option<Duration> {
        self.health.busy()
    }

    /// Why records are refused for want of room, if they are.
    pub fn short_of_room(&mut self) -> Option<Refused> {
        self.room.admit_record().err()?;
        self.room.short()
    }

    /// What the disk refuses since the last write or flush that it took: it is full, or read-only.
    #[must_use]
    pub fn disk_refuses(&self) -> Option<Refused> {
        self.health.refused().or_else(|| self.flush_failure.clone()).or_else(|| self.room.short())
    }
}
