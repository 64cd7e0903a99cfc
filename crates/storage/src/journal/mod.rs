//! The journal.

/// What opening a shard found in its journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records replayed into the engine.
    pub records: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes cut short by the crash, of writes that were never acknowledged as synced.
    pub torn_bytes: u64,
    /// Bytes that had been synced and can't be read any more.
    pub damaged: Vec<DamagedRegion>,
}

/// A part of a segment that held synced records and can't be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedRegion {
    /// The segment's file name.
    pub segment: String,
    /// Where the region begins.
    pub offset_bytes: u64,
    /// How long it is.
    pub length_bytes: u64,
    /// How many synced records it held.
    pub records: u64,
}
