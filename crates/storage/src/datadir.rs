//! Data directory of a node: its identity, the node's present life, and the lock of the process that has it open.
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
use crate::engine_kind::EngineKind;
use crate::identity::NodeFile;
use crate::migration;
use crate::progress::{self, ProgressFound};
use crate::{Identity, OpenError, ProgressFile, ShardFolder, ShardProgress};

pub(crate) const LOCK: &str = "lock";
pub(crate) const NODE: &str = "node.toml";
const STATE: &str = "state";
const STATE_MAGIC: [u8; 8] = *b"jedlikS\n";
/// Format of the state. Format 1 held a whole message of its time, format 2 a single layout, format 3 no ticks of
/// lives: no later version can read them.
const STATE_FORMAT: u32 = 4;
const STATE_HEADER_BYTES: usize = 16;

/// Data directory that is open, and locked against every other process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node: NodeFile,
    /// Contents of `node.toml` before this start; `None` for a new directory.
    before: Option<NodeFile>,
    /// Progress of the shards at the last tick of the life before. A shard that is not listed may hold anything.
    reached: Vec<(u16, ShardProgress)>,
    /// Lock of the directory, released when the file is closed, also by the end of the process.
    lock: File,
}

impl DataDir {
    /// Opens the directory at `path`, or makes it, for the node of `identity`. `fresh` names the life that begins, and
    /// is to be drawn at random.
    ///
    /// # Errors
    /// The directory is in use, is another node's, was made with other settings, has another format, was given up, or
    /// is damaged.
    pub fn open(path: &Path, identity: &Identity, fresh: Incarnation) -> Result<Self, OpenError> {
        make_directory(path).map_err(|e| OpenError::io("making the data directory", path, e))?;
        // Before anything is written into a folder that belongs to somebody else.
        if read_node(path)?.is_none() {
            refuse_strange_files(path)?;
        }
        let lock = lock(path)?;
        // If that does not help, whatever needs the room fails with an error of its own.
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
        migration::forget_others(&directory)?;
        Ok(directory)
    }

    /// Opens the directory of a node that does not run, to change `node.toml`. No life begins.
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

    /// Returns the number of shards that the directory at `path` was made with; `None` if there is no directory yet.
    /// Takes no lock and changes nothing.
    ///
    /// # Errors
    /// `node.toml` can't be read, is damaged, or has another format.
    pub fn shards_at(path: &Path) -> Result<Option<u16>, OpenError> {
        Ok(read_node(path)?.map(|node| node.shards))
    }

    /// Returns the name of the node's present life.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.node.past.lives().next_back().expect("a directory names its life: see `PastFile`")
    }

    /// Returns the lives of the node that the directory remembers, up to 32, the present one last.
    #[must_use]
    pub fn lives(&self) -> Vec<Incarnation> {
        self.node.past.lives().collect()
    }

    /// Returns, for each life of which the directory may lack a part, the last tick that it has.
    #[must_use]
    pub fn ticks(&self) -> Vec<(Incarnation, u32)> {
        self.node.past.ticks().collect()
    }

    /// Returns what shard `index` holds at least, unless its folder was replaced by an earlier copy or its journal was
    /// cut; `None` if that is not known, or if the shard has lost its past anyway.
    #[must_use]
    pub fn shard_progress(&self, index: u16) -> Option<ShardProgress> {
        let past = &self.node.past;
        if past.believed || past.lost_shards.contains(&index) {
            return None;
        }
        self.reached.iter().find(|(shard, _)| *shard == index).map(|(_, reached)| reached.clone())
    }

    /// Returns the file into which this life's progress is saved.
    #[must_use]
    pub fn progress_file(&self) -> ProgressFile {
        let (generation, life) = (self.generation(), self.incarnation());
        ProgressFile { folder: self.path.clone(), generation, life }
    }

    /// Returns the generation of this life, which grows with each opening of the directory.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.node.generation
    }

    /// Returns the number of shards that the directory was made with.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.node.shards
    }

    /// Whether the stop before this start was clean; true for a new directory.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        self.before.as_ref().is_none_or(|node| node.clean)
    }

    /// Returns the folder in which shard `index` keeps its files.
    #[must_use]
    pub fn shard_folder(&self, index: u16) -> ShardFolder {
        ShardFolder::new(&self.path, index).with_engine(self.engine_kind())
    }

    /// Returns the state that [`Self::save_state`] last saved; `None` if there is none.
    ///
    /// # Errors
    /// The file can't be read, is damaged, or has another format.
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

    /// Returns the file into which membership's state is saved.
    #[must_use]
    pub fn state_file(&self) -> StateFile {
        StateFile { folder: self.path.clone() }
    }

    /// Saves membership's state, as [`StateFile::save`] does.
    ///
    /// # Errors
    /// As for [`StateFile::save`].
    pub fn save_state(&self, state: &[u8]) -> Result<(), OpenError> {
        self.state_file().save(state)
    }

    /// Reserves some room for the next start, should it find the disk full. To be called once everything is open.
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
    /// The operating system's; the next start may count as one after an unclean stop.
    pub fn mark_clean(self) -> Result<(), OpenError> {
        self.write_node(&self.node.stopped())
    }

    /// Ends a start that failed before anything was issued in its life: the directory says again what it said before,
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

    /// Returns the kind of the engine that keeps the directory's records. An engine without files has none: any will do.
    fn engine_kind(&self) -> EngineKind {
        EngineKind::named(self.node.engine()).unwrap_or(EngineKind::Redb)
    }

    pub(crate) fn lock(&self) -> &File {
        &self.lock
    }

    pub(crate) fn node(&self) -> &NodeFile {
        &self.node
    }

    /// Returns the path at which the directory was opened.
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

/// File of membership's state in an open directory. Another thread than the directory's may write it, one at a time.
#[derive(Debug, Clone)]
pub struct StateFile {
    folder: PathBuf,
}

impl StateFile {
    /// Saves membership's state in place of the last one, durably. After a crash one of the two is there.
    ///
    /// # Errors
    /// The operating system's; the last state is still there.
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

/// Begins the next life, and returns what the shards hold at least by the progress file of the life before. A file of
/// another life says nothing about the shards: the last life could not write its own.
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
            // The shards are being moved away, and empty ones take their place.
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
        // Bytes that are no longer text don't match their checksum.
        Ok(bytes) => NodeFile::parse(&String::from_utf8_lossy(&bytes), &at).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::io("reading", &at, error)),
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let at = path.join(LOCK);
    let file = File::create(&at).map_err(|error| OpenError::io("making", &at, error))?;
    match disk::lock(&file) {
        // The file's holder may have removed it meanwhile.
        Ok(()) if !is_at(&file, &at) => Err(OpenError::InUse { path: path.into() }),
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.into() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io("locking", &at, error)),
    }
}

/// Whether `file` is the very file that lies at `at`.
pub(crate) fn is_at(file: &File, at: &Path) -> bool {
    let same = |there: &fs::Metadata| {
        file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
    };
    fs::metadata(at).is_ok_and(|there| same(&there))
}

/// Refuses a directory without an identity that holds anything but what an interrupted first start leaves.
fn refuse_strange_files(path: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(path).map_err(|error| OpenError::io("listing", path, error))?;
    for entry in entries {
        let name = entry.map_err(|error| OpenError::io("listing", path, error))?.file_name();
        // A newly made file system has a folder for what a check of it finds.
        if name != LOCK && name != "node.toml.new" && name != "lost+found" {
            return Err(OpenError::NotADataDir { path: path.into() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
