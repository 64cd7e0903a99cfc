//! Layouts: which ring was committed, after which one, and which partitions have moved under it.

use alloc::vec::Vec;
use core::fmt;

use jedlik_hashing::{NodeId, Ring};
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Digest, PartitionSet, codec};

/// Counts layouts: 0 before the first commit.
pub type LayoutVersion = u64;

/// Names a layout, and tells which of two is in force: the greater.
///
/// Two commits at once make rivals with the same version; then the digest decides, everywhere alike.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    Serialize,
    Deserialize,
)]
pub struct LayoutId {
    /// Its place in the history of layouts, from 1; 0 before the first.
    pub version: LayoutVersion,
    /// Of the whole layout.
    pub digest: u64,
}

impl fmt::Display for LayoutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:016x})", self.version, self.digest)
    }
}

/// The active layouts for who sends a request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ActiveLayouts {
    /// In force there.
    pub newest: LayoutId,
    /// The others, newest first. There are any only while data moves.
    pub older: Vec<LayoutId>,
}

impl ActiveLayouts {
    /// The newest alone.
    #[must_use]
    pub fn only(newest: LayoutId) -> Self {
        Self { newest, older: Vec::new() }
    }

    /// Whether the sender reckons with that layout, or knows that all data has left it: of those that don't count any
    /// more each is older than any that does.
    #[must_use]
    pub fn reckons_with(&self, layout: LayoutId) -> bool {
        let oldest = self.older.last().unwrap_or(&self.newest);
        layout < *oldest || layout == self.newest || self.older.contains(&layout)
    }
}

/// A node that has no place in the cluster any more.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Departed {
    /// Who.
    pub node: NodeId,
    /// It was removed without handing on what it holds: nobody counts on it, and it is not let in.
    /// Otherwise it serves until others hold all that it does, and then stops.
    pub forced: bool,
}

/// One committed placement of the partitions.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Layout {
    /// Its place in the history of layouts, from 1.
    pub version: LayoutVersion,
    /// The one that it was made from; the default before the first.
    pub parent: LayoutId,
    /// Who holds what.
    pub ring: Ring,
    /// Every node that was ever removed or left, in the order of their identities: an identity is never
    /// used again.
    pub departed: Vec<Departed>,
}

impl Layout {
    /// What an admin names a plan by, and what breaks ties between rival commits.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes: Vec<u8> = codec::encode_layout(self);
        Digest(xxh3_64(&bytes))
    }

    /// Its name; encodes all of it, so keep it where it is asked for often.
    #[must_use]
    pub fn id(&self) -> LayoutId {
        LayoutId { version: self.version, digest: self.digest().0 }
    }

    /// Whether the node has left or was removed, and how.
    #[must_use]
    pub fn departed(&self, node: NodeId) -> Option<Departed> {
        let found = self.departed.binary_search_by_key(&node, |departed| departed.node);
        found.ok().map(|index| self.departed[index])
    }
}

/// A layout and how far the data has moved to it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct WireLayout {
    /// What was committed.
    pub layout: Layout,
    /// The partitions known to have flipped under it: all of its owners were ready, so older owners are
    /// not asked any more. Only grows.
    pub flipped: PartitionSet,
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{ActiveLayouts, LayoutId};

    #[test]
    fn a_sender_reckons_with_what_counts_for_it_and_with_what_is_older_than_all_that_does() {
        let id = |version, digest| LayoutId { version, digest };
        let theirs = ActiveLayouts { newest: id(3, 9), older: vec![id(2, 5), id(1, 7)] };
        let cases = [
            (id(3, 9), true),
            (id(2, 5), true),
            (id(1, 7), true),
            (id(1, 6), true),
            (LayoutId::default(), true),
            (id(4, 0), false),
            (id(3, 8), false),
            (id(2, 6), false),
            (id(1, 8), false),
        ];
        for (layout, reckons) in cases {
            assert_eq!(theirs.reckons_with(layout), reckons, "{layout}");
        }
        assert!(ActiveLayouts::only(id(2, 2)).reckons_with(id(2, 1)), "data has left it");
        assert!(!ActiveLayouts::default().reckons_with(id(1, 1)), "it knows no layout");
    }
}
