//! Engine as its calls and its thread share it: who may read, who may write, and what a failure ends.
//!
//! Invariant: one write is made at a time, and memory never runs ahead of the disk: after a failed write the tree is
//! closed, and what is on disk is opened by the next call. After damage nothing is asked of the tree any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    TryLockError,
};
use std::thread;
use std::time::Duration;

use jedlik_hashing::Partition;

use crate::hint_rows::damage_log;
use crate::trouble_log::TroubleLog;
use crate::{OpenError, StoreError, Writes};

use super::failures::{Failure, compactions, reopenings};
use super::merges::Merges;
use super::pace::Pace;
use super::tree::Opened;
use super::writes::Batch;
use super::{LsmOptions, drops, tree};

/// Number of hidden records that one batch takes off for a write that has to wait for them.
const SWEEP_LIMIT_RECORDS: usize = 4096;
/// Number of runs of unmerged tables past which merges take no rests.
pub(super) const HURRY_RUNS: usize = 24;
/// Number of runs of unmerged tables past which writes wait. lsm-tree counts them in one byte.
const WAITING_RUNS_MAX: usize = 64;
/// Longest time that a write waits for merges, before it is to be tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// Engine as its calls and its thread share it.
pub(super) struct Engine {
    pub(super) path: PathBuf,
    pub(super) options: LsmOptions,
    /// The open tree; `None` after a failure, until the next call.
    opened: RwLock<Option<Opened>>,
    /// Lock for one write at a time, with what only writers know.
    writer: Mutex<Writer>,
    pub(super) pace: Arc<Pace>,
    pub(super) merges: Merges,
    /// Bytes of rows that count no more, since the engine was opened.
    pub(super) dead_bytes: AtomicU64,
    /// Damage that was found, which every call reports from then on.
    pub(super) damage: OnceLock<StoreError>,
    pub(super) reopenings: TroubleLog,
    pub(super) compactions: TroubleLog,
    pub(super) damaged_hints: TroubleLog,
}

/// Keys at which the sweeps of hidden partitions go on: there are no records before them.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) swept: BTreeMap<Partition, Vec<u8>>,
}

/// Guard of a call: if it ends by a panic, nothing goes on in the background over files that may be damaged.
struct InCall<'a>(&'a Pace);

impl Drop for InCall<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

