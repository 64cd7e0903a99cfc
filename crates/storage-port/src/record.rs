//! Records: all that is held of one key, and the effect of a change for those who keep sums over records.
//!
//! Invariant: the differences that changes say, after less before, add up to the sums over all records, as long as none
//! is damaged: a change that replaces a damaged record does not know what that had added. The drop of a partition makes
//! its sums zero.

use alloc::vec::Vec;

use jedlik_protocol::{Digest, EncodedRecord, StoredRecord};

use crate::Hint;

/// All that storage holds of one key: the node's own record and the hints for other nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// Node's own record; `None` if there is none, or none that can be read.
    pub record: Option<StoredRecord>,
    /// Whether the node has a record that fails its checksum. Such a record counts as missing, not as absent.
    pub damaged: bool,
    /// Readable hints of the key, at most one for each target.
    pub hints: Vec<Hint>,
    /// Whether the key has further hints, which fail their checksums now and may be readable the next time.
    pub damaged_hints: bool,
}

/// Digest and size of a record: its entry in a hash tree, and its share of a shard's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMeta {
    /// Digest of the whole encoded record: clock, siblings and values.
    pub digest: Digest,
    /// Length of the encoded record, without its key, in bytes.
    pub bytes: u32,
}

impl RecordMeta {
    /// Returns digest and size of a record.
    ///
    /// # Panics
    /// If the record is larger than a frame may be, which no record is.
    #[must_use]
    pub fn of(record: &EncodedRecord) -> Self {
        let bytes = u32::try_from(record.bytes().len()).expect("a frame's limit is far below");
        Self { digest: record.digest(), bytes }
    }
}

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
