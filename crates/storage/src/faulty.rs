//! Disks for the tests: they lose what was not synced, tear writes, fill up, and fail syncs.
//!
//! Invariant: what a crash leaves holds everything that was synced before, and of the rest what the
//! seed chooses.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Disk, FileBytes, JournalFile, ReadSpace};

mod backend;

pub(crate) use backend::FaultyBackend;

/// Kind of crash, by what it spares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The operating system goes on: everything written is there.
    Process,
    /// Only what was synced is there for certain.
    Power,
}

/// Machine that dies at a chosen operation of any of its disks, and fails as a test wants it to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machine {
    state: Arc<Mutex<MachineState>>,
    /// Lock that a test holds to keep syncs from ending.
    stall: Arc<Mutex<()>>,
}

#[derive(Debug, Default)]
struct MachineState {
    operations: u64,
    dies_at: Option<u64>,
    free_bytes: Option<usize>,
    failing_syncs: u64,
    failing_truncates: u64,
    seed: u64,
    syncs: u64,
}

impl Machine {
    pub(crate) fn new(seed: u64) -> Self {
        let machine = Self::default();
        machine.lock().seed = seed;
        machine
    }

    /// Makes the operation with this number, counted from the machine's beginning, the first to fail.
    pub(crate) fn die_at(&self, operation: u64) {
        self.lock().dies_at = Some(operation);
    }

    /// Sets how many bytes can still be appended, by all files together; `None` for any number.
    pub(crate) fn set_free_bytes(&self, free: Option<usize>) {
        self.lock().free_bytes = free;
    }

    pub(crate) fn fail_syncs(&self, count: u64) {
        self.lock().failing_syncs = count;
    }

    /// Keeps every sync from ending until the returned guard is dropped.
    pub(crate) fn stall_syncs(&self) -> MutexGuard<'_, ()> {
        self.stall.lock().unwrap()
    }

    pub(crate) fn fail_truncates(&self, count: u64) {
        self.lock().failing_truncates = count;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.lock().operations
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    pub(crate) fn random(&self, below: usize) -> usize {
        let mut state = self.lock();
        // SplitMix64.
        state.seed = state.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below.max(1) as u64) as usize
    }

    fn lock(&self) -> MutexGuard<'_, MachineState> {
        self.state.lock().unwrap()
    }

    /// Counts an operation. Fails from the chosen one on.
    fn tick(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.operations += 1;
        if state.dies_at.is_some_and(|dies_at| state.operations >= dies_at) {
            return Err(io::Error::other("the machine is dead"));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.tick()?;
        drop(self.stall.lock().unwrap());
        let mut state = self.lock();
        state.syncs += 1;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("the sync failed"));
        }
        Ok(())
    }

    /// Takes room for a write of `length` bytes, and returns how much of it there was.
    fn take_room(&self, length: usize) -> usize {
        let mut state = self.lock();
        let Some(free) = &mut state.free_bytes else { return length };
        let taken = length.min(*free);
        *free -= taken;
        taken
    }
}

#[derive(Debug, Clone, Default)]
struct FileState {
    bytes: Vec<u8>,
    synced: usize,
    /// Whether a sync has failed, after which no later one helps.
    lost: bool,
    /// Ranges of the file that can't be read.
    bad: Vec<Range<usize>>,
}

#[derive(Debug, Clone, Default)]
struct Files {
    live: BTreeMap<String, FileState>,
    /// Names of the files as of the last sync of the names.
    names: Vec<String>,
    /// Files that were removed since the last sync of the names.
    removed: BTreeMap<String, FileState>,
}

/// A directory on a [`Machine`].
#[derive(Debug, Clone)]
pub(crate) struct FaultyDisk {
    machine: Machine,
    files: Arc<Mutex<Files>>,
}

