//! Watch of a shard's thread on its disk: stalls, refusals, what was set aside; and what is logged of them.
//!
//! Invariant: each trouble gets a line when it begins, one a minute with a count, and one when it is over, however many
//! requests meet it.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use jedlik_protocol::admin::{ShardTrouble, TroubleKind};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{Key, Now};
use jedlik_replica::StorageFault;
use jedlik_storage::{Completion, Refused, StoreError};
use jedlik_trouble::{Report, Trouble};
use tracing::{error, info, warn};

use crate::presence::MissingFile;

use super::ShardDriver;
use super::keeping::Keeping;

/// State of the disk, as far as it is known now.
#[derive(Debug, Default)]
pub(super) struct DiskWatch {
    shard: u16,
    /// Troubles of shards' files that were set aside, as they were at the life's beginning.
    aside: Vec<ShardTrouble>,
    /// Number of times since the node's start that the storage failed and was opened anew, undamaged.
    pub(super) reopenings: u64,
    /// Time since which the disk has not finished what it was asked, in milliseconds since the Unix epoch; `None` if it
    /// works.
    stalled_since_ms: Option<u64>,
    /// Length of the last stall, in milliseconds.
    stalled_ms: u64,
    stalls: Trouble,
    writes: Trouble,
    /// Whether records are refused, so that what is journalled can still be moved.
    short_of_room: bool,
    /// Trouble of records that are refused for want of room.
    room: Trouble,
    /// Trouble of pages that can't be read.
    pages: Trouble,
    /// Trouble of records that came and can't be merged with what is stored.
    unmergeable: Trouble,
    /// Notes of what the replica has no vote for, on their way to the engine.
    pub(super) keeping: Keeping,
    /// File of the shard that is not in its place.
    gone: Option<MissingFile>,
}

impl DiskWatch {
    pub(super) fn new(shard: u16, aside: Vec<ShardTrouble>, reopenings: u64) -> Self {
        Self { shard, aside, reopenings, ..Self::default() }
    }

    /// Refuses at once what could not be answered before the disk goes on.
    pub(super) fn admit(&self, now: Now) -> Result<(), Failure> {
        if let Some(gone) = &self.gone {
            return Err(gone.refusal());
        }
        let Some(since_ms) = self.stalled_since_ms else { return Ok(()) };
        let stalled_s = now.wall_ms.saturating_sub(since_ms) / 1000;
        let message = format!(
            "the node's disk has not finished a write for {stalled_s} s; nothing was done, ask another"
        );
        Err(Failure::new(ErrorCode::Overloaded, message))
    }
}

/// Whether a peer's request is answered only after something is on the disk.
pub(super) fn needs_disk(request: &PeerRequest) -> bool {
    matches!(
        request,
        PeerRequest::Write { .. }
            | PeerRequest::Hint { .. }
            | PeerRequest::Deliver { .. }
            | PeerRequest::Revise { .. }
    )
}

impl ShardDriver {
    /// Looks whether the disk has stalled, or goes on.
    pub(super) fn watch_disk(&mut self, now: Now) {
        self.watch_room(now);
        self.look_at_troubles(now);
        self.disk.gone = self.around.presence.gone(self.disk.shard);
        let held_back = self.disk.keeping.busy_us(now).map(Duration::from_micros);
        let busy = self
            .storage
            .disk_busy()
            .max(held_back)
            .filter(|busy| *busy >= self.around.limits.stall_after);
        let shard = self.disk.shard;
        match (busy, self.disk.stalled_since_ms) {
            (Some(busy), None) => {
                match self.disk.stalls.happened(now.mono_us) {
                    Some(Report::Began) => error!(
                        shard,
                        ?busy,
                        "the disk does not finish what it was asked; requests go elsewhere"
                    ),
                    Some(Report::Continues { times }) => {
                        error!(shard, ?busy, times, "the disk still stalls again and again");
                    }
                    Some(Report::Over { .. }) | None => {}
                }
                let since_ms = now.wall_ms.saturating_sub(busy.as_millis() as u64);
                self.disk.stalled_since_ms = Some(since_ms);
            }
            (None, Some(since_ms)) => {
                self.disk.stalled_ms = now.wall_ms.saturating_sub(since_ms);
                self.disk.stalled_since_ms = None;
            }
            _ => {}
        }
        if busy.is_none()
            && let Some(Report::Over { times, .. }) = self.disk.stalls.works(now.mono_us)
        {
            info!(shard, times, stalled_ms = self.disk.stalled_ms, "the disk goes on");
        }
    }

    /// Logs which troubles are over.
    fn look_at_troubles(&mut self, now: Now) {
        self.storage.look_at_troubles();
        self.disk.keeping.look(now);
        let shard = self.disk.shard;
        if let Some(Report::Over { times, lasted_s }) = self.disk.writes.quiet(now.mono_us) {
            info!(shard, times, lasted_s, "writes succeed again");
        }
        if let Some(Report::Over { times, .. }) = self.disk.unmergeable.quiet(now.mono_us) {
            info!(shard, times, "no copy of a record was too large to be merged for a minute");
        }
        if let Some(Report::Over { times, .. }) = self.disk.pages.quiet(now.mono_us) {
            info!(shard, times, "no page of records was unreadable for a minute");
        }
    }

    /// Logs that what a page asks for can't be read.
    pub(super) fn note_unreadable(&mut self, now: Now, error: &StorageFault) {
        let shard = self.disk.shard;
        match self.disk.pages.happened(now.mono_us) {
            Some(Report::Began) => warn!(shard, ?error, "a page of records can't be read"),
            Some(Report::Continues { times }) => {
                warn!(shard, ?error, times, "pages of records still can't be read");
            }
            Some(Report::Over { .. }) | None => {}
        }
    }

