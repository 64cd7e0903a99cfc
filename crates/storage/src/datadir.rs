//! A node's data directory: whose it is, which life of the node this is, and who may open it.
//!
//! Invariant: every start is a life of its own, and the directory names it, durably, before it is open
//! (the actor rule of [design 2](../../../docs/design.md#2-data)).
//!
//! ```text
//! lock       held by the process that has the directory open
//! node.toml  the identity, the lives of the node that the directory remembers, and the last stop
//! progress   how far this life has come, and what the shards hold by then: see `progress.rs`
//! state      membership's state: magic "jedlikS\n", format 4 (4 bytes), CRC-32 of the rest (4), bytes
//! shard-N/   one for each shard: see `folder.rs`
//! ballast    room that a start on a full disk gives back: see `ballast.rs`
//! set-aside/ shards that are not used any more, damaged or an earlier copy's, for inspection
//!
//! `node.toml` says as well which life has last used each shard: see `life_mark.rs`.
//! ```

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jedlik_protocol::Incarnation;
use tracing::warn;

use crate::ballast::{self, BALLAST};
use crate::disk::{self, make_directory, replace_file};
use crate::identity::NodeFile;
use crate::progress::{self, ProgressFound};
use crate::{Identity, OpenError, ProgressFile, ShardFolder, ShardProgress};

pub(crate) const LOCK: &str = "lock";
pub(crate) const NODE: &str = "node.toml";
const STATE: &str = "state";
const STATE_MAGIC: [u8; 8] = *b"jedlikS\n";
/// Format 1 held a whole message of its time, format 2 a single layout, format 3 no ticks of lives: no later version can
/// read them.
const STATE_FORMAT: u32 = 4;
const STATE_HEADER_BYTES: usize = 16;

/// An open data directory, locked against every other process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node: NodeFile,
    /// What `node.toml` said before this start; `None` for a new directory.
    before: Option<NodeFile>,
    /// What the shards held when the life before came to its last tick; one that is not named may hold anything.
    reached: Vec<(u16, ShardProgress)>,
    /// Unlocked when it is closed, also by the end of the process.
    lock: File,
}

impl DataDir {
    /// Opens the directory at `path`, or makes it, for the node of `identity`. The node's life from now on
    /// is `fresh`, which is to be drawn at random.
    ///
    /// # Errors
    /// In use, another node's, made with other settings, of a newer format, or damaged.
    pub fn open(path: &Path, identity: &Identity, fresh: Incarnation) -> Result<Self, OpenError> {
        make_directory(path).map_err(|e| OpenError::io("making the data directory", path, e))?;
        // Before anything is left in a folder that is somebody else's.
        if read_node(path)?.is_none() {
            refuse_strange_files(path)?;
        }
        let lock = lock(path)?;
        // Whatever this start needs room for fails with its own name if that does not help.
        let _ = ballast::give_up_if_short(path);
        let node = read_node(path)?;
        match &node {
            Some(node) => {
                node.check(identity, path)?;
                if let Some(by) = node.past.ousted_by {
                    return Err(OpenError::Ousted { path: path.into(), by });
                }
            }
            None => refuse_strange_files(path)?,
        }
        let before = node.clone();
        let (node, reached) = match node {
            Some(node) => follow(path, node, fresh),
            None => (NodeFile::first(identity, fresh), Vec::new()),
        };
        let mut directory = Self { path: path.into(), node, before, reached, lock };
        directory.write_node(&directory.node)?;
        directory.finish_setting_aside()?;
        Ok(directory)
    }

    /// The directory of a node that does not run, to change what `node.toml` says; no life begins.
    pub(crate) fn open_stopped(path: &Path) -> Result<Self, OpenError> {
        let Some(node) = read_node(path)? else {
            return Err(OpenError::NotADataDir { path: path.into() });
        };
        let lock = lock(path)?;
        if let Some(by) = node.past.ousted_by {
            return Err(OpenError::Ousted { path: path.into(), by });
        }
        let (before, reached) = (Some(node.clone()), Vec::new());
        Ok(Self { path: path.into(), node, before, reached, lock })
    }

    /// How many shards the directory at `path` was made with; `None` if there is none yet. Takes no
    /// lock and changes nothing.
    ///
    /// # Errors
    /// It can't be read, is damaged or of a newer format.
    pub fn shards_at(path: &Path) -> Result<Option<u16>, OpenError> {
        Ok(read_node(path)?.map(|node| node.shards))
    }

