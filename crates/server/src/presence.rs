//! Watch on whether the files that the shards have open are still in the data directory.
//!
//! Invariant: a file that was removed, or replaced by another one, while the node runs is noticed within seconds, on no
//! shard's thread. What is written to such a file is lost to every later start.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jedlik_protocol::admin::{ShardTrouble, TroubleKind};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_storage::{OpenFiles, ShardFolder};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use crate::clock::Clock;

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Open files of all shards; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Presence(Arc<Mutex<BTreeMap<u16, Watched>>>);

#[derive(Debug, Clone)]
struct Watched {
    folder: ShardFolder,
    files: OpenFiles,
    gone: Option<MissingFile>,
}

/// File that a shard has open and that is not in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingFile {
    since_ms: u64,
    path: String,
}

impl MissingFile {
    /// Returns the trouble that admins are told of.
    pub(crate) fn trouble(&self, shard: u16) -> ShardTrouble {
        let (since_ms, what) = (self.since_ms, self.path.clone());
        ShardTrouble { shard, kind: TroubleKind::FilesGone, since_ms, what }
    }

    /// Returns the refusal of a write, which would be acknowledged and lost.
    pub(crate) fn refusal(&self) -> Failure {
        let message = format!(
            "{} was removed while the node runs; nothing was done, ask another, and restart the node",
            self.path
        );
        Failure::new(ErrorCode::Storage, message)
    }
}

impl Presence {
    /// Watches the files that a shard has just opened.
    pub(crate) fn watch(&self, shard: u16, folder: &ShardFolder) {
        let (folder, files) = (folder.clone(), folder.open_files());
        self.all().insert(shard, Watched { folder, files, gone: None });
    }

    /// Stops watching a shard whose files are closed.
    pub(crate) fn forget(&self, shard: u16) {
        self.all().remove(&shard);
    }

    /// Returns the file of a shard that is not in its place; `None` if all are.
    pub(crate) fn gone(&self, shard: u16) -> Option<MissingFile> {
        self.all().get(&shard)?.gone.clone()
    }

    /// Looks at the files, and logs what has changed. Waits for the disk.
    fn look(&self, now_ms: u64) {
        let watched = self.all().clone();
        for (shard, Watched { folder, files, gone }) in watched {
            let missing = folder.missing(&files).map(|path| path.display().to_string());
            let now = match (missing, gone) {
                (Some(path), None) => {
                    error!(
                        shard,
                        path,
                        "a file that the node has open was removed or replaced: what it holds is lost when the node \
                         stops. Writes of the shard are refused; restart the node, and the others refill it"
                    );
                    Some(MissingFile { since_ms: now_ms, path })
                }
                (None, Some(gone)) => {
                    info!(shard, path = gone.path, "the file is in its place again");
                    None
                }
                _ => continue,
            };
            // The shard may have been opened anew meanwhile.
            if let Some(watched) =
                self.all().get_mut(&shard).filter(|watched| watched.files == files)
            {
                watched.gone = now;
            }
        }
    }

    /// Spawns a task that looks again and again until it is aborted.
    pub(crate) fn spawn(&self, clock: Clock) -> JoinHandle<()> {
        let presence = self.clone();
        tokio::spawn(async move {
            let mut looks = interval(LOOK_INTERVAL);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                looks.tick().await;
                let (presence, now_ms) = (presence.clone(), clock.now().wall_ms);
                if spawn_blocking(move || presence.look(now_ms)).await.is_err() {
                    return;
                }
            }
        })
    }

    // Nothing panics with the lock held, and no disk is asked.
    fn all(&self) -> MutexGuard<'_, BTreeMap<u16, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
