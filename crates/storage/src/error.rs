//! Errors between a record and its disk: what went wrong, what changed, and what to do about it.
//!
//! Invariant: errors are cheap to clone, since one failed write or sync fails a whole group.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jedlik_protocol::PlacedKey;
use jedlik_protocol::error::RecordOverLimit;
use rustix::io::Errno;
use thiserror::Error;

/// Read or write that failed. The shard goes on after it, unless [`Self::ends_shard`] says otherwise.
#[derive(Debug, Clone, Error)]
pub enum StoreError {
    /// Stored record that fails its checksum. Nothing changed. Treat the record as missing, and overwrite it with what
    /// the other replicas hold.
    #[error("the record of key {key:?} in bucket {bucket:?} is damaged: {what}")]
    Damaged {
        /// Bucket of the record, as text as far as it is text.
        bucket: String,
        /// Key of the record, as text as far as it is text.
        key: String,
        /// Defect that was found, such as a checksum that does not match.
        what: &'static str,
    },
    /// Record to be applied whose bytes are malformed. Nothing changed.
    #[error("the record to be applied is malformed")]
    Malformed,
    /// Merge of the stored record and the new one that exceeds the limits of any record. Nothing changed: both sides
    /// keep what they hold until a client has reconciled siblings.
    #[error(transparent)]
    RecordOverLimit(#[from] RecordOverLimit),
    /// Record too large for one frame of the journal. Nothing changed. Every bucket's record limit must stay below a
    /// frame's.
    #[error("a record of {length_bytes} bytes is over the journal's limit of {limit_bytes}")]
    TooLarge {
        /// Length of the frame's payload: key and record together.
        length_bytes: usize,
        /// Longest payload of a frame: `PAYLOAD_LIMIT_BYTES` of the journal.
        limit_bytes: usize,
    },
    /// Buffer or queue that is full, since the disk is slower than the writers. Nothing changed; try again a little
    /// later.
    #[error("{what} holds {held_bytes} bytes, over its limit of {limit_bytes}; try again later")]
    Overloaded {
        /// Buffer, segment or queue that is full, with the option that bounds it.
        what: &'static str,
        /// Number of bytes that it holds.
        held_bytes: usize,
        /// Number of bytes that it may hold.
        limit_bytes: usize,
    },
    /// Disk that has no room left. The write is not durable, though reads may show it until the process ends. Reads go
    /// on, and writes succeed again once there is room.
    #[error("no room on the disk while {doing}; free some and try again")]
    DiskFull {
        /// Operation that found no room, such as "appending to the journal".
        doing: &'static str,
    },
    /// Disk with too little room left for hints. Nothing changed, and records are still taken. Free some room, or let
    /// the hints' targets come back.
    #[error(
        "{free_bytes} bytes are free on the disk, less than the {reserve_bytes} that hints leave"
    )]
    LowDisk {
        /// Number of bytes free on the disk.
        free_bytes: u64,
        /// Number of bytes that hints leave free: `ShardOptions::disk_reserve_bytes`, and what records leave free.
        reserve_bytes: u64,
    },
    /// Disk whose last room is reserved for moving what is journalled into the engine. Nothing changed. Reads go on,
    /// and records are taken again once there is room.
    #[error(
        "no room on the disk: {free_bytes} bytes are free, less than the {reserve_bytes} that records leave; free \
         some and try again"
    )]
    NearlyFull {
        /// Number of bytes free on the disk.
        free_bytes: u64,
        /// Number of bytes that records leave free: `ShardOptions::flush_reserve_bytes`, or a twentieth of the disk if
        /// that is less.
        reserve_bytes: u64,
    },
    /// Call that the operating system refused. As for `DiskFull`, the write is not durable.
    #[error("{doing} failed: {source}")]
    Io {
        /// Operation that failed, such as "appending to the journal".
        doing: &'static str,
        /// Error that the operating system returned.
        source: Arc<io::Error>,
    },
    /// Call that the engine refused, for another reason than an I/O error.
    #[error("the engine failed while {doing}: {message}")]
    Engine {
        /// Operation that the engine refused, such as "reading a record".
        doing: &'static str,
        /// Message that the engine gave.
        message: String,
    },
    /// Engine whose file is damaged: what is read there may be wrong or missing. The engine is not asked again; set the
    /// shard aside and open the one in its place ([`crate::ShardFolder::rebuild`]).
    #[error("the engine's file is damaged, found while {doing}: {what}")]
    EngineDamaged {
        /// Operation during which the damage was first found.
        doing: &'static str,
        /// Description of the damage, or the message of the engine's panic.
        what: String,
    },
    /// Sync of the journal that failed. What was written since the last successful sync may be lost, now or after the
    /// next power cut, whatever a later sync says. Close the shard and open it again.
    #[error(
        "the journal could not be synced, so what was written since the last sync may be lost: {source}"
    )]
    SyncFailed {
        /// Error that the operating system returned.
        source: Arc<io::Error>,
    },
    /// Journal whose thread has ended. The shard can only be opened again.
    #[error("the shard's journal is closed")]
    Closed,
}