    /// This life of the node.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.node.past.lives().next_back().expect("a directory names its life: see `PastFile`")
    }

    /// The lives of the node that the directory remembers, up to 32, the present one last.
    #[must_use]
    pub fn lives(&self) -> Vec<Incarnation> {
        self.node.past.lives().collect()
    }

    /// How far the directory has followed those of its node's lives of which it may lack a part.
    #[must_use]
    pub fn ticks(&self) -> Vec<(Incarnation, u32)> {
        self.node.past.ticks().collect()
    }

    /// What shard `index` holds at least, unless its folder was put back from before, or its journal was cut; `None` if
    /// that is not known, or the shard has lost its past anyway.
    #[must_use]
    pub fn shard_progress(&self, index: u16) -> Option<ShardProgress> {
        let past = &self.node.past;
        if past.believed || past.lost_shards.contains(&index) {
            return None;
        }
        self.reached.iter().find(|(shard, _)| *shard == index).map(|(_, reached)| reached.clone())
    }

    /// Where this life's progress goes.
    #[must_use]
    pub fn progress_file(&self) -> ProgressFile {
        let (generation, life) = (self.generation(), self.incarnation());
        ProgressFile { folder: self.path.clone(), generation, life }
    }

    /// How often the directory has been opened, this time included.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.node.generation
    }

    /// How many shards it was made with.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.node.shards
    }

    /// Whether the stop before this start was clean; true for a new directory.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        self.before.as_ref().is_none_or(|node| node.clean)
    }

    /// Where shard `index` keeps its files.
    #[must_use]
    pub fn shard_folder(&self, index: u16) -> ShardFolder {
        ShardFolder::new(&self.path, index)
    }

    /// What [`Self::save_state`] last saved.
    ///
    /// # Errors
    /// The file can't be read, is damaged or of a newer format.
    pub fn load_state(&self) -> Result<Option<Vec<u8>>, OpenError> {
        let path = self.path.join(STATE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io("reading", &path, error)),
        };
        let damaged = |what: &str| {
            let remedy = "Move the file away and start again while other members are up: they tell the node \
                          what was in it";
            OpenError::Damaged { path: path.clone(), what: format!("{what}. {remedy}") }
        };
        let header = bytes.first_chunk::<STATE_HEADER_BYTES>();
        let Some(header) = header.filter(|header| header[..8] == STATE_MAGIC) else {
            return Err(damaged("it does not begin as a state file does"));
        };
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| header[at + i]));
        if number(8) > STATE_FORMAT {
            return Err(OpenError::NewerFormat { path, found: number(8), known: STATE_FORMAT });
        }
        if number(8) < STATE_FORMAT {
            return Err(OpenError::OlderFormat { path, found: number(8), known: STATE_FORMAT });
        }
        let state = &bytes[STATE_HEADER_BYTES..];
        if crc32fast::hash(state) != number(12) {
            return Err(damaged("its checksum does not match"));
        }
        Ok(Some(state.to_vec()))
    }

    /// Where membership's state goes.
    #[must_use]
    pub fn state_file(&self) -> StateFile {
        StateFile { folder: self.path.clone() }
    }

    /// As [`StateFile::save`].
    ///
    /// # Errors
    /// As for [`StateFile::save`].
    pub fn save_state(&self, state: &[u8]) -> Result<(), OpenError> {
        self.state_file().save(state)
    }

    /// Keeps some room for the next start, should it find the disk full; to be called once everything is open.
    ///
    /// # Errors
    /// The operating system's; nothing but the next start on a full disk depends on it.
    pub fn keep_room(&self) -> Result<(), OpenError> {
        ballast::make(&self.path)
            .map_err(|error| OpenError::io("writing", &self.path.join(BALLAST), error))
    }

    /// Marks the stop as clean, durably, and gives up the lock. Everything else must be closed before.
    ///
    /// # Errors
    /// The operating system's; the next start takes the journals for not empty.
    pub fn mark_clean(self) -> Result<(), OpenError> {
        self.write_node(&self.node.stopped())
    }

    /// Ends a start that failed before anything was issued in its life: the directory says what it said before,
    /// its clean mark included. Everything else must be closed before.
    ///
    /// # Errors
    /// The operating system's; the next start may count as one after an unclean stop.
    pub fn give_up(self) -> Result<(), OpenError> {
        match &self.before {
            Some(before) => self.write_node(before),
            None => self.write_node(&self.node.stopped()),
        }
    }

    pub(crate) fn lock(&self) -> &File {
        &self.lock
    }

    pub(crate) fn node(&self) -> &NodeFile {
        &self.node
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes, durably, that a shard has lost its past, which stays so if this start fails.
    pub(crate) fn lose_shard(&mut self, shard: u16) -> Result<(), OpenError> {
        let lose = |node: &mut NodeFile| {
            if !node.past.lost_shards.contains(&shard) {
                node.past.lost_shards.push(shard);
            }
        };
        self.rewrite(lose)?;
        if let Some(before) = &mut self.before {
            lose(before);
        }
        Ok(())
    }

    pub(crate) fn rewrite(&mut self, change: impl FnOnce(&mut NodeFile)) -> Result<(), OpenError> {
        let mut node = self.node.clone();
        change(&mut node);
        self.write_node(&node)?;
        self.node = node;
        Ok(())
    }

    fn write_node(&self, node: &NodeFile) -> Result<(), OpenError> {
        replace_file(&self.path, NODE, node.encode().as_bytes())
            .map_err(|error| OpenError::io("writing", &self.path.join(NODE), error))
    }
}