impl FaultyDisk {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self { machine: machine.clone(), files: Arc::default() }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap()
    }

    /// Returns the directory as it is found after a crash, on a new machine.
    pub(crate) fn after(&self, crash: Crash, machine: &Machine) -> Self {
        let files = self.files().clone();
        let mut live = files.live.clone();
        if crash == Crash::Power {
            // A removal that was not synced may not have happened, nor a creation.
            for (name, file) in &files.removed {
                if machine.random(2) == 0 {
                    live.insert(name.clone(), file.clone());
                }
            }
            live.retain(|name, _| files.names.contains(name) || machine.random(2) == 0);
            for file in live.values_mut() {
                lose_unsynced(file, machine);
            }
        }
        for file in live.values_mut() {
            file.synced = file.bytes.len();
        }
        let names = live.keys().cloned().collect();
        let files = Files { live, names, removed: BTreeMap::new() };
        Self { machine: machine.clone(), files: Arc::new(Mutex::new(files)) }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.files().live.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        self.files().live[name].bytes.clone()
    }

    /// Changes a file behind the journal's back.
    pub(crate) fn edit(&self, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
        edit(&mut self.files().live.get_mut(name).unwrap().bytes);
    }

    /// Makes this part of a file unreadable from now on.
    pub(crate) fn spoil(&self, name: &str, part: Range<usize>) {
        self.files().live.get_mut(name).unwrap().bad.push(part);
    }

    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let file = FileState { synced: bytes.len(), bytes, ..FileState::default() };
        self.files().live.insert(name.into(), file);
    }
}

/// Keeps a part of what was not synced, of any length, perhaps with a hole.
fn lose_unsynced(file: &mut FileState, machine: &Machine) {
    let unsynced = file.bytes.len() - file.synced;
    file.bytes.truncate(file.synced + machine.random(unsynced + 1));
    let kept = file.bytes.len() - file.synced;
    if kept > 0 && machine.random(2) == 0 {
        let hole = file.synced + machine.random(kept);
        let end = hole + machine.random(file.bytes.len() - hole) + 1;
        file.bytes[hole..end].fill(0);
    }
}

impl Disk for FaultyDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn JournalFile>> {
        self.machine.tick()?;
        let mut files = self.files();
        if files.live.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        files.live.insert(name.into(), FileState::default());
        Ok(Box::new(FaultyFile { disk: self.clone(), name: name.into() }))
    }

    fn read(&self, name: &str) -> io::Result<FileBytes> {
        self.machine.tick()?;
        let FileState { mut bytes, bad: mut unreadable, .. } = self.files().live[name].clone();
        unreadable.retain_mut(|bad| {
            bad.end = bad.end.min(bytes.len());
            bad.start < bad.end
        });
        unreadable.iter().for_each(|bad| bytes[bad.clone()].fill(0));
        Ok(FileBytes { bytes, unreadable })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.machine.tick()?;
        Ok(self.names())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.machine.tick()?;
        let mut files = self.files();
        let file = files.live.remove(name).ok_or(io::ErrorKind::NotFound)?;
        files.removed.insert(name.into(), file);
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.machine.tick()?;
        let mut files = self.files();
        files.names = files.live.keys().cloned().collect();
        files.removed.clear();
        Ok(())
    }

    fn path(&self) -> &Path {
        Path::new("/faulty")
    }

    fn space_reader(&self) -> ReadSpace {
        let machine = self.machine.clone();
        Box::new(move || {
            let free_bytes = machine.lock().free_bytes.map_or(u64::MAX, |free| free as u64);
            Ok(crate::Space { free_bytes, total_bytes: u64::MAX })
        })
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    name: String,
}

impl FaultyFile {
    fn edit<T>(&self, edit: impl FnOnce(&mut FileState) -> T) -> T {
        let mut files = self.disk.files();
        // A removed file can still be written to, as on a real disk.
        let mut unlinked = FileState::default();
        edit(files.live.get_mut(&self.name).unwrap_or(&mut unlinked))
    }
}

impl JournalFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let machine = &self.disk.machine;
        if let Err(dead) = machine.tick() {
            let part = machine.random(bytes.len() + 1);
            self.edit(|file| file.bytes.extend_from_slice(&bytes[..part]));
            return Err(dead);
        }
        let room = machine.take_room(bytes.len());
        self.edit(|file| file.bytes.extend_from_slice(&bytes[..room]));
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let result = self.disk.machine.sync();
        self.edit(|file| match &result {
            Ok(()) if !file.lost => file.synced = file.bytes.len(),
            Ok(()) => {}
            Err(_) => file.lost = true,
        });
        result
    }

    fn truncate(&mut self, length_bytes: u64) -> io::Result<()> {
        self.disk.machine.tick()?;
        let mut state = self.disk.machine.lock();
        if state.failing_truncates > 0 {
            state.failing_truncates -= 1;
            return Err(io::Error::other("the file could not be cut"));
        }
        drop(state);
        self.edit(|file| {
            file.bytes.truncate(length_bytes as usize);
            file.synced = file.synced.min(file.bytes.len());
        });
        Ok(())
    }
}
