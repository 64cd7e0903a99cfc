//! What can go wrong between a record and its disk: what changed, and what to do about it.
//!
//! Invariant: errors are cheap to clone, since one failed write or sync fails a whole group.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jedlik_protocol::error::RecordOverLimit;
use rustix::io::Errno;
use thiserror::Error;

/// A read or a write that did not succeed. The shard goes on after every one of them but `Closed`.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// A stored record does not match its checksum. Nothing changed; take the record as missing, and
    /// write what the other replicas hold over it.
    #[error("the record of key {key:?} in bucket {bucket:?} is damaged: {what}")]
    Damaged {
        /// As text, as far as it is text.
        bucket: String,
        /// As text, as far as it is text.
        key: String,
        /// What did not match.
        what: &'static str,
    },
    /// A record that was to be applied is not a record. Nothing changed.
    #[error("the record to be applied is malformed")]
    Malformed,
    /// The merge of what is stored and what came is over what any record may be. Nothing changed: both sides keep
    /// what they hold until a client has reconciled siblings.
    #[error(transparent)]
    RecordOverLimit(#[from] RecordOverLimit),
    /// Over what one journal frame may hold. Nothing changed; raise no bucket's record limit past it.
    #[error("a record of {length_bytes} bytes is over the journal's limit of {limit_bytes}")]
    TooLarge {
        /// Key and record together.
        length_bytes: usize,
        /// `FRAME_LIMIT_BYTES` of the journal.
        limit_bytes: usize,
    },
    /// The disk is slower than the writers. Nothing changed; try again a little later.
    #[error("{what} holds {held_bytes} bytes, over its limit of {limit_bytes}; try again later")]
    Overloaded {
        /// The buffer or the journal's queue.
        what: &'static str,
        /// What it holds.
        held_bytes: usize,
        /// What it may hold.
        limit_bytes: usize,
    },
    /// No room left. The write is not durable, though reads may show it until the process ends; reads
    /// go on, and writes succeed again once there is room.
    #[error("no room on the disk while {doing}; free some and try again")]
    DiskFull {
        /// What was being done.
        doing: &'static str,
    },
    /// Too little room is left for hints. Nothing changed; records are taken until the disk is full.
    /// Free some room, or let the hints' targets come back.
    #[error(
        "{free_bytes} bytes are free on the disk, less than the {reserve_bytes} that hints leave"
    )]
    LowDisk {
        /// What is left.
        free_bytes: u64,
        /// `ShardOptions::disk_reserve_bytes`.
        reserve_bytes: u64,
    },
    /// What is left on the disk is kept for what is to be moved into the engine. Nothing changed; reads go on, and
    /// records are taken again once there is room.
    #[error(
        "no room on the disk: {free_bytes} bytes are free, less than the {reserve_bytes} that records leave; free \
         some and try again"
    )]
    NearlyFull {
        /// What is left.
        free_bytes: u64,
        /// `ShardOptions::flush_reserve_bytes`, or a twentieth of the disk.
        reserve_bytes: u64,
    },
    /// The operating system refused. As for `DiskFull`, the write is not durable.
    #[error("{doing} failed: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// As the operating system gave it.
        source: Arc<io::Error>,
    },
    /// The engine refused, for another reason than an input or output error.
    #[error("the engine failed while {doing}: {message}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// As the engine gave it.
        message: String,
    },
    /// The engine's file is damaged: what is read there may be wrong or missing. The engine is not asked
    /// again; set the shard aside and open an empty one ([`crate::ShardFolder::rebuild`]).
    #[error("the engine's file is damaged, found while {doing}: {what}")]
    EngineDamaged {
        /// What was being done when it was found, the first time.
        doing: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The journal could not be synced. What it was to keep since the last sync may be gone, now or after
    /// the next power cut, whatever a later sync says; close the shard and open it again.
    #[error(
        "the journal could not be synced, so what was written since the last sync may be lost: {source}"
    )]
    SyncFailed {
        /// As the operating system gave it.
        source: Arc<io::Error>,
    },
    /// The journal's thread is gone; the shard can only be opened again.
    #[error("the shard's journal is closed")]
    Closed,
}

