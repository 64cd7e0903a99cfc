//! Rewriting of an engine's file, which gives back the room that nothing in it needs any more: redb reuses room, and
//! lets go of it at its file's end alone.
//!
//! Invariant: the file that takes the other's place holds, durably, all that the other held. Until then the other one
//! counts alone, and whatever goes wrong with the new one costs nothing but itself.
//!
//! Records, hints and metadata are copied page by page, in order, while the engine is read and written. What is written
//! meanwhile is noted by its key, and copied as it is by then before the next page. Once nothing is left to copy, writes
//! wait for the last of that and for the change of names.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::PlacedKey;
use tracing::{info, warn};

use crate::contents::{Place, Reader};
use crate::disk::{Directory, Disk, Space, directory_of};
use crate::guarded::guarded;
use crate::{HintWrite, OpenError, RedbOptions, RedbStore, Store, StoreError, Writes};

/// Time after which a rewriting that failed is tried again.
const RETRY: Duration = Duration::from_secs(600);
/// Room that a rewriting leaves free on a large disk, in bytes, and the part of a small one: other shards rewrite their
/// files too, and whatever else needs room comes first.
const LEFT_BYTES: u64 = 512 << 20;
const LEFT_PARTS: u64 = 8;

/// Settings of an engine's rewriting.
#[derive(Debug, Clone)]
pub struct RewriteOptions {
    /// Room that a file may take besides nearly twice what counts in it, in bytes.
    pub slack_bytes: u64,
    /// Size of what is copied in one step, in bytes.
    pub page_bytes: usize,
}

impl Default for RewriteOptions {
    fn default() -> Self {
        Self { slack_bytes: 4 << 20, page_bytes: 1 << 20 }
    }
}

/// Rewriting of one engine's file, again and again.
pub(super) struct Rewriter {
    options: RedbOptions,
    /// Function that reads the room of the file system that a path is on.
    space: fn(&Path) -> io::Result<Space>,
    /// Bytes that were written or removed since the file was made, or opened.
    changed_bytes: AtomicU64,
    /// Keys written since a rewriting has begun; `None` while there is none. Locked within the file's writer, so
    /// that it names every commit that has ended.
    touched: Mutex<Option<Touched>>,
    work: Mutex<Work>,
}

#[derive(Default)]
struct Work {
    under_way: Option<Rewrite>,
    /// Time before which no rewriting begins.
    not_before: Option<Instant>,
}

/// Rewriting that is under way.
struct Rewrite {
    path: PathBuf,
    target: Box<RedbStore>,
    reader: Reader,
    before_bytes: u64,
    since: Instant,
}

/// Keys of what may have changed in the engine, and is not in the new file as it is by now.
#[derive(Debug, Default)]
pub(super) struct Touched {
    records: BTreeSet<PlacedKey>,
    hints: BTreeSet<(NodeId, PlacedKey)>,
    metadata: BTreeSet<String>,
    dropped: BTreeSet<Partition>,
}

impl Touched {
    pub(super) fn note_writes(&mut self, writes: &Writes) {
        self.records.extend(writes.records.iter().map(|(key, _)| key.clone()));
        self.hints.extend(writes.hints.iter().map(|write| (write.target, write.key.clone())));
        self.metadata.extend(writes.metadata.iter().map(|(name, _)| name.clone()));
    }

    pub(super) fn note_dropped(&mut self, partitions: &BTreeSet<Partition>) {
        self.dropped.extend(partitions);
    }

    /// Returns the writes that make another engine hold of this what `engine` holds.
    fn read(self, engine: &RedbStore) -> Result<Writes, StoreError> {
        let mut writes = Writes::default();
        for key in self.records {
            let record = engine.load(&key)?;
            writes.records.push((key, record));
        }
        for (target, key) in self.hints {
            let hint = match engine.load_hint(target, &key)? {
                Some(row) => Some(row.into_hint(target).ok_or_else(|| {
                    StoreError::damaged(&key, "a hint of it is not what was written")
                })?),
                None => None,
            };
            writes.hints.push(HintWrite { target, key, hint });
        }
        for name in self.metadata {
            let value = engine.metadata(&name)?;
            writes.metadata.push((name, value));
        }
        Ok(writes)
    }
}

