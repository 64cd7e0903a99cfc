//! Threads behind one shard: the journal's, the flusher's and the keeper's.
//!
//! Invariant: the first of them to find that the shard's life is over says so for all.

use std::io;
use std::sync::Arc;

use crate::flusher::{Flusher, FlusherSettings};
use crate::journal::{Journal, JournalSettings};
use crate::keeper::{Keeper, KeeperSettings};
use crate::{ShardOptions, Store};

/// Threads of one shard, with their handles.
pub(super) struct Threads {
    pub(super) journal: Journal,
    pub(super) flusher: Flusher,
    pub(super) keeper: Keeper,
}

impl Threads {
    /// Starts the threads of one shard.
    pub(super) fn start(
        journal: JournalSettings,
        options: &ShardOptions,
        engine: &Arc<dyn Store>,
    ) -> io::Result<Self> {
        let (completed, counters) = (journal.completed.clone(), journal.counters.clone());
        let failure = journal.failure.clone();
        let journal = Journal::start(journal)?;
        let flusher = Flusher::start(FlusherSettings {
            shard: options.identity.shard,
            engine: engine.clone(),
            journal: journal.sender.clone(),
            retry: options.flush_retry,
            sweep_limit_records: options.sweep_limit_records,
            counters,
            failure: failure.clone(),
        })?;
        let keeper = Keeper::start(KeeperSettings {
            shard: options.identity.shard,
            engine: engine.clone(),
            completed,
            failure,
        })?;
        Ok(Self { journal, flusher, keeper })
    }
}
