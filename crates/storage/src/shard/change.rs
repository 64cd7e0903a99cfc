//! Effect of a change on a record, for those who keep sums over a partition's records.
//!
//! Invariant: the differences that changes say, after less before, add up to the sums over all records, as long as none
//! is damaged: a change that replaces a damaged record does not know what that had added. The drop of a partition makes
//! its sums zero.

use jedlik_protocol::{Digest, StoredRecord};

/// Effect of a change on a record; nothing has changed if both sides are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordChange {
    /// Meta of the record that was there; `None` if there was none, or if it was damaged.
    pub before: Option<RecordMeta>,
    /// Meta of the record that is there now; `None` if there is none.
    pub after: Option<RecordMeta>,
    /// Whether the record that was there was damaged, and may have held more.
    pub mended: bool,
}

/// Digest and size that a record adds to the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMeta {
    /// Digest of the encoded record.
    pub digest: Digest,
    /// Length of the encoded record, without its key, in bytes.
    pub size_bytes: u32,
}

impl RecordChange {
    /// Returns a change that has replaced no damaged record.
    #[must_use]
    pub fn sound(before: Option<RecordMeta>, after: Option<RecordMeta>) -> Self {
        Self { before, after, mended: false }
    }

    /// Returns the digests alone, before and after.
    #[must_use]
    pub fn digests(&self) -> (Option<Digest>, Option<Digest>) {
        let digest = |meta: RecordMeta| meta.digest;
        (self.before.map(digest), self.after.map(digest))
    }
}

impl RecordMeta {
    /// Returns digest and size of `stored`, to which its local actor adds nothing.
    #[must_use]
    pub fn of(stored: &StoredRecord) -> Self {
        let length = stored.record.bytes().len();
        let size_bytes = u32::try_from(length).expect("a frame's limit is far below");
        Self { digest: stored.record.digest(), size_bytes }
    }
}