/// Reason for which a rewriting ended before its time.
enum Failed {
    /// Error of the engine itself.
    Engine(StoreError),
    /// Error of the new file, or of its making.
    Copy(StoreError),
}

impl Rewriter {
    pub(super) fn new(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
        remove(&copy_path(path)).map_err(|e| OpenError::io("removing what is left of", path, e))?;
        Ok(Self {
            options: options.clone(),
            space: space_at,
            // What a life before has left is due at once.
            changed_bytes: AtomicU64::new(u64::MAX),
            touched: Mutex::default(),
            work: Mutex::default(),
        })
    }

    pub(super) fn touched(&self) -> MutexGuard<'_, Option<Touched>> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what a commit has written and removed.
    pub(super) fn count(&self, changed_bytes: u64) {
        let add = |before: u64| Some(before.saturating_add(changed_bytes));
        // It never refuses.
        let _ = self.changed_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Takes a step of a rewriting, or begins one that is due. Returns whether there is more to do.
    pub(super) fn step(&self, engine: &RedbStore) -> Result<bool, StoreError> {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        let stepped = match &mut work.under_way {
            Some(rewrite) => self.advance(engine, rewrite),
            None => self.begin(engine, &mut work),
        };
        if let Ok(true) = stepped {
            return Ok(true);
        }
        close(work.under_way.take());
        let Err(failed) = stepped else { return Ok(false) };
        *self.touched() = None;
        work.not_before = Some(Instant::now() + RETRY);
        let (Failed::Engine(error) | Failed::Copy(error)) = &failed;
        let path = &engine.file.path;
        warn!(
            path = %path.display(), %error,
            "the engine's file takes more room than it needs, and can't be rewritten now"
        );
        // A leftover goes with the next opening.
        let _ = remove(&copy_path(path));
        match failed {
            Failed::Engine(error) if error.ends_shard() => Err(error),
            _ => Ok(false),
        }
    }

    /// Begins a rewriting if one is due. Returns whether it did.
    fn begin(&self, engine: &RedbStore, work: &mut Work) -> Result<bool, Failed> {
        if work.not_before.is_some_and(|time| Instant::now() < time) {
            return Ok(false);
        }
        let live_bytes = engine.live_bytes().map_err(Failed::Engine)?;
        let before_bytes = engine.size_bytes().map_err(Failed::Engine)?;
        let path = copy_path(&engine.file.path);
        if !self.is_due(live_bytes, before_bytes) {
            return Ok(false);
        }
        self.check_room(&path, live_bytes.saturating_mul(2))?;
        // Before anything is read, so that no write is missed.
        *self.touched() = Some(Touched::default());
        let open = || RedbStore::open_file(&path, &self.options).map_err(|e| open_failure(&e));
        let target = Box::new(copying(open)?);
        let reader = Reader::new(Place::START, self.options.rewrite.page_bytes);
        let since = Instant::now();
        work.under_way = Some(Rewrite { path, target, reader, before_bytes, since });
        Ok(true)
    }

    /// Whether the file takes too much room, and enough was changed since it was made: so rewriting costs no more than
    /// a part of what writing does, whatever the file takes at least.
    fn is_due(&self, live_bytes: u64, file_bytes: u64) -> bool {
        let limit_bytes = live_bytes / 10 * 19 + self.options.rewrite.slack_bytes;
        file_bytes > limit_bytes && self.changed_bytes.load(Ordering::Relaxed) >= live_bytes
    }

    /// Refuses to write `bytes` where too little room would be left. A disk that can't say how much it has has none.
    fn check_room(&self, path: &Path, bytes: u64) -> Result<(), Failed> {
        let doing = "rewriting the file";
        let space = (self.space)(path).map_err(|e| Failed::Copy(StoreError::io(doing, e)))?;
        let left_bytes = LEFT_BYTES.min(space.total_bytes / LEFT_PARTS);
        if space.free_bytes < bytes.saturating_add(left_bytes) {
            return Err(Failed::Copy(StoreError::DiskFull { doing }));
        }
        Ok(())
    }

    /// Copies what was written meanwhile and one more page. Returns whether there is more to do.
    fn advance(&self, engine: &RedbStore, rewrite: &mut Rewrite) -> Result<bool, Failed> {
        self.check_room(&rewrite.path, self.options.rewrite.page_bytes as u64)?;
        let touched = self.touched().replace(Touched::default()).unwrap_or_default();
        rewrite.catch_up(engine, touched)?;
        match rewrite.reader.next_page(engine).map_err(Failed::Engine)? {
            Some(page) => {
                let writes = page.into_writes();
                copying(|| rewrite.target.write(&writes)).map(|()| true)
            }
            None => self.finish(engine, rewrite).map(|()| false),
        }
    }

    /// Puts the new file into the place of the old one.
    fn finish(&self, engine: &RedbStore, rewrite: &Rewrite) -> Result<(), Failed> {
        let mut counts = engine.mark_counts();
        let writing = engine.file.writing();
        let touched = self.touched().take().unwrap_or_default();
        rewrite.catch_up(engine, touched)?;
        rewrite.check(engine)?;
        let opened = rewrite.target.file.take_opened();
        let opened = opened.ok_or(Failed::Copy(StoreError::Closed))?;
        let place = &engine.file.path;
        self.options.replaced.note(&rewrite.path);
        if let Err(error) = fs::rename(&rewrite.path, place) {
            close(opened);
            return Err(Failed::Copy(StoreError::io("naming the rewritten file", error)));
        }
        let old = writing.replace(opened);
        counts.forget();
        self.changed_bytes.store(0, Ordering::Relaxed);
        drop(counts);
        close(old);
        let (before_bytes, seconds) = (rewrite.before_bytes, rewrite.since.elapsed().as_secs());
        let after_bytes = engine.size_bytes().unwrap_or_default();
        info!(path = %place.display(), before_bytes, after_bytes, seconds, "rewrote the engine's file");
        Ok(())
    }
}

impl Rewrite {
    /// Copies all that was touched into the new file.
    fn catch_up(&self, engine: &RedbStore, touched: Touched) -> Result<(), Failed> {
        if !touched.dropped.is_empty() {
            copying(|| self.target.drop_partitions(&touched.dropped))?;
        }
        let writes = touched.read(engine).map_err(Failed::Engine)?;
        if writes.is_empty() { Ok(()) } else { copying(|| self.target.write(&writes)) }
    }