impl Engine {
    pub(super) fn open(path: &Path, options: &LsmOptions) -> Result<Self, OpenError> {
        let pace = Arc::new(Pace::default());
        let opened = tree::open(path, options, &pace)?;
        Ok(Self {
            path: path.into(),
            options: options.clone(),
            opened: RwLock::new(Some(opened)),
            writer: Mutex::default(),
            pace,
            merges: Merges::default(),
            dead_bytes: AtomicU64::new(0),
            damage: OnceLock::new(),
            reopenings: reopenings(),
            compactions: compactions(),
            damaged_hints: damage_log(),
        })
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Option<Opened>> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Option<Opened>> {
        self.opened.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the open tree, which is opened anew first if a write has failed.
    pub(super) fn with<T>(
        &self,
        doing: &'static str,
        act: impl FnOnce(&Opened) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        if let Some(damage) = self.damage.get() {
            return Err(damage.clone());
        }
        let _in_call = InCall(&self.pace);
        let outcome = loop {
            if let Some(opened) = &*self.read() {
                break act(opened);
            }
            self.reopen(doing)?;
        };
        outcome.map_err(|failure| self.failed(failure.into_store_error(doing)))
    }

    /// Notes a failure; if it is damage, nothing goes on in the background from now on.
    pub(super) fn failed(&self, failure: StoreError) -> StoreError {
        if failure.is_damage() {
            let _ = self.damage.set(failure.clone());
            self.pace.stop();
        }
        failure
    }

    pub(super) fn reopen(&self, doing: &'static str) -> Result<(), StoreError> {
        let mut opened = self.write();
        if opened.is_none() {
            self.reopenings.happened(&self.path.display());
            let again = tree::open(&self.path, &self.options, &self.pace);
            *opened = Some(again.map_err(|error| self.failed(reopening_error(doing, error)))?);
        }
        Ok(())
    }

    /// Closes the tree after a failed write; the next call opens what is on disk.
    pub(super) fn close(&self) {
        self.pace.interrupt(true);
        *self.write() = None;
        self.pace.interrupt(false);
    }

    /// Stores the batch that `make` returns, if there is one; `writer` shows that nobody else writes.
    pub(super) fn commit<T>(
        &self,
        doing: &'static str,
        _writer: &Writer,
        make: impl FnOnce(&Opened) -> Result<(Batch, T), Failure>,
    ) -> Result<T, StoreError> {
        let outcome = self.with(doing, |opened| {
            let (batch, outcome) = make(opened)?;
            let dead_bytes = batch.dead_bytes();
            batch.store(opened)?;
            self.dead_bytes.fetch_add(dead_bytes, Ordering::Relaxed);
            self.pace.hurry(opened.waiting_runs() > HURRY_RUNS);
            Ok(outcome)
        });
        match &outcome {
            Ok(_) => {
                self.reopenings.works();
                self.pace.wake();
            }
            // What was written of the batch goes when the tree is opened.
            Err(failure) if !failure.is_damage() => self.close(),
            Err(_) => {}
        }
        outcome
    }

    /// Locks the engine for a write in the background, if nobody else writes. Waiting here could be waited for in turn.
    pub(super) fn idle_writer(&self) -> Option<MutexGuard<'_, Writer>> {
        match self.writer.try_lock() {
            Ok(writer) => Some(writer),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits until merges have caught up.
    pub(super) fn make_room(&self, doing: &'static str) -> Result<(), StoreError> {
        let waiting = || self.with(doing, |opened| Ok(opened.waiting_runs()));
        if waiting()? < WAITING_RUNS_MAX {
            return Ok(());
        }
        self.pace.wake();
        let caught_up = || waiting().map_or(true, |runs| runs < WAITING_RUNS_MAX);
        if self.pace.wait_for(PATIENCE, caught_up) {
            return Ok(());
        }
        let message = format!("{WAITING_RUNS_MAX} runs of tables wait to be merged");
        Err(StoreError::Engine { doing, message })
    }

    /// Sweeps every hidden partition into which a record is to be put, since the record would be hidden too.
    pub(super) fn make_way_for(
        &self,
        writer: &mut Writer,
        writes: &Writes,
    ) -> Result<(), StoreError> {
        let doing = "sweeping dropped partitions before a write";
        let hidden: BTreeSet<Partition> = self.with(doing, |opened| {
            let put = writes.records.iter().filter(|(_, record)| record.is_some());
            let partitions = put.map(|(key, _)| key.partition);
            Ok(partitions.filter(|partition| opened.is_dropped(*partition)).collect())
        })?;
        for partition in hidden {
            while self.sweep_step(doing, writer, partition, SWEEP_LIMIT_RECORDS)? {}
        }
        Ok(())
    }

    /// Takes one step of a sweep. Returns false once nothing of `partition` is left.
    pub(super) fn sweep_step(
        &self,
        doing: &'static str,
        writer: &mut Writer,
        partition: Partition,
        limit_records: usize,
    ) -> Result<bool, StoreError> {
        let from = writer.swept.get(&partition).cloned();
        let last = self
            .commit(doing, writer, |opened| drops::sweep(opened, partition, from, limit_records))?;
        match last {
            Some(last) => drop(writer.swept.insert(partition, last)),
            None => drop(writer.swept.remove(&partition)),
        }
        Ok(writer.swept.contains_key(&partition))
    }
}

/// Converts the error of opening the tree anew.
fn reopening_error(doing: &'static str, error: OpenError) -> StoreError {
    match error {
        OpenError::Io { source, .. } => StoreError::io(doing, source),
        OpenError::EngineDamaged { what, .. } => StoreError::EngineDamaged { doing, what },
        other => StoreError::Engine { doing, message: other.to_string() },
    }
}
