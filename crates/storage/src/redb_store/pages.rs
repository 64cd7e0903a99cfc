//! Checksums over the pages of a redb file: redb is given a page as it was written, or an error.
//!
//! Invariant: no byte that changed behind redb's back reaches it, be it in a row, in what leads to rows or in redb's
//! own tables; nor does a page that belongs elsewhere or was written long ago. The checksum of a page is in the file's
//! before the sync that makes the page part of a commit, and a commit never writes over pages of the one before, so a
//! crash leaves none of those without its checksum. Who reads waits for no write: nothing is locked while the file is
//! written to.
//!
//! ```text
//! group     a page of checksums, then 1,023 of redb's pages; the last group may be shorter. A page has 4,096 bytes
//! checksums magic "JPC1", then for each of redb's pages the CRC-32 of its number (8) and its bytes; 0 for one of zeros
//!           alone
//! page 0    redb's header, then zeros. Its CRC-32, of its number and its first 508 bytes, follows them, so that both
//!           are in one sector: it is the one page that is written over
//! ```
//!
//! Numbers are little endian.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, iter};

use redb::StorageBackend;

const PAGE_BYTES: usize = 4096;
const MAGIC: [u8; 4] = *b"JPC1";
/// Number of pages in a group: a page of checksums has room for so many.
const GROUP_PAGES: u64 = (PAGE_BYTES / 4 - 1) as u64;
/// Length of redb's header at the beginning of page 0, in bytes.
const HEADER_BYTES: usize = 508;
/// Length of redb's header and its checksum, in bytes.
const SECTOR_BYTES: usize = 512;

/// File of redb's on another one, with checksums.
#[derive(Debug)]
pub(crate) struct Pages<B> {
    file: B,
    checked: Arc<AtomicBool>,
    groups: Mutex<Groups>,
}

/// Checksums of pages that are known, as they will be in the file after the next sync.
#[derive(Debug, Default)]
struct Groups {
    /// Number of pages that redb has.
    pages: u64,
    read: BTreeMap<u64, Group>,
}

#[derive(Debug)]
struct Group {
    checksums: Vec<u32>,
    changed: bool,
}

impl<B: StorageBackend> Pages<B> {
    /// Puts checksums over a file that is empty or was written in this way.
    ///
    /// # Errors
    /// The file's length can't be read.
    pub(crate) fn over(file: B) -> io::Result<Self> {
        let pages = redbs_pages(file.len()? / PAGE_BYTES as u64);
        let groups = Mutex::new(Groups { pages, ..Groups::default() });
        Ok(Self { file, checked: Arc::new(AtomicBool::new(true)), groups })
    }

    /// Returns the switch that says whether pages are checked. Once it is false, pages are given as they are, whatever
    /// their checksums say.
    pub(crate) fn checked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.checked)
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks the pages from `first` on, all of one group.
    fn check(&self, first: u64, run: &[u8]) -> io::Result<()> {
        let at = (first % GROUP_PAGES) as usize;
        let stored = {
            let mut groups = self.groups();
            let group = groups.of(&self.file, first / GROUP_PAGES)?;
            group.checksums[at..at + run.len() / PAGE_BYTES].to_vec()
        };
        let pages = (first..).zip(run.chunks(PAGE_BYTES)).zip(stored);
        let changed =
            pages.into_iter().find(|((page, bytes), stored)| checksum(*page, bytes) != *stored);
        changed.map_or(Ok(()), |((page, _), _)| Err(damaged(page)))
    }

    /// Reads the first sector of page 0, and checks it.
    fn header(&self) -> io::Result<[u8; SECTOR_BYTES]> {
        let mut sector = [0; SECTOR_BYTES];
        self.file.read(place_of(0), &mut sector)?;
        let (header, stored) = sector.split_at(HEADER_BYTES);
        if checksum(0, header) != number(stored) {
            return Err(damaged(0));
        }
        Ok(sector)
    }
}

impl Groups {
    /// Returns the checksums of a group, which are read unless they have been.
    fn of<'a>(&'a mut self, file: &impl StorageBackend, group: u64) -> io::Result<&'a mut Group> {
        let Self { pages, read } = self;
        match read.entry(group) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unread) => {
                let mut bytes = vec![0; PAGE_BYTES];
                file.read(place_of_group(group), &mut bytes)?;
                let (magic, checksums) = bytes.split_at(MAGIC.len());
                if magic != MAGIC && bytes.iter().any(|byte| *byte != 0) {
                    let what = format!("group {group} does not begin with checksums");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
                let mut checksums: Vec<u32> = checksums.chunks(4).map(number).collect();
                // Past the end are those of pages that were cut off.
                let left = pages.saturating_sub(group * GROUP_PAGES).min(GROUP_PAGES);
                checksums[left as usize..].fill(0);
                Ok(unread.insert(Group { checksums, changed: false }))
            }
        }
    }

    fn resize(&mut self, file: &impl StorageBackend, pages: u64) -> io::Result<()> {
        if pages > self.pages && !self.pages.is_multiple_of(GROUP_PAGES) {
            // Read as long as it is known where the file ended. If the file was cut, its last group may be gone.
            self.of(file, self.pages / GROUP_PAGES)?;
        }
        if pages < self.pages {
            let (group, kept) = (pages / GROUP_PAGES, (pages % GROUP_PAGES) as usize);
            self.read.retain(|number, _| *number <= group);
            if kept > 0 {
                let cut = self.of(file, group)?;
                cut.checksums[kept..].fill(0);
                cut.changed = true;
            } else {
                self.read.remove(&group);
            }
        }
        self.pages = pages;
        Ok(())
    }

    /// Returns the bytes of the groups that have changed, to be written; these count as unchanged from now on.
    fn take_changed(&mut self) -> Vec<(u64, Vec<u8>)> {
        let changed = self.read.iter_mut().filter(|(_, group)| group.changed);
        let taken = changed.map(|(number, group)| {
            group.changed = false;
            let checksums = group.checksums.iter().flat_map(|checksum| checksum.to_le_bytes());
            (*number, MAGIC.into_iter().chain(checksums).collect())
        });
        taken.collect()
    }

    /// Counts these groups as changed again, since they were not written.
    fn put_back(&mut self, changed: &[(u64, Vec<u8>)]) {
        for (number, _) in changed {
            if let Some(group) = self.read.get_mut(number) {
                group.changed = true;
            }
        }
    }
}

