//! Engine behind a guard: a fault in it is an error of the call, and the engine is not called again.
//!
//! Invariant: no panic of the engine leaves this file, and nothing is asked of an engine that was found
//! damaged, not even to close: its file may hold anything, and so may its memory. An engine that ended the process
//! before is not opened (`fault_note.rs`).

use std::any::Any;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{PlacedKey, StoredRecord};
use jedlik_storage_port::{HintMark, HintTotals, RangePage};
use tracing::error;

use crate::fault_note::{self, FaultNote};
use crate::hint::{HintRow, HintRows};
use crate::{MergeStats, OpenError, RangeQuery, Store, StoreError, Writes};

thread_local! {
    /// Number of guarded calls that this thread is in.
    static GUARDED: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is in a call of an engine, whose panics are caught and reported as damage. For a panic hook that
/// otherwise ends the process.
#[must_use]
pub fn engine_at_work() -> bool {
    GUARDED.get() > 0
}

/// Engine whose panics are errors of its calls.
#[derive(Debug)]
pub struct Guarded<S: Store> {
    /// The engine itself; `None` only while it is being dropped.
    engine: Option<S>,
    damage: OnceLock<StoreError>,
    note: Arc<FaultNote>,
    /// Whether no write has returned yet.
    unproven: AtomicBool,
}

impl<S: Store> Guarded<S> {
    /// Opens with `open` an engine whose file is at `path`.
    ///
    /// # Errors
    /// Those of `open`, and [`OpenError::EngineDamaged`] if it panicked, or if the engine has ended a process before.
    pub fn open(
        path: &Path,
        open: impl FnOnce() -> Result<S, OpenError>,
    ) -> Result<Self, OpenError> {
        let note = Arc::new(FaultNote::of_use(path));
        if let Some(what) = note.condemns() {
            return Err(OpenError::EngineDamaged { path: path.into(), what });
        }
        note.begin();
        let opened = note
            .during(|| guarded(open))
            .unwrap_or_else(|what| Err(OpenError::EngineDamaged { path: path.into(), what }))
            .inspect_err(|_| note.clear())?;
        let (damage, unproven) = (OnceLock::new(), AtomicBool::new(true));
        Ok(Self { engine: Some(opened), damage, note, unproven })
    }

    pub(crate) fn call<T>(
        &self,
        doing: &'static str,
        act: impl FnOnce(&S) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(damage) = self.damage.get() {
            return Err(damage.clone());
        }
        let engine = self.engine.as_ref().expect("it is there until it is dropped");
        let outcome = self
            .note
            .during(|| guarded(|| act(engine)))
            .unwrap_or_else(|what| Err(StoreError::EngineDamaged { doing, what }));
        outcome.inspect_err(|failure| {
            if failure.is_damage() && self.damage.set(failure.clone()).is_ok() {
                error!(error = %failure, "the engine is damaged and is not asked again");
            }
        })
    }
}

impl<S: Store> Guarded<S> {
    /// Notes that the engine has not ended the process in its first write, or in its closing.
    fn prove(&self) {
        if self.unproven.swap(false, Ordering::Relaxed) {
            self.note.clear();
        }
    }
}

impl<S: Store> Drop for Guarded<S> {
    fn drop(&mut self) {
        let Some(engine) = self.engine.take() else { return };
        if self.damage.get().is_some() {
            // Closing would write into the damaged file. What is lost is some memory and a descriptor.
            mem::forget(engine);
        } else if let Err(what) = self.note.during(|| guarded(|| drop(engine))) {
            error!(what, "the engine could not be closed");
        }
        self.prove();
    }
}

/// Runs `act`. The message of its panic is the error.
pub(crate) fn guarded<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    struct InCall;
    impl Drop for InCall {
        fn drop(&mut self) {
            GUARDED.set(GUARDED.get() - 1);
        }
    }
    GUARDED.set(GUARDED.get() + 1);
    let in_call = InCall;
    let outcome = catch_unwind(AssertUnwindSafe(act)).map_err(|panic| message(&*panic));
    drop(in_call);
    if outcome.is_err()
        && let Some(note) = fault_note::current()
    {
        note.forgive();
    }
    outcome
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "it panicked".into(), |text| format!("it panicked: {text}"))
}

impl<S: Store> Store for Guarded<S> {
    fn load(&self, key: &PlacedKey) -> Result<Option<StoredRecord>, StoreError> {
        self.call("reading a record", |engine| engine.load(key))
    }

    fn load_hint(&self, target: NodeId, key: &PlacedKey) -> Result<Option<HintRow>, StoreError> {
        self.call("reading a hint", |engine| engine.load_hint(target, key))
    }

    fn write(&self, writes: &Writes) -> Result<(), StoreError> {
        let written = self.call("writing a batch of records", |engine| engine.write(writes));
        self.prove();
        written
    }

    fn drop_partitions(&self, partitions: &BTreeSet<Partition>) -> Result<(), StoreError> {
        self.call("dropping partitions", |engine| engine.drop_partitions(partitions))
    }

    fn sweep(&self, limit_records: usize) -> Result<bool, StoreError> {
        self.call("sweeping dropped partitions", |engine| engine.sweep(limit_records))
    }

    fn next_partition(&self, from: Partition) -> Result<Option<Partition>, StoreError> {
        self.call("looking for a partition", |engine| engine.next_partition(from))
    }

    fn range(&self, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.call("reading a range of records", |engine| engine.range(query))
    }

    fn hint_range(&self, target: NodeId, query: &RangeQuery) -> Result<RangePage, StoreError> {
        self.call("reading a range of hints", |engine| engine.hint_range(target, query))
    }

    fn hints(
        &self,
        target: NodeId,
        after: Option<&HintMark>,
        limit_hints: usize,
        limit_bytes: usize,
    ) -> Result<HintRows, StoreError> {
        self.call("reading hints", |engine| engine.hints(target, after, limit_hints, limit_bytes))
    }

    fn hint_totals(&self) -> Result<Vec<(NodeId, HintTotals)>, StoreError> {
        self.call("counting hints", S::hint_totals)
    }

    fn metadata(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.call("reading metadata", |engine| engine.metadata(name))
    }

    fn metadata_names(&self) -> Result<Vec<String>, StoreError> {
        self.call("listing metadata", S::metadata_names)
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.call("measuring the file", S::size_bytes)
    }

    fn record_count(&self) -> Result<u64, StoreError> {
        self.call("counting records", S::record_count)
    }

    fn merges(&self) -> Option<MergeStats> {
        self.call("counting what waits to be merged", |engine| Ok(engine.merges())).ok()?
    }

    fn damage(&self) -> Option<StoreError> {
        self.damage.get().cloned()
    }

    fn filters(&self) -> Option<Vec<u8>> {
        self.engine.as_ref().filter(|_| self.damage.get().is_none()).and_then(S::filters)
    }

    fn is_absent(&self, key: &PlacedKey) -> bool {
        let sound = self.engine.as_ref().filter(|_| self.damage.get().is_none());
        sound.is_some_and(|engine| engine.is_absent(key))
    }

    fn filter_bytes(&self) -> u64 {
        let sound = self.engine.as_ref().filter(|_| self.damage.get().is_none());
        sound.map_or(0, S::filter_bytes)
    }

    fn restore_filters(&self, filters: &[u8]) {
        self.engine.iter().for_each(|engine| engine.restore_filters(filters));
    }

    fn look_at_troubles(&self) {
        self.engine.iter().for_each(S::look_at_troubles);
    }
}

#[cfg(test)]
mod tests;
