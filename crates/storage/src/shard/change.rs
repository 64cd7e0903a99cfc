//! What a change did to a record, for those who keep sums over a partition's records.
//!
//! Invariant: adding up what changes say, after less before, gives the sums of all records, as long as
//! none is damaged: the change that replaces a damaged one does not know what that had added. The drop of
//! a partition makes its sums zero.

use jedlik_protocol::{Digest, StoredRecord};

/// What a change did to a record; nothing if both are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordChange {
    /// Of the record that was there; `None` also if that was damaged.
    pub before: Option<RecordMeta>,
    /// Of the record that is there now.
    pub after: Option<RecordMeta>,
    /// The record that was there was damaged, and may have held more.
    pub mended: bool,
}

/// What a record adds to the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMeta {
    /// Of the record.
    pub digest: Digest,
    /// The length of the encoded record, without its key.
    pub size_bytes: u32,
}

impl RecordChange {
    /// One that has not mended anything.
    #[must_use]
    pub fn sound(before: Option<RecordMeta>, after: Option<RecordMeta>) -> Self {
        Self { before, after, mended: false }
    }

    /// The digests alone, before and after.
    #[must_use]
    pub fn digests(&self) -> (Option<Digest>, Option<Digest>) {
        let digest = |meta: RecordMeta| meta.digest;
        (self.before.map(digest), self.after.map(digest))
    }
}

impl RecordMeta {
    /// That of `stored`; the local actor counts for nothing.
    #[must_use]
    pub fn of(stored: &StoredRecord) -> Self {
        let length = stored.record.bytes().len();
        let size_bytes = u32::try_from(length).expect("a frame's limit is far below");
        Self { digest: stored.record.digest(), size_bytes }
    }
}
