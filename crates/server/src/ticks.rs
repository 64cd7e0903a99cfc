//! Progress of this life of the node: what its shards have synced is written down from time to time, with a tick that
//! members remember ([decision 42](../../../docs/decisions/0042-progress-within-a-life.md)).
//!
//! Invariant: a tick is on disk before it is told, and what the file says of a shard is on that shard's disk before.
//! No request and no shard's thread waits for the file. Once it is closed nothing is written any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_storage::{OpenError, ProgressFile, ProgressWatch, ShardProgress};
use jedlik_trouble::{Report, Trouble};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::error::NodeError;
use crate::fatal::EndsProcess;
use crate::membership_task::Event;

/// Longest time between two ticks.
const INTERVAL_MAX: Duration = Duration::from_secs(30);
/// Number of ticks in the life of a message. A tombstone is collected after ten such lives.
const TICKS_PER_LIFE: u32 = 8;

/// Progress of all shards, and its file; clones share both.
#[derive(Clone)]
pub(crate) struct Ticks(Arc<Shared>);

struct Shared {
    clock: Clock,
    message_life: Duration,
    /// Whether there are ticks at all: a start continues from what the one before has left.
    counts: bool,
    /// Time before which everything stored is in the file, in microseconds of the node's clock.
    covered_us: AtomicU64,
    /// Watches on which the shards say how far they are.
    watches: Mutex<Vec<(u16, ProgressWatch)>>,
    state: Mutex<State>,
    closing: Condvar,
}

struct State {
    /// Progress file of this life; `None` for an engine that keeps nothing over a start, and once the ticks are closed.
    file: Option<ProgressFile>,
    tick: u32,
    /// Progress of the shards that the file holds.
    saved: Vec<(u16, ShardProgress)>,
    trouble: Trouble,
}

impl Ticks {
    /// Returns the ticks of a life that begins. Without a file there are none.
    pub(crate) fn new(file: Option<ProgressFile>, clock: Clock, message_life: Duration) -> Self {
        let counts = file.is_some();
        let state = State { file, tick: 0, saved: Vec::new(), trouble: Trouble::default() };
        Self(Arc::new(Shared {
            clock,
            message_life,
            counts,
            covered_us: AtomicU64::new(clock.now().mono_us),
            watches: Mutex::default(),
            state: Mutex::new(state),
            closing: Condvar::new(),
        }))
    }

    /// Watches an open shard. What it holds is written down with the next tick.
    pub(crate) fn watch(&self, shard: u16, watch: ProgressWatch) {
        let mut watches = self.watches();
        watches.retain(|(known, _)| *known != shard);
        watches.push((shard, watch));
        watches.sort_unstable_by_key(|(shard, _)| *shard);
    }

    /// Saves what the shards hold in place of what the life before has said, before anything is issued in this one.
    pub(crate) fn begin(&self) {
        let mut state = self.state();
        let shards = self.progress();
        let Some(file) = &state.file else { return };
        match file.save(0, &shards) {
            Ok(()) => state.saved = shards,
            Err(error) => warn!(%error, "how far this life has come can't be written down yet"),
        }
    }

    /// Takes back what the file says of a shard whose files will be other ones. Waits for the disk.
    pub(crate) fn forget(&self, shard: u16) {
        self.watches().retain(|(known, _)| *known != shard);
        let mut state = self.state();
        let mut shards = state.saved.clone();
        shards.retain(|(known, _)| *known != shard);
        let Some(file) = &state.file else { return };
        match file.save(state.tick, &shards) {
            Ok(()) => state.saved = shards,
            Err(error) => warn!(
                shard, %error,
                "what the shard held can't be taken back: a crash of the node before the disk takes writes again \
                 sets the shard aside"
            ),
        }
    }

    /// Writes the next tick if anything was stored since the last one, and returns it. Waits for the disk.
    pub(crate) fn advance(&self) -> Option<u32> {
        let began_us = self.0.clock.now().mono_us;
        let mut state = self.state();
        let shards = self.progress();
        let next = state.tick.checked_add(1)?;
        let is_new = shards != state.saved;
        if let Some(file) = state.file.as_ref().filter(|_| is_new)
            && let Err(error) = file.save(next, &shards)
        {
            state.fail(began_us, &error);
            return None;
        }
        self.0.covered_us.store(began_us, Ordering::Relaxed);
        if !is_new || state.file.is_none() {
            return None;
        }
        (state.tick, state.saved) = (next, shards);
        if let Some(Report::Over { times, lasted_s }) = state.trouble.over() {
            info!(times, lasted_s, "how far this life has come is written down again");
        }
        Some(next)
    }

    /// Refuses a part in the collection of a tombstone while a copy of the directory from before it would not be
    /// recognised.
    pub(crate) fn admit_collection(&self) -> Result<(), Failure> {
        let covered_us = self.0.covered_us.load(Ordering::Relaxed);
        let behind_us = self.0.clock.now().mono_us.saturating_sub(covered_us);
        if !self.0.counts || Duration::from_micros(behind_us) <= self.0.message_life {
            return Ok(());
        }
        let message = format!(
            "the node could not write down for {} s how far it has come, so nothing may be forgotten; see its log",
            behind_us / 1_000_000
        );
        Err(Failure::new(ErrorCode::NotReady, message))
    }

    /// Closes the file: nothing is written from now on.
    pub(crate) fn close(&self) {
        self.state().file = None;
        self.0.closing.notify_all();
    }

    /// Starts the thread that writes ticks and tells them to membership, until the ticks are closed.
    pub(crate) fn spawn(&self, membership: mpsc::Sender<Event>) -> Result<(), NodeError> {
        let ticks = self.clone();
        let run = move || {
            let _guard = EndsProcess("the ticks");
            while ticks.wait() {
                if let Some(tick) = ticks.advance()
                    && membership.blocking_send(Event::Tick(tick)).is_err()
                {
                    return;
                }
            }
        };
        let spawned = thread::Builder::new().name("ticks".into()).spawn(run);
        spawned.map_err(|source| NodeError::System { doing: "starting a thread", source })?;
        Ok(())
    }

    /// Waits until the next tick is due. Returns false if there will be none.
    fn wait(&self) -> bool {
        let interval = (self.0.message_life / TICKS_PER_LIFE).min(INTERVAL_MAX);
        let open = |state: &mut State| state.file.is_some();
        let waited = self.0.closing.wait_timeout_while(self.state(), interval, open);
        waited.unwrap_or_else(PoisonError::into_inner).0.file.is_some()
    }

    /// Returns how far the shards are now.
    fn progress(&self) -> Vec<(u16, ShardProgress)> {
        self.watches().iter().map(|(shard, watch)| (*shard, watch.now())).collect()
    }

    // Nothing panics with one of the locks held.
    fn watches(&self) -> MutexGuard<'_, Vec<(u16, ProgressWatch)>> {
        self.0.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fail(&mut self, now_us: u64, error: &OpenError) {
        match self.trouble.happened(now_us) {
            Some(Report::Began) => warn!(
                %error,
                "how far this life has come can't be written down; tried again, and no tombstone is collected meanwhile"
            ),
            Some(Report::Continues { times }) => {
                warn!(%error, times, "how far this life has come still can't be written down");
            }
            Some(Report::Over { .. }) | None => {}
        }
    }
}

#[cfg(test)]
mod tests;
