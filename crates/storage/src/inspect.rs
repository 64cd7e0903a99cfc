//! Inspection of a shard's folder that no node uses any more.
//!
//! Invariant: the folder stays as it is, and a part that can't be read costs only what it held.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::{EncodedRecord, Key, PlacedKey, Record};

use crate::disk::Directory;
use crate::engine_kind::EngineKind;
use crate::folder::JOURNAL;
use crate::journal::{self, Sink, replay};
use crate::redb_store::Salvaged;
use crate::{OpenError, RangeQuery, RedbOptions, RedbStore, Store, StoreError};

const PAGE_RECORDS: usize = 1_000;
const PAGE_BYTES: usize = 1 << 20;
const BATCH_BYTES: usize = 4 << 20;

/// Returns the folders of shards at `path`: `path` itself, or those in it, sorted.
#[must_use]
pub fn shard_folders(path: &Path) -> Vec<PathBuf> {
    let is_shard =
        |path: &Path| EngineKind::found_in(path).is_some() || path.join(JOURNAL).exists();
    if is_shard(path) {
        return vec![path.into()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_shard(path)).collect();
    found.sort();
    found
}

/// Contents of a folder for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedKey {
    /// Key that the contents are of.
    pub key: Key,
    /// Record of the shard itself; `None` if the folder holds hints alone.
    pub record: Option<Record>,
    /// Hints that the shard kept for other nodes.
    pub hints: Vec<InspectedHint>,
}

/// Hint of an inspected folder, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedHint {
    /// Node for which the hint was kept.
    pub target: NodeId,
    /// Time of the hint, as in [`Hint::since_ms`](jedlik_storage_port::Hint::since_ms).
    pub since_ms: u64,
    /// Record that the target had to merge.
    pub record: Record,
}

impl InspectedKey {
    /// Returns the record and all hints, merged.
    #[must_use]
    pub fn merged(&self) -> Record {
        let mut all = self.record.clone().unwrap_or_default();
        self.hints.iter().for_each(|hint| all.merge(&hint.record));
        all
    }
}

/// Summary of what could be read of a folder, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Number of keys with a record or a hint.
    pub keys: u64,
    /// Number of rows of the engine that fail their checksums.
    pub damaged: u64,
    /// Number of places of the engine at which nothing could be read, each of which may have held many rows.
    pub unreadable: u64,
    /// Defect of the journal; `None` if there is none.
    pub journal: Option<String>,
}

/// Hands over all keys of the shard's folder at `folder`, its journal included: first those with a record, in the order
/// of partitions, then those with hints alone. A copy of what can be read is kept below `scratch` meanwhile.
///
/// # Errors
/// The folder holds no shard, or the copy can't be made.
pub fn inspect(
    folder: &Path,
    scratch: &Path,
    take: &mut dyn FnMut(InspectedKey),
) -> Result<Inspected, OpenError> {
    let (kind, journal_path) = (EngineKind::found_in(folder), folder.join(JOURNAL));
    if kind.is_none() && !journal_path.exists() {
        let source = io::Error::new(io::ErrorKind::NotFound, "no shard is in it");
        return Err(OpenError::io("looking into", folder, source));
    }
    let copy = Scratch::below(scratch)?;
    let engine: Arc<dyn Store> =
        Arc::new(RedbStore::open(&copy.0.join("copy.redb"), &RedbOptions::default())?);
    let salvaged = match kind {
        Some(kind) => kind.salvage(&folder.join(kind.file_name()), &copy.0, &*engine)?,
        None => Salvaged::default(),
    };
    let mut inspected = Inspected {
        damaged: salvaged.damaged,
        unreadable: salvaged.failures,
        journal: play_journal(&journal_path, &engine),
        ..Inspected::default()
    };
    walk(&*engine, &mut |key| {
        inspected.keys += 1;
        take(key);
    })?;
    Ok(inspected)
}

/// Folder that is removed when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn below(parent: &Path) -> Result<Self, OpenError> {
        let path = parent.join(format!("jedlik-inspect-{}", process::id()));
        fs::create_dir(&path).map_err(|source| OpenError::io("making", &path, source))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover is in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Replays a journal into the engine. Returns the journal's defect, if there is one.
fn play_journal(path: &Path, engine: &Arc<dyn Store>) -> Option<String> {
    if fs::read_dir(path).is_err() {
        return None;
    }
    let open = || -> Result<Option<usize>, OpenError> {
        let disk =
            Directory::open(path).map_err(|source| OpenError::io("opening", path, source))?;
        match journal::identity(&disk)? {
            Some(identity) => Ok(Some(
                replay(
                    &disk,
                    identity,
                    engine,
                    (Sink::Engine { batch_bytes: BATCH_BYTES, free_bytes: u64::MAX }, None),
                )?
                .recovery
                .damaged
                .len(),
            )),
            None => Ok(None),
        }
    };
    match open() {
        Ok(Some(0)) => None,
        Ok(Some(damaged)) => Some(format!("{damaged} parts of it can't be read")),
        Ok(None) if journal::has_segments(path) => Some("nothing of it can be read".into()),
        Ok(None) => None,
        Err(error) => Some(error.to_string()),
    }
}

/// Hands over every key of an engine, once.
fn walk(engine: &dyn Store, take: &mut dyn FnMut(InspectedKey)) -> Result<(), StoreError> {
    let targets: Vec<NodeId> = engine.hint_totals()?.iter().map(|(target, _)| *target).collect();
    let mut from = Some(Partition(0));
    while let Some(first) = from
        && let Some(partition) = engine.next_partition(first)?
    {
        from = partition.0.checked_add(1).map(Partition);
        let mut query = everything(partition);
        loop {
            let page = engine.range(&query)?;
            for (key, stored) in page.records {
                let record = decoded(&stored.record);
                take(InspectedKey { hints: hints(engine, &targets, &key)?, key: key.key, record });
            }
            query.after = page.until;
            if query.after.is_none() {
                break;
            }
        }
    }
    for (index, target) in targets.iter().enumerate() {
        let mut after = None;
        loop {
            let page = engine.hints(*target, after.as_ref(), PAGE_RECORDS, PAGE_BYTES)?;
            for row in page.rows {
                let key = row.mark.key;
                // A key with a record was handed over before, and so was one with a hint for an earlier target.
                let is_new = engine.load(&key)?.is_none()
                    && hints(engine, &targets[..index], &key)?.is_empty();
                if is_new {
                    let hints = hints(engine, &targets, &key)?;
                    take(InspectedKey { key: key.key, record: None, hints });
                }
            }
            after = page.until;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

fn hints(
    engine: &dyn Store,
    targets: &[NodeId],
    key: &PlacedKey,
) -> Result<Vec<InspectedHint>, StoreError> {
    let mut all = Vec::new();
    for target in targets {
        let hint = engine.load_hint(*target, key)?.and_then(|row| row.into_hint(*target));
        all.extend(hint.and_then(|hint| {
            let record = decoded(&hint.record.record)?;
            Some(InspectedHint { target: *target, since_ms: hint.since_ms, record })
        }));
    }
    Ok(all)
}

fn decoded(record: &EncodedRecord) -> Option<Record> {
    record.decode().ok()
}

fn everything(partition: Partition) -> RangeQuery {
    RangeQuery {
        partition,
        from: None,
        to: None,
        after: None,
        bucket: None,
        values: true,
        limit_records: PAGE_RECORDS,
        limit_bytes: PAGE_BYTES,
        limit_examined: PAGE_RECORDS,
        limit_examined_bytes: 8 * PAGE_BYTES,
    }
}

#[cfg(test)]
mod tests;
