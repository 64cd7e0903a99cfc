//! The file of a redb database on a faulty machine.
//!
//! Invariant: after a power cut any of the changes since the last sync may be missing, and any of those that a
//! failed sync was to keep, whatever was synced later.

use std::io;
use std::sync::{Arc, Mutex};

use redb::StorageBackend;

use super::{Crash, Machine};
use crate::redb_store::seal;

/// A file of redb's on a [`Machine`]. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct FaultyBackend {
    machine: Machine,
    state: Arc<Mutex<BackendState>>,
}

#[derive(Debug, Clone, Default)]
struct BackendState {
    live: Vec<u8>,
    synced: Vec<u8>,
    /// Changes since the last sync, in order.
    unsynced: Vec<FileChange>,
    read_bytes: u64,
}

#[derive(Debug, Clone)]
enum FileChange {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl FileChange {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Bytes(offset, written) => {
                let end = offset + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset..end].copy_from_slice(written);
            }
        }
    }
}

impl FaultyBackend {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self { machine: machine.clone(), state: Arc::default() }
    }

    /// Returns the file as it is found after a crash, on a new machine.
    pub(crate) fn after(&self, crash: Crash, machine: &Machine) -> Self {
        let state = self.state.lock().unwrap();
        let live = match crash {
            Crash::Process => state.live.clone(),
            Crash::Power => {
                let mut bytes = state.synced.clone();
                for change in &state.unsynced {
                    if machine.random(2) == 0 {
                        change.make(&mut bytes);
                    }
                }
                bytes
            }
        };
        let state = BackendState { synced: live.clone(), live, ..BackendState::default() };
        Self { machine: machine.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// Replaces `from` by `to`, which is as long, wherever it stands, as if it had been wrong when its page was
    /// written. Returns the number of places.
    pub(crate) fn replace(&self, from: &[u8], to: &[u8]) -> usize {
        let mut state = self.state.lock().unwrap();
        let places: Vec<usize> =
            (0..state.live.len()).filter(|&at| state.live[at..].starts_with(from)).collect();
        for &at in &places {
            state.live[at..at + to.len()].copy_from_slice(to);
        }
        drop(state);
        seal(self.clone()).unwrap();
        places.len()
    }

    /// Returns how many bytes have been read of the file.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.state.lock().unwrap().read_bytes
    }

    fn change(&self, change: FileChange) {
        let mut state = self.state.lock().unwrap();
        change.make(&mut state.live);
        state.unsynced.push(change);
    }
}

impl StorageBackend for FaultyBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().unwrap().live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.read_bytes += out.len() as u64;
        let offset = offset as usize;
        let bytes = state.live.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.machine.tick()?;
        self.change(FileChange::Length(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.machine.sync();
        let mut state = self.state.lock().unwrap();
        let BackendState { synced: disk, unsynced, .. } = &mut *state;
        for change in unsynced.drain(..) {
            // What a failed sync has not written is never written: the system takes it for clean.
            if synced.is_ok() || self.machine.random(2) == 0 {
                change.make(disk);
            }
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.machine.tick()?;
        if self.machine.take_room(data.len()) < data.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.change(FileChange::Bytes(offset as usize, data.to_vec()));
        Ok(())
    }
}