impl StoreError {
    /// Sorts an error of the operating system.
    pub(crate) fn io(doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull { doing },
            _ => Self::Io { doing, source: Arc::new(source) },
        }
    }

    /// Whether what is stored can't be trusted any more: the shard has to be opened anew, and set aside
    /// first if [`Self::is_damage`].
    #[must_use]
    pub fn ends_shard(&self) -> bool {
        matches!(self, Self::SyncFailed { .. } | Self::Closed) || self.is_damage()
    }

    /// Whether the disk can't give back what was stored, one record that fails its checksum aside.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::EngineDamaged { .. } => true,
            Self::Io { source, .. } => is_medium_error(source),
            _ => false,
        }
    }

    /// Whether the same write may succeed later without anybody mending anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Overloaded { .. })
    }
}

/// Whether an error says that the disk has lost what was written there. All others may pass: a disk that
/// is full or read-only, too many open files.
pub(crate) fn is_medium_error(error: &io::Error) -> bool {
    const LOST: [Errno; 6] =
        [Errno::IO, Errno::BADMSG, Errno::UCLEAN, Errno::NODATA, Errno::REMOTEIO, Errno::ILSEQ];
    match error.raw_os_error() {
        Some(code) => LOST.iter().any(|lost| lost.raw_os_error() == code),
        None => matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData),
    }
}

/// A directory, a journal or an engine that could not be opened. Nothing in it was changed, unless the
/// variant says otherwise.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error("{doing} {} failed: {source}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// As the operating system gave it.
        source: io::Error,
    },
    /// Stop the other process, or give this one a directory of its own.
    #[error("the data directory {} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds files but no identity. Give an empty one, or restore its `node.toml`.
    #[error(
        "{} holds files but no node.toml, so it is not a data directory: name another one, or, if the file was lost, start \
         the node with an empty one and --new while other members are up: they refill it",
        path.display()
    )]
    NotADataDir {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is another cluster's or node's, or was made with other fixed settings. Point the
    /// node at its own directory, or set the configuration back.
    #[error(
        "the data directory {} has {what} {found}, but this node has {expected}; {remedy}",
        path.display()
    )]
    Mismatch {
        /// The directory.
        path: PathBuf,
        /// Which part of the identity.
        what: &'static str,
        /// What the directory says.
        found: String,
        /// What the node says.
        expected: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Written by a newer version, which must be run again.
    #[error(
        "{} has format {found}, newer than {known}, the newest that this version reads; run the newer version",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// The newest that this version reads.
        known: u32,
    },
    /// Written by an older version in a format that is read no more. Start the node with an empty
    /// directory: the other replicas hold its records.
    #[error(
        "{} has format {found}; this version reads {known}: move the data directory away and start the \
         node with an empty one, which the other replicas fill",
        path.display()
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u32,
        /// What this version reads.
        known: u32,
    },
    /// Two processes of this node ran at once, and an admin decided for the other one. What the other lacks
    /// of this directory is on the other nodes.
    #[error(
        "{} was given up: two processes ran under this node's identity, and an admin decided for the one \
         that listens at {by}; to start a node here, use an empty directory and a certificate of its own",
        path.display()
    )]
    Ousted {
        /// The directory.
        path: PathBuf,
        /// Where the other one listens.
        by: SocketAddr,
    },
    /// A file that should be whole is not. Restore it, or start the node with an empty directory as a
    /// new node: the other replicas hold its records.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The shard holds less than it is known to have held: it is an earlier copy, or its journal was cut. Set it aside
    /// ([`crate::DataDir::set_shard_aside`]).
    #[error("the shard's files in {} are not what was there: {what}", path.display())]
    Behind {
        /// The journal's directory.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The engine's file could not be opened.
    #[error("the engine's file {} can't be opened: {message}", path.display())]
    Engine {
        /// The file.
        path: PathBuf,
        /// As the engine gave it.
        message: String,
    },
    /// The engine's file is damaged. Set the shard aside ([`crate::ShardFolder::rebuild`]).
    #[error("the engine's file {} is damaged: {what}", path.display())]
    EngineDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What the journal held could not be written into the engine. The journal still holds it.
    #[error("replaying the journal into the engine failed: {0}")]
    Replay(#[from] StoreError),
}

impl OpenError {
    /// Whether the disk can't give back what a shard has stored, so that the shard has to be set aside.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::EngineDamaged { .. } => true,
            Self::Io { source, .. } => is_medium_error(source),
            Self::Replay(error) => error.is_damage(),
            _ => false,
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source }
    }
}