impl StoreError {
    /// Converts an error of the operating system: into [`Self::DiskFull`] where there is no room, otherwise into
    /// [`Self::Io`].
    pub(crate) fn io(doing: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull { doing },
            _ => Self::Io { doing, source: Arc::new(source) },
        }
    }

    /// Returns the error of a record that fails its checksum, for the reason `what`.
    pub(crate) fn damaged(key: &PlacedKey, what: &'static str) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self::Damaged { bucket: text(key.key.bucket()), key: text(key.key.key()), what }
    }

    /// Whether the shard's open files can't be trusted any more: the shard has to be opened anew, and set aside first
    /// if [`Self::is_damage`].
    #[must_use]
    pub fn ends_shard(&self) -> bool {
        matches!(self, Self::SyncFailed { .. } | Self::Closed) || self.is_damage()
    }

    /// Whether the disk can't return what was stored. A single record that fails its checksum does not count.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::EngineDamaged { .. } => true,
            Self::Io { source, .. } => is_medium_error(source),
            _ => false,
        }
    }

    /// Whether the same write may succeed later although nobody repairs anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Overloaded { .. })
    }
}

/// Whether an error says that the disk has lost what was written there. All others may pass: those of a disk that is
/// full or read-only, or of too many open files.
pub(crate) fn is_medium_error(error: &io::Error) -> bool {
    const LOST: [Errno; 6] =
        [Errno::IO, Errno::BADMSG, Errno::UCLEAN, Errno::NODATA, Errno::REMOTEIO, Errno::ILSEQ];
    match error.raw_os_error() {
        Some(code) => LOST.iter().any(|lost| lost.raw_os_error() == code),
        None => matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData),
    }
}

/// Directory, journal or engine that could not be opened. Nothing in it was changed, unless the variant says otherwise.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Call that the operating system refused.
    #[error("{doing} {} failed: {source}", path.display())]
    Io {
        /// Operation that failed, such as "making" or "syncing".
        doing: &'static str,
        /// File or directory of the operation.
        path: PathBuf,
        /// Error that the operating system returned.
        source: io::Error,
    },
    /// Data directory that another process has open. Stop that process, or give this one a directory of its own.
    #[error("the data directory {} is in use by another process", path.display())]
    InUse {
        /// Data directory that is in use.
        path: PathBuf,
    },
    /// Directory that holds files but no identity. Name an empty one, or restore its `node.toml`.
    #[error(
        "{} holds files but no node.toml, so it is not a data directory: name another one, or, if the file was lost, start \
         the node with an empty one and --new while other members are up: they refill it",
        path.display()
    )]
    NotADataDir {
        /// Directory that was to be opened.
        path: PathBuf,
    },
    /// Directory of another cluster or node, or one made with other fixed settings. Point the node at its own
    /// directory, or set the configuration back.
    #[error(
        "the data directory {} has {what} {found}, but this node has {expected}; {remedy}",
        path.display()
    )]
    Mismatch {
        /// Data directory, or segment of a journal, that does not match.
        path: PathBuf,
        /// Part of the identity that does not match.
        what: &'static str,
        /// Value that the directory or segment holds.
        found: String,
        /// Value that the node expects.
        expected: String,
        /// Advice to the operator, with which the message ends.
        remedy: &'static str,
    },
    /// File written by a newer version, which must be run again.
    #[error(
        "{} has format {found}, newer than {known}, the newest that this version reads; run the newer version",
        path.display()
    )]
    NewerFormat {
        /// File whose format is too new.
        path: PathBuf,
        /// Number of the file's format.
        found: u32,
        /// Newest format that this version reads.
        known: u32,
    },
    /// File written by an older version, in a format that is no longer read. Start the node with an empty directory:
    /// the other replicas hold its records.
    #[error(
        "{} has format {found}; this version reads {known}: move the data directory away and start the \
         node with an empty one, which the other replicas fill",
        path.display()
    )]
    OlderFormat {
        /// File whose format is too old.
        path: PathBuf,
        /// Number of the file's format.
        found: u32,
        /// Format that this version reads.
        known: u32,
    },
    /// Directory that an admin has decided against, after two processes of its node ran at once. What the other process
    /// lacks of this directory is on the other nodes.
    #[error(
        "{} was given up: two processes ran under this node's identity, and an admin decided for the one \
         that listens at {by}; to start a node here, use an empty directory and a certificate of its own",
        path.display()
    )]
    Ousted {
        /// Directory that was given up.
        path: PathBuf,
        /// Address at which the other process listens.
        by: SocketAddr,
    },
    /// File that should be whole and is not. Restore it, or start the node with an empty directory as a new node: the
    /// other replicas hold its records.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// Path of the damaged file.
        path: PathBuf,
        /// Defect that was found, and what to do about it.
        what: String,
    },
    /// Shard that holds less than it is known to have held: it is an earlier copy, or its journal was cut. Set it aside
    /// ([`crate::DataDir::set_shard_aside`]).
    #[error("the shard's files in {} are not what was there: {what}", path.display())]
    Behind {
        /// Directory of the shard's journal.
        path: PathBuf,
        /// Part that is missing or was replaced.
        what: String,
    },
    /// Engine whose file could not be opened.
    #[error("the engine's file {} can't be opened: {message}", path.display())]
    Engine {
        /// Path of the engine's file.
        path: PathBuf,
        /// Message that the engine gave.
        message: String,
    },
    /// Engine whose file is damaged. Set the shard aside ([`crate::ShardFolder::rebuild`]).
    #[error("the engine's file {} is damaged: {what}", path.display())]
    EngineDamaged {
        /// Path of the engine's file.
        path: PathBuf,
        /// Description of the damage, or why the engine is not tried again.
        what: String,
    },
    /// Replay of the journal into the engine that failed. The journal still holds everything.
    #[error("replaying the journal into the engine failed: {0}")]
    Replay(#[from] StoreError),
}

impl OpenError {
    /// Whether the disk can't return what a shard has stored, so that the shard has to be set aside.
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