    /// Logs a key whose copies only a client can bring together again.
    pub(super) fn note_unmergeable(&mut self, now: Now, key: &Key, error: &StoreError) {
        match self.disk.unmergeable.happened(now.mono_us) {
            Some(Report::Began) => warn!(
                ?key, %error,
                "a copy of a record and the one stored here are over the largest size together: both stay as they \
                 are until a client gets the key and puts what is to stay"
            ),
            Some(Report::Continues { times }) => {
                warn!(?key, %error, times, "copies of records still can't be merged");
            }
            Some(Report::Over { .. }) | None => {}
        }
    }

    /// Logs that records are refused for want of room, or are taken again.
    fn watch_room(&mut self, now: Now) {
        match (self.storage.short_of_room(), self.disk.short_of_room) {
            (Some(Refused { error, .. }), false) => {
                self.disk.short_of_room = true;
                self.note_no_room(now, &error);
            }
            (Some(_), true) => {}
            (None, _) => {
                self.disk.short_of_room = false;
                if let Some(Report::Over { times, .. }) = self.disk.room.works(now.mono_us) {
                    info!(shard = self.disk.shard, times, "there is room on the disk again");
                }
            }
        }
    }

    /// Logs that a record or a hint was refused for want of room.
    pub(super) fn note_no_room(&mut self, now: Now, error: &StoreError) {
        let shard = self.disk.shard;
        match self.disk.room.happened(now.mono_us) {
            Some(Report::Began) => {
                warn!(shard, %error, "records and hints are refused; gets go on");
            }
            Some(Report::Continues { times }) => {
                warn!(shard, %error, times, "records and hints are still refused; gets go on");
            }
            Some(Report::Over { .. }) | None => {}
        }
    }

    /// Logs the outcome of writes.
    pub(super) fn note_writes(&mut self, now: Now, completions: &[Completion]) {
        let failed = completions.iter().find_map(|completion| completion.result.as_ref().err());
        let report = match failed {
            Some(_) => self.disk.writes.happened(now.mono_us),
            None => self.disk.writes.works(now.mono_us),
        };
        match (report, failed) {
            (Some(Report::Began), Some(error)) => error!(%error, "writes fail"),
            (Some(Report::Continues { times }), Some(error)) => {
                error!(%error, times, "writes still fail");
            }
            (Some(Report::Over { times, lasted_s }), _) => {
                info!(times, lasted_s, "writes succeed again");
            }
            _ => {}
        }
    }

    /// Returns all that is wrong with the storage now. Files that were set aside are told of until an admin has taken
    /// them away.
    pub(super) fn troubles(&self) -> Vec<ShardTrouble> {
        let aside = self.disk.aside.iter().filter(|trouble| Path::new(&trouble.what).exists());
        let mut troubles: Vec<ShardTrouble> = aside.cloned().collect();
        let shard = self.disk.shard;
        troubles.extend(self.disk.gone.as_ref().map(|gone| gone.trouble(shard)));
        if let Some(since_ms) = self.disk.stalled_since_ms {
            let what = "a write or a sync is under way".into();
            troubles.push(ShardTrouble { shard, kind: TroubleKind::Stalled, since_ms, what });
        }
        if let Some(Refused { error, since }) = self.storage.disk_refuses() {
            let since_ms = since.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
            if let Some(kind) = kind_of(&error) {
                let (since_ms, what) = (since_ms as u64, error.to_string());
                troubles.push(ShardTrouble { shard, kind, since_ms, what });
            }
        }
        troubles
    }
}

/// Returns the shards whose former files lie aside, as the node's record names them.
pub(super) fn set_aside_bits(troubles: &[ShardTrouble]) -> u64 {
    let lies = |trouble: &&ShardTrouble| {
        matches!(trouble.kind, TroubleKind::SetAside | TroubleKind::EarlierCopy)
    };
    troubles.iter().filter(lies).fold(0, |bits, trouble| bits | 1 << trouble.shard.min(63))
}

fn kind_of(error: &StoreError) -> Option<TroubleKind> {
    match error {
        StoreError::DiskFull { .. } | StoreError::NearlyFull { .. } => Some(TroubleKind::Full),
        StoreError::Io { source, .. }
            if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem =>
        {
            Some(TroubleKind::ReadOnly)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use jedlik_protocol::Now;
    use jedlik_protocol::admin::TroubleKind;
    use jedlik_storage::StoreError;

    use super::{DiskWatch, kind_of};

    #[test]
    fn a_stalled_disk_refuses_at_once_with_how_long_it_has_been_and_what_to_do() {
        let now = Now::new(0, 10_000);
        let mut watch = DiskWatch::default();
        assert!(watch.admit(now).is_ok());
        watch.stalled_since_ms = Some(4_000);
        let refusal = watch.admit(now).unwrap_err();
        assert!(refusal.code.retryable() && !refusal.maybe_applied);
        assert!(refusal.message.contains("for 6 s"), "{refusal}");
    }

    #[test]
    fn a_full_and_a_read_only_disk_are_told_apart() {
        let io = |kind: io::ErrorKind| StoreError::Io {
            doing: "appending to the journal",
            source: Arc::new(kind.into()),
        };
        let full = StoreError::DiskFull { doing: "appending to the journal" };
        assert_eq!(kind_of(&full), Some(TroubleKind::Full));
        let read_only = io(io::ErrorKind::ReadOnlyFilesystem);
        assert_eq!(kind_of(&read_only), Some(TroubleKind::ReadOnly));
        assert_eq!(kind_of(&io(io::ErrorKind::PermissionDenied)), None);
    }
}