impl<B: StorageBackend> StorageBackend for Pages<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.groups().pages * PAGE_BYTES as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset == 0 && out.len() <= HEADER_BYTES {
            out.copy_from_slice(&self.header()?[..out.len()]);
            return Ok(());
        }
        let mut rest = out;
        for (first, pages) in runs(offset, rest.len())? {
            let (run, after) = rest.split_at_mut(pages as usize * PAGE_BYTES);
            self.file.read(place_of(first), run)?;
            if self.checked.load(Ordering::Relaxed) {
                self.check(first, run)?;
            }
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let pages = len.div_ceil(PAGE_BYTES as u64);
        self.file.set_len((pages + pages.div_ceil(GROUP_PAGES)) * PAGE_BYTES as u64)?;
        self.groups().resize(&self.file, pages)
    }

    fn sync_data(&self) -> io::Result<()> {
        let changed = self.groups().take_changed();
        let written = changed
            .iter()
            .try_for_each(|(number, bytes)| self.file.write(place_of_group(*number), bytes));
        written.inspect_err(|_| self.groups().put_back(&changed))?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset == 0 && data.len() <= HEADER_BYTES {
            let mut sector = self.header()?;
            sector[..data.len()].copy_from_slice(data);
            let checksum = checksum(0, &sector[..HEADER_BYTES]);
            sector[HEADER_BYTES..].copy_from_slice(&checksum.to_le_bytes());
            return self.file.write(place_of(0), &sector);
        }
        let mut rest = data;
        for (first, pages) in runs(offset, rest.len())? {
            let (run, after) = rest.split_at(pages as usize * PAGE_BYTES);
            let checksums: Vec<u32> = (first..)
                .zip(run.chunks(PAGE_BYTES))
                .map(|(page, bytes)| checksum(page, bytes))
                .collect();
            {
                let mut groups = self.groups();
                let group = groups.of(&self.file, first / GROUP_PAGES)?;
                let at = (first % GROUP_PAGES) as usize;
                group.checksums[at..at + checksums.len()].copy_from_slice(&checksums);
                group.changed = true;
            }
            self.file.write(place_of(first), run)?;
            rest = after;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

fn damaged(page: u64) -> io::Error {
    let what = format!("page {page} does not have the bytes that were written to it");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Returns the checksum of a page. 0 says that the page was never written, and has zeros alone; no other page has it.
fn checksum(page: u64, bytes: &[u8]) -> u32 {
    if bytes.iter().all(|byte| *byte == 0) {
        return 0;
    }
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(&page.to_le_bytes());
    checksum.update(bytes);
    checksum.finalize().max(1)
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Returns how many of the pages in the file are redb's.
fn redbs_pages(in_file: u64) -> u64 {
    in_file - in_file.div_ceil(GROUP_PAGES + 1)
}

/// Returns the offset at which one of redb's pages begins in the file.
fn place_of(page: u64) -> u64 {
    (page + page / GROUP_PAGES + 1) * PAGE_BYTES as u64
}

/// Returns the offset at which a group's checksums begin in the file.
fn place_of_group(group: u64) -> u64 {
    group * (GROUP_PAGES + 1) * PAGE_BYTES as u64
}

/// Returns the pages that `length` bytes from `offset` are, in runs within one group each: the number of the first
/// page, and how many.
fn runs(offset: u64, length: usize) -> io::Result<impl Iterator<Item = (u64, u64)>> {
    let bytes = PAGE_BYTES as u64;
    if !offset.is_multiple_of(bytes) || !length.is_multiple_of(PAGE_BYTES) || offset == 0 {
        let what = format!("redb asks for {length} B at {offset}, which are no whole pages");
        return Err(io::Error::new(io::ErrorKind::Unsupported, what));
    }
    let end = (offset + length as u64) / bytes;
    let mut next = offset / bytes;
    Ok(iter::from_fn(move || {
        let first = (next < end).then_some(next)?;
        next = end.min((first / GROUP_PAGES + 1) * GROUP_PAGES);
        Some((first, next - first))
    }))
}

/// Gives every page the checksum of the bytes that it has by now, as if those had been written.
#[cfg(test)]
pub(crate) fn seal<B: StorageBackend>(file: B) -> io::Result<()> {
    let pages = Pages::over(file)?;
    pages.checked.store(false, Ordering::Relaxed);
    let mut bytes = vec![0; PAGE_BYTES];
    for page in 1..pages.len()? / PAGE_BYTES as u64 {
        pages.read(page * PAGE_BYTES as u64, &mut bytes)?;
        pages.write(page * PAGE_BYTES as u64, &bytes)?;
    }
    pages.sync_data()
}

#[cfg(test)]
mod tests;