    /// Compares the counts of both files, which cost no reading.
    fn check(&self, engine: &RedbStore) -> Result<(), Failed> {
        let counts = |store: &RedbStore| {
            let hides = store.file.with("counting", |opened| Ok(!opened.tables.dropped.is_empty()));
            Ok::<_, StoreError>((hides?, store.record_count()?, store.live_bytes()?))
        };
        let (hides, records, bytes) = counts(engine).map_err(Failed::Engine)?;
        let (copy_hides, copied, copied_bytes) = counts(&self.target).map_err(Failed::Copy)?;
        if hides || copy_hides || (records, bytes) == (copied, copied_bytes) {
            return Ok(());
        }
        let message = format!(
            "the rewritten file has {copied} records and {copied_bytes} bytes, not {records} and {bytes}"
        );
        Err(Failed::Copy(StoreError::Engine { doing: "comparing", message }))
    }
}

/// Runs a call of the new file's engine, whose panic costs no more than that file.
fn copying<T>(act: impl FnOnce() -> Result<T, StoreError>) -> Result<T, Failed> {
    let doing = "rewriting the file";
    guarded(act)
        .unwrap_or_else(|what| Err(StoreError::EngineDamaged { doing, what }))
        .map_err(Failed::Copy)
}

/// Closes a file that is not needed any more; what goes wrong with it does not matter.
fn close<T>(file: T) {
    if let Err(what) = guarded(|| drop(file)) {
        warn!(what, "a file that is not needed any more could not be closed");
    }
}

fn open_failure(error: &OpenError) -> StoreError {
    StoreError::Engine { doing: "making the new file", message: error.to_string() }
}

fn space_at(path: &Path) -> io::Result<Space> {
    Directory::open(directory_of(path))?.space_reader()()
}

/// Returns the path of the new file while it is made.
fn copy_path(path: &Path) -> PathBuf {
    path.with_extension("rewritten")
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
