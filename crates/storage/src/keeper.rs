//! The keeper's thread: writes what a shard keeps besides its records into the engine, so that its own thread waits
//! for no disk.
//!
//! Invariant: one write after the other, in the order in which they were asked for; each is answered once.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use crate::mark::MetadataWrite;
use crate::shard::Completion;
use crate::{Store, StoreError, Writes};

/// What is to be written, and who waits for it.
pub(crate) struct Keep {
    pub(crate) ticket: u64,
    pub(crate) metadata: Vec<MetadataWrite>,
}

/// What the thread is asked.
enum Task {
    Write(Keep),
    /// To say what has become of the last write before this.
    Tell(Sender<Result<(), StoreError>>),
}

/// What the thread begins with.
pub(crate) struct KeeperSettings {
    pub(crate) shard: u16,
    pub(crate) engine: Arc<dyn Store>,
    pub(crate) completed: Arc<dyn Fn(Vec<Completion>) + Send + Sync>,
    /// Set by the first to find that the shard's life is over.
    pub(crate) failure: Arc<OnceLock<StoreError>>,
}

/// The thread's handle.
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

    /// Has it written; false if the thread is gone.
    pub(crate) fn keep(&self, keep: Keep) -> bool {
        self.sender.send(Task::Write(keep)).is_ok()
    }

    /// Waits for all that it was asked to write, and says what has become of the last of it.
    pub(crate) fn last(&self) -> Result<(), StoreError> {
        let (tell, told) = channel();
        // A thread that is gone has dropped the other end.
        let _ = self.sender.send(Task::Tell(tell));
        told.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Waits for what is under way, and ends the thread.
    pub(crate) fn join(self) {
        drop(self.sender);
        // One that has panicked has answered nobody since.
        let _ = self.thread.join();
    }
}

fn run(settings: &KeeperSettings, asked: &Receiver<Task>) {
    let mut last = Ok(());
    while let Ok(task) = asked.recv() {
        let Keep { ticket, metadata } = match task {
            Task::Write(keep) => keep,
            Task::Tell(asker) => {
                // Who asked waits for it.
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