/// The file of membership's state in a directory that is open. It may be written on another thread than the
/// one that has the directory, by one at a time.
#[derive(Debug, Clone)]
pub struct StateFile {
    folder: PathBuf,
}

impl StateFile {
    /// Saves membership's state in place of the last one, durably; after a crash one of the two is there.
    ///
    /// # Errors
    /// The operating system's; the last one is still there.
    pub fn save(&self, state: &[u8]) -> Result<(), OpenError> {
        let mut bytes = Vec::with_capacity(STATE_HEADER_BYTES + state.len());
        bytes.extend_from_slice(&STATE_MAGIC);
        bytes.extend_from_slice(&STATE_FORMAT.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(state).to_le_bytes());
        bytes.extend_from_slice(state);
        replace_file(&self.folder, STATE, &bytes)
            .map_err(|error| OpenError::io("writing", &self.folder.join(STATE), error))
    }
}

/// Begins the next life, after what the one before has come to. A file of another life's says nothing about the shards:
/// this one's could not be written.
fn follow(
    path: &Path,
    before: NodeFile,
    fresh: Incarnation,
) -> (NodeFile, Vec<(u16, ShardProgress)>) {
    let mut node = before;
    let last = node.past.lives().next_back();
    let mut reached = Vec::new();
    match progress::read(path) {
        ProgressFound::Progress(progress) if Some(progress.life) == last => {
            node.past.note_tick(progress.tick);
            // They are being moved away, and empty ones take their place.
            if node.past.set_aside.is_none() {
                reached = progress.shards;
            }
        }
        ProgressFound::Progress(_) | ProgressFound::Nothing => node.past.note_tick(0),
        ProgressFound::Unreadable => {
            warn!(
                "how far the last life of the node had come can't be read: an earlier copy of it would not be recognised"
            );
        }
    }
    (node.restarted(fresh), reached)
}

fn read_node(path: &Path) -> Result<Option<NodeFile>, OpenError> {
    let at = path.join(NODE);
    match fs::read(&at) {
        // What is not text any more does not match its checksum.
        Ok(bytes) => NodeFile::parse(&String::from_utf8_lossy(&bytes), &at).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("reading", &at, error)),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let at = path.join(LOCK);
    let file = File::create(&at).map_err(|error| OpenError::io("making", &at, error))?;
    match disk::lock(&file) {
        // Its holder may have removed it meanwhile.
        Ok(()) if !is_at(&file, &at) => Err(OpenError::InUse { path: path.into() }),
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.into() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("locking", &at, error)),
    }
}

/// Whether this very file is there.
pub(crate) fn is_at(file: &File, at: &Path) -> bool {
    let same = |there: &fs::Metadata| {
        file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
    };
    fs::metadata(at).is_ok_and(|there| same(&there))
}

/// A directory without an identity must hold nothing but what an interrupted first start leaves.
fn refuse_strange_files(path: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(path).map_err(|error| OpenError::io("listing", path, error))?;
    for entry in entries {
        let name = entry.map_err(|error| OpenError::io("listing", path, error))?.file_name();
        // A file system that was just made has a folder for what a check of it finds.
        if name != LOCK && name != "node.toml.new" && name != "lost+found" {
            return Err(OpenError::NotADataDir { path: path.into() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
