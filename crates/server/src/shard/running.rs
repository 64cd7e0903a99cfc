//! Handle of a shard's thread, as the rest of the node has it.
//!
//! Invariant: the thread ends once it was told to close, or ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use jedlik_protocol::admin::BackgroundChange;
use jedlik_replica::Config;

use crate::error::NodeError;
use crate::fatal::EndsProcess;
use crate::inbox::{Inbox, Mail};
use crate::stores::OpenShard;

use super::lives::ShardLives;
use super::{Ended, ShardEnvironment};

/// Handle of a shard on its thread.
pub(crate) struct RunningShard {
    inbox: Inbox,
    open: Arc<AtomicUsize>,
    thread: JoinHandle<Ended>,
}

impl RunningShard {
    /// Gives the shard a thread.
    pub(crate) fn start(
        config: Config,
        shard: OpenShard,
        around: ShardEnvironment,
    ) -> Result<Self, NodeError> {
        let OpenShard { storage, source, desk, reader } = shard;
        let open = Arc::new(AtomicUsize::new(0));
        let name = format!("shard-{}", config.shard);
        let lives = ShardLives::new(config, source, around, Arc::clone(&open));
        let thread = thread::Builder::new()
            .name(name)
            .spawn(move || {
                let _guard = EndsProcess("a shard");
                lives.run(storage, &reader)
            })
            .map_err(|source| NodeError::System { doing: "starting a shard's thread", source })?;
        Ok(Self { inbox: desk.inbox, open, thread })
    }

    /// Returns how many requests wait for an answer, those still in the queue included.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed) + self.inbox.waiting()
    }

    /// Changes the pace of the shard's background work.
    pub(crate) fn set_background(&self, change: BackgroundChange) {
        self.inbox.push(Mail::SetBackground(change));
    }

    /// Tells the shard to end once it has dealt with what waits.
    pub(crate) fn close(&self) {
        self.inbox.push(Mail::Close);
    }

    /// Waits for the thread's end, and returns how the shard ended.
    pub(crate) fn join(self) -> Ended {
        self.thread.join().unwrap_or(Ended::Unclean)
    }
}
