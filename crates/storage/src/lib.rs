//! Records on disk: the journal and the buffer of one shard, and the engines behind them
//! ([design 3](../../../docs/design.md#3-requests)).
//!
//! Invariant: a write whose completion said `Ok` survives what its durability names, and every record
//! read from disk has passed its checksum.
//!
//! The path of a record: [`Shard::apply`] merges it with what is there, puts it into the buffer and queues a frame; the
//! journal's thread writes and syncs frames in groups and answers; the flusher's thread moves full buffers into the
//! engine, after which their segments of the journal are removed. Hints ([`Shard::hold`], [`Shard::release`]),
//! revisions ([`Shard::revise`]) and drops of whole partitions ([`Shard::drop_partition`]) go the same way.

mod ballast;
mod buffer;
mod checked;
mod contents;
mod datadir;
mod disk;
mod earlier_copy;
mod emptied;
mod engine_kind;
mod error;
mod fault_note;
#[cfg(test)]
mod faulty;
mod filter;
mod filtered;
#[cfg(test)]
mod fixtures;
mod flusher;
mod folder;
mod format;
mod guarded;
mod health;
mod hint;
mod hint_rows;
mod identity;
mod inspect;
mod journal;
mod keeper;
mod layers;
mod ledger;
mod life_mark;
#[cfg(feature = "lsm")]
mod lsm_store;
mod mark;
mod memory;
mod merge;
mod migration;
#[cfg(feature = "mysql")]
mod mysql_store;
mod open_files;
mod options;
mod past;
mod progress;
mod record_cache;
mod redb_store;
mod room;
mod set_aside;
mod shard;
mod span;
mod stats;
mod store;
mod trouble_log;

#[cfg(test)]
mod tests;

pub use contents::ContentsDigest;
pub use datadir::{DataDir, StateFile};
pub use disk::{Directory, Disk, FileBytes, JournalFile, ReadSpace, Space};
pub use earlier_copy::EarlierCopy;
pub use error::{OpenError, StoreError};
pub use fault_note::note_engine_panic;
pub use filtered::Filtered;
pub use folder::{LyingAside, SetAside, ShardFolder};
pub use guarded::{Guarded, engine_at_work};
pub use health::Refused;
pub use hint::{HintRow, HintRows, HintWrite};
pub use identity::Identity;
pub use inspect::{Inspected, InspectedHint, InspectedKey, inspect, shard_folders};
pub use journal::{DamagedRegion, Recovery};
pub use life_mark::{LifeMark, MarkFound, in_engine as life_in_engine};
#[cfg(feature = "lsm")]
pub use lsm_store::{LsmOptions, LsmStore};
pub use memory::MemoryStore;
pub use migration::{MigrateError, Migrated, MigratedShard, Migration, MigrationProgress};
#[cfg(feature = "mysql")]
pub use mysql_store::{MysqlAccess, MysqlAddress, MysqlOptions, MysqlStore};
pub use open_files::{EngineFile, OpenFiles};
pub use options::{ShardIdentity, ShardOptions};
pub use progress::{ProgressFile, ProgressWatch, ShardProgress};
pub use record_cache::CacheStats;
pub use redb_store::{RedbOptions, RedbStore, RewriteOptions, open_redb_file};
pub use shard::{Completed, Completion, Shard};
pub use stats::{EngineStats, HintStats, JournalStats, MergeStats, ShardStats};
pub use store::{RangeQuery, Store, Writes};

/// Format in which the files of records are written, the newest that can be read.
pub const RECORDS_FORMAT: u16 = redb_store::FORMAT as u16;
