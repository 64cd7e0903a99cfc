//! Thread of the keeper, which writes what a shard keeps besides its records into the engine, so that the shard's own
//! thread waits for no disk.
//!
//! Invariant: writes are made one after the other, in the order in which they were asked for; each is answered once.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use crate::mark::MetadataWrite;
use crate::shard::Completion;
use crate::{Store, StoreError, Writes};

/// Metadata to be written, and the ticket of the write's completion.
pub(crate) struct Keep {
    pub(crate) ticket: u64,
    pub(crate) metadata: Vec<MetadataWrite>,
}

/// Task for the keeper's thread.
enum Task {
    Write(Keep),
    /// Tells the outcome of the last write before this.
    Tell(Sender<Result<(), StoreError>>),
}

/// Settings with which the keeper's thread begins.
pub(crate) struct KeeperSettings {
    pub(crate) shard: u16,
    pub(crate) engine: Arc<dyn Store>,
    pub(crate) completed: Arc<dyn Fn(Vec<Completion>) + Send + Sync>,
    /// Error that ended the shard's life, set by the first thread to find it.
    pub(crate) failure: Arc<OnceLock<StoreError>>,
}

/// Handle of the keeper's thread.
pub(crate) struct Keeper {
    sender: Sender<Task>,
    thread: JoinHandle<()>,
}

impl Keeper {
    pub(crate) fn start(settings: KeeperSettings) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = thread::Builder::new()
            .name(format!("keeper-{}", settings.shard))
            .spawn(move || run(&settings, &receiver))?;
        Ok(Self { sender, thread })
    }

    /// Queues a write. Returns false if the thread is gone.
    pub(crate) fn keep(&self, keep: Keep) -> bool {
        self.sender.send(Task::Write(keep)).is_ok()
    }

    /// Waits for all writes that were queued, and returns the outcome of the last one.
    pub(crate) fn last(&self) -> Result<(), StoreError> {
        let (tell, told) = channel();
        // A thread that is gone has dropped the other end.
        let _ = self.sender.send(Task::Tell(tell));
        told.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Waits for what is queued, and ends the thread.
    pub(crate) fn join(self) {
        drop(self.sender);
        // A thread that has panicked has answered nobody since.
        let _ = self.thread.join();
    }
}

fn run(settings: &KeeperSettings, asked: &Receiver<Task>) {
    let mut last = Ok(());
    while let Ok(task) = asked.recv() {
        let Keep { ticket, metadata } = match task {
            Task::Write(keep) => keep,
            Task::Tell(asker) => {
                // The asking thread waits for the answer.
                let _ = asker.send(last.clone());
                continue;
            }
        };
        last = settings.engine.write(&Writes { metadata, ..Writes::default() });
        if let Err(error) = &last
            && error.ends_shard()
        {
            // Set by another thread before: that is as good a reason.
            let _ = settings.failure.set(error.clone());
        }
        (settings.completed)(vec![Completion { ticket, result: last.clone() }]);
    }
}
