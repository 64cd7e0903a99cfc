//! Layouts: committed rings with their versions, and the partitions that have flipped under each.

use alloc::vec::Vec;
use core::fmt;

use jedlik_hashing::{NodeId, Ring};
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Digest, PartitionSet, archive};

/// Number of a layout in the cluster's history, from 1; 0 before the first commit.
pub type LayoutVersion = u64;

/// Identity of a layout. Of two layouts the one with the greater identity is in force.
///
/// Two commits at once make rivals with the same version; the digest then decides, on every node alike.
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
    /// Number of the layout in the cluster's history, from 1; 0 before the first commit.
    pub version: LayoutVersion,
    /// Digest of the whole layout; 0 before the first commit.
    pub digest: u64,
}

impl fmt::Display for LayoutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:016x})", self.version, self.digest)
    }
}

/// The active layouts as the sender of a request knows them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ActiveLayouts {
    /// Layout in force at the sender.
    pub newest: LayoutId,
    /// Older active layouts, newest first; empty unless data is moving.
    pub older: Vec<LayoutId>,
}

impl ActiveLayouts {
    /// Returns active layouts without older ones, as they are once all data has moved.
    #[must_use]
    pub fn only(newest: LayoutId) -> Self {
        Self { newest, older: Vec::new() }
    }

    /// Whether `layout` is active for the sender, or the sender knows that all data has left it: a layout that is no
    /// longer active is older than every active one.
    #[must_use]
    pub fn reckons_with(&self, layout: LayoutId) -> bool {
        let oldest = self.older.last().unwrap_or(&self.newest);
        layout < *oldest || layout == self.newest || self.older.contains(&layout)
    }
}

/// A node that has left the cluster or was removed from it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Departed {
    /// Identity of the node, which is never used again.
    pub node: NodeId,
    /// Whether the node was removed without handing on its data: it does not count for anything and is not let in.
    /// Otherwise it serves until others hold all of its data, and then stops.
    pub forced: bool,
}

/// A committed placement of the partitions on nodes.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Layout {
    /// Number of the layout in the cluster's history, from 1.
    pub version: LayoutVersion,
    /// Layout that this one was made from; the default for the first.
    pub parent: LayoutId,
    /// Placement of the partitions: the nodes, their weights and zones, and the owner of each token.
    pub ring: Ring,
    /// Every node that has left or was removed, in the order of their identities: an identity is never used again.
    pub departed: Vec<Departed>,
}

impl Layout {
    /// Computes the digest by which an admin names a plan, and which breaks ties between rival commits.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest(xxh3_64(&archive::encode(self)))
    }

    /// Computes the layout's identity. It encodes the whole layout, so keep the result where it is needed often.
    #[must_use]
    pub fn id(&self) -> LayoutId {
        LayoutId { version: self.version, digest: self.digest().0 }
    }

    /// Returns how the node has left or was removed; `None` if it is not among the departed.
    #[must_use]
    pub fn departed(&self, node: NodeId) -> Option<Departed> {
        let found = self.departed.binary_search_by_key(&node, |departed| departed.node);
        found.ok().map(|index| self.departed[index])
    }
}

/// A layout with the partitions that have flipped under it, as nodes send it.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct WireLayout {
    /// Layout as it was committed.
    pub layout: Layout,
    /// Partitions known to have flipped under the layout: all of their owners were ready, so that older owners are
    /// not asked any more. The set only grows.
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
