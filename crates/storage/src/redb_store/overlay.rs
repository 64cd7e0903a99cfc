//! Redb file that is read as it is: what redb writes when it opens one stays in memory.
//!
//! Invariant: the file is never changed, and is not locked, so that it can be read while an engine that was
//! found damaged still holds it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Builder, StorageBackend};

use super::pages::Pages;
use crate::{OpenError, RedbOptions, RedbStore};

const BLOCK_BYTES: u64 = 4096;

/// File, and what was written over it in whole blocks.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    state: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    length: u64,
    /// Blocks that were written, by their number.
    blocks: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let state = Mutex::new(Written { length: file.metadata()?.len(), blocks: BTreeMap::new() });
        Ok(Self { file, state })
    }

    fn state(&self) -> MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the block as it is in the file, with zeros past its end.
    fn original(&self, block: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; BLOCK_BYTES as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.file.read_at(&mut bytes[filled..], block * BLOCK_BYTES + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

impl RedbStore {
    /// Opens the file at `path` to be read: it is neither changed nor locked, and what is written stays in memory.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(crate) fn open_unchanged(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
        let (file, cache_bytes) = (path.to_path_buf(), options.cache_bytes);
        Self::open_with(
            path,
            options,
            Box::new(move || {
                let pages = Overlay::open(&file).and_then(Pages::over);
                let pages = pages.map_err(redb::StorageError::Io)?;
                Builder::new().set_cache_size(cache_bytes).create_with_backend(pages)
            }),
        )
    }
}

/// Returns the blocks that `length` bytes from `offset` touch: number, first byte there, and number of bytes.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + length as u64;
    (offset / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES)).map(move |block| {
        let from = offset.max(block * BLOCK_BYTES);
        let until = end.min((block + 1) * BLOCK_BYTES);
        (block, (from - block * BLOCK_BYTES) as usize, (until - from) as usize)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if offset + out.len() as u64 > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        for (block, at, length) in pieces(offset, out.len()) {
            let target = &mut out[done..done + length];
            match state.blocks.get(&block) {
                Some(bytes) => target.copy_from_slice(&bytes[at..at + length]),
                None => target.copy_from_slice(&self.original(block)?[at..at + length]),
            }
            done += length;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state().length = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut done = 0;
        for (block, at, length) in pieces(offset, data.len()) {
            let mut bytes = match state.blocks.remove(&block) {
                Some(bytes) => bytes,
                None => self.original(block)?,
            };
            bytes[at..at + length].copy_from_slice(&data[done..done + length]);
            state.blocks.insert(block, bytes);
            done += length;
        }
        state.length = state.length.max(offset + data.len() as u64);
        Ok(())
    }
}
